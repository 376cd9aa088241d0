/* The protobuf form: reading and writing again gives the same graph and the same bytes; whatever else a file
 * holds, reading it gives a sentence. */
#include "kt_cmocka.h"

#include "ir/ir.h"
#include "support/file.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct packed_fixture {
    kt_arena *arena;
    const char *text, *path; /* the text form of everything; the file that it is packed into */
    size_t text_length;
    char *bytes;
    size_t count;
} packed_fixture;

static kt_graph *parse(kt_arena *arena, const char *text, size_t length) {
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    if (kt_graph_parse(arena, text, length, &graph, &diag) != KT_OK)
        fail_msg("%s: %s", diag.problems[0].where, diag.problems[0].text);
    return graph;
}

static void read_file(packed_fixture *f, const char *path, char **out_bytes, size_t *out_count) {
    kt_diag diag = {0};
    assert_int_equal(kt_file_read(path, 1 << 20, f->arena, out_bytes, out_count, &diag), KT_OK);
}

static int setup(void **state) {
    packed_fixture *f = calloc(1, sizeof *f);
    kt_diag diag = {0};
    f->arena = kt_arena_create();
    const char *directory;
    assert_int_equal(kt_temporary_directory(f->arena, &directory, &diag), KT_OK);
    f->path = kt_arena_format(f->arena, "%s/graph.kpb", directory);
    char *text;
    read_file(f, KT_TEST_SOURCE "/ir/packed_v1.kir", &text, &f->text_length);
    f->text = text;
    kt_graph *graph = parse(f->arena, f->text, f->text_length);
    assert_int_equal(kt_graph_write_packed(graph, f->path, KT_PACKED_INSIDE, &diag), KT_OK);
    read_file(f, f->path, &f->bytes, &f->count);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    packed_fixture *f = *state;
    kt_arena_destroy(f->arena);
    free(f);
    return 0;
}

/* Reads bytes and gives the text of the graph, or NULL with at least one sentence said. */
static const char *read_packed(packed_fixture *f, const char *bytes, size_t count, const char *path,
                               const char *problem) {
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    kt_arena *arena = kt_arena_create();
    /* A copy of its own, so that reading past its end is seen. */
    char *copy = malloc(count ? count : 1);
    memcpy(copy, bytes, count);
    kt_status status = kt_graph_read_packed(arena, copy, count, path, &graph, &diag);
    free(copy);
    const char *text = NULL;
    if (status == KT_OK) status = kt_graph_verify(graph, &diag);
    if (status == KT_OK) {
        kt_text printed = {.arena = arena};
        kt_graph_print(graph, NULL, &printed);
        text = kt_arena_string(f->arena, kt_text_string(&printed));
        assert_int_equal(diag.count, 0);
    } else {
        assert_true(diag.count > 0);
        if (problem && !strstr(diag.problems[0].text, problem))
            fail_msg("expected \"%s\", got \"%s\"", problem, diag.problems[0].text);
    }
    if (problem && !*problem && diag.count) fail_msg("%s", diag.problems[0].text);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
    return text;
}

static void everything_comes_back(void **state) {
    packed_fixture *f = *state;
    assert_string_equal(read_packed(f, f->bytes, f->count, f->path, ""), f->text);
    char *frozen;
    size_t count;
    read_file(f, KT_TEST_SOURCE "/ir/packed_v1.kpb", &frozen, &count);
    assert_string_equal(read_packed(f, frozen, count, f->path, ""), f->text);
}

static void large_weights_lie_beside(void **state) {
    packed_fixture *f = *state;
    kt_diag diag = {0};
    kt_graph *graph = parse(f->arena, f->text, f->text_length);
    assert_int_equal(kt_graph_write_packed(graph, f->path, 100, &diag), KT_OK);
    char *bytes, *data;
    size_t count, data_count;
    const char *beside = kt_arena_format(f->arena, "%s.data", f->path);
    read_file(f, f->path, &bytes, &count);
    read_file(f, beside, &data, &data_count);
    assert_true(count < f->count && data_count >= 64);
    assert_string_equal(read_packed(f, bytes, count, f->path, ""), f->text);
    assert_null(read_packed(f, bytes, count, NULL, "not from standard input"));
    data[5] ^= 1;
    assert_int_equal(kt_file_write(beside, data, data_count, &diag), KT_OK);
    assert_null(read_packed(f, bytes, count, f->path, "does not hold the weights of this graph"));
    assert_int_equal(kt_file_write(beside, data, data_count - 1, &diag), KT_OK);
    assert_null(read_packed(f, bytes, count, f->path, "does not hold the weights of this graph"));
    unlink(beside);
    assert_null(read_packed(f, bytes, count, f->path, "Cannot read"));
    assert_int_equal(kt_graph_write_packed(graph, "-", 100, &diag), KT_UNSUPPORTED);
    kt_diag_deinit(&diag);
}

