/* Which variables optimizers mean: Keras's regular expressions over variables' paths, as far as Python and
 * POSIX read them alike. */
#include "frontend/optimizers/optimizers_impl.h"

#include <regex.h>
#include <string.h>

/* Is every backslash one before a character that both take as it is then? In brackets they differ. */
static bool escapes_alike(const char *expression) {
    static const char special[] = ".[]()*+?{}|^$\\";
    bool brackets = strchr(expression, '[') != NULL;
    while ((expression = strchr(expression, '\\'))) {
        if (brackets || !expression[1] || !strchr(special, expression[1])) return false;
        expression += 2;
    }
    return true;
}

bool kt_optimizer_matches(const char *expression, const char *text, bool whole, bool *out_understood) {
    static const char *const python_only[] = {"[:", "(?", "*?", "+?", "??", "}?",
                                              "*+", "++", "?+", "}+", NULL};
    regex_t compiled;
    regmatch_t match;
    *out_understood = escapes_alike(expression);
    for (int i = 0; python_only[i]; i++)
        *out_understood = *out_understood && !strstr(expression, python_only[i]);
    *out_understood = *out_understood && regcomp(&compiled, expression, REG_EXTENDED) == 0;
    if (!*out_understood) return false;
    /* What is found is the longest of the leftmost: all of the text, if that matches. */
    bool found = regexec(&compiled, text, 1, &match, 0) == 0;
    regfree(&compiled);
    return found && (!whole || (match.rm_so == 0 && (size_t)match.rm_eo == strlen(text)));
}
