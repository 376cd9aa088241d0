/* Tensor files: what NumPy wrote reads right, what we write reads back, damaged files give sentences. */
#include "runtime/runtime.h"

#include "kt_cmocka.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA KT_TEST_SOURCE "/runtime/data/"

static char directory[] = "/tmp/kt_tensor_io_XXXXXX";
static char path[128];
static char error[KT_IO_ERROR];

static const char *file(const char *name) {
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t count) {
    FILE *out = fopen(file(name), "wb");
    if (!out) abort();
    assert_int_equal(fwrite(bytes, 1, count, out), count);
    assert_int_equal(fclose(out), 0);
}

static kt_arrays read_text(const char *text) {
    kt_arrays arrays;
    write_bytes("text", text, strlen(text));
    if (kt_arrays_read(path, &arrays, error)) fail_msg("%s", error);
    return arrays;
}

static void refuse_text(const char *text, const char *sentence) {
    kt_arrays arrays;
    write_bytes("text", text, strlen(text));
    assert_int_equal(kt_arrays_read(path, &arrays, error), 1);
    if (!strstr(error, sentence)) fail_msg("'%s' says '%s'", text, error);
}

static int64_t elements(const kt_buffer *buffer) {
    int64_t count = 1;
    for (int i = 0; i < buffer->rank; i++) count *= buffer->dims[i];
    return count;
}

/* The pattern of make.py, of whatever dtype. */
static void check_pattern(const kt_buffer *buffer) {
    kt_buffer f64;
    assert_int_equal(kt_buffer_convert(buffer, KT_F64, &f64), 0);
    for (int64_t i = 0; i < elements(buffer); i++) {
        int64_t expected = i * i % 251 - 100;
        if (buffer->dtype == KT_BOOL) expected &= 1;
        if (buffer->dtype == KT_U8) expected &= 0xff;
        if (buffer->dtype == KT_U16) expected &= 0xffff;
        if (buffer->dtype == KT_U32) expected &= 0xffffffff;
        if (buffer->dtype == KT_I8 && expected > 127) expected -= 256;
        double wanted = buffer->dtype == KT_U64 ? (double)(uint64_t)expected : (double)expected;
        if (((double *)f64.data)[i] != wanted)
            fail_msg("element %d is %g, not %g", (int)i, ((double *)f64.data)[i], wanted);
    }
    free(f64.data);
}

static void files_of_numpy(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int32_t dtype, rank;
        int64_t elements;
    } files[] = {
        {"float32", KT_F32, 2, 15}, {"float64", KT_F64, 2, 15},    {"float16", KT_F16, 2, 15},
        {"int8", KT_I8, 2, 15},     {"int16", KT_I16, 2, 15},      {"int32", KT_I32, 2, 15},
        {"int64", KT_I64, 2, 15},   {"uint8", KT_U8, 2, 15},       {"uint16", KT_U16, 2, 15},
        {"uint32", KT_U32, 2, 15},  {"uint64", KT_U64, 2, 15},     {"bool", KT_BOOL, 2, 15},
        {"fortran", KT_I32, 3, 60}, {"version2", KT_F32, 2, 15},   {"version3", KT_F32, 2, 15},
        {"scalar", KT_F32, 0, 1},   {"big_endian", KT_F64, 2, 15},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[256];
        kt_arrays arrays;
        (void)snprintf(name, sizeof name, DATA "%s.npy", files[i].name);
        if (kt_arrays_read(name, &arrays, error)) fail_msg("%s", error);
        assert_int_equal(arrays.count, 1);
        const kt_buffer *buffer = &arrays.at[0].buffer;
        assert_null(arrays.at[0].name);
        assert_int_equal(buffer->dtype, files[i].dtype);
        assert_int_equal(buffer->rank, files[i].rank);
        assert_int_equal(elements(buffer), files[i].elements);
        check_pattern(buffer);
        kt_arrays_deinit(&arrays);
    }
}

