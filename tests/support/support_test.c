/* Arenas, guards, texts, tables and diagnostics. */
#include "support/table.h"
#include "support/text.h"

#include "kt_cmocka.h"

static void aligns_and_zeroes(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    for (size_t bytes = 0; bytes < 300000; bytes = bytes * 2 + 1) {
        uint8_t *at = kt_arena_alloc(arena, bytes);
        assert_int_equal((uintptr_t)at % (bytes >= 64 ? 64 : 16), 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(at[i], 0);
        if (bytes) memset(at, 0xff, bytes);
    }
    kt_arena_destroy(arena);
}

static void release(void *object) {
    char *log = object;
    log[strlen(log)] = (char)('a' + strlen(log));
}
static void release_upper(void *object) { ((char *)object)[strlen(object)] = 'Z'; }

static void defers_in_reverse(void **state) {
    (void)state;
    char log[8] = "";
    kt_arena *arena = kt_arena_create();
    kt_arena_defer(arena, release, log);
    kt_arena_defer(arena, release_upper, log);
    kt_arena_destroy(arena);
    assert_string_equal(log, "Zb");
    kt_arena_destroy(NULL);
}

static kt_status three_allocations(void *context) {
    kt_arena *arena = context;
    for (int i = 0; i < 3; i++) kt_arena_alloc(arena, 100);
    return KT_OK;
}

static kt_status product_overflows(void *context) {
    KT_NEW_ARRAY(context, uint64_t, SIZE_MAX / 4);
    return KT_OK;
}

static kt_status nested(void *context) {
    kt_diag inner = {0};
    kt_status status = kt_guarded(product_overflows, context, &inner);
    assert_int_equal(status, KT_OUT_OF_MEMORY);
    assert_int_equal(inner.count, 1);
    kt_diag_deinit(&inner);
    return product_overflows(context);
}

static void guards(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    for (uint64_t n = 1; n <= 3; n++) {
        kt_arena_fail_after(n);
        assert_int_equal(kt_guarded(three_allocations, arena, &diag), KT_OUT_OF_MEMORY);
        assert_int_equal(diag.count, n);
        assert_int_equal(kt_guarded(three_allocations, arena, &diag), KT_OK);
    }
    kt_arena_fail_after(4);
    assert_int_equal(kt_guarded(three_allocations, arena, &diag), KT_OK);
    kt_arena_fail_after(0);
    assert_int_equal(kt_guarded(nested, arena, &diag), KT_OUT_OF_MEMORY);
    assert_string_equal(diag.problems[0].text, "Memory is exhausted.");
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
}

typedef struct promise {
    kt_arena *arena;
    char log[8];
} promise;

static kt_status defer_one(void *context) {
    promise *p = context;
    kt_arena_defer(p->arena, release, p->log);
    return KT_OK;
}

static void releases_what_cannot_be_deferred(void **state) {
    (void)state;
    kt_diag diag = {0};
    promise p = {.arena = kt_arena_create()};
    kt_arena_fail_after(1);
    assert_int_equal(kt_guarded(defer_one, &p, &diag), KT_OUT_OF_MEMORY);
    assert_string_equal(p.log, "a");
    kt_arena_destroy(p.arena);
    assert_string_equal(p.log, "a");
    kt_diag_deinit(&diag);
}

static void vectors_grow(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    KT_VECTOR(uint32_t) numbers = {0};
    for (uint32_t i = 0; i < 10000; i++) KT_PUSH(arena, &numbers, i * i);
    assert_int_equal(numbers.count, 10000);
    for (uint32_t i = 0; i < numbers.count; i++) assert_int_equal(numbers.at[i], i * i);
    kt_arena_destroy(arena);
}

static void texts(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_text text = {.arena = arena};
    assert_string_equal(kt_text_string(&text), "");
    for (int i = 0; i < 1000; i++) kt_text_format(&text, "%d,", i % 10);
    assert_int_equal(text.length, 2000);
    assert_int_equal(strlen(kt_text_string(&text)), 2000);
    kt_text quoted = {.arena = arena};
    kt_text_quote(&quoted, "a\"b\\\n\x01é");
    assert_string_equal(kt_text_string(&quoted), "\"a\\\"b\\\\\\n\\u0001é\"");
    assert_string_equal(kt_arena_format(arena, "%s-%d", "x", 7), "x-7");
    kt_arena_destroy(arena);
}

static void tables(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_table table = {0};
    assert_null(kt_table_find(&table, "a", 1));
    char key[16];
    for (uint32_t i = 0; i < 5000; i++) {
        size_t length = (size_t)snprintf(key, sizeof key, "%u", i);
        assert_int_equal(*kt_table_add(&table, arena, key, length, i), i);
        assert_int_equal(*kt_table_add(&table, arena, key, length, i + 1), i);
    }
    assert_int_equal(table.count, 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        size_t length = (size_t)snprintf(key, sizeof key, "%u", i);
        assert_int_equal(*kt_table_find(&table, key, length), i);
    }
    assert_null(kt_table_find(&table, "5000", 4));
    assert_null(kt_table_find(&table, "", 0));
    assert_int_equal(*kt_table_add(&table, arena, "", 0, 9), 9);
    assert_int_not_equal(kt_hash_bytes("ab", 2, 0), kt_hash_bytes("ab\0", 3, 0));
    assert_int_not_equal(kt_hash_bytes("ab", 2, 0), kt_hash_bytes("ab", 2, 1));
    kt_arena_destroy(arena);
}

static void diagnostics(void **state) {
    (void)state;
    kt_diag diag = {.file = "model.keras"};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kt_diag_add(&diag, KT_INVALID, i ? "dense" : NULL, "Number %d is wrong.", i),
                         KT_INVALID);
    }
    assert_int_equal(diag.count, 20);
    assert_null(diag.problems[0].where);
    assert_string_equal(diag.problems[19].where, "dense");
    assert_string_equal(diag.problems[19].file, "model.keras");
    assert_string_equal(diag.problems[19].text, "Number 19 is wrong.");
    kt_diag_deinit(&diag);
    assert_int_equal(diag.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns_and_zeroes),
        cmocka_unit_test(defers_in_reverse),
        cmocka_unit_test(guards),
        cmocka_unit_test(releases_what_cannot_be_deferred),
        cmocka_unit_test(vectors_grow),
        cmocka_unit_test(texts),
        cmocka_unit_test(tables),
        cmocka_unit_test(diagnostics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
