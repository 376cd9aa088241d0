/* keratin compile --tune: the search.
 *
 * The model is compiled as the cost model would have it, and then over and over with other choices, of all
 * its kernels at once, since the time of each is measured by itself. A kernel's choices are settled one after
 * the other, in the order of kt_knob: all values worth a trial with those before at their best, and those
 * behind left to the cost model. Layouts come first: they decide which kernels there are. What a layout costs
 * is what all steps take that serve its layer. In the end the best of all is measured again, longer, and what
 * does not hold its gain goes back to the cost model: the fastest of many noisy times is mostly luck. */
#include "cli/tune.h"

#include "codegen/inspect.h"
#include "passes/tuning.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CANDIDATES = 16, MOST_POINTS = 4 };
static const double candidate_seconds = 0.1, final_seconds = 0.5; /* a program and size of batch takes */
static const double worth = 0.975,
                    worth_in_the_end = 0.985; /* of the time that the cost model's choice takes */

/* A kernel, or a layout, that there is no record of. */
typedef struct subject {
    const char *key;
    KT_VECTOR(const char *) names; /* kernels, or layers' paths */
    kt_choice basis;               /* as it was made with the best values so far */
    int64_t best[KT_KNOB_COUNT], trial[KT_KNOB_COUNT], proposed;
    double ratio;      /* of the time with the best values to the cost model's */
    double seconds[2]; /* as last measured: by the cost model, and as tried */
    int knob;          /* that is being settled */
    int64_t candidates[MOST_CANDIDATES];
    uint32_t count, next; /* candidates */
    bool settled;         /* nothing is left to try */
    bool proposes, tries; /* proposed is a value of the knob; it is in the trial at hand */
    bool differs;         /* the trial came to other code than the best values */
} subject;

typedef struct search {
    const cli_tuning_request *request;
    kt_arena *arena;
    kt_diag *diag;
    kt_tuning *known; /* records: of the file, and of what is settled */
    const char *directory, *file;
    uint32_t compiled;
    double start, longest; /* longest: that a trial took */
    bool cut;              /* time was too short to try all */
    bool measures_others;  /* sizes but the batch */
    bool layouts;          /* of the two kinds of subjects */
    KT_VECTOR(subject) subjects;
    uint32_t measured, gained; /* for the note */
} search;

/* ---- programs -------------------------------------------------------------------------------- */
typedef struct variant {
    search *s;
    kt_arena *arena;
    kt_tuning *tuning;
    kt_diag *diag;
    const kt_program *program;
} variant;

static kt_status create_arena(void *context) {
    ((variant *)context)->arena = kt_arena_create();
    return KT_OK;
}

static kt_status compile_body(void *context) {
    variant *v = context;
    search *s = v->s;
    const char *path = kt_arena_format(v->arena, "%s/%u.so", s->directory, s->compiled++);
    KT_TRY(s->request->compile(v->arena, s->request->context, v->tuning, path, v->diag));
    kt_status status = cli_tuned_load(path, v->arena, &v->program, v->diag);
    unlink(path);
    return status;
}

/* Compiles with the records of tuning, which notes the choices. */
static kt_status compile_variant(search *s, kt_tuning *tuning, kt_diag *diag, variant *out_variant) {
    *out_variant = (variant){.s = s, .tuning = tuning, .diag = diag};
    KT_TRY(kt_guarded(create_arena, out_variant, diag));
    return kt_guarded(compile_body, out_variant, diag);
}

/* All records that are known, and what each subject's values are. */
static kt_tuning *with_subjects(search *s, bool trial) {
    kt_tuning *tuning = KT_NEW(s->arena, kt_tuning);
    *tuning = (kt_tuning){.arena = s->arena, .machine = s->known->machine, .compares = true};
    for (uint32_t i = 0; i < s->known->records.count; i++) kt_tuning_add(tuning, &s->known->records.at[i]);
    for (uint32_t i = 0; i < s->subjects.count; i++) {
        const subject *one = &s->subjects.at[i];
        kt_tuned record = kt_tuned_none(tuning->machine, one->key);
        memcpy(record.values, trial ? one->trial : one->best, sizeof record.values);
        kt_tuning_add(tuning, &record);
    }
    return tuning;
}

