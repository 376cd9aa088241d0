/* The directories in which callbacks leave their files. */
#include "runtime/train/callbacks.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int kt_make_directories(const kt_program *program, char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        if (!made)
            return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot make the directory %s: %s.", path,
                               strerror(errno));
        *slash = '/';
    }
    return 0;
}
