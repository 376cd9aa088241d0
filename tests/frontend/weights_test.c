/* Reading model.weights.h5: element types, what is missing or wrong, damaged files, and children that
 * misbehave. */
#include "frontend/keras/keras_impl.h"
#include "ir/element.h"
#include "kt_cmocka.h"

#include <hdf5.h>
#include <signal.h>
#include <unistd.h>

typedef struct fixture {
    kt_arena *arena;
    kt_graph *graph;
    kt_diag diag;
} fixture;

static fixture begin(void) {
    fixture f = {.arena = kt_arena_create()};
    f.graph = kt_graph_create(f.arena, "weights");
    return f;
}
static void end(fixture *f) {
    kt_diag_deinit(&f->diag);
    kt_arena_destroy(f->arena);
}

static void want(fixture *f, const char *file_path, kt_dtype dtype, int rank, const int64_t *dims) {
    kt_variable variable = {.path = kt_arena_format(f->arena, "dense/%s", file_path),
                            .file_path = file_path,
                            .type = kt_type_of(f->graph->dims, dtype, rank, dims)};
    kt_graph_add_variable(f->graph, &variable);
}

/* ---- a file in memory ------------------------------------------------------------------------ */
static hid_t create_file(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 4096, 0);
    hid_t file = H5Fcreate("made.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    assert_true(file >= 0);
    H5Pclose(access);
    return file;
}

static void add_dataset(hid_t file, const char *path, hid_t stored, hid_t memory, int rank,
                        const hsize_t *dims, const void *data) {
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file, path, stored, space, links, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (data) assert_true(H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(links);
}

static kt_bytes finish_file(fixture *f, hid_t file) {
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    ssize_t count = H5Fget_file_image(file, NULL, 0);
    assert_true(count > 0);
    uint8_t *bytes = kt_arena_alloc(f->arena, (size_t)count + 1);
    H5Fget_file_image(file, bytes, (size_t)count);
    H5Fclose(file);
    return (kt_bytes){bytes, (size_t)count};
}

static kt_bytes small_file(fixture *f) {
    static const float data[] = {1, 2, 3, 4, 5, 6};
    hid_t file = create_file();
    add_dataset(file, "layers/dense/vars/0", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, (hsize_t[]){2, 3}, data);
    add_dataset(file, "layers/dense/vars/1", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, (hsize_t[]){3}, data);
    return finish_file(f, file);
}

static void want_small(fixture *f) {
    want(f, "layers/dense/vars/0", KT_F32, 2, (int64_t[]){2, 3});
    want(f, "layers/dense/vars/1", KT_F32, 1, (int64_t[]){3});
}

static void expect(const fixture *f, uint32_t problem, const char *part) {
    assert_true(f->diag.count > problem);
    const char *text = f->diag.problems[problem].text;
    if (!strstr(text, part)) fail_msg("“%s” says nothing of “%s”", text, part);
}

/* ---- what is right --------------------------------------------------------------------------- */
static void test_reads(void **state) {
    (void)state;
    fixture f = begin();
    want_small(&f);
    assert_int_equal(kt_weights_read(f.graph, small_file(&f), &f.diag), KT_OK);
    assert_true(((const float *)f.graph->variables.at[0].data)[5] == 6);
    assert_true(((const float *)f.graph->variables.at[1].data)[2] == 3);
    end(&f);
}

static void test_converts(void **state) {
    (void)state;
    static const double numbers[] = {1.5, -2, 65504};
    static const int64_t integers[] = {1, -2, 40};
    const hid_t stored[] = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_IEEE_F64BE,
                            H5T_STD_I64LE,  H5T_STD_I8LE,   H5T_STD_I32BE};
    static const kt_dtype wanted[] = {KT_F32, KT_F64, KT_F16, KT_BF16, KT_I64, KT_I32};
    for (size_t s = 0; s < sizeof stored / sizeof *stored; s++)
        for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
            fixture f = begin();
            bool is_float = s < 3;
            hid_t file = create_file();
            add_dataset(file, "vars/0", stored[s], is_float ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, 1,
                        (hsize_t[]){3}, is_float ? (const void *)numbers : integers);
            want(&f, "vars/0", wanted[w], 1, (int64_t[]){3});
            assert_int_equal(kt_weights_read(f.graph, finish_file(&f, file), &f.diag), KT_OK);
            const void *data = f.graph->variables.at[0].data;
            for (size_t i = 0; i < 3; i++) {
                double value = is_float ? numbers[i] : (double)integers[i];
                if (wanted[w] == KT_BF16 && value == 65504) value = 65536;
                if (kt_dtype_is_float(wanted[w]))
                    assert_true(kt_element_float(wanted[w], data, i) == value);
                else
                    assert_true(kt_element_integer(wanted[w], data, i) == (int64_t)value);
            }
            end(&f);
        }
}

