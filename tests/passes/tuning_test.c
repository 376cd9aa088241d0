/* Tuning files: what is written is read, several may write, and what is damaged is said. */
#include "passes/tuning.h"

#include "kt_cmocka.h"
#include "support/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fixture {
    kt_arena *arena;
    kt_diag diag;
    char folder[64], path[96];
} fixture;

static fixture begin_fixture(void) {
    fixture f = {.arena = kt_arena_create(), .folder = "/tmp/keratin_tuning_XXXXXX"};
    assert_non_null(mkdtemp(f.folder));
    (void)snprintf(f.path, sizeof f.path, "%s/tuning", f.folder);
    return f;
}

static void end_fixture(fixture *f) {
    unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0); /* nothing else was left */
    kt_diag_deinit(&f->diag);
    kt_arena_destroy(f->arena);
}

static kt_tuned record_of(const char *machine, const char *key, int64_t rows) {
    kt_tuned record = kt_tuned_none(machine, key);
    record.values[KT_KNOB_rows] = rows;
    record.values[KT_KNOB_ahead] = 0;
    record.seconds = 12.5e-6;
    record.model_seconds = 20e-6;
    return record;
}

static void write_one(fixture *f, const kt_tuned *record) {
    kt_tuning tuning = {.arena = f->arena};
    kt_tuning_add(&tuning, record);
    assert_int_equal(kt_tuning_write(&tuning, f->path, &f->diag), KT_OK);
}

static kt_tuning read_all(fixture *f) {
    kt_tuning tuning = {.arena = f->arena};
    assert_int_equal(kt_tuning_read(&tuning, f->path, false, &f->diag), KT_OK);
    return tuning;
}

static void test_round_trip(void **state) {
    (void)state;
    fixture f = begin_fixture();
    const kt_tuned records[] = {record_of("here", "kernel a", 3), record_of("there", "kernel a", 4),
                                record_of("here", "kernel b", 5), record_of("here", "kernel a", 6)};
    for (int i = 0; i < 4; i++) write_one(&f, &records[i]);
    kt_tuning tuning = read_all(&f);
    assert_int_equal(tuning.records.count, 3);
    const kt_tuned *found = kt_tuning_find(&tuning, "here", "kernel a");
    assert_non_null(found);
    assert_int_equal(found->values[KT_KNOB_rows], 6);
    assert_int_equal(found->values[KT_KNOB_ahead], 0);
    assert_int_equal(found->values[KT_KNOB_wide], KT_UNDECIDED);
    assert_true(found->seconds > 12.4e-6 && found->seconds < 12.6e-6);
    assert_int_equal(kt_tuning_find(&tuning, "there", "kernel a")->values[KT_KNOB_rows], 4);
    assert_null(kt_tuning_find(&tuning, "there", "kernel b"));
    end_fixture(&f);
}

/* None of what several processes write at the same time is lost. */
static void test_writers(void **state) {
    (void)state;
    enum { WRITERS = 8, EACH = 5 };
    fixture f = begin_fixture();
    pid_t children[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i]) continue;
        for (int k = 0; k < EACH; k++) {
            kt_tuned record = record_of("here", kt_arena_format(f.arena, "kernel %d.%d", i, k), 1);
            kt_tuning tuning = {.arena = f.arena};
            kt_tuning_add(&tuning, &record);
            if (kt_tuning_write(&tuning, f.path, &f.diag) != KT_OK) _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    kt_tuning tuning = read_all(&f);
    assert_int_equal(tuning.records.count, WRITERS * EACH);
    end_fixture(&f);
}

