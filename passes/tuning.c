/* Tuning files: what `keratin compile --tune` has measured, as text. docs/tuning.md describes the format.
 *
 *   keratin tuning 1
 *   MACHINE <tab> KNOB=VALUE KNOB=VALUE … <tab> MICROSECONDS MICROSECONDS-BY-THE-COST-MODEL <tab> KEY
 *   …
 *   end RECORDS
 *
 * The number in the first line goes up whenever choices come to mean something else. Whoever writes reads
 * first what others have written meanwhile, under a lock on the directory; the file is replaced as a whole.
 */
#include "passes/tuning.h"

#include "support/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_WORDS "keratin tuning "
enum { VERSION = 1, FIELDS = 4, MOST_BYTES = 256 << 20 };

/* ---- reading --------------------------------------------------------------------------------- */
typedef struct reader {
    kt_tuning *tuning;
    kt_diag *diag;
    char *rest; /* of the text */
    uint32_t line;
} reader;

static kt_status damaged(const reader *r, const char *what) {
    return kt_diag_add(r->diag, KT_INVALID, NULL,
                       "Line %" PRIu32 " of the tuning file is damaged: %s; remove the file, or give another "
                       "by --tuning-file.",
                       r->line, what);
}

/* The next line without its end; NULL: there is none, or it has no end. */
static char *next_line(reader *r) {
    char *line = r->rest, *end = strchr(line, '\n');
    r->line++;
    if (!end) return NULL;
    *end = 0;
    r->rest = end + 1;
    return line;
}