static void archives_of_numpy(void **state) {
    (void)state;
    kt_arrays arrays;
    if (kt_arrays_read(DATA "stored.npz", &arrays, error)) fail_msg("%s", error);
    assert_int_equal(arrays.count, 2);
    assert_string_equal(arrays.at[0].name, "x");
    assert_string_equal(arrays.at[1].name, "y");
    check_pattern(&arrays.at[0].buffer);
    check_pattern(&arrays.at[1].buffer);
    kt_arrays_deinit(&arrays);
    if (kt_arrays_read(DATA "deflated.npz", &arrays, error)) fail_msg("%s", error);
    assert_int_equal(arrays.count, 4);
    assert_string_equal(arrays.at[1].name, "a/b");
    assert_int_equal(elements(&arrays.at[0].buffer), 2000);
    check_pattern(&arrays.at[0].buffer);
    check_pattern(&arrays.at[1].buffer);
    assert_int_equal(elements(&arrays.at[2].buffer), 3000);
    assert_int_equal(elements(&arrays.at[3].buffer), 100000);
    kt_arrays_deinit(&arrays);
}

static void round_trips(void **state) {
    (void)state;
    float x[6] = {1.5f, -2.25f, 1e-30f, 3.1415927f, 65504, 0};
    int64_t y[3] = {INT64_MIN, 7, INT64_MAX};
    uint16_t half[2] = {0x3c00, 0xc000};
    const kt_array arrays[] = {
        {(char *)"x", {x, sizeof x, KT_F32, 3, {2, 1, 3}}},
        {(char *)"y/z", {y, sizeof y, KT_I64, 1, {3}}},
        {(char *)"half", {half, sizeof half, KT_F16, 2, {1, 2}}},
    };
    kt_arrays back;
    if (kt_arrays_write(file("a.npz"), arrays, 3, error)) fail_msg("%s", error);
    if (kt_arrays_read(path, &back, error)) fail_msg("%s", error);
    assert_int_equal(back.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(back.at[i].name, arrays[i].name);
        assert_int_equal(back.at[i].buffer.dtype, arrays[i].buffer.dtype);
        assert_int_equal(back.at[i].buffer.rank, arrays[i].buffer.rank);
        assert_memory_equal(back.at[i].buffer.dims, arrays[i].buffer.dims, sizeof back.at[i].buffer.dims);
        assert_memory_equal(back.at[i].buffer.data, arrays[i].buffer.data, (size_t)arrays[i].buffer.capacity);
    }
    kt_arrays_deinit(&back);
    static const char *const names[] = {"a.npy", "a.csv", "a.json"};
    for (int i = 0; i < 3; i++) {
        for (int which = 0; which < 3; which++) {
            if (kt_arrays_write(file(names[i]), &arrays[which], 1, error)) fail_msg("%s", error);
            if (kt_arrays_read(path, &back, error)) fail_msg("%s", error);
            kt_buffer same;
            assert_int_equal(elements(&back.at[0].buffer), elements(&arrays[which].buffer));
            if (i > 0 && which == 1) { /* f64 cannot hold the largest */
                kt_arrays_deinit(&back);
                continue;
            }
            assert_int_equal(kt_buffer_convert(&back.at[0].buffer, arrays[which].buffer.dtype, &same), 0);
            assert_memory_equal(same.data, arrays[which].buffer.data, (size_t)arrays[which].buffer.capacity);
            free(same.data);
            kt_arrays_deinit(&back);
        }
    }
    if (kt_arrays_write(file("b.json"), arrays, 2, error)) fail_msg("%s", error);
    if (kt_arrays_read(path, &back, error)) fail_msg("%s", error);
    assert_int_equal(back.count, 2);
    assert_string_equal(back.at[1].name, "y/z");
    kt_arrays_deinit(&back);
}

/* Names may hold whatever a layer's or a metric's name holds. */
static void names_in_json(void **state) {
    (void)state;
    float value[] = {1};
    char quoted[] = "say \"a\\b\"", controls[] = "one\n\x01\xc3\xa9";
    const kt_array arrays[] = {
        {quoted, {.dtype = KT_F32, .rank = 1, .dims = {1}, .data = value, .capacity = 4}},
        {controls, {.dtype = KT_F32, .rank = 1, .dims = {1}, .data = value, .capacity = 4}},
    };
    if (kt_arrays_write(file("names.json"), arrays, 2, error)) fail_msg("%s", error);
    char text[128];
    FILE *in = fopen(path, "rb");
    if (!in) abort();
    text[fread(text, 1, sizeof text - 1, in)] = 0;
    assert_int_equal(fclose(in), 0);
    assert_string_equal(text, "{\"say \\\"a\\\\b\\\"\": [1], \"one\\u000a\\u0001\xc3\xa9\": [1]}\n");
}

