/* Files are written beside their place and renamed, so that they appear whole or not at all; devices and
 * pipes, which must not be replaced, are written into. */
#include "support/file.h"

#include "runtime/room.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- what a signal leaves behind ------------------------------------------------------------- */
/* Only a program that asks for it has any of this, and it works on one thing at a time. */
enum { MOST_UNSETTLED = 8 };
static bool cleans;
static char unsettled[MOST_UNSETTLED][PATH_MAX];
static volatile sig_atomic_t is_unsettled[MOST_UNSETTLED];
static volatile pid_t command_at_work;

void kt_file_unsettled(const char *path) {
    for (int i = 0; cleans && i < MOST_UNSETTLED; i++) {
        if (is_unsettled[i] || strlen(path) >= PATH_MAX) continue;
        memcpy(unsettled[i], path, strlen(path) + 1);
        is_unsettled[i] = 1;
        return;
    }
}

void kt_file_settled(const char *path) {
    for (int i = 0; cleans && i < MOST_UNSETTLED; i++)
        if (is_unsettled[i] && !strcmp(unsettled[i], path)) is_unsettled[i] = 0;
}

/* The signals that clean; SIGXFSZ is an error of writing. */
static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
enum { HANDLED = sizeof handled / sizeof *handled };

/* They wait until release_signals: for as long as something is made, but not yet known to be there. */
static void hold_signals(sigset_t *out_before) {
    sigset_t held;
    sigemptyset(&held);
    for (int i = 0; i < HANDLED; i++) sigaddset(&held, handled[i]);
    pthread_sigmask(SIG_BLOCK, &held, out_before);
}

static void release_signals(const sigset_t *before) {
    int error = errno;
    pthread_sigmask(SIG_SETMASK, before, NULL);
    errno = error;
}