/* Half floats as h5py writes them, bfloat16 as Keras marks it, and bool as h5py's enumeration. */
static void test_reads_small_types(void **state) {
    (void)state;
    fixture f = begin();
    hid_t file = create_file();
    hid_t half = H5Tcopy(H5T_IEEE_F32LE), brain = H5Tcreate(H5T_OPAQUE, 2),
          truth = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    H5Tenum_insert(truth, "FALSE", &(int8_t){0});
    H5Tenum_insert(truth, "TRUE", &(int8_t){1});
    add_dataset(file, "vars/0", half, half, 1, (hsize_t[]){2}, (uint16_t[]){0x3e00, 0xc000});
    add_dataset(file, "vars/1", brain, brain, 1, (hsize_t[]){2}, (uint16_t[]){0x3fc0, 0xc000});
    add_dataset(file, "vars/2", truth, truth, 1, (hsize_t[]){2}, (int8_t[]){1, 0});
    hid_t dataset = H5Dopen2(file, "vars/1", H5P_DEFAULT), text = H5Tcopy(H5T_C_S1),
          space = H5Screate(H5S_SCALAR);
    H5Tset_size(text, H5T_VARIABLE);
    hid_t attribute = H5Acreate2(dataset, "dtype", text, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, text, &(const char *){"bfloat16"});
    H5Aclose(attribute);
    H5Dclose(dataset);
    for (int i = 0; i < 3; i++)
        want(&f, kt_arena_format(f.arena, "vars/%d", i), i < 2 ? KT_F32 : KT_BOOL, 1, (int64_t[]){2});
    assert_int_equal(kt_weights_read(f.graph, finish_file(&f, file), &f.diag), KT_OK);
    for (int i = 0; i < 2; i++) {
        const float *data = f.graph->variables.at[i].data;
        assert_true(data[0] == 1.5F && data[1] == -2);
    }
    assert_true(((const uint8_t *)f.graph->variables.at[2].data)[0] == 1);
    end(&f);
}

/* ---- what is wrong --------------------------------------------------------------------------- */
static void test_reports_all(void **state) {
    (void)state;
    fixture f = begin();
    want(&f, "layers/dense/vars/0", KT_F32, 2, (int64_t[]){3, 2});
    want(&f, "layers/dense/vars/2", KT_F32, 1, (int64_t[]){3});
    want(&f, "layers/dense", KT_F32, 1, (int64_t[]){3});
    want(&f, "layers/dense/vars/1", KT_F32, 0, NULL);
    assert_int_equal(kt_weights_read(f.graph, small_file(&f), &f.diag), KT_INVALID);
    assert_int_equal(f.diag.count, 4);
    expect(&f, 0, "has the shape (2, 3), but dense/layers/dense/vars/0 needs (3, 2)");
    expect(&f, 1, "no dataset layers/dense/vars/2");
    expect(&f, 2, "no dataset layers/dense.");
    expect(&f, 3, "has the shape (3,)");
    assert_string_equal(f.diag.problems[1].where, "dense/layers/dense/vars");
    end(&f);
}

