/* Files that appear whole or not at all.
 *
 * Where the file system can (O_TMPFILE), a file is written without a name, so that nothing is left of it
 * however the process ends; it gets a name beside its place only when all of it is on the disk. Elsewhere it
 * has that name from the beginning. Then it is renamed to its place, which is one step for everyone who
 * looks, and the directory is synced, so that this step is on the disk, too. */
#include "runtime/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void kt_subject_say(const kt_subject *subject, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = snprintf(subject->error, KT_IO_ERROR, "%.300s: ", subject->path);
    (void)vsnprintf(subject->error + length, (size_t)(KT_IO_ERROR - length), format, arguments);
    va_end(arguments);
}

/* Where a file is to be, links followed, and the name beside it. */
static int find_place(const kt_subject *subject, kt_whole_file *out_file) {
    struct stat status;
    bool exists = stat(subject->path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode))
        return kt_subject_fail(subject, "It is no regular file, so no other can take its place.");
    out_file->path = exists ? realpath(subject->path, NULL) : strdup(subject->path);
    if (!out_file->path)
        return exists && errno != ENOMEM
                   ? kt_subject_fail(subject, "It cannot be written: %s.", strerror(errno))
                   : kt_subject_no_memory(subject);
    size_t room = strlen(out_file->path) + 32;
    out_file->beside = malloc(room);
    if (!out_file->beside) return kt_subject_no_memory(subject);
    (void)snprintf(out_file->beside, room, "%s.%ld.partial", out_file->path, (long)getpid());
    return 0;
}

/* The directory that path lies in, to be freed; NULL: no memory. */
static char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* A new file; negative, and errno. */
static int open_new(kt_whole_file *file) {
    char *directory = directory_of(file->path);
    if (!directory) return -1;
    /* /proc is what gives a nameless file its name. */
    int descriptor =
        access("/proc/self/fd", X_OK) == 0 ? open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;
    free(directory);
    file->has_name = descriptor < 0;
    if (descriptor < 0) descriptor = open(file->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return descriptor;
}

int kt_whole_file_begin(const kt_subject *subject, kt_whole_file *out_file) {
    kt_whole_file file = {0};
    int code = find_place(subject, &file);
    int descriptor = code ? -1 : open_new(&file);
    if (code == 0 && descriptor < 0)
        code = kt_subject_fail(subject, "It cannot be written: %s.", strerror(errno));
    if (code == 0) {
        file.file = fdopen(descriptor, "wb");
        if (!file.file) {
            code = kt_subject_no_memory(subject);
            (void)close(descriptor);
            if (file.has_name) (void)unlink(file.beside);
        }
    }
    if (code) {
        free(file.path);
        free(file.beside);
        return code;
    }
    *out_file = file;
    errno = 0; /* so that what it is later is about this file */
    return 0;
}

static bool name_it(kt_whole_file *file) {
    char link[64];
    if (file->has_name) return true;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fileno(file->file));
    (void)unlink(file->beside); /* of a process that was killed between two steps, and had our number */
    file->has_name = linkat(AT_FDCWD, link, AT_FDCWD, file->beside, AT_SYMLINK_FOLLOW) == 0;
    return file->has_name;
}

/* The directory that path lies in, for fsync; negative, and errno. */
static int open_directory(const char *path) {
    char *directory = directory_of(path);
    int descriptor = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(directory);
    return descriptor;
}

/* Some file systems cannot, and say so. */
static bool sync_directory(int directory) {
    return fsync(directory) == 0 || errno == EINVAL || errno == ENOTSUP;
}

bool kt_sync_directory_of(const char *path) {
    const int directory = open_directory(path);
    const bool synced = directory >= 0 && sync_directory(directory);
    if (directory >= 0) (void)close(directory);
    return synced;
}

int kt_whole_file_end(const kt_subject *subject, kt_whole_file *file) {
    int directory = open_directory(file->path); /* while it may fail: the file is not there yet */
    bool done = directory >= 0 && !ferror(file->file) && fflush(file->file) == 0 &&
                fsync(fileno(file->file)) == 0 && name_it(file);
    int reason = errno;
    if (fclose(file->file) != 0 && done) {
        done = false;
        reason = errno;
    }
    file->file = NULL;
    if (done && rename(file->beside, file->path) != 0) {
        done = false;
        reason = errno;
    }
    file->has_name = file->has_name && !done;
    if (done && !sync_directory(directory)) {
        done = false;
        reason = errno;
    }
    if (directory >= 0) (void)close(directory);
    kt_whole_file_drop(file);
    if (done) return 0;
    return kt_subject_fail(subject, "It cannot be written: %s.", strerror(reason ? reason : EIO));
}

void kt_whole_file_drop(kt_whole_file *file) {
    if (file->file) (void)fclose(file->file);
    if (file->has_name) (void)unlink(file->beside);
    free(file->beside);
    free(file->path);
    *file = (kt_whole_file){0};
}

int kt_whole_file_read(const kt_subject *subject, uint8_t **out_bytes, size_t *out_count) {
    FILE *file = fopen(subject->path, "rbe");
    struct stat status;
    if (!file || fstat(fileno(file), &status) != 0) {
        int reason = errno;
        if (file) (void)fclose(file);
        return kt_subject_fail(subject, "It cannot be read: %s.", strerror(reason));
    }
    if (!S_ISREG(status.st_mode)) {
        (void)fclose(file);
        return kt_subject_fail(subject, "It is no regular file.");
    }
    size_t count = (size_t)status.st_size;
    uint8_t *bytes = malloc(count + 1);
    size_t got = bytes ? fread(bytes, 1, count, file) : 0;
    int reason = ferror(file) ? errno : 0;
    (void)fclose(file);
    if (!bytes) return kt_subject_no_memory(subject);
    if (got < count) {
        free(bytes);
        return kt_subject_fail(subject, "It cannot be read: %s.",
                               reason ? strerror(reason) : "it became shorter meanwhile");
    }
    bytes[count] = 0;
    *out_bytes = bytes;
    *out_count = count;
    return 0;
}
