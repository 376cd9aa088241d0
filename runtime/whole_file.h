/* Files that appear whole or not at all: written without a name or beside the old one, synced, put in its place. */
#ifndef KT_RUNTIME_WHOLE_FILE_H
#define KT_RUNTIME_WHOLE_FILE_H

#include "runtime/runtime.h"

#include <stdbool.h>
#include <stdio.h>

/* The file at hand, for sentences. */
typedef struct kt_subject {
    const char *path;
    char *error; /* room for KT_IO_ERROR */
} kt_subject;
/* Puts "PATH: sentence" into subject->error; is 1. */
#define kt_subject_fail(...) (kt_subject_say(__VA_ARGS__), 1)
void kt_subject_say(const kt_subject *subject, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Is KT_ERROR_MEMORY. */
static inline int kt_subject_no_memory(const kt_subject *subject) {
    kt_subject_say(subject, "There is not enough memory for it.");
    return KT_ERROR_MEMORY;
}

/* A file that is being written and not there yet. */
typedef struct kt_whole_file {
    FILE *file;
    char *path;   /* that it will have, links followed */
    char *beside; /* the name that it has, or passes through, before */
    bool has_name;
} kt_whole_file;
int kt_whole_file_begin(const kt_subject *subject, kt_whole_file *out_file);
/* Syncs it and puts it in its place, or removes it and says why; either way it is closed. */
int kt_whole_file_end(const kt_subject *subject, kt_whole_file *file);
/* Removes it. */
void kt_whole_file_drop(kt_whole_file *file);
/* Are the names in the directory that path lies in on the disk? Else errno says why not. */
bool kt_sync_directory_of(const char *path);
/* All bytes of a file, from malloc, a NUL behind them. */
int kt_whole_file_read(const kt_subject *subject, uint8_t **out_bytes, size_t *out_count);

#endif
