/* Feeding an entry of a program from files. */
#ifndef KT_RUNTIME_CLI_FEED_H
#define KT_RUNTIME_CLI_FEED_H

#include "runtime/runtime.h"

#include <stdbool.h>

typedef struct kt_feed {
    const char *path;
    kt_buffer buffer;  /* all samples, in the input's dtype; data NULL: not fed yet, or streamed */
    kt_stream *stream; /* where they are read from; or NULL */
    bool borrowed;     /* the data is the caller's */
    bool spreads;      /* as kt_feed_group says */
    int64_t repeats;   /* where it spreads: each number stands for so many of the input's that follow each other */
} kt_feed;
static inline bool kt_feed_is_fed(const kt_feed *feed) { return feed->buffer.data || feed->stream; }

typedef struct kt_feeds {
    const kt_program *program;
    const kt_abi_entry *entry;
    kt_feed *at;       /* by input of the entry */
    int64_t *symbols, *values;
    int64_t *low, *high; /* the values for two tuples that differ in every symbol */
    int64_t samples, step;
    bool batched; /* all first dimensions count samples, and nothing else depends on how many there are */
    bool fixed;   /* their number is fixed in the program: `step` */
    bool streams; /* set by the user: large files may stay where they are */
} kt_feeds;

/* Some inputs of the entry, which one option feeds. */
typedef struct kt_feed_group {
    uint32_t first, count;
    const char *option; /* "--labels" */
    const char *prefix; /* of the inputs' names, which users leave out; with one, ones at the end of shapes count for
                           nothing; "": none */
    bool spreads;       /* a number for the first axes counts for all that is behind them */
    bool some;          /* its inputs need not all be fed */
} kt_feed_group;

/* These print a sentence and return an exit status; 0: done. Whatever init gave, deinit frees. outputs: the entry's count
 * samples, too. */
int kt_feeds_init(kt_feeds *feeds, const kt_program *program, const kt_abi_entry *entry, int64_t batch_size,
                  bool outputs);
/* Reads the files of a group: FILE or NAME=FILE each. */
int kt_feeds_read(kt_feeds *feeds, const kt_feed_group *group, const char *const *texts, int count);
/* Who gives the rows of arrays whose data is NULL. */
typedef struct kt_feed_source {
    kt_read_rows_fn *read; /* NULL: nobody */
    void *object;
    int first; /* the number of the group's first array */
} kt_feed_source;
/* Takes arrays in memory instead, one an input of the group, in order; they must last as long as the feeds. Those without
 * data and dimensions feed nothing. */
int kt_feeds_give(kt_feeds *feeds, const kt_feed_group *group, const kt_buffer *arrays, int count,
                  kt_feed_source source);
/* All inputs are fed: do they have as many samples each, and shapes that fit? */
int kt_feeds_settle(kt_feeds *feeds);
void kt_feeds_deinit(kt_feeds *feeds);
int kt_feeds_no_memory(const kt_feeds *feeds);

#endif
