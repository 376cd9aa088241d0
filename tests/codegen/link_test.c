/* A program that saves and loads is one file, with HDF5 in it. */
#include "codegen/codegen.h"
#include "kt_cmocka.h"
#include "support/file.h"

#include <sys/stat.h>

static const char source[] =
    "#include \"runtime/checkpoint/checkpoint.h\"\n"
    "const kt_program kt_main_program;\n"
    "int main(int count, char **words) {\n"
    "    float x[2] = {1, 2}, y[2] = {0};\n"
    "    char error[KT_IO_ERROR];\n"
    "    kt_saved_variable v = {\"a/b\", \"layers/a/vars/0\", KT_F32, 1, {2}, x};\n"
    "    kt_saved_model m = {.variables = &v, .variable_count = 1};\n"
    "    if (count < 2 || kt_keras_save(words[1], &m, error)) return 1;\n"
    "    v.data = y;\n"
    "    return kt_keras_load(words[1], &v, 1, KT_LOAD_ALL, error) || y[0] != 1 || y[1] != 2;\n"
    "}\n";

static void run(const char *command, kt_diag *diag) {
    if (kt_command_run((const char *[]){"sh", "-c", command, NULL}, diag) != KT_OK)
        fail_msg("%s", diag->problems[0].text);
}

static void test_links_one_file(void **state) {
    (void)state;
    kt_diag diag = {0};
    kt_arena *arena = kt_arena_create();
    kt_target target;
    const char *folder;
    assert_int_equal(kt_target_describe(NULL, NULL, NULL, arena, &target, &diag), KT_OK);
    target.trains = true;
    assert_int_equal(kt_temporary_directory(arena, &folder, &diag), KT_OK);
    const char *code = kt_arena_format(arena, "%s/main.c", folder);
    const char *object = kt_arena_format(arena, "%s/main.o", folder);
    const char *program = kt_arena_format(arena, "%s/trainer", folder);
    assert_int_equal(kt_file_write(code, source, strlen(source), &diag), KT_OK);
    run(kt_arena_format(arena, "cc -I%s/.. -c -o %s %s", KT_TEST_SOURCE, object, code), &diag);
    if (kt_link(KT_EMIT_EXE, &target, false, false, &object, 1, "trainer", folder, program, arena, &diag) !=
        KT_OK)
        fail_msg("%s", diag.problems[0].text);
    run(kt_arena_format(arena, "%s %s/x.weights.h5", program, folder), &diag);
#ifndef KT_SANITIZE /* a sanitizer brings libraries of its own */
    struct stat status;
    assert_int_equal(stat(program, &status), 0);
    assert_true(status.st_size < 6 << 20);
    run(kt_arena_format(arena, "! ldd %s | grep -v -E 'linux-vdso|/ld-linux|libc\\.so|libm\\.so'", program),
        &diag);
    print_message("%lld bytes\n", (long long)status.st_size);
#endif
    kt_arena_destroy(arena);
    kt_diag_deinit(&diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_links_one_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
