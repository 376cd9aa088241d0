/* Saving and loading: round trips with a model that Keras trained, what is missing, extra or of another
 * shape, files cut off or damaged anywhere, full disks, system calls that fail, and processes that are killed
 * while they save. checkpoint/keras_check.py holds the files that this leaves behind to Keras itself. */
#include "runtime/checkpoint/checkpoint.h"

#include "kt_cmocka.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// clang-format off
// NOLINTBEGIN(bugprone-inc-dec-in-conditions,clang-analyzer-unix.Stream,bugprone-unsafe-functions,clang-analyzer-optin.portability.UnixAPI,clang-analyzer-unix.Errno,clang-analyzer-core.NonNullParamChecker): what fails here ends the test
// clang-format on

#define DATA  KT_TEST_SOURCE "/runtime/checkpoint/"
#define PLACE KT_TEST_BINARY "/tests/checkpoint/"
static char error[KT_IO_ERROR];

/* ---- system calls that fail (the linker gives these to the runtime, see tests.cmake) --------- */

static int until_failure; /* 0: none fails */
static bool without_nameless;

static bool fails(void) { return until_failure > 0 && --until_failure == 0; }

int __real_fsync(int descriptor);
int __real_rename(const char *from, const char *to);
int __real_linkat(int from_at, const char *from, int to_at, const char *to, int flags);
int __real_remove(const char *path);
int __real_open(const char *path, int flags, ...);
int __wrap_fsync(int descriptor);
int __wrap_rename(const char *from, const char *to);
int __wrap_linkat(int from_at, const char *from, int to_at, const char *to, int flags);
int __wrap_remove(const char *path);
int __wrap_open(const char *path, int flags, ...);

int __wrap_fsync(int descriptor) { return fails() ? (errno = EIO, -1) : __real_fsync(descriptor); }
int __wrap_rename(const char *from, const char *to) {
    return fails() ? (errno = EACCES, -1) : __real_rename(from, to);
}
int __wrap_linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return fails() ? (errno = ENOSPC, -1) : __real_linkat(from_at, from, to_at, to, flags);
}
int __wrap_remove(const char *path) { return fails() ? (errno = EIO, -1) : __real_remove(path); }
int __wrap_open(const char *path, int flags, ...) {
    if (without_nameless && (flags & O_TMPFILE) == O_TMPFILE) return errno = EOPNOTSUPP, -1;
    return fails() ? (errno = EMFILE, -1) : __real_open(path, flags, 0666);
}

/* ---- a model --------------------------------------------------------------------------------- */

enum { MOST = 64 };
typedef struct model {
    kt_arrays arrays; /* as NumPy read them */
    kt_saved_variable variables[MOST];
    size_t count;
    char *config;
    size_t config_bytes;
} model;

static void *read_bytes(const char *path, size_t *out_count) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long count = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)count + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)count, file), (size_t)count);
    bytes[count] = 0;
    (void)fclose(file);
    *out_count = (size_t)count;
    return bytes;
}

