/* Files that appear together. */
#include "kt_cmocka.h"
#include "support/file.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *text_of(kt_arena *arena, const char *path) {
    kt_diag diag = {0};
    char *bytes = NULL;
    size_t count = 0;
    if (kt_file_read(path, 1 << 10, arena, &bytes, &count, &diag) != KT_OK) bytes = NULL;
    kt_diag_deinit(&diag);
    return bytes ? bytes : "none";
}

static void add(kt_files *files, const char *path, const char *text) {
    kt_diag diag = {0};
    assert_int_equal(kt_files_add(files, path, text, strlen(text), &diag), KT_OK);
}

static void appear_together(void **state) {
    (void)state;
    kt_diag diag = {0};
    kt_arena *arena = kt_arena_create();
    kt_files files = {.arena = arena};
    const char *beside;
    add(&files, "one", "1");
    assert_int_equal(kt_files_reserve(&files, "two", &beside, &diag), KT_OK);
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(kt_file_write(beside, "2", 1, &diag), KT_OK);
    assert_string_equal(text_of(arena, "one"), "none");
    assert_int_equal(kt_files_commit(&files, &diag), KT_OK);
    assert_string_equal(text_of(arena, "one"), "1");
    assert_string_equal(text_of(arena, "two"), "2");
    kt_arena_destroy(arena);
    assert_int_equal(unlink("one") || unlink("two"), 0);
}

/* Nobody has written what was reserved: the first one, which has its place by then, goes again, and the last
 * one never comes. */
static void fail_together(void **state) {
    (void)state;
    kt_diag diag = {0};
    kt_arena *arena = kt_arena_create();
    kt_files files = {.arena = arena};
    const char *beside;
    add(&files, "one", "1");
    assert_int_equal(kt_files_reserve(&files, "two", &beside, &diag), KT_OK);
    add(&files, "three", "3");
    assert_int_equal(kt_files_commit(&files, &diag), KT_IO);
    assert_int_equal(diag.count, 1);
    assert_non_null(strstr(diag.problems[0].text, "Cannot write two: "));
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
    assert_int_equal(access("one", F_OK) && access("two", F_OK) && access("three", F_OK), 1);
}

/* One would take the other's place. */
static void want_one_place(void **state) {
    (void)state;
    kt_diag diag = {0};
    kt_arena *arena = kt_arena_create();
    kt_files files = {.arena = arena};
    const char *beside;
    assert_int_equal(kt_files_reserve(&files, "one", &beside, &diag), KT_OK);
    assert_int_equal(kt_files_add(&files, "one", "1", 1, &diag), KT_INVALID);
    assert_string_equal(diag.problems[0].text, "Two files would be written to one.");
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
    assert_int_equal(access("one", F_OK), -1);
}

/* What cannot be written through fails before anything has its place; files are gone with their arena. */
static void leave_nothing(void **state) {
    (void)state;
    kt_diag diag = {0};
    kt_arena *arena = kt_arena_create();
    kt_files files = {.arena = arena};
    const char *beside;
    assert_int_equal(mkdir("directory", 0700), 0);
    add(&files, "one", "1");
    add(&files, "directory", "2");
    assert_int_equal(kt_files_commit(&files, &diag), KT_IO);
    assert_int_equal(kt_files_reserve(&files, "directory", &beside, &diag), KT_INVALID);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
    assert_int_equal(rmdir("directory"), 0);
}

static char place[] = "/tmp/keratin-files-XXXXXX";

static int begin(void **state) {
    (void)state;
    return !mkdtemp(place) || chdir(place);
}

/* Nothing is left in it. */
static int end(void **state) {
    (void)state;
    return rmdir(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appear_together),
        cmocka_unit_test(fail_together),
        cmocka_unit_test(want_one_place),
        cmocka_unit_test(leave_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
