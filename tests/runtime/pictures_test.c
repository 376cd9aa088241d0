/* How weights are laid out as pictures, and PNG files of more than one block of deflate. What TensorFlow
 * makes of smaller ones is in tests/driver/callbacks_test.sh. */
#include "kt_cmocka.h"
#include "runtime/train/callbacks.h"

#include <math.h>
#include <zlib.h>

typedef struct layout_case {
    kt_buffer weight; /* rank and dims */
    int64_t count, height, width, channels;
} layout_case;

static void weights_are_laid_out_by_their_axes(void **state) {
    (void)state;
    static const layout_case cases[] = {
        {{.rank = 1, .dims = {7}}, 1, 7, 1, 1},
        {{.rank = 3, .dims = {1, 7, 1}}, 1, 7, 1, 1},
        {{.rank = 2, .dims = {2, 7}}, 1, 2, 7, 1},
        {{.rank = 2, .dims = {7, 2}}, 1, 2, 7, 1},
        {{.rank = 3, .dims = {5, 6, 2}}, 2, 5, 6, 1},
        {{.rank = 3, .dims = {5, 6, 9}}, 3, 5, 6, 1},
        {{.rank = 4, .dims = {9, 5, 6, 3}}, 3, 5, 6, 3},
        {{.rank = 4, .dims = {2, 5, 6, 4}}, 2, 5, 6, 4},
        {{.rank = 4, .dims = {2, 5, 6, 2}}}, /* no colours */
        {{.rank = 5, .dims = {2, 3, 4, 5, 3}}},
        {{.rank = 2, .dims = {1, 1}}},
        {{.rank = 0}},
        {{.rank = 2, .dims = {0, 4}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kt_pictures pictures;
        assert_int_equal(kt_pictures_lay_out(&cases[i].weight, &pictures), cases[i].count > 0);
        if (!cases[i].count) continue;
        assert_int_equal(pictures.count, cases[i].count);
        assert_int_equal(pictures.height, cases[i].height);
        assert_int_equal(pictures.width, cases[i].width);
        assert_int_equal(pictures.channels, cases[i].channels);
    }
}

static void numbers_become_shades(void **state) {
    (void)state;
    float numbers[] = {-1, 0, 0.5F, 1, 1.1F, INFINITY, -INFINITY, NAN, 1 / 255.5F};
    static const uint8_t shades[] = {0, 0, 127, 255, 255, 255, 0, 0, 1};
    const kt_buffer weight = {.data = numbers, .rank = 1, .dims = {9}};
    kt_pictures pictures;
    assert_true(kt_pictures_lay_out(&weight, &pictures));
    assert_int_equal(kt_pictures_draw(&weight, &pictures), 0);
    assert_memory_equal(pictures.pixels, shades, sizeof shades);
    free(pictures.pixels);
}

static void large_pictures_are_several_blocks(void **state) {
    (void)state;
    enum { HEIGHT = 300, WIDTH = 450, ROW = WIDTH + 1, BEFORE = 8 + 12 + 13 + 8, BEHIND = 4 + 12 };
    static float numbers[HEIGHT * WIDTH];
    static uint8_t rows[HEIGHT * ROW];
    for (int i = 0; i < HEIGHT * WIDTH; i++) numbers[i] = (float)(i % 251) / 255;
    const kt_buffer weight = {.data = numbers, .rank = 2, .dims = {HEIGHT, WIDTH}};
    kt_pictures pictures;
    assert_true(kt_pictures_lay_out(&weight, &pictures));
    assert_int_equal(kt_pictures_draw(&weight, &pictures), 0);
    uint8_t *file = malloc(kt_picture_room(&pictures));
    size_t bytes = kt_picture_write(&pictures, 0, file);
    assert_true(bytes <= kt_picture_room(&pictures));
    uLongf count = sizeof rows;
    assert_int_equal(uncompress(rows, &count, file + BEFORE, bytes - BEFORE - BEHIND), Z_OK);
    assert_int_equal(count, sizeof rows);
    for (int y = 0; y < HEIGHT; y++) {
        assert_int_equal(rows[y * ROW], 0);
        assert_memory_equal(&rows[y * ROW + 1], &pictures.pixels[y * WIDTH], WIDTH);
    }
    free(file);
    free(pictures.pixels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_laid_out_by_their_axes),
        cmocka_unit_test(numbers_become_shades),
        cmocka_unit_test(large_pictures_are_several_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
