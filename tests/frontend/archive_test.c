/* Archives that are damaged, hostile or not ours: always one sentence, never a crash. */
#include "frontend/keras/keras_impl.h"
#include "kt_cmocka.h"
#include "support/file.h"

#include <minizip/zip.h>

typedef struct fixture {
    kt_arena *arena;
    kt_diag diag;
} fixture;

static fixture begin(void) { return (fixture){.arena = kt_arena_create()}; }
static void end(fixture *f) {
    kt_diag_deinit(&f->diag);
    kt_arena_destroy(f->arena);
}

static kt_bytes read_file(fixture *f, const char *path) {
    char *bytes;
    size_t count;
    assert_int_equal(kt_file_read(path, 1 << 30, f->arena, &bytes, &count, &f->diag), KT_OK);
    return (kt_bytes){(const uint8_t *)bytes, count};
}

/* A zip with members of `size` times the byte 'x'; NULL ends the names. */
static kt_bytes make_zip(fixture *f, const char *const *names, size_t size, int level) {
    const char *folder;
    assert_int_equal(kt_temporary_directory(f->arena, &folder, &f->diag), KT_OK);
    const char *path = kt_arena_format(f->arena, "%s/made.zip", folder);
    char *content = kt_arena_alloc(f->arena, size + 1);
    memset(content, 'x', size);
    zipFile zip = zipOpen64(path, APPEND_STATUS_CREATE);
    assert_non_null(zip);
    for (; *names; names++) {
        assert_int_equal(zipOpenNewFileInZip64(zip, *names, NULL, NULL, 0, NULL, 0, NULL,
                                               level ? Z_DEFLATED : 0, level, 0),
                         ZIP_OK);
        assert_int_equal(zipWriteInFileInZip(zip, content, (unsigned)size), ZIP_OK);
        assert_int_equal(zipCloseFileInZip(zip), ZIP_OK);
    }
    assert_int_equal(zipClose(zip, NULL), ZIP_OK);
    return read_file(f, path);
}

static void expect_refusal(fixture *f, kt_bytes file, const char *part) {
    kt_archive archive;
    assert_int_not_equal(kt_archive_unpack(f->arena, file, &archive, &f->diag), KT_OK);
    assert_int_equal(f->diag.count, 1);
    if (!strstr(f->diag.problems[0].text, part))
        fail_msg("“%s” says nothing of “%s”", f->diag.problems[0].text, part);
}

static void test_reads_members(void **state) {
    (void)state;
    for (int level = 0; level <= 9; level += 9) {
        fixture f = begin();
        kt_archive archive;
        const char *const names[] = {"config.json", "assets/layers/vocabulary.txt", NULL};
        kt_bytes file = make_zip(&f, names, 1000, level);
        assert_true(kt_archive_is(file));
        assert_int_equal(kt_archive_unpack(f.arena, file, &archive, &f.diag), KT_OK);
        assert_int_equal(archive.members.count, 2);
        const kt_bytes *member = kt_archive_find(&archive, "assets/layers/vocabulary.txt");
        assert_non_null(member);
        assert_int_equal(member->count, 1000);
        assert_int_equal(member->at[999], 'x');
        assert_null(kt_archive_find(&archive, "metadata.json"));
        end(&f);
    }
}

