/* Runs compiled programs by their command line, in a working directory of the test's own. */
#ifndef KT_TESTS_TOY_MAIN_H
#define KT_TESTS_TOY_MAIN_H

#include "runtime/runtime.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char toy_text[8192];            /* of the file that was read last */
static int toy_own_out, toy_own_error; /* the process's streams, while others are in their place */

static void toy_read(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file) abort();
    toy_text[fread(toy_text, 1, sizeof toy_text - 1, file)] = '\0';
    (void)fclose(file);
}

/* What is printed on both streams from here on … */
static void toy_capture(void) {
    (void)fflush(stdout);
    int file = open("printed", O_CREAT | O_TRUNC | O_RDWR, 0600);
    toy_own_out = dup(1);
    toy_own_error = dup(2);
    if (file < 0 || toy_own_out < 0 || toy_own_error < 0) abort();
    dup2(file, 1);
    dup2(file, 2);
    close(file);
}

/* … until here, becomes toy_text. */
static void toy_release(void) {
    (void)fflush(stdout);
    dup2(toy_own_out, 1);
    dup2(toy_own_error, 2);
    close(toy_own_out);
    close(toy_own_error);
    toy_read("printed");
}

/* The status of a command line of space-separated words. Allocates nothing but what the program does. */
static int toy_main(const kt_program *program, const char *line) {
    char words[512], *argv[32] = {0};
    int argc = 0;
    (void)snprintf(words, sizeof words, "toy %s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    return kt_program_main(program, argc, argv);
}

#endif
