/* Tuning files: choices (passes/choice.h) that were measured to be good, for kernels and machines. */
#ifndef KT_PASSES_TUNING_H
#define KT_PASSES_TUNING_H

#include "passes/choice.h"

/* Adds the records of a file's bytes, behind which there is a NUL; they are changed. */
kt_status kt_tuning_parse(kt_tuning *tuning, char *text, size_t length, kt_diag *diag) KT_MUST_USE;
void kt_tuning_print(const kt_tuning *tuning, kt_text *out_text); /* as such a file */
/* Adds the file's records; may_lack: no file is no error. Of what is wrong, diag names the file. */
kt_status kt_tuning_read(kt_tuning *tuning, const char *path, bool may_lack, kt_diag *diag) KT_MUST_USE;
/* Puts the records into the file, beside those that others put there. */
kt_status kt_tuning_write(const kt_tuning *tuning, const char *path, kt_diag *diag) KT_MUST_USE;
/* Where the file lies unless it is said: keratin/tuning in $XDG_CACHE_HOME or ~/.cache, whose directory is made. */
kt_status kt_tuning_place(kt_arena *arena, const char **out_path, kt_diag *diag) KT_MUST_USE;

#endif