static void write_bytes(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static size_t size_of(const kt_saved_variable *variable) {
    size_t bytes = kt_abi_dtype_bytes(variable->dtype);
    for (int i = 0; i < variable->rank; i++) bytes *= (size_t)variable->dims[i];
    return bytes;
}

/* The variables of trained.npz, which NumPy wrote; what Keras keeps as bfloat16 is marked in its name. */
static model open_model(void) {
    static const char mark[] = "bfloat16:";
    model m = {0};
    size_t bytes = 0;
    if (kt_arrays_read(DATA "trained.npz", &m.arrays, error)) fail_msg("%s", error);
    assert_true(m.arrays.count > 10 && m.arrays.count <= MOST);
    for (; m.count < m.arrays.count; m.count++) {
        kt_array *array = &m.arrays.at[m.count];
        const char *place = array->name;
        if (strncmp(place, mark, strlen(mark)) == 0) {
            kt_buffer narrow;
            assert_int_equal(kt_buffer_convert(&array->buffer, KT_BF16, &narrow), 0);
            free(array->buffer.data);
            array->buffer = narrow;
            place += strlen(mark);
        }
        kt_saved_variable *v = &m.variables[m.count];
        *v = (kt_saved_variable){.path = place,
                                 .file_path = place,
                                 .dtype = array->buffer.dtype,
                                 .rank = array->buffer.rank,
                                 .data = array->buffer.data};
        memcpy(v->dims, array->buffer.dims, sizeof v->dims);
    }
    m.config = read_bytes(DATA "trained.config.json", &bytes);
    m.config_bytes = bytes;
    return m;
}

static void close_model(model *m) {
    kt_arrays_deinit(&m->arrays);
    free(m->config);
}

/* The same variables with other elements: bytes of `fill`. */
static void fill_like(const model *m, kt_saved_variable *out_variables, int fill) {
    for (size_t i = 0; i < m->count; i++) {
        out_variables[i] = m->variables[i];
        out_variables[i].data = malloc(size_of(&m->variables[i]) + 1);
        assert_non_null(out_variables[i].data);
        memset(out_variables[i].data, fill, size_of(&m->variables[i]));
    }
}

static void drop(const model *m, kt_saved_variable *variables) {
    for (size_t i = 0; i < m->count; i++) free(variables[i].data);
}

static bool are_filled(const model *m, const kt_saved_variable *variables, int fill) {
    for (size_t i = 0; i < m->count; i++)
        for (size_t b = 0; b < size_of(&variables[i]); b++)
            if (((const uint8_t *)variables[i].data)[b] != (uint8_t)fill) return false;
    return true;
}

static void assert_equal(const model *m, const kt_saved_variable *variables) {
    for (size_t i = 0; i < m->count; i++)
        if (memcmp(m->variables[i].data, variables[i].data, size_of(&variables[i])) != 0)
            fail_msg("%s differs", variables[i].path);
}

static kt_saved_model saved(const model *m, const kt_saved_variable *variables) {
    return (kt_saved_model){.config_json = m->config,
                            .config_bytes = m->config_bytes,
                            .variables = variables,
                            .variable_count = m->count};
}

static int save(const model *m, const kt_saved_variable *variables, const char *path) {
    const kt_saved_model model = saved(m, variables);
    size_t length = strlen(path);
    if (strcmp(path + length - 8, ".ktstate") == 0)
        return kt_state_save(path, variables, m->count, "block", 5, error);
    return kt_keras_save(path, &model, error);
}

static int load(const model *m, const kt_saved_variable *variables, const char *path) {
    size_t length = strlen(path), block_bytes = 0;
    char *block = NULL;
    if (strcmp(path + length - 8, ".ktstate") != 0)
        return kt_keras_load(path, variables, m->count, KT_LOAD_ALL, error);
    int code = kt_state_load(path, variables, m->count, &block, &block_bytes, error);
    if (code == 0) {
        assert_int_equal(block_bytes, 5);
        assert_string_equal(block, "block");
    }
    free(block);
    return code;
}

static void expect(int code, const char *part) {
    assert_int_equal(code, 1);
    if (!strstr(error, part)) fail_msg("“%s” says nothing of “%s”", error, part);
    assert_true(error[strlen(error) - 1] == '.');
}

/* How many files are in the folder of the test besides those that are to be there. */
static int leftovers(void) {
    DIR *folder = opendir(PLACE);
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) count += strstr(entry->d_name, ".partial") != NULL;
    closedir(folder);
    return count;
}

static const char *const files[] = {PLACE "saved.keras", PLACE "saved.weights.h5", PLACE "saved.ktstate"};
enum { FILES = 3 };

/* ---- what is right --------------------------------------------------------------------------- */

static void test_reads_keras(void **state) {
    (void)state;
    model m = open_model();
    kt_saved_variable read[MOST];
    fill_like(&m, read, 0x5a);
    if (load(&m, read, DATA "trained.keras")) fail_msg("%s", error);
    assert_equal(&m, read);
    drop(&m, read);
    close_model(&m);
}

static void test_round_trips(void **state) {
    (void)state;
    model m = open_model();
    for (int f = 0; f < FILES; f++) {
        kt_saved_variable read[MOST];
        size_t bytes[2];
        char *twice[2];
        fill_like(&m, read, 0x5a);
        for (int i = 0; i < 2; i++) {
            if (save(&m, m.variables, files[f])) fail_msg("%s", error);
            twice[i] = read_bytes(files[f], &bytes[i]);
        }
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(twice[0], twice[1], bytes[0]);
        if (load(&m, read, files[f])) fail_msg("%s", error);
        assert_equal(&m, read);
        free(twice[0]);
        free(twice[1]);
        drop(&m, read);
    }
    assert_int_equal(leftovers(), 0);
    close_model(&m);
}