/* ---- subjects -------------------------------------------------------------------------------- */
static bool is_layout(const kt_choice *choice) { return !strcmp(choice->form, "layout"); }

static subject *find_subject(const search *s, const char *key) {
    for (uint32_t i = 0; i < s->subjects.count; i++)
        if (!strcmp(s->subjects.at[i].key, key)) return &s->subjects.at[i];
    return NULL;
}

/* Whatever was chosen without a record. */
static void find_subjects(search *s, const kt_tuning *tuning) {
    s->subjects.count = 0;
    for (uint32_t i = 0; i < tuning->choices.count; i++) {
        const kt_choice *choice = &tuning->choices.at[i];
        if (choice->record || is_layout(choice) != s->layouts) continue;
        subject *one = find_subject(s, choice->key);
        if (!one) {
            subject made = {.key = choice->key, .basis = *choice, .ratio = 1, .knob = -1};
            for (int knob = 0; knob < KT_KNOB_COUNT; knob++) made.best[knob] = KT_UNDECIDED;
            KT_PUSH(s->arena, &s->subjects, made);
            one = &s->subjects.at[s->subjects.count - 1];
        }
        KT_PUSH(s->arena, &one->names, choice->name);
    }
}

static void add_candidate(subject *one, const kt_decision *decision, int64_t value) {
    if (value == decision->value || !kt_decision_allows(decision, value) || one->count == MOST_CANDIDATES)
        return;
    for (uint32_t i = 0; i < one->count; i++)
        if (one->candidates[i] == value) return;
    one->candidates[one->count++] = value;
}

/* Values of the knob at hand that are worth a trial. */
static void find_candidates(subject *one) {
    const kt_decision *d = &one->basis.decisions[one->knob];
    int64_t value = d->value;
    one->count = one->next = 0;
    if (value == KT_UNDECIDED) return;
    switch ((kt_knob)one->knob) {
    case KT_KNOB_winograd:
    case KT_KNOB_panel:
    case KT_KNOB_apart:
        for (int64_t x = d->least; x <= d->most; x += d->step) add_candidate(one, d, x);
        return;
    case KT_KNOB_vectors:
        for (int64_t x = 1; x <= 4; x++) add_candidate(one, d, x);
        return;
    case KT_KNOB_rows:
        for (int64_t x = value - 2; x <= value + 2; x++) add_candidate(one, d, x);
        add_candidate(one, d, value / 2);
        add_candidate(one, d, d->most);
        return;
    case KT_KNOB_unroll:
        for (int64_t x = 1; x <= 8; x *= 2) add_candidate(one, d, x);
        return;
    case KT_KNOB_sums:
        for (int64_t x = 4; x <= 32; x *= 2) add_candidate(one, d, x);
        return;
    case KT_KNOB_ahead:
        add_candidate(one, d, 0);
        for (int64_t x = 1024; x <= 32768; x *= 2) add_candidate(one, d, x);
        return;
    default:
        add_candidate(one, d, 1);
        for (int64_t x = 4; x > 1; x /= 2) add_candidate(one, d, value / x);
        for (int64_t x = 2; x <= 4; x *= 2) add_candidate(one, d, value * x);
        add_candidate(one, d, d->most);
        return;
    }
}

/* The next trial of a subject; false: it is settled. */
static bool propose(subject *one) {
    while (one->next == one->count) {
        if (one->knob + 1 >= KT_KNOB_COUNT) return false;
        one->knob++;
        find_candidates(one);
    }
    one->proposed = one->candidates[one->next++];
    return true;
}

