/* Files, written whole or not at all, and commands. */
#ifndef KT_SUPPORT_FILE_H
#define KT_SUPPORT_FILE_H

#include "support/arena.h"

/* Writes beside path and renames; "-" is standard output, and devices and pipes are written into. */
kt_status kt_file_write(const char *path, const void *bytes, size_t count, kt_diag *diag) KT_MUST_USE;
/* Files that appear together, or none, each under a name of its own: { .arena = … }. What is added lies beside its place,
 * and goes when arena goes, until kt_files_commit, which wants no memory. */
typedef struct kt_files {
    kt_arena *arena;
    struct kt_file_staged *first;
} kt_files;
/* As kt_file_write; standard output, devices and pipes are written at the end, so bytes must stay until then. */
kt_status kt_files_add(kt_files *files, const char *path, const void *bytes, size_t count, kt_diag *diag) KT_MUST_USE;
/* A regular file that somebody else writes, at *out_beside, where there is none yet. */
kt_status kt_files_reserve(kt_files *files, const char *path, const char **out_beside, kt_diag *diag) KT_MUST_USE;
/* Gives all their places; where one cannot have its place, the others go. */
kt_status kt_files_commit(kt_files *files, kt_diag *diag) KT_MUST_USE;
/* Is there something at path that is no regular file? */
bool kt_file_is_special(const char *path);
/* The whole file, a NUL behind it; "-" is standard input. More than limit bytes are an error. */
kt_status kt_file_read(const char *path, size_t limit, kt_arena *arena, char **out_bytes, size_t *out_count,
                       kt_diag *diag) KT_MUST_USE;

/* A fresh directory below $TMPDIR or /tmp; it goes, with the files in it, when arena goes. */
kt_status kt_temporary_directory(kt_arena *arena, const char **out_path, kt_diag *diag) KT_MUST_USE;

/* For programs: from now on a signal that ends the process first ends the command at work and removes what is
 * half-written, temporary directories included; and writing past a limit on file sizes is an error, not a signal. */
void kt_file_clean_on_signals(void);
/* A file that is being written under another name, until kt_file_settled: it was renamed or removed. */
void kt_file_unsettled(const char *path);
void kt_file_settled(const char *path);

/* Runs a command and waits: arguments ends with NULL, arguments[0] is looked up in PATH. If it fails, what it wrote to
 * standard error becomes part of the sentence. */
kt_status kt_command_run(const char *const *arguments, kt_diag *diag) KT_MUST_USE;

#endif
