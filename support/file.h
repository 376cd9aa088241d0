/* Files, written whole or not at all, and commands. */
#ifndef KT_SUPPORT_FILE_H
#define KT_SUPPORT_FILE_H

#include "support/arena.h"

/* Writes beside path and renames; "-" is standard output, and devices and pipes are written into. */
kt_status kt_file_write(const char *path, const void *bytes, size_t count, kt_diag *diag) KT_MUST_USE;
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