static void text_formats(void **state) {
    (void)state;
    kt_arrays arrays = read_text("a,b\n1,2.5\r\n\n -3 , \"4e2\"\n");
    const kt_buffer *buffer = &arrays.at[0].buffer;
    assert_true(buffer->dims[0] == 2 && buffer->dims[1] == 2);
    assert_true(((double *)buffer->data)[1] == 2.5 && ((double *)buffer->data)[3] == 400);
    kt_arrays_deinit(&arrays);
    arrays = read_text("\xef\xbb\xbf"
                       "1\n2");
    assert_true(arrays.at[0].buffer.dims[0] == 2 && arrays.at[0].buffer.dims[1] == 1);
    kt_arrays_deinit(&arrays);
    arrays = read_text("[[1,2],[3,4],[5,null]]\n[[1,2],[3,4],[5,-Infinity]]\n");
    buffer = &arrays.at[0].buffer;
    assert_true(buffer->rank == 3 && buffer->dims[0] == 2 && buffer->dims[1] == 3 && buffer->dims[2] == 2);
    assert_true(isnan(((double *)buffer->data)[5]) && ((double *)buffer->data)[11] < -1e308);
    kt_arrays_deinit(&arrays);
    arrays = read_text("{\"x\": [1, 2], \"y\": true}\n{\"y\": 0, \"x\": [3, 4]}\n");
    assert_int_equal(arrays.count, 2);
    assert_true(arrays.at[1].buffer.rank == 1 && arrays.at[1].buffer.dims[0] == 2);
    kt_arrays_deinit(&arrays);
    refuse_text("", "There are no numbers");
    refuse_text("a,b\n", "There are no numbers");
    refuse_text("1,2\n3\n", "Line 2 has 1 values");
    refuse_text("1,2\n3,x\n", "Line 2 holds something");
    refuse_text("1,2\n3,\n", "Line 2 holds something");
    refuse_text("1,2\r3,4\r", "There are no numbers");
    refuse_text("[1,2]\n[3]\n", "Line 2: an array is not as long");
    refuse_text("[1,[2]]", "evenly");
    refuse_text("[[1],2]", "evenly");
    refuse_text("[1,2", "a comma or a closing bracket");
    refuse_text("[]", "empty");
    refuse_text("[[[[[[[[[1]]]]]]]]]", "deeply");
    refuse_text("{\"x\": [1]}\n{\"y\": [1]}\n", "Line 2: every line must hold the same names");
    refuse_text("{\"x\": x}", "a number, an array");
    refuse_text("[1] [x]", "a number, an array");
}

