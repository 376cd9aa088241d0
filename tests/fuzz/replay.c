/* usage: NAME_replay FILE-OR-FOLDER…
 * Runs a fuzz target over each file. A folder that is not there counts as empty. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t replayed;

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    uint8_t *bytes = NULL;
    size_t count = 0, got = 0;
    do {
        uint8_t *larger = realloc(bytes, count + 65536);
        if (!larger) break;
        bytes = larger;
        got = fread(bytes + count, 1, 65536, file);
        count += got;
    } while (got);
    fclose(file);
    (void)LLVMFuzzerTestOneInput(bytes, count);
    free(bytes);
    replayed++;
    return 0;
}

static int replay(const char *path) {
    int failed = 0;
    DIR *folder = opendir(path);
    if (!folder) return errno == ENOENT ? 0 : replay_file(path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inside[4096];
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        failed |= replay_file(inside);
    }
    closedir(folder);
    return failed;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= replay(argv[i]);
    printf("%zu inputs\n", replayed);
    return failed || !replayed;
}