/* ---- times ----------------------------------------------------------------------------------- */
/* Does the list "a, b, c" hold the path? */
static bool lists(const char *list, const char *path) {
    size_t length = strcspn(path, ","); /* of several, the first stands for all */
    for (const char *at = list; *at;) {
        size_t part = strcspn(at, ",");
        if (part == length && !strncmp(at, path, length)) return true;
        at += part;
        at += strspn(at, ", ");
    }
    return false;
}

static bool serves(const search *s, const subject *one, const kt_abi_step *step) {
    for (uint32_t i = 0; i < one->names.count; i++)
        if (s->layouts ? lists(step->locations, one->names.at[i]) : !strcmp(step->name, one->names.at[i]))
            return true;
    return false;
}

/* What the subject's steps take of both programs; returns the ratio of the second to the first, 0: none was
 * measured. */
static double find_times(const search *s, subject *one, const kt_program *const programs[2],
                         const cli_tuned_times *times) {
    double logarithm = 0;
    uint32_t points = 0;
    one->seconds[0] = one->seconds[1] = 0;
    for (uint32_t point = 0; point < times->count; point++) {
        double taken[2] = {0};
        for (int i = 0; i < 2; i++) {
            const kt_abi_entry *entry = programs[i]->entries;
            while (strcmp(entry->name, times->points[point].entry) != 0) entry++;
            for (uint32_t step = 0; step < entry->step_count; step++)
                if (serves(s, one, &entry->steps[step])) taken[i] += times->seconds[i][point][step];
            one->seconds[i] += taken[i];
        }
        if (taken[0] <= 0 || taken[1] <= 0) continue;
        logarithm += log(taken[1] / taken[0]);
        points++;
    }
    return points ? exp(logarithm / points) : 0;
}

static double elapsed(const search *s) { return kt_seconds_now() - s->start; }
/* For one trial more, and for the one at the end. */
static bool has_time(const search *s) { return elapsed(s) + 2 * s->longest < s->request->seconds; }

/* How long a program and size of batch may take in the end. */
static double final_time(const search *s, uint32_t points) {
    double left = (s->request->seconds - elapsed(s)) / (2 * points + 1);
    return fmin(fmax(left, candidate_seconds), final_seconds);
}

static void tell_progress(const search *s, uint32_t trying) {
    if (!isatty(STDERR_FILENO)) return;
    (void)fprintf(stderr, "\rkeratin: tuning: %.0f s of at most %.0f, %u programs, %u of %u %s to settle ",
                  elapsed(s), s->request->seconds, s->compiled, trying, s->subjects.count,
                  s->layouts ? "layouts" : "kernels");
    (void)fflush(stderr);
}

/* ---- the search ------------------------------------------------------------------------------ */
/* What the subject's time says about its values: in the end, that they do not hold; in a trial, that they are
 * the best so far. */
static void judge(subject *one, double ratio, bool trial) {
    if (!trial && (ratio > worth_in_the_end || ratio <= 0)) one->ratio = 1;
    if (!trial || !one->tries || !one->differs || ratio <= 0 || ratio >= worth || ratio >= one->ratio) return;
    one->ratio = ratio;
    memcpy(one->best, one->trial, sizeof one->best);
}

static subject *subject_of(const search *s, const kt_choice *choice) {
    return is_layout(choice) == s->layouts ? find_subject(s, choice->key) : NULL;
}

/* Is there anything to be measured? Of values that come to the same code only noise would choose. */
static bool find_differences(search *s, const kt_tuning *tuning, bool trial) {
    bool any = !trial;
    for (uint32_t i = 0; i < tuning->choices.count; i++) {
        subject *one = subject_of(s, &tuning->choices.at[i]);
        if (!one) continue;
        one->differs = s->layouts || tuning->choices.at[i].code != one->basis.code;
        any = any || (one->tries && one->differs);
    }
    return any;
}

/* Choices behind a settled one follow from it. */
static void renew_basis(search *s, const kt_tuning *tuning) {
    for (uint32_t i = 0; i < tuning->choices.count; i++) {
        subject *one = subject_of(s, &tuning->choices.at[i]);
        if (one && !memcmp(one->best, one->trial, sizeof one->best)) one->basis = tuning->choices.at[i];
    }
}

