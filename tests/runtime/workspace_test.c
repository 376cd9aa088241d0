/* Buffers that live at one step never overlap, and the workspace is near its lower bound. */
#include "runtime/workspace.h"

#include "kt_cmocka.h"

enum { COUNT = 60, STEPS = 40 };

static uint64_t seed = 1;
static int64_t draw(int64_t low, int64_t high) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((seed >> 33) % (uint64_t)(high - low + 1));
}

static void random_lifetimes(void **state) {
    (void)state;
    double total_ratio = 0;
    for (int round = 0; round < 200; round++) {
        kt_lifetime buffers[COUNT];
        uint32_t order[COUNT];
        int64_t alive[STEPS] = {0}, bound = 0;
        for (int i = 0; i < COUNT; i++) {
            uint32_t first = (uint32_t)draw(0, STEPS - 1), last = (uint32_t)draw(first, first + 4);
            if (last >= STEPS) last = STEPS - 1;
            buffers[i] = (kt_lifetime){draw(0, 5) * draw(1, 5000), first, last, -1};
            for (uint32_t step = first; step <= last; step++)
                alive[step] += (buffers[i].bytes + 63) / 64 * 64;
        }
        for (int i = 0; i < STEPS; i++) bound = alive[i] > bound ? alive[i] : bound;
        int64_t size = kt_workspace_assign(buffers, COUNT, order);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(buffers[i].offset % 64, 0);
            assert_true(buffers[i].offset >= 0 && buffers[i].offset + buffers[i].bytes <= size);
            for (int j = 0; j < i; j++) {
                if (buffers[i].last < buffers[j].first || buffers[j].last < buffers[i].first) continue;
                assert_true(buffers[i].offset + buffers[i].bytes <= buffers[j].offset ||
                            buffers[j].offset + buffers[j].bytes <= buffers[i].offset);
            }
        }
        assert_true(size >= bound);
        total_ratio += (double)size / (double)bound;
    }
    assert_true(total_ratio / 200 < 1.06);
}

static void a_chain_takes_two(void **state) {
    (void)state;
    kt_lifetime buffers[10];
    uint32_t order[10];
    for (uint32_t i = 0; i < 10; i++) buffers[i] = (kt_lifetime){1000, i, i + 1, 0};
    assert_int_equal(kt_workspace_assign(buffers, 10, order), 2048);
    assert_int_equal(kt_workspace_assign(buffers, 0, order), 0);
}

static void huge_sizes_do_not_wrap(void **state) {
    (void)state;
    kt_lifetime buffers[3] = {{INT64_MAX, 0, 1, 0}, {INT64_MAX - 5, 0, 1, 0}, {64, 0, 1, 0}};
    uint32_t order[3];
    assert_true(kt_workspace_assign(buffers, 3, order) > INT64_MAX - 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lifetimes),
        cmocka_unit_test(a_chain_takes_two),
        cmocka_unit_test(huge_sizes_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
