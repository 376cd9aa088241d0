/* The dtypes that Keras computes in, of every pair of operands (make_promotion.py). */
#include "frontend/layers/layers_impl.h"
#include "layer_testing.h"

/* Of a name of promotion.json. *out_number: it is one of Python's numbers, which only have a kind. */
static kt_dtype read_operand(const json_t *name, bool *out_number) {
    static const struct {
        const char *name;
        kt_dtype kind;
    } numbers[] = {{"Python's bool", KT_BOOL}, {"Python's int", KT_I32}, {"Python's float", KT_F32}};
    kt_dtype dtype;
    for (int i = 0; i < 3; i++) {
        *out_number = !strcmp(json_string_value(name), numbers[i].name);
        if (*out_number) return numbers[i].kind;
    }
    assert_true(kt_dtype_parse_keras(json_string_value(name), &dtype));
    return dtype;
}

static void operands(void **state) {
    (void)state;
    json_t *cases = lab_read_json("promotion.json");
    size_t i, pairs = 0;
    json_t *item;
    json_array_foreach(cases, i, item) {
        size_t count = json_array_size(item) - 1;
        kt_dtype dtypes[3], wanted;
        kt_promotion common = ~0U;
        bool tensors = true, number;
        for (size_t k = 0; k < count; k++) {
            dtypes[k] = read_operand(json_array_get(item, k), &number);
            common &= number ? kt_promotion_of_number(dtypes[k]) : kt_promotion_of(dtypes[k]);
            tensors = tensors && !number;
        }
        wanted = read_operand(json_array_get(item, count), &number);
        if (kt_promoted(common) != wanted)
            fail_msg("case %zu: %s, not %s", i, kt_dtype_name(kt_promoted(common)), kt_dtype_name(wanted));
        if (count != 2 || !tensors) continue;
        assert_int_equal(kt_dtype_promote(dtypes[0], dtypes[1]), wanted);
        pairs++;
    }
    assert_int_equal(pairs, 13 * 13);
    json_decref(cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(operands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