static void test_damage(void **state) {
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "no tuning file"},
        {"keratin", "no tuning file"},
        {"keratin tuning\n", "no tuning file"},
        {"keratin tuning -1\nend 0\n", "no tuning file"},
        {"keratin tuning 2\nend 0\n", "version 2"},
        {"keratin tuning 99999999999999999999\nend 0\n", "no tuning file"},
        {"keratin tuning 1\n", "rest is missing"},
        {"keratin tuning 1\nend 0", "rest is missing"},
        {"keratin tuning 1\nend 1\n", "other records"},
        {"keratin tuning 1\nend\n", "four fields"},
        {"keratin tuning 1\nend 0\nmore\n", "follows the end"},
        {"keratin tuning 1\nhere\trows=3\t1 2\tkey\n", "rest is missing"},
        {"keratin tuning 1\nhere\trows=3\t1 2\nend 1\n", "Line 2"},
        {"keratin tuning 1\nhere\trows=3\t1 2\tkey\tmore\nend 1\n", "four fields"},
        {"keratin tuning 1\nhere\trows=\t1 2\tkey\nend 1\n", "NAME=NUMBER"},
        {"keratin tuning 1\nhere\trows\t1 2\tkey\nend 1\n", "NAME=NUMBER"},
        {"keratin tuning 1\nhere\t=3\t1 2\tkey\nend 1\n", "NAME=NUMBER"},
        {"keratin tuning 1\nhere\trows=-3\t1 2\tkey\nend 1\n", "NAME=NUMBER"},
        {"keratin tuning 1\nhere\trows=3x\t1 2\tkey\nend 1\n", "NAME=NUMBER"},
        {"keratin tuning 1\nhere\trows=3\t1\tkey\nend 1\n", "two numbers"},
        {"keratin tuning 1\nhere\trows=3\t1 2 3\tkey\nend 1\n", "two numbers"},
        {"keratin tuning 1\nhere\trows=3\tnan 2\tkey\nend 1\n", "two numbers"},
        {"keratin tuning 1\n\trows=3\t1 2\tkey\nend 1\n", "empty"},
        {"keratin tuning 1\nhere\trows=3\t1 2\t\nend 1\n", "empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = begin_fixture();
        kt_tuning tuning = {.arena = f.arena};
        assert_int_equal(kt_file_write(f.path, cases[i].text, strlen(cases[i].text), &f.diag), KT_OK);
        assert_int_equal(kt_tuning_read(&tuning, f.path, true, &f.diag), KT_INVALID);
        assert_int_equal(f.diag.count, 1);
        assert_string_equal(f.diag.problems[0].file, f.path);
        if (!strstr(f.diag.problems[0].text, cases[i].sentence))
            fail_msg("case %zu says: %s", i, f.diag.problems[0].text);
        /* What is damaged is not replaced either. */
        assert_int_equal(kt_tuning_write(&tuning, f.path, &f.diag), KT_INVALID);
        end_fixture(&f);
    }
}

/* Choices that this version does not know: the record is not used, but stays in the file. */
static void test_unknown(void **state) {
    (void)state;
    static const char text[] = "keratin tuning 1\nhere\t\t1.000 1.000\tkernel b\n"
                               "here\tcolour=3 rows=4\t1.000 2.000\tkernel a\nend 2\n",
                      both[] = "keratin tuning 1\nhere\t\t1.000 1.000\tkernel b\n"
                               "here\trows=5\t1.000 2.000\tkernel a\n"
                               "here\tcolour=3 rows=4\t1.000 2.000\tkernel a\nend 3\n";
    fixture f = begin_fixture();
    assert_int_equal(kt_file_write(f.path, text, strlen(text), &f.diag), KT_OK);
    kt_tuning tuning = read_all(&f);
    tuning.machine = "here";
    kt_choice choice;
    kt_choice_begin(&choice, &tuning, "a", "kernel a");
    assert_null(choice.record);
    kt_choice_begin(&choice, &tuning, "b", "kernel b");
    assert_non_null(choice.record);
    assert_int_equal(kt_choose(&choice, KT_KNOB_rows, 7, (kt_range){.least = 1, .most = 9}, "so"), 7);
    assert_int_equal(kt_tuning_write(&tuning, f.path, &f.diag), KT_OK);
    char *bytes;
    size_t count;
    assert_int_equal(kt_file_read(f.path, 1000, f.arena, &bytes, &count, &f.diag), KT_OK);
    assert_string_equal(bytes, text);
    /* Measured by this version as well, it has a record of either. */
    kt_tuned record = kt_tuned_none("here", "kernel a");
    record.values[KT_KNOB_rows] = 5;
    record.seconds = 1e-6;
    record.model_seconds = 2e-6;
    kt_tuning_add(&tuning, &record);
    kt_choice_begin(&choice, &tuning, "a", "kernel a");
    assert_non_null(choice.record);
    assert_int_equal(kt_tuning_write(&tuning, f.path, &f.diag), KT_OK);
    assert_int_equal(kt_file_read(f.path, 1000, f.arena, &bytes, &count, &f.diag), KT_OK);
    assert_string_equal(bytes, both);
    end_fixture(&f);
}

static void test_lacking(void **state) {
    (void)state;
    fixture f = begin_fixture();
    kt_tuning tuning = {.arena = f.arena};
    assert_int_equal(kt_tuning_read(&tuning, f.path, true, &f.diag), KT_OK);
    assert_int_equal(kt_tuning_read(&tuning, f.path, false, &f.diag), KT_IO);
    const char *nowhere = kt_arena_format(f.arena, "%s/none/tuning", f.folder);
    assert_int_equal(kt_tuning_write(&tuning, nowhere, &f.diag), KT_IO);
    end_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_writers),
                                       cmocka_unit_test(test_damage), cmocka_unit_test(test_unknown),
                                       cmocka_unit_test(test_lacking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
