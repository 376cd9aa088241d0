/* Command lines, run in this process while allocations fail: in a directory of the test's own, what they
 * print in a file. Each ends with status 0, nothing said and all its files there, or with status 1, one
 * sentence and no file at all.
 *
 * Which allocations fail is chosen: where they are made in the same way, by the same callers, one stands for
 * all, and of these ways every so-many-th is tried, or every N-th with KT_MEMORY_WAYS=N. KT_MEMORY_STRIDE=N
 * fails every N-th allocation instead, from KT_MEMORY_FIRST [1] on. */
#ifndef KT_TESTS_FAILING_RUN_H
#define KT_TESTS_FAILING_RUN_H

#include "failing_memory.h"

#include "kt_cmocka.h"
#include "support/arena.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below /tmp: the directory of outputs, which commands run in, that of temporary files, and what they print.
 */
static char failing_place[] = "/tmp/keratin-memory-XXXXXX";
static char failing_outputs[64], failing_temporary[64], failing_printed[64];
static int own_out = -1, own_error = -1; /* the process's streams, while others are in their place */
static char printed[1 << 13];
static char failing_now[160]; /* for what kills the process */

/* A command line of at most 31 words, behind the name of the program. */
typedef int failing_main(int argc, char **argv);
typedef struct failing_command {
    const char *line;
    const char *files; /* that it leaves, in the order of the alphabet, joined by spaces */
    int ways;          /* one in so many is tried */
    failing_main *main;
    bool says;     /* something, where it does not fail */
    long in_child; /* so many allocations of a child that is started near the end are tried, too */
    bool keeps;    /* some of its files where it fails: logs, and checkpoints of epochs that were done */
} failing_command;

/* ---- streams --------------------------------------------------------------------------------- */
static void capture(void) {
    (void)fflush(stdout);
    int file = open(failing_printed, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    own_out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    own_error = fcntl(2, F_DUPFD_CLOEXEC, 3);
    if (file < 0 || own_out < 0 || own_error < 0) abort();
    dup2(file, 1);
    dup2(file, 2);
    close(file);
}

static void read_printed(void) {
    int file = open(failing_printed, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, printed, sizeof printed - 1);
    printed[got > 0 ? got : 0] = 0;
    close(file);
}

static void release(void) {
    (void)fflush(stdout);
    dup2(own_out, 1);
    dup2(own_error, 2);
    close(own_out);
    close(own_error);
    own_error = -1;
    read_printed();
}

/* What kills the process says so on a stream that nobody would see. */
static void tell_death(void) {
    if (own_error < 0) return;
    read_printed();
    (void)!write(own_error, failing_now, strlen(failing_now));
    (void)!write(own_error, printed, strlen(printed));
}
static void tell_signal(int number) {
    (void)signal(number, SIG_DFL);
    tell_death();
    (void)raise(number);
}
#ifdef KT_SANITIZE
void __sanitizer_set_death_callback(void (*callback)(void));
#endif

/* ---- files ----------------------------------------------------------------------------------- */
static int compare_names(const void *a, const void *b) { return strcmp(a, b); }

/* Removes what is in a directory, and lists it. */
static void empty_directory(const char *path, char *names, size_t room) {
    enum { MOST = 64, LENGTH = 64 }; /* of names, with a NUL */
    char found[MOST][LENGTH];
    size_t count = 0, used = 0;
    DIR *directory = opendir(path);
    int fd = directory ? dirfd(directory) : -1;
    if (fd < 0) abort();
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (count < MOST) (void)snprintf(found[count++], LENGTH, "%.63s", entry->d_name);
        if (!unlinkat(fd, entry->d_name, 0)) continue;
        char below[256], inside[512];
        (void)snprintf(below, sizeof below, "%s/%.100s", path, entry->d_name);
        empty_directory(below, inside, sizeof inside);
        (void)rmdir(below);
    }
    (void)closedir(directory);
    qsort(found, count, LENGTH, compare_names);
    *names = 0;
    for (size_t i = 0; i < count && used + LENGTH + 1 < room; i++)
        used += (size_t)snprintf(names + used, room - used, "%s%s", i ? " " : "", found[i]);
}

