/* A whole compilation in which the n-th allocation fails, for many n: it ends with KT_OUT_OF_MEMORY and a
 * sentence, leaves no file, and (under the asan preset) loses nothing. */
#include "codegen/codegen.h"
#include "frontend/layer.h"
#include "kt_cmocka.h"
#include "support/file.h"

#include <string.h>
#include <unistd.h>

#define MODEL KT_TEST_SOURCE "/../examples/digits/digits.keras"

typedef struct attempt {
    kt_diag *diag;
    kt_arena *arena;
    const char *output;
    uint64_t fail_after;
} attempt;

static kt_status create_arena(void *context) {
    ((attempt *)context)->arena = kt_arena_create();
    return KT_OK;
}

static kt_status compile(void *context) {
    attempt *self = context;
    kt_graph *graph;
    kt_compile_options options = {.emit = KT_EMIT_ASM, .output = self->output, .level = 2};
    kt_arena_fail_after(self->fail_after);
    KT_TRY(kt_keras_read(self->arena, MODEL, &graph, self->diag));
    return kt_compile(graph, &options, self->diag);
}

static kt_status try_with(uint64_t fail_after, const char *output) {
    kt_diag diag = {0};
    attempt self = {.diag = &diag, .output = output, .fail_after = fail_after};
    assert_int_equal(kt_guarded(create_arena, &self, &diag), KT_OK);
    kt_status status = kt_guarded(compile, &self, &diag);
    kt_arena_fail_after(0);
    assert_int_equal(status == KT_OK, diag.count == 0);
    kt_arena_destroy(self.arena);
    kt_diag_deinit(&diag);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    char output[] = "/tmp/keratin-memory-XXXXXX";
    int fd = mkstemp(output);
    assert_true(fd >= 0);
    close(fd);
    unlink(output);
    uint32_t failures = 0;
    kt_status status = KT_OUT_OF_MEMORY;
    for (uint64_t n = 1; status != KT_OK; n += 1 + n / 12) {
        status = try_with(n, output);
        assert_true(status == KT_OK || status == KT_OUT_OF_MEMORY);
        assert_int_equal(access(output, F_OK) == 0, status == KT_OK);
        failures += status != KT_OK;
    }
    unlink(output);
    assert_true(failures > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
