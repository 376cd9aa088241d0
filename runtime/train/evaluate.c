/* The verb evaluate: the loss and the metrics of samples, as one JSON object. */
#include "runtime/train/train_impl.h"

#include <stdio.h>

static int evaluate(const kt_program *program, const kt_fit_options *options, kt_dataset *dataset,
                    kt_context *context, kt_steps *steps) {
    int status = kt_load_weights(context, program, options->weights);
    if (status == 0) status = kt_dataset_read(dataset, program, options, false);
    if (status == 0)
        status = kt_steps_init(steps, context, program, dataset, "evaluate_step", 0, dataset->feeds.samples,
                               options->batch_size);
    int64_t count = status == 0 ? kt_steps_count(steps) : 0;
    for (int64_t i = 0; i < count && status == 0; i++) status = kt_steps_run(steps, i);
    if (status) return status;
    for (uint64_t i = 0; i < program->training->log_count; i++)
        printf("%s\"%s\": %.9g", i ? ", " : "{", program->training->log_names[i], (double)steps->logs[i]);
    return puts("}") < 0 || fflush(stdout) != 0 ? KT_EXIT_FAILED : KT_EXIT_DONE;
}

int kt_verb_evaluate(const kt_program *program, int argc, char **argv) {
    kt_fit_options options;
    bool helped;
    char error[256];
    int status = kt_fit_options_read(program, false, argc, argv, &options, &helped);
    if (status || helped) return status;
    kt_context *context =
        kt_context_create(program, (int)(options.threads < 1024 ? options.threads : 1024), error);
    if (!context) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    kt_dataset dataset = {0};
    kt_steps steps = {.program = program};
    status = evaluate(program, &options, &dataset, context, &steps);
    kt_steps_deinit(&steps);
    kt_dataset_deinit(&dataset);
    kt_context_destroy(context);
    return status;
}