static bool read_number(const char *text, int64_t *out_number) {
    char *end;
    errno = 0;
    *out_number = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* Of a kernel. Up to there a time that was read is printed as it stood. */
#define MOST_MICROSECONDS 1e9

static bool read_seconds(char **rest, double *out_seconds) {
    char *end;
    double number = strtod(*rest, &end);
    if (end == *rest || !(number >= 0 && number <= MOST_MICROSECONDS)) return false;
    *rest = end + (*end == ' ');
    *out_seconds = number * 1e-6;
    return true;
}

/* "rows=12 vectors=2" */
static bool read_values(const reader *r, char *text, kt_tuned *record) {
    const char *whole = kt_arena_string(r->tuning->arena, text);
    char *state = NULL;
    for (char *word = strtok_r(text, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
        char *equals = strchr(word, '=');
        int64_t value;
        if (!equals || equals == word || !read_number(equals + 1, &value)) return false;
        *equals = 0;
        int knob = 0;
        while (knob < KT_KNOB_COUNT && strcmp(kt_knob_names[knob], word) != 0) knob++;
        if (knob < KT_KNOB_COUNT)
            record->values[knob] = value;
        else
            record->unknown = whole;
    }
    return true;
}

static kt_status read_record(reader *r, char *line) {
    char *fields[FIELDS];
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = line;
        char *tab = strchr(line, '\t');
        if ((tab == NULL) != (i == FIELDS - 1)) return damaged(r, "it has not four fields");
        if (tab) *tab = 0, line = tab + 1;
    }
    kt_tuned record = kt_tuned_none(fields[0], fields[3]);
    if (!read_values(r, fields[1], &record)) return damaged(r, "its choices are not NAME=NUMBER");
    char *times = fields[2];
    if (!read_seconds(&times, &record.seconds) || !read_seconds(&times, &record.model_seconds) || *times)
        return damaged(r, "its times are not two numbers");
    if (!*record.machine || !*record.key) return damaged(r, "a field is empty");
    kt_tuning_add(r->tuning, &record);
    return KT_OK;
}

kt_status kt_tuning_parse(kt_tuning *tuning, char *text, size_t text_length, kt_diag *diag) {
    reader all = {.tuning = tuning, .diag = diag, .rest = text}, *r = &all;
    int64_t number, count = 0;
    size_t length = strlen(FIRST_WORDS);
    char *line = strlen(text) == text_length ? next_line(r) : NULL;
    if (!line || strncmp(line, FIRST_WORDS, length) != 0 || !read_number(line + length, &number))
        return kt_diag_add(r->diag, KT_INVALID, NULL,
                           "This is no tuning file; give one that --tune has written, or none yet.");
    if (number != VERSION)
        return kt_diag_add(
            r->diag, KT_INVALID, NULL,
            "The tuning file is of version %" PRId64
            ", and this Keratin reads version %d; remove it, or give another by --tuning-file.",
            number, VERSION);
    while ((line = next_line(r))) {
        if (!strncmp(line, "end ", 4)) {
            if (!read_number(line + 4, &number) || number != count)
                return damaged(r, "it counts other records than there are");
            return *r->rest ? damaged(r, "something follows the end") : KT_OK;
        }
        KT_TRY(read_record(r, line));
        count++;
    }
    return damaged(r, "the rest is missing");
}

kt_status kt_tuning_read(kt_tuning *tuning, const char *path, bool may_lack, kt_diag *diag) {
    struct stat status;
    char *text;
    size_t count;
    if (may_lack && stat(path, &status) != 0 && errno == ENOENT) return KT_OK;
    const char *outer = diag->file;
    diag->file = path;
    kt_status result = kt_file_read(path, MOST_BYTES, tuning->arena, &text, &count, diag);
    if (result == KT_OK) result = kt_tuning_parse(tuning, text, count, diag);
    diag->file = outer;
    return result;
}

/* ---- writing --------------------------------------------------------------------------------- */
static void print_record(const kt_tuned *record, kt_text *text) {
    const char *between = "";
    kt_text_format(text, "%s\t%s", record->machine, record->unknown ? record->unknown : "");
    for (int knob = 0; knob < KT_KNOB_COUNT; knob++) {
        if (record->unknown || record->values[knob] == KT_UNDECIDED) continue;
        kt_text_format(text, "%s%s=%" PRId64, between, kt_knob_names[knob], record->values[knob]);
        between = " ";
    }
    kt_text_format(text, "\t%.3f %.3f\t%s\n", record->seconds * 1e6, record->model_seconds * 1e6,
                   record->key);
}

void kt_tuning_print(const kt_tuning *tuning, kt_text *out_text) {
    kt_text_format(out_text, "%s%d\n", FIRST_WORDS, VERSION);
    /* What this version does not know last: a version that does takes the last record of a key. */
    for (int unknown = 0; unknown < 2; unknown++)
        for (uint32_t i = 0; i < tuning->records.count; i++)
            if ((tuning->records.at[i].unknown != NULL) == unknown)
                print_record(&tuning->records.at[i], out_text);
    kt_text_format(out_text, "end %" PRIu32 "\n", tuning->records.count);
}

/* Reads what the file holds by now, and writes that with the records. */
static kt_status merge(const kt_tuning *tuning, const char *path, kt_diag *diag) {
    kt_tuning all = {.arena = tuning->arena};
    kt_text text = {.arena = tuning->arena};
    KT_TRY(kt_tuning_read(&all, path, true, diag));
    for (uint32_t i = 0; i < tuning->records.count; i++)
        if (!tuning->records.at[i].unknown) kt_tuning_add(&all, &tuning->records.at[i]);
    kt_tuning_print(&all, &text);
    return kt_file_write(path, kt_text_string(&text), text.length, diag);
}

kt_status kt_tuning_write(const kt_tuning *tuning, const char *path, kt_diag *diag) {
    const char *slash = strrchr(path, '/'), *outer = diag->file;
    const char *directory = slash ? kt_arena_format(tuning->arena, "%.*s/", (int)(slash - path), path) : ".";
    int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    diag->file = path;
    kt_status status = KT_OK;
    if (lock < 0 || flock(lock, LOCK_EX) != 0)
        status = kt_diag_add(diag, KT_IO, NULL, "The tuning file cannot be written: %s.", strerror(errno));
    diag->file = outer;
    if (status == KT_OK) status = merge(tuning, path, diag);
    if (lock >= 0) close(lock);
    return status;
}

kt_status kt_tuning_place(kt_arena *arena, const char **out_path, kt_diag *diag) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        cache = kt_arena_string(arena, cache);
    else if (home && *home == '/')
        cache = kt_arena_format(arena, "%s/.cache", home);
    else
        return kt_diag_add(diag, KT_INVALID, NULL,
                           "There is no directory for what is measured: neither XDG_CACHE_HOME nor HOME is "
                           "set; say --tuning-file=FILE.");
    const char *directory = kt_arena_format(arena, "%s/keratin", cache);
    if ((mkdir(cache, 0700) && errno != EEXIST) || (mkdir(directory, 0777) && errno != EEXIST))
        return kt_diag_add(diag, KT_IO, NULL, "Cannot make the directory %s: %s; say --tuning-file=FILE.",
                           directory, strerror(errno));
    *out_path = kt_arena_format(arena, "%s/tuning", directory);
    return KT_OK;
}
