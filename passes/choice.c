/* Choices: see choice.h. */
#include "passes/choice.h"

#include <inttypes.h>
#include <string.h>

const char *const kt_knob_names[KT_KNOB_COUNT] = {
#define KT_KNOB_NAME(name, doc) #name,
    KT_KNOBS(KT_KNOB_NAME)
#undef KT_KNOB_NAME
};

/* ---- records --------------------------------------------------------------------------------- */
static const char *table_key(kt_arena *arena, const char *machine, const char *key, bool known) {
    return kt_arena_format(arena, "%s\t%s%s", machine, key, known ? "" : "\t");
}

kt_tuned *kt_tuning_find(const kt_tuning *tuning, const char *machine, const char *key) {
    if (!tuning->records.count) return NULL;
    const char *both = table_key(tuning->arena, machine, key, true);
    const uint32_t *number = kt_table_find(&tuning->by_key, both, strlen(both));
    return number ? &tuning->records.at[*number] : NULL;
}

void kt_tuning_add(kt_tuning *tuning, const kt_tuned *record) {
    kt_tuned copy = *record;
    const char *both = table_key(tuning->arena, record->machine, record->key, !record->unknown);
    copy.machine = kt_arena_string(tuning->arena, record->machine);
    copy.key = kt_arena_string(tuning->arena, record->key);
    uint32_t number =
        *kt_table_add(&tuning->by_key, tuning->arena, both, strlen(both), tuning->records.count);
    if (number < tuning->records.count)
        tuning->records.at[number] = copy;
    else
        KT_PUSH(tuning->arena, &tuning->records, copy);
}

kt_tuned kt_tuned_none(const char *machine, const char *key) {
    kt_tuned record = {.machine = machine, .key = key};
    for (int knob = 0; knob < KT_KNOB_COUNT; knob++) record.values[knob] = KT_UNDECIDED;
    return record;
}

/* ---- choices --------------------------------------------------------------------------------- */
void kt_choice_begin(kt_choice *out_choice, const kt_tuning *tuning, const char *name, const char *key) {
    *out_choice = (kt_choice){.name = name, .key = key};
    for (int knob = 0; knob < KT_KNOB_COUNT; knob++) out_choice->decisions[knob].value = KT_UNDECIDED;
    if (!tuning || !tuning->machine) return;
    out_choice->record = kt_tuning_find(tuning, tuning->machine, key);
}

bool kt_decision_allows(const kt_decision *decision, int64_t value) {
    return value >= decision->least && value <= decision->most && value % decision->step == 0 &&
           (!decision->divides || (value > 0 && decision->divides % value == 0));
}

int64_t kt_choose(kt_choice *choice, kt_knob knob, int64_t wanted, kt_range range, const char *why) {
    kt_decision *decision = &choice->decisions[knob];
    *decision = (kt_decision){.value = wanted,
                              .model = wanted,
                              .least = range.least,
                              .most = range.most,
                              .step = range.step ? range.step : 1,
                              .divides = range.divides,
                              .why = why};
    int64_t given = choice->record ? choice->record->values[knob] : KT_UNDECIDED;
    if (given == KT_UNDECIDED) return wanted;
    if (given == wanted || kt_decision_allows(decision, given))
        decision->value = given;
    else
        choice->unfit = true;
    return decision->value;
}

int64_t kt_choose_model(kt_choice *choice, kt_knob knob) {
    choice->unfit = true;
    return choice->decisions[knob].value = choice->decisions[knob].model;
}

void kt_tuning_note(kt_tuning *tuning, const kt_choice *choice) {
    if (!tuning || !choice->form) return;
    kt_choice copy = *choice;
    copy.name = kt_arena_string(tuning->arena, choice->name);
    copy.key = kt_arena_string(tuning->arena, choice->key);
    if (copy.record) copy.record->uses++;
    KT_PUSH(tuning->arena, &tuning->choices, copy);
}

void kt_choice_print(const kt_choice *choice, kt_text *out_text) {
    kt_text_format(out_text, "  %s: %s", choice->name, choice->form);
    const char *between = "; ";
    for (int knob = 0; knob < KT_KNOB_COUNT; knob++) {
        const kt_decision *decision = &choice->decisions[knob];
        if (decision->value == KT_UNDECIDED) continue;
        kt_text_format(out_text, "%s%s %" PRId64, between, kt_knob_names[knob], decision->value);
        if (decision->value == decision->model)
            kt_text_format(out_text, " (%s)", decision->why);
        else
            kt_text_format(out_text, " (tuned; the cost model has %" PRId64 ")", decision->model);
        between = ", ";
    }
    const kt_tuned *record = choice->record;
    if (record)
        kt_text_format(out_text, "; tuned: %.3f us, and %.3f by the cost model%s", record->seconds * 1e6,
                       record->model_seconds * 1e6, choice->unfit ? ", but not all of it fits here" : "");
    kt_text_add(out_text, "\n");
}
