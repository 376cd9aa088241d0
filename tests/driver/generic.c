/* The generic interface of a library: NAME_call on buffers and NAME_output_shape, right and wrong. */
#include "digits.h"

#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) return printf("line %d: %s; %s\n", __LINE__, #condition, digits_error(model));     \
    } while (0)

int main(void) {
    static float images[3 * 64], typed[3 * 10], generic[3 * 10];
    for (int i = 0; i < 3 * 64; i++) images[i] = (float)(i % 17);
    digits *model = digits_create(2);
    if (!model) return printf("no context\n");
    CHECK(digits_error(model)[0] == 0);
    CHECK(digits_predict(model, 3, images, typed) == 0);

    int64_t dims[8] = {0}, batch = 3;
    CHECK(digits_output_shape(model, "predict", 0, &batch, dims) == 2 && dims[0] == 3 && dims[1] == 10);
    CHECK(digits_output_shape(model, "predict", 1, &batch, dims) == -1 && digits_error(model)[0]);
    CHECK(digits_output_shape(model, "predict", -1, &batch, dims) == -1);
    CHECK(digits_output_shape(model, "fit", 0, &batch, dims) == -1);

    kt_buffer in = {
        .data = images, .capacity = sizeof images, .dtype = KT_F32, .rank = 4, .dims = {3, 8, 8, 1}};
    kt_buffer out = {.data = NULL};
    CHECK(digits_call(model, "predict", &in, &out) == 0); /* asks for the shape */
    CHECK(out.dtype == KT_F32 && out.rank == 2 && out.dims[0] == 3 && out.dims[1] == 10);
    out.data = generic;
    out.capacity = sizeof generic;
    CHECK(digits_call(model, "predict", &in, &out) == 0 && !memcmp(typed, generic, sizeof typed));

    out.capacity = sizeof generic - 1;
    CHECK(digits_call(model, "predict", &in, &out) != 0 && strstr(digits_error(model), "1"));
    out.capacity = sizeof generic;
    in.rank = 3;
    CHECK(digits_call(model, "predict", &in, &out) != 0);
    in.rank = 4;
    in.dims[1] = 7;
    CHECK(digits_call(model, "predict", &in, &out) != 0);
    in.dims[1] = 8;
    in.dtype = KT_F64;
    CHECK(digits_call(model, "predict", &in, &out) != 0);
    in.dtype = KT_F32;
    CHECK(digits_call(model, "fit", &in, &out) != 0);
    CHECK(digits_predict(model, 0, images, typed) != 0 && digits_predict(model, -1, images, typed) != 0);
    CHECK(digits_predict(model, 3, NULL, typed) != 0 && digits_predict(model, 3, images, NULL) != 0);
    CHECK(digits_call(model, "predict", &in, &out) == 0 && !memcmp(typed, generic, sizeof typed));
    CHECK(strstr(digits_describe(), "\"entry_points\""));
    digits_destroy(model);
    digits_destroy(NULL);
    return 0;
}