/* Compiles the subjects' values and measures them against base. A program that cannot be compiled or measured
 * is a candidate less, unless memory has run out; *out_ok: it could. */
static kt_status try_values(search *s, const variant *base, bool trial, bool *out_ok) {
    variant other;
    kt_diag diag = {0};
    kt_tuning *tuning = with_subjects(s, trial);
    double begun = elapsed(s);
    kt_status status = compile_variant(s, tuning, &diag, &other);
    bool differs = status == KT_OK && find_differences(s, tuning, trial);
    const kt_program *const programs[2] = {base->program, other.program};
    cli_tuned_times times;
    bool measured = differs && cli_tuned_measure(programs, s->request->threads,
                                                 trial ? candidate_seconds : final_time(s, MOST_POINTS),
                                                 other.arena, &times);
    if (trial) s->longest = fmax(s->longest, elapsed(s) - begun);
    s->measures_others = s->measures_others || (measured && times.measures_others);
    for (uint32_t i = 0; measured && i < s->subjects.count; i++)
        judge(&s->subjects.at[i], find_times(s, &s->subjects.at[i], programs, &times), trial);
    *out_ok = measured || (status == KT_OK && !differs);
    if (measured) renew_basis(s, tuning);
    kt_arena_destroy(other.arena);
    kt_diag_deinit(&diag);
    return status == KT_OUT_OF_MEMORY
               ? kt_diag_add(s->diag, status, NULL, "There is not enough memory for --tune.")
               : KT_OK;
}

/* Subjects [begin, end) try what they propose; the others stay at their best. Returns how many try. */
static uint32_t set_trials(search *s, uint32_t begin, uint32_t end) {
    uint32_t trying = 0;
    for (uint32_t i = 0; i < s->subjects.count; i++) {
        subject *one = &s->subjects.at[i];
        one->tries = one->proposes && i >= begin && i < end;
        memcpy(one->trial, one->best, sizeof one->trial);
        if (one->tries) one->trial[one->knob] = one->proposed;
        trying += one->tries;
    }
    return trying;
}

/* Where a trial fails, each half is tried by itself, until what fails is alone. */
static kt_status try_subjects(search *s, const variant *base, uint32_t begin, uint32_t end) {
    bool ok;
    if (begin == end || !set_trials(s, begin, end)) return KT_OK;
    if (!has_time(s)) {
        s->cut = true;
        return KT_OK;
    }
    KT_TRY(try_values(s, base, true, &ok));
    uint32_t middle = begin + (end - begin) / 2;
    if (ok || middle == begin) return KT_OK;
    KT_TRY(try_subjects(s, base, begin, middle));
    return try_subjects(s, base, middle, end);
}

static kt_status settle(search *s, const variant *base) {
    for (uint32_t trying = 1; trying && !s->cut;) {
        trying = 0;
        for (uint32_t i = 0; i < s->subjects.count; i++) {
            subject *one = &s->subjects.at[i];
            one->proposes = propose(one);
            one->settled = !one->proposes;
            trying += one->proposes;
        }
        tell_progress(s, trying);
        KT_TRY(try_subjects(s, base, 0, s->subjects.count));
    }
    return KT_OK;
}

/* Puts into the records what has held its gain, and the cost model's choice for the others. */
static kt_status conclude(search *s, const variant *base) {
    bool ok, any = false;
    for (uint32_t i = 0; i < s->subjects.count; i++)
        any = any || s->subjects.at[i].settled || s->subjects.at[i].ratio < 1;
    if (!any) return KT_OK;
    KT_TRY(try_values(s, base, false, &ok));
    for (uint32_t i = 0; i < s->subjects.count; i++) {
        const subject *one = &s->subjects.at[i];
        bool gains = ok && one->ratio < 1;
        /* What time was too short for is left to another search. */
        if (!ok || !(one->settled || gains)) continue;
        kt_tuned record = kt_tuned_none(s->known->machine, one->key);
        for (int knob = 0; knob < KT_KNOB_COUNT; knob++)
            record.values[knob] = gains ? one->basis.decisions[knob].value : KT_UNDECIDED;
        record.model_seconds = one->seconds[0];
        record.seconds = one->seconds[gains];
        kt_tuning_add(s->known, &record);
        s->measured++;
        s->gained += gains;
    }
    return KT_OK;
}

