/* A thread that gathers the next batch while a step runs. It does so only between ask and wait, so that
 * whoever asks has the data to himself otherwise. */
#include "runtime/train/train_impl.h"

#include <pthread.h>
#include <stdlib.h>

struct kt_reader {
    const kt_steps *steps;
    pthread_t thread;
    pthread_mutex_t mutex; /* of all that follows */
    pthread_cond_t changed;
    kt_batch *batch; /* to be filled; NULL: there is nothing to do */
    int64_t number;
    int failed;
    bool ends;
};

static void *run(void *object) {
    kt_reader *reader = object;
    pthread_mutex_lock(&reader->mutex);
    while (!reader->ends) {
        if (!reader->batch) {
            pthread_cond_wait(&reader->changed, &reader->mutex);
            continue;
        }
        pthread_mutex_unlock(&reader->mutex);
        int failed = kt_batch_gather(reader->steps, reader->batch, reader->number);
        pthread_mutex_lock(&reader->mutex);
        reader->failed = failed;
        reader->batch = NULL;
        pthread_cond_broadcast(&reader->changed);
    }
    pthread_mutex_unlock(&reader->mutex);
    return NULL;
}

kt_reader *kt_reader_create(const kt_steps *steps) {
    kt_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return NULL;
    reader->steps = steps;
    pthread_mutex_init(&reader->mutex, NULL);
    pthread_cond_init(&reader->changed, NULL);
    if (pthread_create(&reader->thread, NULL, run, reader) == 0) return reader;
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->mutex);
    free(reader);
    return NULL;
}

void kt_reader_destroy(kt_reader *reader) {
    if (!reader) return;
    pthread_mutex_lock(&reader->mutex);
    reader->ends = true;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
    pthread_join(reader->thread, NULL);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->mutex);
    free(reader);
}

void kt_reader_ask(kt_reader *reader, kt_batch *batch, int64_t number) {
    pthread_mutex_lock(&reader->mutex);
    reader->batch = batch;
    reader->number = number;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
}

int kt_reader_wait(kt_reader *reader) {
    pthread_mutex_lock(&reader->mutex);
    while (reader->batch) pthread_cond_wait(&reader->changed, &reader->mutex);
    int failed = reader->failed;
    pthread_mutex_unlock(&reader->mutex);
    return failed;
}
