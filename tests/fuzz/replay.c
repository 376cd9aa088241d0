/* usage: NAME_replay FILE-OR-FOLDER…
 * Runs a fuzz target over each file. A folder that is not there counts as empty. */
#include "fuzz.h"
#include "support/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

static size_t replayed;

static int replay_file(const char *path) {
    kt_diag diag = {0};
    kt_arena *arena = kt_arena_create();
    char *bytes;
    size_t count;
    kt_status status = kt_file_read(path, SIZE_MAX / 2, arena, &bytes, &count, &diag);
    if (status == KT_OK) {
        (void)LLVMFuzzerTestOneInput((const uint8_t *)bytes, count);
        replayed++;
    }
    for (uint32_t i = 0; i < diag.count; i++) fprintf(stderr, "%s\n", diag.problems[i].text);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
    return status != KT_OK;
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