static void short_files_are_refused(void **state) {
    packed_fixture *f = *state;
    for (size_t count = 0; count < f->count; count++) {
        const char *text = read_packed(f, f->bytes, count, f->path, NULL);
        /* Cut between two fields of the graph, it is a smaller one, if it is any. */
        assert_true(!text || strcmp(text, f->text) != 0);
    }
}

/* Nothing but a sentence or a valid graph comes of a changed file. */
static void changed_files_are_refused_or_valid(void **state) {
    packed_fixture *f = *state;
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    char *bytes = kt_arena_copy(f->arena, f->bytes, f->count);
    for (size_t i = 0; i < f->count; i++) {
        char old = bytes[i];
        for (size_t k = 0; k <= sizeof values; k++) {
            bytes[i] = k < sizeof values ? (char)values[k] : (char)(old + 1);
            (void)read_packed(f, bytes, f->count, f->path, NULL);
        }
        bytes[i] = old;
    }
}

/* Messages within messages, as deep as bytes allow, in a known and in an unknown field. */
static void nesting_does_not_overflow(void **state) {
    packed_fixture *f = *state;
    enum { DEPTH = 100000, ROOM = 6 };
    static const unsigned char tags[] = {0x5a, 0x3a, 0x2a, 0x7a}; /* functions, results, nodes, unknown */
    for (size_t k = 0; k < sizeof tags; k++) {
        char *bytes = calloc(DEPTH + 1, ROOM), *at = bytes + (size_t)DEPTH * ROOM;
        char *end = at;
        for (int depth = 0; depth < DEPTH; depth++) {
            size_t length = (size_t)(end - at);
            char head[ROOM];
            int count = 0;
            head[count++] = (char)tags[k];
            for (; length > 127; length >>= 7) head[count++] = (char)(length | 0x80);
            head[count++] = (char)length;
            at -= count;
            memcpy(at, head, (size_t)count);
        }
        kt_text text = {.arena = f->arena};
        kt_text_add_bytes(&text, "\x0a\x07keratin\x10\x01", 11);
        kt_text_add_bytes(&text, at, (size_t)(end - at));
        (void)read_packed(f, text.at, text.length, f->path, NULL);
        free(bytes);
    }
}

/* Two bytes a message: what they become in memory is bounded. */
static void small_messages_do_not_take_all_memory(void **state) {
    packed_fixture *f = *state;
    kt_text text = {.arena = f->arena};
    kt_text_add_bytes(&text, "\x0a\x07keratin\x10\x01", 11);
    for (int i = 0; i < 100000; i++) kt_text_add_bytes(&text, "\x5a\x00", 2);
    assert_null(read_packed(f, text.at, text.length, f->path, "has no name"));
}

static void later_versions_are_refused(void **state) {
    packed_fixture *f = *state;
    assert_true(kt_packed_is(f->bytes, f->count) && !kt_packed_is(f->bytes, 8) && !kt_packed_is("graph", 5));
    char *bytes = kt_arena_copy(f->arena, f->bytes, f->count);
    bytes[10] = 2;
    assert_null(read_packed(f, bytes, f->count, f->path, "has version 2 of the format"));
    bytes[10] = 0;
    assert_null(read_packed(f, bytes, f->count, f->path, "does not say its version"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(large_weights_lie_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(short_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_files_are_refused_or_valid, setup, teardown),
        cmocka_unit_test_setup_teardown(nesting_does_not_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(small_messages_do_not_take_all_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(later_versions_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
