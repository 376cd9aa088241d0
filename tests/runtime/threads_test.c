/* Every part runs exactly once, whatever the number of threads and parts, and sleeping workers wake. */
#include "runtime/runtime.h"

#include "kt_cmocka.h"

#include <pthread.h>
#include <time.h>

enum { MOST = 300 };

static void count_part(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    int *counts = args[0];
    if (parts != symbols[0]) abort();
    counts[part]++; /* parts are distinct, so this is no race */
}

static void run_all(kt_pool *pool, int64_t parts) {
    int counts[MOST] = {0};
    void *args[] = {counts};
    kt_pool_run(pool, count_part, args, &parts, parts);
    for (int64_t i = 0; i < parts; i++) assert_int_equal(counts[i], 1);
}

static void every_part_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads += 2) {
        kt_pool *pool = kt_pool_create(threads);
        assert_non_null(pool);
        assert_int_equal(kt_pool_threads(pool), threads);
        for (int round = 0; round < 500; round++) run_all(pool, 1 + round * 7 % 40);
        run_all(pool, MOST);
        kt_pool_destroy(pool);
    }
}

static void note_thread(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)symbols, (void)parts;
    ((pthread_t *)args[0])[part] = pthread_self();
}

static void the_first_part_is_the_callers(void **state) {
    (void)state;
    kt_pool *pool = kt_pool_create(3);
    for (int round = 0; round < 500; round++) {
        pthread_t by[7];
        void *args[] = {by};
        kt_pool_run(pool, note_thread, args, NULL, 2 + round % 6);
        assert_true(pthread_equal(by[0], pthread_self()));
    }
    kt_pool_destroy(pool);
}

static void sleepers_wake(void **state) {
    (void)state;
    kt_pool *pool = kt_pool_create(3);
    const struct timespec pause = {0, 5000000};
    for (int round = 0; round < 20; round++) {
        run_all(pool, 3);
        nanosleep(&pause, NULL);
    }
    kt_pool_destroy(pool);
    kt_pool_destroy(kt_pool_create(4)); /* without ever having worked */
    kt_pool_destroy(NULL);
    assert_null(kt_pool_create(0));
}

static void handing_is_measured_once(void **state) {
    (void)state;
    kt_pool *pool = kt_pool_create(2);
    double handing = kt_pool_handing(pool);
    assert_true(handing > 0);
    assert_true(kt_pool_handing(pool) == handing);
    run_all(pool, 5);
    kt_pool_destroy(pool);
}

/* Threads lose their cores to each other, which says nothing of what handing costs. */
static void handing_is_no_wait_for_a_core(void **state) {
    (void)state;
    for (int i = 0; i < 25; i++) {
        kt_pool *pool = kt_pool_create(32);
        assert_true(kt_pool_handing(pool) <= 50000);
        kt_pool_destroy(pool);
    }
}

static void slow_part(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    const struct timespec pause = {0, part == symbols[0] ? 20000000 : 0};
    nanosleep(&pause, NULL);
    ((int *)args[0])[part] = (int)parts;
}

static void the_caller_sleeps_too(void **state) {
    (void)state;
    kt_pool *pool = kt_pool_create(2);
    for (int64_t slow = 0; slow < 4; slow++) {
        int counts[4] = {0};
        void *args[] = {counts};
        kt_pool_run(pool, slow_part, args, &slow, 4);
        for (int i = 0; i < 4; i++) assert_int_equal(counts[i], 4);
    }
    kt_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_once),          cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(handing_is_measured_once), cmocka_unit_test(handing_is_no_wait_for_a_core),
        cmocka_unit_test(the_caller_sleeps_too),    cmocka_unit_test(the_first_part_is_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