static void refusals(void **state) {
    (void)state;
    kt_arrays arrays;
    assert_int_equal(kt_arrays_read("/nonexistent/x.npy", &arrays, error), 1);
    assert_string_equal(error, "/nonexistent/x.npy: It cannot be opened: No such file or directory.");
    assert_int_equal(kt_arrays_read(DATA "text.npy", &arrays, error), 1);
    assert_non_null(strstr(error, "NumPy's type 'U1'"));
    write_bytes("zeros", "\0\0\0\0\0", 5);
    assert_int_equal(kt_arrays_read(path, &arrays, error), 1);
    float x[2] = {1, 2};
    const kt_array two[] = {{(char *)"x", {x, 8, KT_F32, 1, {2}}}, {(char *)"y", {x, 8, KT_F32, 1, {2}}}};
    assert_int_equal(kt_arrays_write(file("x.npy"), two, 2, error), 1);
    assert_int_equal(kt_arrays_write(file("x.png"), two, 1, error), 1);
    assert_int_equal(kt_arrays_write("/nonexistent/x.npy", two, 1, error), 1);
    assert_int_equal(access(file("x.npy"), F_OK), -1);
    /* A link stays one, and what it leads to is replaced. */
    char link_path[128];
    (void)snprintf(link_path, sizeof link_path, "%s/link.npy", directory);
    if (kt_arrays_write(file("target.npy"), two, 1, error)) fail_msg("%s", error);
    assert_int_equal(symlink(path, link_path), 0);
    if (kt_arrays_write(link_path, two, 1, error)) fail_msg("%s", error);
    struct stat status;
    assert_int_equal(lstat(link_path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
}

static void full_disk(void **state) {
    (void)state;
    float x[4] = {1, 2, 3, 4};
    const kt_array array = {(char *)"x", {x, sizeof x, KT_F32, 1, {4}}};
    char link_path[128];
    (void)snprintf(link_path, sizeof link_path, "%s/full.npy", directory);
    if (access("/dev/full", W_OK) != 0) skip();
    assert_int_equal(symlink("/dev/full", link_path), 0);
    assert_int_equal(kt_arrays_write(link_path, &array, 1, error), 1);
    assert_non_null(strstr(error, "No space left on device"));
}

static void conversions(void **state) {
    (void)state;
    static const double numbers[] = {1e300, -1e300, (double)NAN, 2.9,  -2.9, 300,
                                     -129,  65520,  65519.99,    6e-8, 1e-9, 0.1};
    const kt_buffer from = {(void *)(uintptr_t)numbers, sizeof numbers, KT_F64, 1, {12}};
    kt_buffer to;
    assert_int_equal(kt_buffer_convert(&from, KT_I8, &to), 0);
    const int8_t i8[12] = {127, -128, 0, 2, -2, 127, -128, 127, 127, 0, 0, 0};
    assert_memory_equal(to.data, i8, 12);
    free(to.data);
    assert_int_equal(kt_buffer_convert(&from, KT_U64, &to), 0);
    assert_true(((uint64_t *)to.data)[0] == UINT64_MAX && ((uint64_t *)to.data)[1] == 0 &&
                ((uint64_t *)to.data)[5] == 300);
    free(to.data);
    assert_int_equal(kt_buffer_convert(&from, KT_F16, &to), 0);
    const uint16_t f16[12] = {0x7c00, 0xfc00, 0x7e00, 0x41cd, 0xc1cd, 0x5cb0,
                              0xd808, 0x7c00, 0x7bff, 0x0001, 0x0000, 0x2e66};
    assert_memory_equal(to.data, f16, sizeof f16);
    free(to.data);
    /* Every f16 and bf16 survives the way through f32. */
    uint16_t *all = malloc(65536 * 2);
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    for (int32_t dtype = KT_F16; dtype <= KT_BF16; dtype++) {
        const kt_buffer small = {all, 65536 * 2, dtype, 1, {65536}};
        kt_buffer wide, back;
        assert_int_equal(kt_buffer_convert(&small, KT_F32, &wide), 0);
        assert_int_equal(kt_buffer_convert(&wide, dtype, &back), 0);
        for (int i = 0; i < 65536; i++) {
            if (!isnan(((float *)wide.data)[i])) assert_int_equal(((uint16_t *)back.data)[i], all[i]);
        }
        free(wide.data);
        free(back.data);
    }
    free(all);
    const int64_t integers[] = {-1, 256, 16777217};
    const kt_buffer wrapped = {(void *)(uintptr_t)integers, sizeof integers, KT_I64, 1, {3}};
    assert_int_equal(kt_buffer_convert(&wrapped, KT_U8, &to), 0);
    assert_memory_equal(to.data, "\xff\0\1", 3);
    free(to.data);
    assert_int_equal(kt_buffer_convert(&wrapped, KT_STRING, &to), 1);
}

/* Reads what is left of a file when it is cut short, and when bytes of it are changed. */
static void damaged_files(void **state) {
    (void)state;
    static const char *const names[] = {"fortran.npy", "stored.npz", "deflated.npz", "version3.npy"};
    uint64_t seed = 7;
    int refused = 0;
    for (size_t n = 0; n < 4; n++) {
        char name[256];
        (void)snprintf(name, sizeof name, DATA "%s", names[n]);
        FILE *in = fopen(name, "rb");
        if (!in) abort();
        static uint8_t whole[1 << 16], changed[1 << 16];
        size_t count = fread(whole, 1, sizeof whole, in);
        (void)fclose(in);
        for (int round = 0; round < 250; round++) {
            kt_arrays arrays;
            memcpy(changed, whole, count);
            size_t kept = count;
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if (round % 5 == 0) kept = (seed >> 33) % count;
            for (int i = 0; i < round % 5; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                size_t at = (seed >> 40) % count;
                if (round % 2) at = count - 1 - at % 200; /* the directory */
                changed[at] = (uint8_t)(seed >> 33);
            }
            write_bytes("damaged", changed, kept);
            error[0] = '\0';
            if (kt_arrays_read(path, &arrays, error)) {
                assert_true(strlen(error) > strlen(path) + 5);
                refused++;
            } else {
                kt_arrays_deinit(&arrays);
            }
        }
    }
    assert_true(refused > 200);
}

/* Rows out of files give what whole files give, in any order and dtype. */
static void streams(void **state) {
    (void)state;
    static const char *const names[] = {"float32", "float64", "float16",  "int8",     "int64",     "uint8",
                                        "uint64",  "bool",    "version2", "version3", "big_endian"};
    static const int32_t dtypes[] = {KT_F32, KT_F64, KT_I32, KT_BOOL};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[256];
        kt_arrays arrays;
        kt_buffer shape, whole;
        kt_stream *stream;
        (void)snprintf(name, sizeof name, DATA "%s.npy", names[i]);
        if (kt_arrays_read(name, &arrays, error)) fail_msg("%s", error);
        if (kt_stream_open(name, 0, &stream, &shape, error)) fail_msg("%s", error);
        assert_non_null(stream);
        assert_int_equal(shape.dtype, arrays.at[0].buffer.dtype);
        assert_int_equal(shape.rank, 2);
        assert_int_equal(shape.dims[0], 3);
        assert_int_equal(shape.capacity, arrays.at[0].buffer.capacity);
        for (int d = 0; d < 4; d++) {
            static const int64_t rows[] = {2, 0, 1, 1};
            _Alignas(8) uint8_t got[4 * 5 * 8];
            assert_int_equal(kt_buffer_convert(&arrays.at[0].buffer, dtypes[d], &whole), 0);
            size_t row = (size_t)whole.capacity / 3;
            if (kt_stream_read(stream, rows, 0, 4, dtypes[d], got, error)) fail_msg("%s", error);
            for (int k = 0; k < 4; k++)
                assert_memory_equal(got + (size_t)k * row, (char *)whole.data + (size_t)rows[k] * row, row);
            if (kt_stream_read(stream, NULL, 1, 2, dtypes[d], got, error)) fail_msg("%s", error);
            assert_memory_equal(got, (char *)whole.data + row, 2 * row);
            free(whole.data);
        }
        kt_stream_close(stream);
        kt_arrays_deinit(&arrays);
    }
}

/* What is not streamed, and what goes wrong. */
static void streams_of_other_files(void **state) {
    (void)state;
    static const char *const names[] = {"fortran.npy", "scalar.npy", "stored.npz", "nowhere.npy"};
    kt_stream *stream;
    kt_buffer shape;
    char name[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(name, sizeof name, DATA "%s", names[i]);
        if (kt_stream_open(name, 0, &stream, &shape, error)) fail_msg("%s", error);
        assert_null(stream);
    }
    if (kt_stream_open(DATA "float32.npy", 1 << 20, &stream, &shape, error)) fail_msg("%s", error);
    assert_null(stream);
    assert_int_equal(kt_stream_open(DATA "text.npy", 0, &stream, &shape, error), 1);
    float x[6] = {1, 2, 3, 4, 5, 6}, got[6];
    const kt_array array = {NULL, {x, sizeof x, KT_F32, 2, {3, 2}}};
    if (kt_arrays_write(file("a.npy"), &array, 1, error)) fail_msg("%s", error);
    assert_int_equal(truncate(path, 128 + 20), 0);
    assert_int_equal(kt_stream_open(path, 0, &stream, &shape, error), 1);
    if (!strstr(error, "fewer elements than its header says")) fail_msg("%s", error);
    if (kt_arrays_write(path, &array, 1, error)) fail_msg("%s", error);
    if (kt_stream_open(path, 0, &stream, &shape, error)) fail_msg("%s", error);
    assert_int_equal(truncate(path, 128 + 20), 0);
    if (kt_stream_read(stream, NULL, 0, 2, KT_F32, got, error)) fail_msg("%s", error);
    assert_int_equal(kt_stream_read(stream, NULL, 1, 2, KT_F32, got, error), 1);
    if (!strstr(error, "it became shorter meanwhile")) fail_msg("%s", error);
    kt_stream_close(stream);
}

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    static const char *const names[] = {"text",       "zeros",      "damaged",  "a.npz",
                                        "a.npy",      "a.csv",      "a.json",   "b.json",
                                        "names.json", "target.npy", "link.npy", "full.npy"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) (void)unlink(file(names[i]));
    return rmdir(directory); /* fails if anything else was left behind */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_numpy),
        cmocka_unit_test(archives_of_numpy),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(names_in_json),
        cmocka_unit_test(text_formats),
        cmocka_unit_test(refusals),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(conversions),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(streams),
        cmocka_unit_test(streams_of_other_files),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
