/* The verb evaluate: the loss and the metrics of samples, as one JSON object. */
#include "runtime/tensor_io/tensor_io_impl.h"
#include "runtime/train/train_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(const kt_program *program, kt_context *context, const kt_fit_options *options,
               kt_dataset *dataset, kt_steps *steps) {
    int status = kt_dataset_read(dataset, program, options, false);
    if (status == 0)
        status = kt_steps_init(steps, context, program, dataset, "evaluate_step", 0, dataset->feeds.samples,
                               options->batch_size);
    int64_t count = status == 0 ? kt_steps_count(steps) : 0;
    for (int64_t i = 0; i < count && status == 0; i++) status = kt_steps_run(steps, i);
    return status;
}

int kt_evaluate_run(const kt_program *program, kt_context *context, const kt_fit_options *options,
                    float *out_logs) {
    kt_dataset dataset = {0};
    kt_steps steps = {.program = program};
    int status = run(program, context, options, &dataset, &steps);
    if (status == 0) memcpy(out_logs, steps.logs, program->training->log_count * sizeof *out_logs);
    kt_steps_deinit(&steps);
    kt_dataset_deinit(&dataset);
    return status;
}

static int print(const kt_program *program, const float *logs) {
    const kt_abi_training *training = program->training;
    for (uint64_t i = 0; i < training->log_count;) {
        int32_t size = training->log_sizes[i];
        (void)fputs(i ? ", " : "{", stdout);
        kt_json_write_name(stdout, training->log_names[i]);
        if (size) (void)putchar('[');
        for (uint64_t end = i + kt_log_numbers(size), first = i; i < end; i++) {
            if (i > first) (void)fputs(", ", stdout);
            kt_io_print_float(stdout, (double)logs[i], 9, true);
        }
        if (size) (void)putchar(']');
    }
    (void)puts("}");
    return kt_cli_printed(program);
}

int kt_verb_evaluate(const kt_program *program, int argc, char **argv) {
    kt_fit_options options;
    bool helped;
    int status = kt_fit_options_read(program, false, argc, argv, &options, &helped);
    if (status || helped) return status;
    kt_context *context;
    status = kt_cli_create_context(program, options.threads, options.weights, &context);
    if (status) return status;
    float *logs = calloc(program->training->log_count + 1, sizeof *logs);
    if (logs) {
        status = kt_evaluate_run(program, context, &options, logs);
        if (status == 0) status = print(program, logs);
    } else {
        status = kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    }
    free(logs);
    kt_context_destroy(context);
    return status;
}