/* With system calls only, since a handler may call no more, and there may be no memory. */
static void remove_quietly(const char *path) {
    struct entry {
        uint64_t inode, offset;
        uint16_t length;
        uint8_t type;
        char name[];
    };
    _Alignas(8) char buffer[4096];
    if (unlink(path) == 0 || (errno != EISDIR && errno != EPERM)) return;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long got = 0;
    while (fd >= 0 && (got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < got;) {
            const struct entry *one = (const struct entry *)(buffer + at);
            if (strcmp(one->name, ".") != 0 && strcmp(one->name, "..") != 0) unlinkat(fd, one->name, 0);
            at += one->length;
        }
    if (fd >= 0) close(fd);
    rmdir(path);
}

static void clean(int signal_number) {
    if (command_at_work > 0 && kill(-command_at_work, SIGKILL) == 0) waitpid(command_at_work, NULL, 0);
    for (int i = 0; i < MOST_UNSETTLED; i++)
        if (is_unsettled[i]) remove_quietly(unsettled[i]);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void kt_file_clean_on_signals(void) {
    struct sigaction action = {.sa_handler = clean};
    sigfillset(&action.sa_mask);
    cleans = true;
    for (int i = 0; i < HANDLED; i++) {
        struct sigaction old;
        if (sigaction(handled[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(handled[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN);
}

/* ---- writing and reading --------------------------------------------------------------------- */
static bool write_all(int fd, const char *bytes, size_t count) {
    while (count) {
        ssize_t done = write(fd, bytes, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        bytes += done;
        count -= (size_t)done;
    }
    return true;
}

static kt_status cannot(kt_diag *diag, const char *what, const char *path) {
    return kt_diag_add(diag, KT_IO, NULL, "Cannot %s %s: %s.", what, path, strerror(errno));
}

static kt_status write_into(const char *path, const void *bytes, size_t count, kt_diag *diag) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return cannot(diag, "write", path);
    bool written = write_all(fd, bytes, count);
    int error = errno;
    if (close(fd) && written) written = false, error = errno;
    errno = error;
    return written ? KT_OK : cannot(diag, "write", path);
}

/* Writes into a new file of another name, which is then in out_beside. */
static kt_status write_beside(const char *path, const void *bytes, size_t count, char out_beside[PATH_MAX],
                              kt_diag *diag) {
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof beside, "%s.XXXXXX", path) >= PATH_MAX)
        return kt_diag_add(diag, KT_IO, NULL, "Cannot write %.100s…: the path is too long.", path);
    sigset_t before;
    hold_signals(&before);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd >= 0) kt_file_unsettled(beside);
    release_signals(&before);
    if (fd < 0) return cannot(diag, "write", path);
    mode_t mask = umask(0);
    umask(mask);
    bool written = write_all(fd, bytes, count) && fchmod(fd, 0666 & ~mask) == 0;
    int error = errno;
    if (close(fd) && written) written = false, error = errno;
    if (written) {
        memcpy(out_beside, beside, strlen(beside) + 1);
        return KT_OK;
    }
    unlink(beside);
    kt_file_settled(beside);
    errno = error;
    return cannot(diag, "write", path);
}

/* Gives what was written beside path its place, or removes it. */
static kt_status replace(const char *path, const char *beside, kt_diag *diag) {
    bool renamed = rename(beside, path) == 0;
    int error = errno;
    if (!renamed) unlink(beside);
    kt_file_settled(beside);
    errno = error;
    return renamed ? KT_OK : cannot(diag, "write", path);
}

bool kt_file_is_special(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

/* Writes into what is there and must stay: standard output, a device, a pipe. */
static kt_status write_through(const char *path, const void *bytes, size_t count, kt_diag *diag) {
    if (strcmp(path, "-") != 0) return write_into(path, bytes, count, diag);
    return write_all(STDOUT_FILENO, bytes, count) ? KT_OK : cannot(diag, "write", "standard output");
}

static bool is_written_through(const char *path) { return !strcmp(path, "-") || kt_file_is_special(path); }

/* A link stays: what it leads to is replaced. */
static const char *resolve(const char *path, char room[PATH_MAX]) {
    return realpath(path, room) ? room : path;
}

kt_status kt_file_write(const char *path, const void *bytes, size_t count, kt_diag *diag) {
    char room[PATH_MAX], beside[PATH_MAX];
    if (is_written_through(path)) return write_through(path, bytes, count, diag);
    const char *resolved = resolve(path, room);
    KT_TRY(write_beside(resolved, bytes, count, beside, diag));
    return replace(resolved, beside, diag);
}

/* ---- files that appear together -------------------------------------------------------------- */
struct kt_file_staged {
    struct kt_file_staged *next;
    char *name; /* as it was given */
    char *path;
    char *beside;      /* "": nothing lies there, not yet or no longer */
    bool through;      /* nothing is to lie there */
    const void *bytes; /* of what is written through */
    size_t count;
};

static void drop_staged(void *object) {
    struct kt_file_staged *staged = object;
    if (!*staged->beside) return;
    unlink(staged->beside);
    kt_file_settled(staged->beside);
}

/* All memory that is needed is taken here, so that nothing fails for want of it once there are files. */
static struct kt_file_staged *stage(kt_files *files, const char *name, const char *path, kt_diag *diag) {
    struct kt_file_staged **last = &files->first;
    for (; *last; last = &(*last)->next) {
        if ((*last)->through || strcmp((*last)->name, name) != 0) continue;
        (void)kt_diag_add(diag, KT_INVALID, NULL, "Two files would be written to %s.", name);
        return NULL;
    }
    struct kt_file_staged *staged = KT_NEW(files->arena, struct kt_file_staged);
    staged->name = kt_arena_string(files->arena, name);
    staged->path = kt_arena_string(files->arena, path);
    staged->beside = KT_NEW_ARRAY(files->arena, char, PATH_MAX);
    kt_arena_defer(files->arena, drop_staged, staged);
    *last = staged;
    return staged;
}

kt_status kt_files_add(kt_files *files, const char *path, const void *bytes, size_t count, kt_diag *diag) {
    char room[PATH_MAX];
    bool through = is_written_through(path);
    struct kt_file_staged *staged = stage(files, path, through ? path : resolve(path, room), diag);
    if (!staged) return KT_INVALID;
    if (!through) return write_beside(staged->path, bytes, count, staged->beside, diag);
    staged->through = true;
    staged->bytes = bytes;
    staged->count = count;
    return KT_OK;
}

kt_status kt_files_reserve(kt_files *files, const char *path, const char **out_beside, kt_diag *diag) {
    if (kt_file_is_special(path))
        return kt_diag_add(diag, KT_INVALID, NULL, "Cannot write %s: it is no regular file.", path);
    struct kt_file_staged *staged = stage(files, path, path, diag);
    if (!staged) return KT_INVALID;
    KT_TRY(write_beside(path, "", 0, staged->beside, diag));
    unlink(staged->beside);
    *out_beside = staged->beside;
    return KT_OK;
}

kt_status kt_files_commit(kt_files *files, kt_diag *diag) {
    kt_status status = KT_OK;
    for (struct kt_file_staged *staged = files->first; staged; staged = staged->next)
        if (staged->through) KT_TRY(write_through(staged->path, staged->bytes, staged->count, diag));
    struct kt_file_staged *end = files->first;
    for (; end; end = end->next) {
        if (end->through) continue;
        status = replace(end->path, end->beside, diag);
        *end->beside = 0;
        if (status != KT_OK) break;
    }
    for (struct kt_file_staged *done = files->first; status != KT_OK && done != end; done = done->next)
        if (!done->through) unlink(done->path);
    return status;
}

static void free_holder(void *holder) { free(*(char **)holder); }

kt_status kt_file_read(const char *path, size_t limit, kt_arena *arena, char **out_bytes, size_t *out_count,
                       kt_diag *diag) {
    bool standard = !strcmp(path, "-");
    const char *name = standard ? "standard input" : path;
    char **holder = KT_NEW(arena, char *);
    kt_arena_defer(arena, free_holder, (void *)holder);
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cannot(diag, "read", name);
    size_t count = 0, capacity = 0;
    kt_status status = KT_OK;
    for (;;) {
        if (count + 1 >= capacity) {
            capacity = capacity ? 2 * capacity : KT_ROOM(1 << 16, 2);
            char *grown = realloc(*holder, capacity);
            if (!grown) {
                status =
                    kt_diag_add(diag, KT_OUT_OF_MEMORY, NULL, "There is not enough memory to read %s.", name);
                break;
            }
            *holder = grown;
        }
        ssize_t got = read(fd, *holder + count, capacity - count - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = cannot(diag, "read", name);
        if (got <= 0) break;
        count += (size_t)got;
        if (count > limit) {
            status =
                kt_diag_add(diag, KT_INVALID, NULL, "%s is larger than the limit of %zu bytes.", name, limit);
            break;
        }
    }
    if (!standard) close(fd);
    if (status != KT_OK) return status;
    (*holder)[count] = 0;
    *out_bytes = *holder;
    *out_count = count;
    return KT_OK;
}

/* ---- temporary directories ------------------------------------------------------------------- */
static void remove_directory(void *path) {
    remove_quietly(path);
    kt_file_settled(path);
}

kt_status kt_temporary_directory(kt_arena *arena, const char **out_path, kt_diag *diag) {
    const char *root = getenv("TMPDIR");
    char *path = kt_arena_format(arena, "%s/keratin.XXXXXX", root && *root ? root : "/tmp");
    sigset_t before;
    hold_signals(&before);
    bool made = mkdtemp(path) != NULL;
    if (made) kt_file_unsettled(path);
    release_signals(&before);
    if (!made) return cannot(diag, "make a temporary directory", path);
    kt_arena_defer(arena, remove_directory, path);
    *out_path = path;
    return KT_OK;
}

/* ---- commands -------------------------------------------------------------------------------- */
#define MESSAGE_BYTES 600

/* The first bytes of what a command says, newlines made spaces; reads until the pipe closes. */
static void gather(int fd, char message[MESSAGE_BYTES]) {
    size_t count = 0;
    char chunk[512];
    for (ssize_t got; (got = read(fd, chunk, sizeof chunk)) > 0 || (got < 0 && errno == EINTR);)
        for (ssize_t i = 0; i < got && count < MESSAGE_BYTES - 1; i++) message[count++] = chunk[i];
    while (count && (message[count - 1] == '\n' || message[count - 1] == ' ')) count--;
    message[count] = 0;
    for (char *c = message; *c; c++)
        if (*c == '\n') *c = ' ';
}

/* The environment, with a TMPDIR that a signal removes, where there is one: what a command's own children
 * leave there goes, too. */
static void command_environment(char *variable, const char **out_environment, size_t room) {
    const char *directory = NULL;
    struct stat status;
    for (int i = 0; i < MOST_UNSETTLED; i++)
        if (is_unsettled[i] && stat(unsettled[i], &status) == 0 && S_ISDIR(status.st_mode))
            directory = unsettled[i];
    size_t count = 0;
    for (char **at = environ; *at && count + 2 < room; at++)
        if (!directory || strncmp(*at, "TMPDIR=", 7) != 0) out_environment[count++] = *at;
    if (directory) {
        (void)snprintf(variable, PATH_MAX + 8, "TMPDIR=%.*s", PATH_MAX - 1, directory);
        out_environment[count++] = variable;
    }
    out_environment[count] = NULL;
}

kt_status kt_command_run(const char *const *arguments, kt_diag *diag) {
    enum { MOST_VARIABLES = 4096 };
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return cannot(diag, "run", arguments[0]);
    char temporary[PATH_MAX + 8];
    const char *environment[MOST_VARIABLES];
    command_environment(temporary, environment, MOST_VARIABLES);
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t before;
    pid_t child;
    hold_signals(&before);
    int error = posix_spawnattr_init(&attributes);
    if (!error) {
        /* A group of its own: a signal that ends the driver ends the command and its children. */
        short group = cleans ? POSIX_SPAWN_SETPGROUP : 0;
        (void)posix_spawnattr_setflags(&attributes, (short)(group | POSIX_SPAWN_SETSIGMASK));
        (void)posix_spawnattr_setsigmask(&attributes, &before);
        error = posix_spawn_file_actions_init(&actions);
        if (!error) {
            error = posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
            if (!error) error = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
            if (!error)
                error = posix_spawnp(&child, arguments[0], &actions, &attributes, (char *const *)arguments,
                                     (char *const *)environment);
            posix_spawn_file_actions_destroy(&actions);
        }
        posix_spawnattr_destroy(&attributes);
    }
    if (!error && cleans) command_at_work = child;
    release_signals(&before);
    close(ends[1]);
    char message[MESSAGE_BYTES] = "";
    if (!error) gather(ends[0], message);
    close(ends[0]);
    if (error) {
        errno = error;
        return cannot(diag, "run", arguments[0]);
    }
    int state;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {}
    if (cleans) command_at_work = 0;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return KT_OK;
    return kt_diag_add(diag, KT_IO, NULL, "%s failed: %s", arguments[0],
                       *message ? message : "it gave no reason.");
}