/* ---- runs ------------------------------------------------------------------------------------ */
/* The status; fail_at 0: none fails. */
static int run_once(const failing_command *command, long fail_at, bool forever) {
    char words[512], *argv[33] = {0}, *rest;
    int argc = 0;
    (void)snprintf(words, sizeof words, "program %s", command->line);
    for (char *word = strtok_r(words, " ", &rest); word && argc < 32; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    (void)snprintf(failing_now, sizeof failing_now, "%.100s, allocation %ld%s: ", command->line, fail_at,
                   forever ? " and all after it" : "");
    capture();
    start_failing(fail_at, forever);
    failing.notes = failing.notes && failing.site_count == 0;
    int status = command->main(argc, argv);
    stop_failing();
    release();
    return status;
}

/* What was printed is one sentence on a line of its own, behind warnings if there are any. */
static bool is_sentence(void) {
    const char *error = strstr(printed, ": error: "), *line = printed, *end;
    while ((end = strchr(line, '\n')) && end < error && memmem(line, (size_t)(end - line), ": warning: ", 11))
        line = end + 1;
    return error && end > error && !end[1];
}

/* Are all names, joined by spaces, among those of list? */
static bool are_among(char *names, const char *list) {
    char padded[1024], name[128], *rest;
    (void)snprintf(padded, sizeof padded, " %s ", list);
    for (char *word = strtok_r(names, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        (void)snprintf(name, sizeof name, " %s ", word);
        if (!strstr(padded, name)) return false;
    }
    return true;
}

/* Whether it failed. */
static bool try_once(const failing_command *command, long fail_at, bool forever) {
    char outputs[1024], temporary[1024], names[1024];
    int status = run_once(command, fail_at, forever);
    empty_directory(failing_outputs, outputs, sizeof outputs);
    empty_directory(failing_temporary, temporary, sizeof temporary);
    (void)snprintf(names, sizeof names, "%s", outputs);
    bool right = status == 0   ? !strcmp(outputs, command->files) && (command->says || !*printed)
                 : status == 1 ? are_among(names, command->keeps ? command->files : "") && is_sentence()
                               : false;
    if (!right || *temporary)
        fail_msg("%sstatus %d, files '%s', temporary files '%s', printed: %s", failing_now, status, outputs,
                 temporary, printed);
    return status == 1;
}

static long number_from(const char *variable, long otherwise) {
    const char *text = getenv(variable);
    long number = text ? strtol(text, NULL, 10) : 0;
    return number > 0 ? number : otherwise;
}

static void sweep(const failing_command *command) {
    long stride = number_from("KT_MEMORY_STRIDE", 0), first = number_from("KT_MEMORY_FIRST", 1);
    long step = stride ? stride : number_from("KT_MEMORY_WAYS", command->ways), tries = 0, failures = 0;
    failing.site_count = 0;
    memset(failing.sites, 0, sizeof failing.sites);
    (void)try_once(command, 0, false); /* what is made once in a process has been made now */
    failing.site_count = 0;
    memset(failing.sites, 0, sizeof failing.sites);
    assert_false(try_once(command, 0, false));
    long count = failing.count;
    int ways = failing.site_count;
    assert_true(count > 0 && ways < MOST_SITES / 2);
    for (long at = stride ? first : 0; stride ? at <= count : at < ways; at += step)
        for (int forever = 0; forever < 2; forever++, tries++)
            failures += try_once(command, stride ? at : failing.firsts[at], forever);
    for (long n = 1; n < command->in_child; n += 1 + n / 4)
        for (int forever = 0; forever < 2; forever++) (void)try_once(command, count + n, forever);
    print_message("%s: %ld allocations, made in %d ways; %ld of %ld tries failed\n", command->line, count,
                  ways, failures, tries);
    assert_true(stride || failures > tries / 2);
}

/* ---- before and after ------------------------------------------------------------------------ */
/* A child dies of what cmocka would outlive, or a sanitizer tell. It goes on failing, but where LLVM is
 * spared: looking for it among the callers takes too long where libhdf5 calls itself until its stack ends. */
static void start_child(void) {
    static const int deaths[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) (void)signal(deaths[i], SIG_DFL);
    if (failing.spares) stop_failing();
}

static int begin_failing(void **state) {
    (void)state;
    if (!mkdtemp(failing_place)) return 1;
    (void)snprintf(failing_outputs, sizeof failing_outputs, "%s/outputs", failing_place);
    (void)snprintf(failing_temporary, sizeof failing_temporary, "%s/temporary", failing_place);
    (void)snprintf(failing_printed, sizeof failing_printed, "%s/printed", failing_place);
    if (mkdir(failing_outputs, 0700) || mkdir(failing_temporary, 0700) || chdir(failing_outputs) ||
        setenv("TMPDIR", failing_temporary, 1))
        return 1;
#ifdef KT_SANITIZE
    __sanitizer_set_death_callback(tell_death);
#endif
    (void)signal(SIGABRT, tell_signal);
    spare_llvm();
    kt_arena_share_blocks(false);
    return pthread_atfork(NULL, NULL, start_child);
}

static int end_failing(void **state) {
    char names[1024];
    (void)state;
    empty_directory(failing_place, names, sizeof names);
    return rmdir(failing_place);
}

#endif