/* A float64 trainer takes float32 weights, and the other way round; integers too. */
static void test_converts(void **state) {
    (void)state;
    float single[] = {1.5f, -2};
    double wide[2] = {0};
    int32_t step = 7;
    int64_t wide_step = 0;
    kt_saved_variable from[] = {{"dense/kernel", "layers/dense/vars/0", KT_F32, 1, {2}, single},
                                {"adam/iteration", "optimizer/vars/0", KT_I32, 0, {0}, &step}};
    kt_saved_variable to[] = {{"dense/kernel", "layers/dense/vars/0", KT_F64, 1, {2}, wide},
                              {"adam/iteration", "optimizer/vars/0", KT_I64, 0, {0}, &wide_step}};
    const kt_saved_model model = {.variables = from, .variable_count = 2};
    if (kt_keras_save(PLACE "wide.weights.h5", &model, error)) fail_msg("%s", error);
    if (kt_keras_load(PLACE "wide.weights.h5", to, 2, KT_LOAD_ALL, error)) fail_msg("%s", error);
    assert_true(wide[0] == 1.5 && wide[1] == -2 && wide_step == 7);
}

/* A link stays, and what it leads to is replaced; what is no regular file is not. */
static void test_keeps_links(void **state) {
    (void)state;
    model m = open_model();
    struct stat status;
    (void)unlink(PLACE "link.ktstate");
    assert_int_equal(symlink("saved.ktstate", PLACE "link.ktstate"), 0);
    if (save(&m, m.variables, PLACE "link.ktstate")) fail_msg("%s", error);
    assert_int_equal(lstat(PLACE "link.ktstate", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    (void)unlink(PLACE "link.ktstate");
    assert_int_equal(symlink("/dev/full", PLACE "link.ktstate"), 0);
    expect(save(&m, m.variables, PLACE "link.ktstate"), "no regular file");
    (void)unlink(PLACE "link.ktstate");
    close_model(&m);
}

/* ---- what does not fit ----------------------------------------------------------------------- */

static void test_names_what_does_not_fit(void **state) {
    (void)state;
    model m = open_model();
    kt_saved_variable read[MOST + 1];
    for (int f = 0; f < FILES; f++) {
        bool is_state = f == 2;
        fill_like(&m, read, 0x5a);
        if (save(&m, m.variables, files[f])) fail_msg("%s", error);
        size_t last = m.count - 1;
        const kt_saved_variable kept = read[last];

        m.count--; /* one in the file too many */
        expect(load(&m, read, files[f]), kept.path);
        m.count++;
        read[last].dims[read[last].rank++] = 1;
        expect(load(&m, read, files[f]), is_state ? "but this program needs" : "has the shape");
        expect(load(&m, read, files[f]), kept.path);
        read[last] = kept;
        read[last].path = read[last].file_path = "layers/other/vars/7";
        expect(load(&m, read, files[f]), is_state ? kept.path : "layers/other/vars/7");
        read[last] = kept;
        read[m.count] = (kt_saved_variable){"more", "layers/more/vars/0", KT_F32, 0, {0}, &(float){0}};
        m.count++;
        expect(load(&m, read, files[f]), "more");
        m.count--;
        assert_true(are_filled(&m, read, 0x5a));
        drop(&m, read);
    }
    expect(save(&m, m.variables, PLACE "saved.zip"), "must end in .keras");
    expect(load(&m, m.variables, PLACE "none.keras"), "cannot be read");
    expect(load(&m, m.variables, DATA "trained.npz"), "model.weights.h5");
    close_model(&m);
}

/* A model from before training has no slots yet; one whose optimizer is of no interest may have any. */
static void test_takes_parts(void **state) {
    (void)state;
    model m = open_model();
    kt_saved_variable part[MOST], read[MOST];
    size_t count = 0;
    for (size_t i = 0; i < m.count; i++) {
        const char *place = m.variables[i].file_path;
        if (strncmp(place, "optimizer/", 10) == 0 && strcmp(place, "optimizer/vars/0") != 0) continue;
        part[count++] = m.variables[i];
    }
    const kt_saved_model untrained = {.variables = part, .variable_count = count};
    if (kt_keras_save(PLACE "part.weights.h5", &untrained, error)) fail_msg("%s", error);
    fill_like(&m, read, 0x5a);
    expect(kt_keras_load(PLACE "part.weights.h5", read, m.count, KT_LOAD_ALL, error), "optimizer/vars/1");
    assert_true(are_filled(&m, read, 0x5a));
    if (kt_keras_load(PLACE "part.weights.h5", read, m.count, KT_LOAD_ANY, error)) fail_msg("%s", error);
    for (size_t i = 0; i < m.count; i++) {
        bool is_slot = strncmp(read[i].file_path, "optimizer/", 10) == 0 &&
                       strcmp(read[i].file_path, "optimizer/vars/0") != 0;
        const uint8_t *first = read[i].data;
        if (is_slot) assert_int_equal(*first, 0x5a);
        if (!is_slot) assert_memory_equal(first, m.variables[i].data, size_of(&read[i]));
    }
    drop(&m, read);
    fill_like(&m, read, 0x5a);
    expect(kt_keras_load(files[0], read, count, KT_LOAD_ALL, error), ""); /* other variables are asked for */
    if (kt_keras_load(files[0], read, m.count, KT_LOAD_WEIGHTS, error)) fail_msg("%s", error);
    for (size_t i = 0; i < m.count; i++)
        if (strncmp(read[i].file_path, "optimizer/", 10) != 0)
            assert_memory_equal(read[i].data, m.variables[i].data, size_of(&read[i]));
    drop(&m, read);
    close_model(&m);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void test_refuses_what_is_cut_off(void **state) {
    (void)state;
    model m = open_model();
    static const char *const cut[] = {PLACE "cut.keras", PLACE "cut.weights.h5", PLACE "cut.ktstate"};
    kt_saved_variable read[MOST];
    fill_like(&m, read, 0x5a);
    for (int f = 0; f < FILES; f++) {
        size_t count = 0;
        if (save(&m, m.variables, files[f])) fail_msg("%s", error);
        char *bytes = read_bytes(files[f], &count);
        for (size_t length = 0; length < count; length += 64) {
            write_bytes(cut[f], bytes, length);
            if (load(&m, read, cut[f]) != 1) fail_msg("%zu bytes of %s are taken", length, files[f]);
            expect(1, cut[f]);
        }
        free(bytes);
        (void)unlink(cut[f]);
    }
    assert_true(are_filled(&m, read, 0x5a));
    drop(&m, read);
    close_model(&m);
}

/* One flipped bit in a state or an archive is always noticed: both have checksums over all that matters. */
static void test_refuses_what_is_damaged(void **state) {
    (void)state;
    model m = open_model();
    size_t count = 0;
    kt_saved_variable read[MOST];
    fill_like(&m, read, 0x5a);
    if (save(&m, m.variables, files[2])) fail_msg("%s", error);
    char *bytes = read_bytes(files[2], &count);
    for (size_t at = 0; at < count; at += 5) {
        bytes[at] ^= (char)(1 << at % 8);
        write_bytes(PLACE "flipped.ktstate", bytes, count);
        bytes[at] ^= (char)(1 << at % 8);
        if (load(&m, read, PLACE "flipped.ktstate") != 1) fail_msg("a flip at %zu is taken", at);
    }
    free(bytes);
    if (save(&m, m.variables, files[0])) fail_msg("%s", error);
    bytes = read_bytes(files[0], &count);
    for (size_t at = count / 2; at < count * 3 / 4; at += 499) { /* of the weights */
        bytes[at] ^= 1;
        write_bytes(PLACE "flipped.keras", bytes, count);
        bytes[at] ^= 1;
        expect(load(&m, read, PLACE "flipped.keras"), "damaged");
    }
    free(bytes);
    (void)unlink(PLACE "flipped.ktstate");
    (void)unlink(PLACE "flipped.keras");
    assert_true(are_filled(&m, read, 0x5a));
    drop(&m, read);
    close_model(&m);
}

/* ---- what goes wrong while saving ------------------------------------------------------------ */

/* The disk is full after any number of bytes. */
static void test_survives_full_disks(void **state) {
    (void)state;
    model m = open_model();
    kt_saved_variable other[MOST];
    fill_like(&m, other, 0x11);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (int f = 0; f < FILES; f++)
        for (int named = 0; named < 2; named++) {
            size_t count = 0, after = 0;
            without_nameless = named;
            if (save(&m, m.variables, files[f])) fail_msg("%s", error);
            char *good = read_bytes(files[f], &count);
            for (size_t room = 0; room < count; room += count / 10) {
                struct rlimit narrow = {room, before.rlim_max};
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &narrow), 0);
                int code = save(&m, other, files[f]);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
                expect(code, "cannot be written: File too large");
                char *still = read_bytes(files[f], &after);
                assert_int_equal(after, count);
                assert_memory_equal(good, still, count);
                free(still);
                assert_int_equal(leftovers(), 0);
            }
            free(good);
        }
    without_nameless = false;
    drop(&m, other);
    close_model(&m);
}

static void test_survives_failing_calls(void **state) {
    (void)state;
    model m = open_model();
    kt_saved_variable other[MOST];
    fill_like(&m, other, 0x11);
    for (int f = 0; f < FILES; f++)
        for (int named = 0; named < 2; named++) {
            int failures = 0;
            without_nameless = named;
            for (int n = 1;; n++) {
                if (save(&m, m.variables, files[f])) fail_msg("%s", error);
                until_failure = n;
                int code = save(&m, other, files[f]);
                bool failed = until_failure == 0;
                until_failure = 0;
                assert_int_equal(leftovers(), 0);
                if (!failed) {
                    assert_int_equal(code, 0);
                    break;
                }
                kt_saved_variable read[MOST];
                fill_like(&m, read, 0x5a);
                if (load(&m, read, files[f])) fail_msg("%s", error); /* one or the other, but whole */
                if (!are_filled(&m, read, 0x11)) assert_equal(&m, read);
                drop(&m, read);
                failures += code;
            }
            assert_true(failures >= 3);
        }
    without_nameless = false;
    drop(&m, other);
    close_model(&m);
}

static void test_survives_being_killed(void **state) {
    (void)state;
    model m = open_model();
    kt_saved_variable other[MOST], read[MOST];
    fill_like(&m, other, 0x11);
    unsigned seed = 7;
    for (int f = 0; f < FILES; f++)
        for (int round = 0; round < 20; round++) {
            without_nameless = round & 1;
            if (save(&m, m.variables, files[f])) fail_msg("%s", error);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0)
                for (int i = 0;; i++) (void)save(&m, i & 1 ? m.variables : other, files[f]);
            seed = seed * 1103515245 + 12345;
            usleep(1000 + (seed >> 8) % 20000);
            kill(child, SIGKILL);
            assert_int_equal(waitpid(child, NULL, 0), child);
            fill_like(&m, read, 0x5a);
            if (load(&m, read, files[f])) fail_msg("%s", error);
            if (!are_filled(&m, read, 0x11)) assert_equal(&m, read);
            drop(&m, read);
        }
    without_nameless = false;
    DIR *folder = opendir(PLACE); /* what the killed ones could not remove */
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strstr(entry->d_name, ".partial")) unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    for (int f = 0; f < FILES; f++) /* for keras_check.py */
        assert_int_equal(save(&m, m.variables, files[f]), 0);
    drop(&m, other);
    close_model(&m);
}

