/* --profile of the verbs that run a program, and KT_PROFILE in its place. */
#include "runtime/profile.h"

#include "runtime/cli/cli_impl.h"

#include <stdlib.h>
#include <string.h>

int kt_cli_profile_begin(kt_context *context, const kt_program *program, const kt_cli_options *options,
                         kt_profile **out_profile) {
    *out_profile = NULL;
    if (!options->profile) return KT_EXIT_DONE;
    *out_profile = kt_profile_create(context, program, options->profile[0] != '\0');
    if (*out_profile) return KT_EXIT_DONE;
    return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory for a profile.");
}

int kt_cli_profile_end(kt_profile *profile, const kt_program *program, const kt_cli_options *options,
                       int status) {
    char error[KT_IO_ERROR];
    if (!profile) return status;
    if (status == KT_EXIT_DONE) {
        (void)fflush(stdout);
        kt_profile_print(profile, stderr);
        if (options->profile[0] && kt_profile_write(profile, options->profile, error))
            status = kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    }
    kt_profile_destroy(profile);
    return status;
}

const char *kt_cli_profile_wish(void) {
    const char *wish = getenv("KT_PROFILE");
    if (!wish || !*wish || strcmp(wish, "0") == 0) return NULL;
    return strcmp(wish, "1") == 0 ? "" : wish;
}
