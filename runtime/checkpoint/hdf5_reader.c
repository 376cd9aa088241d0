/* The parent's side of libhdf5: see hdf5_reader.h. */
#include "runtime/checkpoint/hdf5_reader.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

kt_hdf5_limits kt_hdf5_usual_limits(size_t file_bytes) {
    return (kt_hdf5_limits){.seconds = 60 + (int)(file_bytes >> 24),
                            .memory_bytes = 2 * file_bytes + ((size_t)1 << 30)};
}

static void limit(int resource, rlim_t value) {
    struct rlimit both;
    if (getrlimit(resource, &both) != 0) return;
    if (both.rlim_max != RLIM_INFINITY && value > both.rlim_max) value = both.rlim_max;
    both.rlim_cur = both.rlim_max = value;
    setrlimit(resource, &both);
}

/* Bytes of address space in use. */
static size_t address_space(void) {
    char text[64] = "";
    int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC); /* not fopen, which wants memory */
    if (statm < 0) return 0;
    ssize_t count = read(statm, text, sizeof text - 1);
    close(statm);
    return count > 0 ? strtoull(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Before what the parent has registered: libhdf5 calls exit() where there is no memory. */
static _Noreturn void leave(void) { _exit(1); }

static _Noreturn void run_child(const kt_hdf5_request *request, kt_hdf5_child_fn *run, int output) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (atexit(leave)) _exit(1);
    /* Where libhdf5 cannot even begin it says why, until it is told not to: that is never flushed. */
    static char unsaid[1 << 16];
    (void)setvbuf(stderr, unsaid, _IOFBF, sizeof unsaid);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, (rlim_t)request->limits.seconds);
#ifndef KT_SANITIZE /* sanitizers reserve terabytes of address space */
    size_t used = address_space();
    if (used) limit(RLIMIT_AS, used + request->limits.memory_bytes);
#else
    (void)address_space;
#endif
    run(request, output);
    _exit(0);
}

void kt_hdf5_stop(kt_hdf5_reader *reader) {
    if (!reader->process) return;
    close(reader->input);
    kill(reader->process, SIGKILL);
    while (waitpid(reader->process, NULL, 0) < 0 && errno == EINTR) {}
    reader->process = 0;
}

int kt_hdf5_start(kt_hdf5_reader *reader, const kt_hdf5_request *request, kt_hdf5_child_fn *run) {
    int ends[2];
    *reader = (kt_hdf5_reader){0};
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    fflush(NULL); /* so that the child has nothing to write a second time */
    pid_t process = fork();
    int error = errno;
    if (process == 0) {
        close(ends[0]);
        run_child(request, run, ends[1]);
    }
    close(ends[1]);
    if (process < 0) {
        close(ends[0]);
        return error;
    }
    reader->process = process;
    reader->input = ends[0];
    clock_gettime(CLOCK_MONOTONIC, &reader->deadline);
    reader->deadline.tv_sec += request->limits.seconds;
    return 0;
}

bool kt_hdf5_receive(kt_hdf5_reader *reader, void *out, size_t count) {
    char *at = out;
    while (count) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left = (reader->deadline.tv_sec - now.tv_sec) * 1000 +
                       (reader->deadline.tv_nsec - now.tv_nsec) / 1000000;
        if (left <= 0) {
            reader->late = true;
            return false;
        }
        struct pollfd one = {.fd = reader->input, .events = POLLIN};
        if (poll(&one, 1, left < 1000 ? (int)left : 1000) <= 0) continue;
        ssize_t got = read(reader->input, at, count);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        count -= (size_t)got;
    }
    return true;
}

bool kt_hdf5_is_believable(const kt_hdf5_record *record, const kt_hdf5_item *item) {
    uint64_t bytes = kt_abi_dtype_bytes(record->dtype);
    if (!bytes || record->dtype == KT_C64 || record->rank != item->rank) return false;
    for (int i = 0; i < item->rank; i++) {
        if (record->dims[i] != item->dims[i]) return false;
        bytes *= (uint64_t)item->dims[i];
    }
    return record->bytes == bytes;
}