/* A folder of orbax is there as a whole or not at all while it is removed, and saving clears what is left of
 * it. */
static void test_removes_folders_whole(void **state) {
    (void)state;
    static const char *const old = PLACE "orbax/1", *const new = PLACE "orbax/2";
    static const char *const beside = PLACE "orbax/2.orbax-checkpoint-tmp";
    float numbers[2] = {1, 2};
    const kt_saved_variable variable = {
        .path = "trainable_variables/a", .dtype = KT_F32, .rank = 1, .dims = {2}, .data = numbers};
    const kt_saved_model weights = {.variables = &variable, .variable_count = 1};
    (void)mkdir(PLACE "orbax", 0777);
    for (int call = 1; call <= 3; call++) { /* the renaming, and removing the first and the second file */
        if (kt_orbax_save(old, &weights, error) || kt_orbax_save(new, &weights, error)) fail_msg("%s", error);
        until_failure = call;
        assert_int_equal(kt_orbax_remove(old, new, error), 1);
        until_failure = 0;
        assert_non_null(strstr(error, "/orbax/1: It cannot be removed: "));
        assert_int_equal(kt_orbax_is(old), call == 1);
        assert_int_equal(access(old, F_OK), call == 1 ? 0 : -1);
        assert_int_equal(access(beside, F_OK), call == 1 ? -1 : 0);
        if (kt_orbax_save(new, &weights, error)) fail_msg("%s", error);
        assert_int_equal(access(beside, F_OK), -1);
    }
    if (kt_orbax_save(old, &weights, error) || kt_orbax_remove(old, new, error)) fail_msg("%s", error);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(beside, F_OK), -1);
}

int main(void) {
    (void)mkdir(KT_TEST_BINARY "/tests", 0777);
    (void)mkdir(PLACE, 0777);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_keras),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_converts),
        cmocka_unit_test(test_keeps_links),
        cmocka_unit_test(test_names_what_does_not_fit),
        cmocka_unit_test(test_takes_parts),
        cmocka_unit_test(test_refuses_what_is_cut_off),
        cmocka_unit_test(test_refuses_what_is_damaged),
        cmocka_unit_test(test_survives_full_disks),
        cmocka_unit_test(test_survives_failing_calls),
        cmocka_unit_test(test_removes_folders_whole),
        cmocka_unit_test(test_survives_being_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
// clang-format off
// NOLINTEND(bugprone-inc-dec-in-conditions,clang-analyzer-unix.Stream,bugprone-unsafe-functions,clang-analyzer-optin.portability.UnixAPI,clang-analyzer-unix.Errno,clang-analyzer-core.NonNullParamChecker)
// clang-format on
