/* Reading datasets out of HDF5 files that may come from anywhere: model.weights.h5, for the compiler and for programs
 * that train.
 *
 * libhdf5 was not made for hostile files, so it only ever reads in a child process (hdf5_child.c) with limits on
 * processor time and address space. The child inherits the file's bytes and the list of wanted datasets by fork, and
 * streams one record for each over a pipe. Nothing it says is believed: shapes and sizes are compared with what was
 * asked for, and a child that crashes, stops short or does not end in time is an answer of its own.
 *
 * libhdf5 writes in such a child, too (hdf5_write.c): this process never calls it. */
#ifndef KT_RUNTIME_CHECKPOINT_HDF5_READER_H
#define KT_RUNTIME_CHECKPOINT_HDF5_READER_H

#include "runtime/abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* Bytes of a file or of a part of it. */
typedef struct kt_bytes {
    const uint8_t *at;
    size_t count;
} kt_bytes;

/* What reading may cost. */
typedef struct kt_hdf5_limits {
    int seconds;         /* of the clock and of the processor, each */
    size_t memory_bytes; /* of address space beyond what the process has */
} kt_hdf5_limits;

/* A dataset that is wanted, and what is expected there. */
typedef struct kt_hdf5_item {
    const char *file_path; /* "layers/dense/vars/0" */
    uint32_t variable;     /* the caller's */
    int rank;
    int64_t dims[KT_MAX_RANK];
} kt_hdf5_item;
typedef struct kt_hdf5_request {
    kt_bytes file;
    const kt_hdf5_item *items;
    uint32_t count;
    bool others;         /* name a dataset that is no item, too */
    const char *ignored[2]; /* but none whose path begins so; or NULL */
    const char *below;   /* and only one whose path begins so; or NULL: any */
    kt_hdf5_limits limits;
} kt_hdf5_request;

/* What the child found at one item. It is followed by `bytes` bytes of elements, little-endian, row-major. With
 * `others` a record more follows the items': KT_HDF5_FOUND, followed by `bytes` bytes of the path of a dataset that no
 * item names; or KT_HDF5_MISSING, there is none. */
typedef enum kt_hdf5_finding {
    KT_HDF5_FOUND,
    KT_HDF5_NONE,       /* the file as a whole is none */
    KT_HDF5_MISSING,    /* nothing there, or no plain dataset (links into other files) */
    KT_HDF5_WRONG_TYPE, /* elements that are no numbers */
    KT_HDF5_WRONG_SHAPE,
    KT_HDF5_DAMAGED, /* it is there, but its elements cannot be read */
} kt_hdf5_finding;
typedef struct kt_hdf5_record {
    uint32_t finding;
    int32_t dtype;
    int32_t rank;
    uint32_t reserved;
    int64_t dims[KT_MAX_RANK];
    uint64_t bytes;
} kt_hdf5_record;

/* Runs in the child process; writes the records to output and returns. */
typedef void kt_hdf5_child_fn(const kt_hdf5_request *request, int output);
kt_hdf5_child_fn kt_hdf5_child;

/* The child at work. Storage is the caller's; all zeros is none. */
typedef struct kt_hdf5_reader {
    pid_t process; /* 0: none, or ended */
    int input;     /* where its records come from */
    struct timespec deadline;
    bool late; /* it did not end in time */
} kt_hdf5_reader;

/* What file_bytes bytes may cost: libhdf5 needs one dataset at a time, and its own tables. */
kt_hdf5_limits kt_hdf5_usual_limits(size_t file_bytes);
/* 0, or what errno was. request must outlive the reader. */
int kt_hdf5_start(kt_hdf5_reader *reader, const kt_hdf5_request *request, kt_hdf5_child_fn *run);
void kt_hdf5_stop(kt_hdf5_reader *reader); /* also where none runs */
/* Exactly count bytes; false at the end of the stream or of the time. */
bool kt_hdf5_receive(kt_hdf5_reader *reader, void *out, size_t count);
/* Does a record of something found fit what was asked for? */
bool kt_hdf5_is_believable(const kt_hdf5_record *record, const kt_hdf5_item *item);

#endif
