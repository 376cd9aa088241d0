/* How a kernel is computed: one record of what was decided, by the cost model or by what was measured (--tune).
 *
 * Code that decides calls kt_choose with what the cost model wants, why, and which other values would be right too;
 * it gets the value of the tuning's record for this kernel, if there is one and it is among these, else its own. The
 * record of all that was decided is printed by --emit=plan, and is what the search of `keratin compile --tune` varies.
 * Kernels are told apart by a key: their text without names, which holds operations, shapes and dtypes. */
#ifndef KT_PASSES_CHOICE_H
#define KT_PASSES_CHOICE_H

#include "ir/ir.h"

/* In the order in which the search settles them: name in files and plans, and what it is. */
#define KT_KNOBS(X)                                                                                          \
    X(winograd, "outputs along a side of Winograd's tiles, or 0: by sums of products")                       \
    X(panel, "columns of a packed panel of the second operand, or 0: as it lies")                            \
    X(vectors, "vectors of columns in a tile")                                                               \
    X(rows, "rows, or neighbouring places, in a tile at most")                                               \
    X(sums, "sums in flight that tiles of few rows make up for by several column tiles")                     \
    X(unroll, "steps of the depth in a turn of its loop")                                                    \
    X(ahead, "bytes from what is read of a packed operand to what is prefetched, or 0: nothing is")          \
    X(high, "rows, lines or tiles in a unit of work")                                                        \
    X(wide, "column tiles in a unit, or in a block that shares transformed tiles; or vectors of channels")   \
    X(narrow, "column tiles in a unit of such a block")                                                      \
    X(deep, "steps of the depth that are packed at once")                                                    \
    X(apart, "1: what follows the product goes over a unit's results in a loop of its own")

typedef enum kt_knob {
#define KT_KNOB_ENUM(name, doc) KT_KNOB_##name,
    KT_KNOBS(KT_KNOB_ENUM)
#undef KT_KNOB_ENUM
        KT_KNOB_COUNT
} kt_knob;
extern const char *const kt_knob_names[KT_KNOB_COUNT];

enum { KT_UNDECIDED = -1 };

/* A record of a tuning file. */
typedef struct kt_tuned {
    const char *machine, *key;
    int64_t values[KT_KNOB_COUNT]; /* KT_UNDECIDED: left to the cost model */
    double seconds, model_seconds; /* measured; and as the cost model would have it */
    const char *unknown;           /* its choices, where this version does not know one: it is not used, but kept beside one that is; else NULL */
    uint32_t uses;                 /* choices that it decided */
} kt_tuned;

typedef struct kt_decision {
    int64_t value;            /* KT_UNDECIDED: nothing of the kind was decided */
    int64_t model;            /* what the cost model wants */
    int64_t least, most;      /* what would be right: */
    int64_t step;             /* multiples of this, */
    int64_t divides;          /* and if this is not 0, its divisors */
    const char *why;          /* of the cost model's */
} kt_decision;

typedef struct kt_choice {
    const char *name; /* the kernel's, or a layer's path */
    const char *key;
    const char *form; /* the way it is computed; NULL: nothing was decided */
    kt_decision decisions[KT_KNOB_COUNT];
    kt_tuned *record; /* that was asked; NULL: there is none */
    bool unfit;       /* something in the record would not be right here */
    uint64_t code;    /* a hash of what it came to; 0: nobody asked */
} kt_choice;

/* What choices are made by, and the choices that were made. Zeros but for arena: the cost model alone. */
typedef struct kt_tuning {
    kt_arena *arena;
    const char *machine; /* whose records count; NULL: none does */
    bool compares;       /* kt_choice.code is wanted */
    KT_VECTOR(kt_tuned) records;
    kt_table by_key;     /* of machine and key: numbers of records */
    KT_VECTOR(kt_choice) choices;
} kt_tuning;

/* Adds the record, or puts it in the place of one with the same machine and key. Strings are copied. */
void kt_tuning_add(kt_tuning *tuning, const kt_tuned *record);
kt_tuned *kt_tuning_find(const kt_tuning *tuning, const char *machine, const char *key); /* or NULL */
kt_tuned kt_tuned_none(const char *machine, const char *key); /* nothing is decided */

/* A choice that nothing is decided of; tuning may be NULL. The strings must live as long as the choice. */
void kt_choice_begin(kt_choice *out_choice, const kt_tuning *tuning, const char *name, const char *key);
/* From `least` to `most`, multiples of step (0: 1), and divisors of `divides` (0: of anything). */
typedef struct kt_range {
    int64_t least, most, step, divides;
} kt_range;
int64_t kt_choose(kt_choice *choice, kt_knob knob, int64_t wanted, kt_range range, const char *why);
bool kt_decision_allows(const kt_decision *decision, int64_t value);
/* A value that was chosen does not do, for a reason that no range says: the cost model's holds. */
int64_t kt_choose_model(kt_choice *choice, kt_knob knob);
/* Adds a copy to the choices that were made, unless its form is NULL or tuning is. */
void kt_tuning_note(kt_tuning *tuning, const kt_choice *choice);
/* A line for people. */
void kt_choice_print(const kt_choice *choice, kt_text *out_text);

#endif