static void test_refuses(void **state) {
    (void)state;
    static const struct {
        const char *names[3];
        const char *part;
    } cases[] = {
        {{"../config.json"}, "leads out of it"},         {{"assets/../../x"}, "leads out of it"},
        {{"/config.json"}, "leads out of it"},           {{"assets\\x"}, "leads out of it"},
        {{"assets/\x1b[2J"}, "leads out of it"},         {{"assets/.."}, "leads out of it"},
        {{"config.json", "program.py"}, "“program.py”"}, {{"config.json", "config.json"}, "twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = begin();
        expect_refusal(&f, make_zip(&f, cases[i].names, 10, 0), cases[i].part);
        end(&f);
    }
}

static void test_refuses_bombs(void **state) {
    (void)state;
    fixture f = begin();
    const char *const one[] = {"model.weights.h5", NULL};
    expect_refusal(&f, make_zip(&f, one, 64 << 20, 9), "decompression bomb");
    end(&f);

    f = begin(); /* each is small enough, all together are not */
    const char *const many[] = {"config.json", "metadata.json", "assets/a", "assets/b", "assets/c", NULL};
    expect_refusal(&f, make_zip(&f, many, 8 << 20, 9), "decompression bomb");
    end(&f);

    f = begin();
    const char **crowd = KT_NEW_ARRAY(f.arena, const char *, 5001);
    for (int i = 0; i < 5000; i++) crowd[i] = kt_arena_format(f.arena, "assets/%d", i);
    expect_refusal(&f, make_zip(&f, crowd, 1, 0), "5000 files");
    end(&f);
}

/* A copy in which every occurrence of `from` has other bytes at `offset`. */
static kt_bytes patch(fixture *f, kt_bytes file, const char *from, int offset, const void *to, size_t count) {
    uint8_t *copy = kt_arena_copy(f->arena, file.at, file.count + 1);
    for (size_t i = 0; i + 50 < file.count; i++)
        if (memcmp(copy + i, from, 4) == 0) memcpy(copy + i + offset, to, count);
    return (kt_bytes){copy, file.count};
}

static void test_refuses_encryption_and_methods(void **state) {
    (void)state;
    const char *const names[] = {"config.json", NULL};
    fixture f = begin();
    expect_refusal(&f, patch(&f, make_zip(&f, names, 100, 0), "PK\1\2", 8, "\1\0", 2), "encrypted");
    end(&f);
    f = begin();
    expect_refusal(&f, patch(&f, make_zip(&f, names, 100, 0), "PK\1\2", 10, "\14\0", 2), "method 12");
    end(&f);
    f = begin(); /* says that it is larger than it is */
    expect_refusal(&f, patch(&f, make_zip(&f, names, 100, 0), "PK\1\2", 24, "\0\0\0\100", 4), "damaged");
    end(&f);
}

/* Whatever comes: KT_OK or one sentence. */
static void try_bytes(kt_bytes file) {
    fixture f = begin();
    kt_archive archive;
    kt_status status = kt_archive_unpack(f.arena, file, &archive, &f.diag);
    assert_int_equal(f.diag.count, status != KT_OK);
    end(&f);
}

static void test_survives_damage(void **state) {
    (void)state;
    fixture f = begin();
    const char *const names[] = {"config.json", "metadata.json", "model.weights.h5", NULL};
    kt_bytes file = make_zip(&f, names, 200, 0);
    for (size_t length = 0; length < file.count; length++) {
        uint8_t *cut = malloc(length + 1); /* so that reading past its end is seen */
        assert_non_null(cut);
        memcpy(cut, file.at, length);
        kt_archive archive;
        fixture g = begin();
        if (kt_archive_unpack(g.arena, (kt_bytes){cut, length}, &archive, &g.diag) == KT_OK)
            fail_msg("%zu of %zu bytes are enough", length, file.count);
        assert_int_equal(g.diag.count, 1);
        end(&g);
        free(cut);
    }
    uint8_t *copy = kt_arena_copy(f.arena, file.at, file.count);
    static const uint8_t bytes[] = {0, 1, 0x7f, 0x80, 0xff};
    for (size_t i = 0; i < file.count; i++)
        for (size_t b = 0; b < sizeof bytes; b++) {
            copy[i] = bytes[b];
            try_bytes((kt_bytes){copy, file.count});
            copy[i] = file.at[i];
        }
    end(&f);
}

static kt_status parse(fixture *f, const char *text, const json_t **out_json) {
    kt_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return kt_json_parse(f->arena, bytes, "config.json", out_json, &f->diag);
}

static void test_json(void **state) {
    (void)state;
    const json_t *json = NULL;
    fixture f = begin();
    assert_int_equal(parse(&f, "{\"a\": [1, {\"b\": \"[[[[\\\"[\"}]}", &json), KT_OK);
    assert_int_equal(json_array_size(json_object_get(json, "a")), 2);
    assert_int_equal(parse(&f, "{\"a NaN\\\" NaN\": [NaN,-Infinity, Infinity, -1, \"-Infinity\"]}", &json),
                     KT_OK);
    const json_t *words = json_object_get(json, "a NaN\" NaN");
    static const char *const expected[] = {"NaN", "-Infinity", "Infinity", NULL, "-Infinity"};
    assert_int_equal(json_array_size(words), 5);
    for (size_t i = 0; i < 5; i++) {
        const char *word = json_string_value(json_array_get(words, i));
        assert_true(expected[i] ? word && strcmp(word, expected[i]) == 0 : !word);
    }
    static const char *const wrong[][2] = {
        {"", "not valid JSON"},
        {"{\"a\": -Inf}", "not valid"},
        {"[1]", "not a JSON object"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"a\": 1e999}", "not valid"},
        {"{\"a\": ", "line 1"},
        {"{\"a\": \"\xff\"}", "not valid"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(parse(&f, wrong[i][0], &json), KT_INVALID);
        assert_non_null(strstr(f.diag.problems[i].text, wrong[i][1]));
    }
    end(&f);
}

static void test_deep_json(void **state) {
    (void)state;
    enum { DEEP = 1000000 };
    fixture f = begin();
    const json_t *json;
    char *text = kt_arena_alloc(f.arena, DEEP + 1);
    memset(text, '[', DEEP);
    assert_int_equal(parse(&f, text, &json), KT_INVALID);
    assert_non_null(strstr(f.diag.problems[0].text, "levels deep"));
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_members),   cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_refuses_bombs),   cmocka_unit_test(test_refuses_encryption_and_methods),
        cmocka_unit_test(test_survives_damage), cmocka_unit_test(test_json),
        cmocka_unit_test(test_deep_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