static kt_status search_kind(search *s, bool layouts) {
    s->layouts = layouts;
    s->subjects.count = 0;
    variant base;
    kt_tuning *tuning = with_subjects(s, false);
    kt_status status = compile_variant(s, tuning, s->diag, &base);
    /* Before minutes are spent: can what they give be written at all? */
    if (status == KT_OK && layouts) status = kt_tuning_write(s->known, s->file, s->diag);
    if (status == KT_OK) {
        find_subjects(s, tuning);
        if (s->subjects.count) status = settle(s, &base);
        if (s->subjects.count && status == KT_OK) status = conclude(s, &base);
    }
    kt_arena_destroy(base.arena);
    return status;
}

static kt_status run_search(search *s) {
    KT_TRY(kt_temporary_directory(s->arena, &s->directory, s->diag));
    KT_TRY(search_kind(s, true));
    if (!s->cut) KT_TRY(search_kind(s, false));
    if (isatty(STDERR_FILENO)) (void)fprintf(stderr, "\r\033[K");
    return KT_OK;
}

kt_status cli_tune(kt_arena *arena, const cli_tuning_request *request, kt_tuning *out_tuning, kt_diag *diag) {
    const char *file = request->file;
    *out_tuning = (kt_tuning){.arena = arena};
    out_tuning->machine = kt_target_machine(request->target, request->level, request->threads, arena);
    if (!file) KT_TRY(kt_tuning_place(arena, &file, diag));
    KT_TRY(kt_tuning_read(out_tuning, file, request->measures, diag));
    if (!request->measures) return KT_OK;
    search *s = KT_NEW(arena, search);
    *s = (search){.request = request, .arena = arena, .diag = diag, .known = out_tuning, .file = file};
    s->start = kt_seconds_now();
    KT_TRY(run_search(s));
    if (s->measured) KT_TRY(kt_tuning_write(out_tuning, file, diag));
    (void)fprintf(
        stderr,
        "keratin: note: %s: %u layouts and kernels were measured in %.0f s, %u are computed otherwise "
        "than by the cost model; %s keeps them.%s\n",
        request->model, s->measured, elapsed(s), s->gained, file,
        s->cut ? " The search was cut short: --tune-seconds." : "");
    if (s->measures_others)
        (void)fprintf(stderr,
                      "keratin: note: %s: Sizes but the batch's that are not fixed were %d; --shape fixes "
                      "them.\n",
                      request->model, CLI_TUNED_OTHERS);
    return KT_OK;
}

void cli_tuning_tell(const cli_tuning_request *request, const kt_tuning *tuning) {
    uint32_t tuned = 0, unfit = 0, unknown = 0;
    for (uint32_t i = 0; i < tuning->choices.count; i++) {
        tuned += tuning->choices.at[i].record != NULL;
        unfit += tuning->choices.at[i].unfit;
    }
    for (uint32_t i = 0; i < tuning->records.count; i++) unknown += tuning->records.at[i].unknown != NULL;
    (void)fprintf(stderr, "keratin: note: %s: %u of %u layouts and kernels go by measurements.\n",
                  request->model, tuned, tuning->choices.count);
    if (unfit)
        (void)fprintf(
            stderr, "keratin: note: %s: %u of these have a choice that does not do there, and is ignored.\n",
            request->model, unfit);
    if (unknown)
        (void)fprintf(
            stderr,
            "keratin: note: %s: %u records of the tuning file are ignored: this version does not know "
            "what they say.\n",
            request->model, unknown);
}
