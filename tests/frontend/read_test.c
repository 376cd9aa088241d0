/* Reading models from files: which form a file has, and what is said of files that have none. */
#include "frontend/layer.h"
#include "kt_cmocka.h"
#include "support/file.h"

typedef kt_status reader(kt_arena *arena, const char *path, kt_graph **out_graph, kt_diag *diag);

static const char *model_path(kt_arena *arena, const char *name) {
    return kt_arena_format(arena, "%s/frontend/models/%s.keras", KT_TEST_SOURCE, name);
}

static void expect_refusal(reader *read, kt_arena *arena, const char *path, const char *part) {
    kt_diag diag = {0};
    kt_graph *graph;
    assert_int_not_equal(read(arena, path, &graph, &diag), KT_OK);
    assert_int_equal(diag.count, 1);
    if (!strstr(diag.problems[0].text, part))
        fail_msg("“%s” says nothing of “%s”", diag.problems[0].text, part);
    assert_null(diag.file);
    kt_diag_deinit(&diag);
}

static void test_reads_both_forms(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    kt_graph *graph, *again;
    const char *folder;
    assert_int_equal(kt_model_read(arena, model_path(arena, "nested"), &graph, &diag), KT_OK);
    kt_text text = {.arena = arena}, text_again = {.arena = arena};
    kt_graph_print(graph, &(kt_print_options){0}, &text);
    assert_int_equal(kt_temporary_directory(arena, &folder, &diag), KT_OK);
    const char *path = kt_arena_format(arena, "%s/nested.kir", folder);
    assert_int_equal(kt_file_write(path, text.at, text.length, &diag), KT_OK);
    assert_int_equal(kt_model_read(arena, path, &again, &diag), KT_OK);
    kt_graph_print(again, &(kt_print_options){0}, &text_again);
    assert_string_equal(kt_text_string(&text), kt_text_string(&text_again));
    expect_refusal(kt_keras_read, arena, path, "no .keras archive");
    kt_arena_destroy(arena);
}

static void test_refuses_other_files(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *part;
    } cases[] = {
        {"", 0, "empty"},
        {"\x89HDF\r\n\x1a\n", 8, "HDF5"},
        {"\x08\x07\x12\x07pytorch", 11, "no .keras archive"},
        {"PK\3\4 and no more", 16, "damaged or cut off"},
        {"PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, "no .keras archive"},
    };
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    const char *folder;
    assert_int_equal(kt_temporary_directory(arena, &folder, &diag), KT_OK);
    const char *path = kt_arena_format(arena, "%s/file", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(kt_file_write(path, cases[i].bytes, cases[i].count, &diag), KT_OK);
        expect_refusal(kt_model_read, arena, path, cases[i].part);
    }
    expect_refusal(kt_model_read, arena, kt_arena_format(arena, "%s/none", folder), "none");
    expect_refusal(kt_model_read, arena, folder, "directory");
    kt_arena_destroy(arena);
}

/* The n-th allocation fails, for many n: the status says so, and nothing is lost. */
static void test_survives_lack_of_memory(void **state) {
    (void)state;
    uint64_t n = 2;
    for (kt_status status = KT_OUT_OF_MEMORY; status != KT_OK; n += 1 + n / 20) {
        kt_arena *arena = kt_arena_create();
        const char *path = model_path(arena, "shared");
        kt_diag diag = {0};
        kt_graph *graph;
        kt_arena_fail_after(n);
        status = kt_model_read(arena, path, &graph, &diag);
        kt_arena_fail_after(0);
        assert_true(status == KT_OK || status == KT_OUT_OF_MEMORY);
        kt_diag_deinit(&diag);
        kt_arena_destroy(arena);
    }
    assert_true(n > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_both_forms),
        cmocka_unit_test(test_refuses_other_files),
        cmocka_unit_test(test_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
