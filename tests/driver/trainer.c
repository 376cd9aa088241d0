/* A trainer as a library, from C: linked (LINKED), or opened, and closed again before the program ends.
 *
 * usage: trainer LIBRARY DIRECTORY X.npy Y.npy
 *
 * Trains a context, saves it, and loads the file into another, which must then evaluate to the same bits and
 * train on to the same bits. Three threads save and load at once. What cannot be saved or loaded is said in a
 * sentence and changes nothing. */
#include "trainer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 96, FEATURES = 6, BATCH = 24, LOGS = 2, THREADS = 3, ROUNDS = 3, PATH = 512 };

static struct {
    trainer *(*create)(int);
    void (*destroy)(trainer *);
    int (*train_step)(trainer *, int64_t, const float *, const int32_t *, float *);
    int (*evaluate_step)(trainer *, int64_t, const float *, const int32_t *, float *);
    void (*reset_metrics)(trainer *);
    int (*save)(trainer *, const char *);
    int (*load)(trainer *, const char *);
    const char *(*error)(const trainer *);
} lib;

static const char *directory;
static float x[SAMPLES * FEATURES];
static int32_t y[SAMPLES];

static void fail(const char *what, const char *more) {
    (void)fprintf(stderr, "%s: %s\n", what, more);
    exit(1);
}

static void read_numbers(const char *path, void *out, size_t bytes) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, -(long)bytes, SEEK_END) || fread(out, 1, bytes, file) != bytes)
        fail(path, "cannot be read");
    (void)fclose(file);
}

#ifdef LINKED
#define FIND(name) lib.name = trainer_##name
#else
#define FIND(name)                                                                                           \
    if (!(*(void **)&lib.name = dlsym(handle, "trainer_" #name))) fail("trainer_" #name, "is not there")
#endif

static void find_functions(void *handle) {
    (void)handle;
    FIND(create);
    FIND(destroy);
    FIND(train_step);
    FIND(evaluate_step);
    FIND(reset_metrics);
    FIND(save);
    FIND(load);
    FIND(error);
}

static void path_of(const char *name, int number, char out[PATH]) {
    (void)snprintf(out, PATH, "%s/%s%d.keras", directory, name, number);
}

static void check(trainer *t, int code) {
    if (code) fail("a call failed", lib.error(t));
}

static void epoch(trainer *t, float logs[LOGS]) {
    lib.reset_metrics(t);
    for (int at = 0; at < SAMPLES; at += BATCH)
        check(t, lib.train_step(t, BATCH, x + at * FEATURES, y + at, logs));
}

static void evaluate(trainer *t, float logs[LOGS]) {
    lib.reset_metrics(t);
    check(t, lib.evaluate_step(t, SAMPLES, x, y, logs));
}

static void *save_and_load(void *argument) {
    int number = *(int *)argument;
    trainer *t = lib.create(1), *other = lib.create(1);
    float logs[LOGS], loaded[LOGS];
    char path[PATH];
    path_of("thread", number, path);
    for (int round = 0; round < ROUNDS; round++) {
        epoch(t, logs);
        evaluate(t, logs);
        check(t, lib.save(t, path));
        check(other, lib.load(other, path));
        evaluate(other, loaded);
        if (memcmp(logs, loaded, sizeof logs) != 0) fail("threads", "a loaded file holds something else");
    }
    lib.destroy(t);
    lib.destroy(other);
    return NULL;
}

static void refuse(trainer *t, int code, const char *word) {
    if (!code) fail("taken", word);
    if (!strstr(lib.error(t), word)) fail(lib.error(t), word);
}

static void check_errors(trainer *t) {
    float before[LOGS], after[LOGS];
    char path[PATH];
    evaluate(t, before);
    path_of("nowhere/model", 0, path);
    refuse(t, lib.save(t, path), "nowhere");
    refuse(t, lib.load(t, path), "nowhere");
    refuse(t, lib.save(t, "model.h6"), "must end in");
    path_of("empty", 0, path);
    FILE *file = fopen(path, "wb");
    if (!file || fclose(file)) fail(path, "cannot be written");
    refuse(t, lib.load(t, path), "neither a .keras");
    const int32_t wrong[] = {0, 2, 3};
    refuse(t, lib.train_step(t, 3, x, wrong, after), "labels: Row 2, counted from 0, has the label 3");
    refuse(t, lib.evaluate_step(t, 3, x, wrong, after), "there are 3 classes");
    evaluate(t, after);
    if (memcmp(before, after, sizeof before) != 0)
        fail("errors", "a file that was refused changed something");
}

int main(int argc, char **argv) {
    if (argc != 5) fail("usage", "trainer LIBRARY DIRECTORY X Y");
    void *handle = NULL;
#ifndef LINKED
    handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!handle) fail("dlopen", dlerror());
#endif
    find_functions(handle);
    directory = argv[2];
    read_numbers(argv[3], x, sizeof x);
    read_numbers(argv[4], y, sizeof y);

    trainer *first = lib.create(1), *second = lib.create(2);
    float logs[LOGS], others[LOGS];
    char path[PATH];
    if (!first || !second) fail("create", "no context");
    for (int i = 0; i < 3; i++) epoch(first, logs);
    path_of("trained", 0, path);
    check(first, lib.save(first, path));
    evaluate(first, logs);
    evaluate(second, others);
    if (!memcmp(logs, others, sizeof logs)) fail("training", "changed nothing");
    check(second, lib.load(second, path));
    evaluate(second, others);
    if (memcmp(logs, others, sizeof logs) != 0) fail("load", "another model came back");
    epoch(first, logs);
    epoch(second, others);
    if (memcmp(logs, others, sizeof logs) != 0) fail("load", "without the optimizer's state");
    check_errors(first);
    evaluate(first, logs);
    (void)printf("{\"loss\": %.9g, \"accuracy\": %.9g}\n", (double)logs[0], (double)logs[1]);
    path_of("last", 0, path);
    check(first, lib.save(first, path));
    lib.destroy(first);
    lib.destroy(second);

    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, save_and_load, &numbers[i]))
            fail("threads", "cannot be started");
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(threads[i], NULL);
    if (handle) (void)dlclose(handle);
    return 0;
}