static void test_stays_inside_the_file(void **state) {
    (void)state;
    fixture f = begin();
    hid_t file = create_file();
    H5Lcreate_external("/etc/other.h5", "/vars/0", file, "external", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/external", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, (hsize_t[]){4}, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(plist, "/etc/passwd", 0, 16);
    H5Dclose(H5Dcreate2(file, "raw", H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    hid_t text = H5Tcopy(H5T_C_S1);
    H5Dclose(H5Dcreate2(file, "text", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Pclose(plist);
    H5Sclose(space);
    want(&f, "external", KT_F32, 1, (int64_t[]){4});
    want(&f, "soft", KT_F32, 1, (int64_t[]){4});
    want(&f, "raw", KT_F32, 1, (int64_t[]){4});
    want(&f, "text", KT_F32, 1, (int64_t[]){4});
    assert_int_equal(kt_weights_read(f.graph, finish_file(&f, file), &f.diag), KT_INVALID);
    assert_int_equal(f.diag.count, 4);
    expect(&f, 0, "no dataset");
    expect(&f, 1, "no dataset");
    expect(&f, 2, "damaged");
    expect(&f, 3, "does not hold numbers");
    end(&f);
}

/* Kernels of int8 where the configuration says floats, as Keras writes attention that it quantized. */
static void test_quantized_unsaid(void **state) {
    (void)state;
    static const int64_t integers[] = {1, -2, 40, 3};
    fixture f = begin();
    hid_t file = create_file();
    add_dataset(file, "vars/0", H5T_STD_I8LE, H5T_NATIVE_INT64, 2, (hsize_t[]){2, 2}, integers);
    add_dataset(file, "vars/1", H5T_STD_I8LE, H5T_NATIVE_INT64, 2, (hsize_t[]){2, 2}, integers);
    want(&f, "vars/0", KT_F32, 2, (int64_t[]){2, 2});
    want(&f, "vars/1", KT_I8, 2, (int64_t[]){2, 2});
    assert_int_equal(kt_weights_read(f.graph, finish_file(&f, file), &f.diag), KT_UNSUPPORTED);
    assert_int_equal(f.diag.count, 1);
    expect(&f, 0, "Its weights are quantized (dataset vars/0 of model.weights.h5 holds int8)");
    end(&f);
}

/* One dataset, made with a property list, a type, and a space of its own; nothing is written. */
static void declare(hid_t file, const char *name, hid_t stored, hid_t plist, int rank, const hsize_t *dims) {
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t dataset = H5Dcreate2(file, name, stored, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

/* What HDF5 can hold and a model's weights never do: each is one sentence, and costs no memory. */
static void test_refuses_what_is_no_array_of_numbers(void **state) {
    (void)state;
    static const hsize_t four[] = {4}, huge[] = {(hsize_t)1 << 40}, cells[] = {1 << 20};
    fixture f = begin();
    hid_t file = create_file();
    hid_t string = H5Tcopy(H5T_C_S1), pair = H5Tcreate(H5T_COMPOUND, 8),
          list = H5Tvlen_create(H5T_IEEE_F32LE), matrix = H5Tarray_create2(H5T_IEEE_F32LE, 1, four),
          brain = H5Tcreate(H5T_OPAQUE, 2);
    H5Tset_size(string, H5T_VARIABLE);
    H5Tinsert(pair, "a", 0, H5T_IEEE_F32LE);
    const struct {
        const char *name;
        hid_t type;
    } types[] = {{"string", string},
                 {"pair", pair},
                 {"list", list},
                 {"matrix", matrix},
                 {"brain", brain}, /* opaque, and nothing says that it is bfloat16 */
                 {"reference", H5T_STD_REF_OBJ}};
    enum { TYPES = sizeof types / sizeof *types };
    for (int i = 0; i < TYPES; i++) {
        declare(file, types[i].name, types[i].type, H5P_DEFAULT, 1, four);
        want(&f, types[i].name, KT_F32, 1, (int64_t[]){4});
    }
    /* Elsewhere, and round and round. */
    hid_t view = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, four, NULL);
    H5Pset_virtual(view, space, "/etc/other.h5", "raw", space);
    declare(file, "view", H5T_IEEE_F32LE, view, 1, four);
    H5Lcreate_soft("/loop", file, "loop", H5P_DEFAULT, H5P_DEFAULT);
    hid_t group = H5Gcreate2(file, "ring", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/ring", group, "ring", H5P_DEFAULT, H5P_DEFAULT);
    want(&f, "view", KT_F32, 1, (int64_t[]){4});
    want(&f, "loop", KT_F32, 1, (int64_t[]){4});
    want(&f, "ring/ring/ring/ring", KT_F32, 1, (int64_t[]){4});
    /* A terabyte in a few bytes, where little is wanted. */
    hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 1, cells);
    H5Pset_deflate(chunked, 9);
    declare(file, "huge", H5T_IEEE_F32LE, chunked, 1, huge);
    want(&f, "huge", KT_F32, 1, (int64_t[]){4});
    assert_int_equal(kt_weights_read(f.graph, finish_file(&f, file), &f.diag), KT_INVALID);
    assert_int_equal(f.diag.count, TYPES + 4);
    for (uint32_t i = 0; i < TYPES; i++) expect(&f, i, "does not hold numbers");
    expect(&f, TYPES, "damaged");
    expect(&f, TYPES + 1, "no dataset loop");
    expect(&f, TYPES + 2, "no dataset ring/ring/ring/ring");
    expect(&f, TYPES + 3, "has the shape (1099511627776,)");
    H5Gclose(group);
    H5Sclose(space);
    const hid_t lists[] = {view, chunked}, made[] = {string, pair, list, matrix, brain};
    for (int i = 0; i < 2; i++) H5Pclose(lists[i]);
    for (int i = 0; i < 5; i++) H5Tclose(made[i]);
    end(&f);
}

/* Chunks, compressed, are how h5py may store weights; chunks that are not there are zeros. */
static void test_reads_chunks(void **state) {
    (void)state;
    fixture f = begin();
    hid_t file = create_file(), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 2, (hsize_t[]){2, 2});
    H5Pset_deflate(plist, 9);
    declare(file, "empty", H5T_IEEE_F32LE, plist, 2, (hsize_t[]){3, 3});
    declare(file, "full", H5T_IEEE_F32LE, plist, 2, (hsize_t[]){3, 3});
    hid_t dataset = H5Dopen2(file, "full", H5P_DEFAULT);
    static const float data[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(dataset);
    H5Pclose(plist);
    want(&f, "full", KT_F32, 2, (int64_t[]){3, 3});
    want(&f, "empty", KT_F32, 2, (int64_t[]){3, 3});
    assert_int_equal(kt_weights_read(f.graph, finish_file(&f, file), &f.diag), KT_OK);
    assert_memory_equal(f.graph->variables.at[0].data, data, sizeof data);
    assert_memory_equal(f.graph->variables.at[1].data, (float[9]){0}, sizeof data);
    end(&f);
}

/* The bytes of these shapes are small modulo 2^64. */
static void test_refuses_what_no_memory_holds(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{1LL << 31, 1LL << 31, 4, 1},
                                        {2147483647, 2147483647, 2147483647, 2147483647}};
    for (int i = 0; i < 2; i++) {
        fixture f = begin();
        want(&f, "layers/dense/vars/0", KT_F32, 4, shapes[i]);
        assert_int_equal(kt_weights_read(f.graph, small_file(&f), &f.diag), KT_INVALID);
        assert_int_equal(f.diag.count, 1);
        expect(&f, 0, "more than any memory holds");
        end(&f);
    }
}

static void test_survives_damage(void **state) {
    (void)state;
    fixture made = begin();
    kt_bytes file = small_file(&made);
    assert_true(file.count > 1000);
    for (size_t length = 0; length < file.count; length += 1 + length / 16) {
        fixture f = begin();
        want_small(&f);
        kt_status status = kt_weights_read(f.graph, (kt_bytes){file.at, length}, &f.diag);
        assert_int_equal(f.diag.count != 0, status != KT_OK);
        end(&f);
    }
    uint32_t seed = 1;
    for (int round = 0; round < 80 && file.count; round++) {
        fixture f = begin();
        uint8_t *copy = kt_arena_copy(f.arena, file.at, file.count + 1);
        for (int i = 0; i < 8; i++) {
            seed = seed * 1664525 + 1013904223;
            copy[(seed >> 8) % file.count] = (uint8_t)(seed >> 3);
        }
        want_small(&f);
        kt_status status = kt_weights_read(f.graph, (kt_bytes){copy, file.count}, &f.diag);
        assert_int_equal(f.diag.count != 0, status != KT_OK);
        end(&f);
    }
    end(&made);
}

/* ---- children that misbehave ----------------------------------------------------------------- */
static void crash(const kt_hdf5_request *request, int output) {
    (void)request, (void)output;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}
static void stay_silent(const kt_hdf5_request *request, int output) {
    (void)request, (void)output;
    for (;;) pause();
}
static void spin(const kt_hdf5_request *request, int output) {
    (void)request, (void)output;
    for (volatile int i = 0;; i++) {}
}
static void end_early(const kt_hdf5_request *request, int output) { (void)request, (void)output; }

/* Claims a shape or a size that was not asked for. */
static void lie(const kt_hdf5_request *request, int output) {
    kt_hdf5_record record = {.finding = KT_HDF5_FOUND, .dtype = KT_F32, .rank = 2, .dims = {2, 3}};
    record.bytes = (uint64_t)1 << 60;
    for (uint32_t i = 0; i < request->count; i++)
        if (write(output, &record, sizeof record) < 0) return;
}
static void babble(const kt_hdf5_request *request, int output) {
    char bytes[256];
    (void)request;
    memset(bytes, 0xa5, sizeof bytes);
    for (int i = 0; i < 100; i++)
        if (write(output, bytes, sizeof bytes) < 0) return;
}
static void use_much_memory(const kt_hdf5_request *request, int output) {
    void *volatile memory = malloc((size_t)1 << 36); /* volatile: must not be optimised away */
    kt_hdf5_record record = {.finding = memory ? KT_HDF5_MISSING : KT_HDF5_DAMAGED};
    free(memory);
    for (uint32_t i = 0; i < request->count; i++)
        if (write(output, &record, sizeof record) < 0) return;
}

static void try_child(kt_hdf5_child_fn *child, const char *part) {
    fixture f = begin();
    want_small(&f);
    const kt_hdf5_limits limits = {.seconds = 1, .memory_bytes = 1 << 24};
    assert_int_equal(
        kt_weights_read_with(f.graph, (kt_bytes){(const uint8_t *)"", 0}, child, &limits, &f.diag),
        KT_INVALID);
    expect(&f, 0, part);
    end(&f);
}

static void test_children(void **state) {
    (void)state;
    try_child(crash, "stopped half-way");
    try_child(end_early, "stopped half-way");
    try_child(lie, "stopped half-way");
    try_child(babble, "damaged");
    try_child(stay_silent, "within 1 seconds");
    try_child(spin, "");
#ifndef KT_SANITIZE
    try_child(use_much_memory, "damaged");
#else
    (void)use_much_memory;
#endif
}

int main(void) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_converts),
        cmocka_unit_test(test_reads_small_types),
        cmocka_unit_test(test_quantized_unsaid),
        cmocka_unit_test(test_reports_all),
        cmocka_unit_test(test_stays_inside_the_file),
        cmocka_unit_test(test_refuses_what_is_no_array_of_numbers),
        cmocka_unit_test(test_reads_chunks),
        cmocka_unit_test(test_refuses_what_no_memory_holds),
        cmocka_unit_test(test_survives_damage),
        cmocka_unit_test(test_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
