/* Environment variables: one table, which --help, docs/debugging.md and the code that reads them share. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

const cli_variable cli_variables[] = {
    {"KT_DUMP", "DIR", "compile, run, diff: as --dump-dir=DIR"},
    {"KT_DEBUG", "1|2", "compile, run, diff: 1 as --time-passes, 2 as --print-after=all besides"},
    {"KT_VERIFY", "1",
     "all commands: check the graph after every pass, and the memory plan against the kernels, as debug "
     "builds always do"},
    {"KT_PROFILE", "1|FILE.json", "compiled programs: as --profile, or --profile=FILE.json"},
    {NULL},
};

/* The value of a variable of the table; NULL where it is unset, empty or 0. */
static const char *value_of(const char *name) {
    const char *value = getenv(name);
    return value && *value && strcmp(value, "0") != 0 ? value : NULL;
}

bool cli_verifies(void) {
#ifdef NDEBUG
    return value_of("KT_VERIFY");
#else
    return true;
#endif
}

void cli_apply_variables(kt_compile_options *options) {
    const char *debug = value_of("KT_DEBUG");
    if (!options->dump_dir) options->dump_dir = value_of("KT_DUMP");
    if (debug) options->time_passes = true;
    if (debug && atoi(debug) >= 2 && !options->print_after) options->print_after = "all";
}
