/* A graph under test, as text, with the inputs of its entries and what their outputs must be; how it is run;
 * and how it is made smaller. */
#ifndef KT_TESTS_RANDOM_SUBJECT_H
#define KT_TESTS_RANDOM_SUBJECT_H

#include "random/generator.h"

enum { SUBJECT_MOST_INPUTS = 64 };

typedef struct subject_entry {
    const char *name;
    uint32_t input_count, output_count;
    kt_tensor inputs[SUBJECT_MOST_INPUTS], outputs[RANDOM_MOST_PORTS];
    /* What its variables are once it has run, which the entry `after` puts out, given the first input. */
    uint32_t next_count;
    const char *after; /* NULL: none is updated */
    const char *paths[RANDOM_MOST_PORTS];
    kt_tensor nexts[RANDOM_MOST_PORTS];
} subject_entry;

typedef struct subject {
    const char *text;
    int64_t sizes[RANDOM_SYMBOLS]; /* of the symbols, by index */
    subject_entry *entries;
    uint32_t count;
} subject;

/* How a subject is compiled. */
typedef struct subject_way {
    int level;
    bool bind;     /* the symbols, before compiling */
    bool compiled; /* else the optimised graph is only evaluated */
    /* Each entry that updates variables by itself, with the least memory that it can do with by running
     * kernels again; else all at once. */
    bool limited;
} subject_way;

typedef struct subject_finding {
    uint32_t entry;    /* which is wrong */
    uint32_t squeezed; /* how many can do with less memory */
} subject_finding;

/* NULL if the text prints as it was, the evaluator finds the outputs on the graph as it is and on the
 * optimised one, and so does the compiled library, with little memory to the same bits as without a limit;
 * else a sentence in arena. */
const char *subject_check(kt_arena *arena, const subject *s, subject_way way, subject_finding *out_finding);
/* The same in a process of its own, which may crash. The sentence is good until the next call. */
const char *subject_check_apart(const subject *s, subject_way way, subject_finding *out_finding);

/* shrink.c: a smaller subject of one entry that still fails in this way, with a sentence that begins as wrong
 * does. */
void subject_shrink(kt_arena *arena, const subject *s, uint32_t entry, subject_way way, const char *wrong,
                    subject *out_smaller);
/* The graph, and its inputs as comments, to standard error. */
void subject_print(const subject *s);

#endif
