/* Buffers that live at one step never overlap, and the workspace is near its lower bound. */
#include "runtime/workspace.h"

#include "kt_cmocka.h"

#include <string.h>

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
            int64_t bytes = draw(0, 5) * draw(1, 5000);
            buffers[i] = (kt_lifetime){.bytes = bytes, .first = first, .last = last, .offset = -1};
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
    for (uint32_t i = 0; i < 10; i++) buffers[i] = (kt_lifetime){.bytes = 1000, .first = i, .last = i + 1};
    assert_int_equal(kt_workspace_assign(buffers, 10, order), 2048);
    assert_int_equal(kt_workspace_assign(buffers, 0, order), 0);
}

/* The first layers of MobileNet: largest first, the two largest would lie where the fullest step has no room
 * left. */
static void a_convnet_takes_no_more_than_its_fullest_step(void **state) {
    (void)state;
    static const int64_t bytes[] = {607500,  1605632, 1663488, 1605632, 3211264,
                                    3268864, 802816,  1605632, 1722368, 1605632};
    enum { BUFFERS = sizeof bytes / sizeof *bytes };
    kt_lifetime buffers[BUFFERS];
    uint32_t order[BUFFERS];
    for (uint32_t i = 0; i < BUFFERS; i++)
        buffers[i] = (kt_lifetime){.bytes = bytes[i], .first = i, .last = i + 1};
    assert_int_equal(kt_workspace_assign(buffers, BUFFERS, order), 3211264 + 3268864);
}

/* Of EfficientNetV2S: a residual and a slightly larger padded copy of it take turns above a large buffer. */
static void sizes_nearly_the_same_take_turns(void **state) {
    (void)state;
    static const kt_lifetime chain[] = {
        {.bytes = 1769472, .first = 0, .last = 3}, {.bytes = 1843968, .first = 1, .last = 2},
        {.bytes = 7077888, .first = 2, .last = 3}, {.bytes = 1769472, .first = 3, .last = 6},
        {.bytes = 1843968, .first = 4, .last = 5}, {.bytes = 7077888, .first = 5, .last = 6},
        {.bytes = 1769472, .first = 6, .last = 9}, {.bytes = 1843968, .first = 7, .last = 8},
        {.bytes = 7077888, .first = 8, .last = 9}, {.bytes = 1769472, .first = 9, .last = 10},
    };
    enum { BUFFERS = sizeof chain / sizeof *chain };
    kt_lifetime buffers[BUFFERS];
    uint32_t order[BUFFERS];
    memcpy(buffers, chain, sizeof chain);
    assert_in_range(kt_workspace_assign(buffers, BUFFERS, order), 10691328, 7077888 + 2 * 1843968);
}

static void huge_sizes_do_not_wrap(void **state) {
    (void)state;
    kt_lifetime buffers[3] = {
        {.bytes = INT64_MAX, .last = 1}, {.bytes = INT64_MAX - 5, .last = 1}, {.bytes = 64, .last = 1}};
    uint32_t order[3];
    assert_true(kt_workspace_assign(buffers, 3, order) > INT64_MAX - 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lifetimes),
        cmocka_unit_test(a_chain_takes_two),
        cmocka_unit_test(a_convnet_takes_no_more_than_its_fullest_step),
        cmocka_unit_test(sizes_nearly_the_same_take_turns),
        cmocka_unit_test(huge_sizes_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
