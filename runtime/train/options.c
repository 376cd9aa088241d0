/* The command line of fit and evaluate. */
#include "runtime/train/train_impl.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { FILES, COUNT, SEED, SHARE, TEXT, FLAG };

#define FIELD(field) offsetof(kt_fit_options, field)
static const struct {
    const char *name, *value, *doc;
    enum kind kind;
    size_t field;
    bool fit_only;
} table[] = {
    {"--data", "FILE",
     "the samples: .npy, .npz, .csv or .jsonl; NAME=FILE where the model has several inputs", FILES,
     FIELD(data), false},
    {"--labels", "FILE", "their labels; NAME=FILE where the model has several outputs", FILES, FIELD(labels),
     false},
    {"--sample-weight", "FILE",
     "one weight a sample, or where the loss has a number for each step one a step", FILES,
     FIELD(sample_weights), false},
    {"--batch-size", "N", "samples a step [32]", COUNT, FIELD(batch_size), false},
    {"--weights", "FILE",
     "begin with what a .keras or .weights.h5 holds, optimizer state included; or, of a program compiled "
     "with --weights=file, with a .weights",
     TEXT, FIELD(weights), false},
    {"--threads", "N", "how many threads to use [all cores]", COUNT, FIELD(threads), false},
    {"--quiet", NULL, "print nothing but errors, what callbacks with verbose=1 say, and results of evaluate",
     FLAG, FIELD(quiet), false},
    {"--epochs", "N", "how often to go through the samples [1]", COUNT, FIELD(epochs), true},
    {"--validation-data", "FILE", "samples to evaluate after each epoch", FILES, FIELD(validation_data),
     true},
    {"--validation-labels", "FILE", "their labels", FILES, FIELD(validation_labels), true},
    {"--validation-sample-weight", "FILE", "their weights", FILES, FIELD(validation_sample_weights), true},
    {"--validation-split", "SHARE",
     "evaluate this share of the samples, the last ones, instead of training on it", SHARE,
     FIELD(validation_split), true},
    {"--no-shuffle", NULL, "take the samples as they stand", FLAG, FIELD(no_shuffle), true},
    {"--seed", "N", "of the order of samples [0]", SEED, FIELD(seed), true},
    {"--class-weight", "0=1,1=5", "what samples of a class count", TEXT, FIELD(class_weight), true},
    {"--save", "FILE", "write the trained model for Keras: .keras, or .weights.h5", TEXT, FIELD(save), true},
    {"--checkpoint", "DIR", "keep the state of the run there after each epoch", TEXT, FIELD(checkpoint),
     true},
    {"--resume", NULL, "go on from the state in --checkpoint DIR, if there is one", FLAG, FIELD(resume),
     true},
    {"--history", "FILE.json", "write the logs of all epochs", TEXT, FIELD(history), true},
    {"--csv-log", "FILE", "write the logs of each epoch as a line", TEXT, FIELD(csv_log), true},
    {"--csv-log-separator", "CHARACTER", "between its columns [,]", TEXT, FIELD(csv_separator), true},
    {"--csv-log-append", NULL, "go on in the file if it is there", FLAG, FIELD(csv_append), true},
    {"--tensorboard", "DIR", "write the logs of each epoch for TensorBoard", TEXT, FIELD(tensorboard), true},
    {"--tensorboard-update-freq", "N", "those of each step (batch) or of every N-th, too [epoch]", TEXT,
     FIELD(tensorboard_freq), true},
    {"--tensorboard-write-steps-per-second", NULL, "and how many steps a second takes", FLAG,
     FIELD(tensorboard_rates), true},
    {"--tensorboard-histogram-freq", "N", "and in every N-th epoch histograms of the weights", COUNT,
     FIELD(tensorboard_histograms), true},
    {"--tensorboard-write-images", NULL, "and with these the weights as pictures", FLAG,
     FIELD(tensorboard_images), true},
    {"--tensorboard-embeddings-freq", "N", "and after every N-th epoch the weights, for the projector", COUNT,
     FIELD(tensorboard_embeddings), true},
    {"--tensorboard-embeddings-metadata", "FILE",
     "which file names the rows of embeddings, seen from DIR; LAYER=FILE where layers differ", FILES,
     FIELD(tensorboard_metadata), true},
    {"--tensorboard-profile-batch", "N",
     "and a profile of the N-th step, or with N,M of all from one to the other", TEXT,
     FIELD(tensorboard_profile), true},
    {"--tensorboard-no-graph", NULL, "without the graph of the model", FLAG, FIELD(tensorboard_no_graph),
     true},
    {"--early-stopping", "monitor=val_loss,patience=3",
     "stop when a number no longer improves; also min_delta, mode, baseline, start_from_epoch, "
     "restore_best_weights, verbose",
     TEXT, FIELD(early_stopping), true},
    {"--reduce-lr-on-plateau", "monitor=val_loss,factor=0.1,patience=10",
     "lower the learning rate when a number no longer improves; also min_delta, mode, cooldown, min_lr, "
     "verbose",
     TEXT, FIELD(reduce_lr), true},
    {"--learning-rate-scheduler", "0=0.1,10=0.01",
     "what the learning rate is from which epoch on, counted from 0; verbose=1, may stand in front", TEXT,
     FIELD(learning_rate_scheduler), true},
    {"--model-checkpoint", "filepath=FILE,monitor=val_loss,save_best_only=true",
     "save the model after each epoch; may be given several times; also mode, save_weights_only, save_freq "
     "(epoch or a number of steps), "
     "initial_value_threshold, verbose; FILE may hold logs: {epoch:02d}-{val_loss:.2f}.keras",
     FILES, FIELD(model_checkpoints), true},
    {"--orbax-checkpoint", "directory=DIR,monitor=val_loss,max_to_keep=1",
     "the same as a folder DIR/EPOCH, or DIR/STEP with save_freq, that Keras loads with orbax, of which the "
     "last "
     "max_to_keep (0: all) stay; also save_best_only, save_weights_only, mode, initial_value_threshold, "
     "verbose, "
     "save_on_background",
     FILES, FIELD(orbax_checkpoints), true},
    {"--swap-ema-weights", "swap_on_epoch=false",
     "evaluate with the moving averages that the optimizer keeps of weights (use_ema); swap_on_epoch=true: "
     "callbacks at the end of an epoch see them, too",
     TEXT, FIELD(swap_ema_weights), true},
    {"--backup-and-restore", "backup_dir=DIR",
     "keep the state of the run there, and go on from it if there is one; deleted when training ends; also "
     "save_freq (epoch or a number of steps), delete_checkpoint",
     TEXT, FIELD(backup_and_restore), true},
    {"--remote-monitor", "root=http://localhost:9000,path=/publish/epoch/end/,field=data",
     "post the logs of each epoch to a server, as JSON in that field of a form; also send_as_json, headers "
     "(NAME:VALUE;NAME:VALUE)",
     TEXT, FIELD(remote_monitor), true},
    {"--terminate-on-nan", NULL, "stop when the loss is no number", FLAG, FIELD(terminate_on_nan), true},
    {"--terminate-on-nan-raise-error", NULL, "and fail then", FLAG, FIELD(raise_error), true},
};
enum { OPTION_COUNT = sizeof table / sizeof table[0] };

static int usage(const kt_program *program, const char *format, const char *a, const char *b) {
    return kt_cli_fail(program, KT_EXIT_USAGE, format, a, b);
}

static int help(const kt_program *program, bool fit) {
    printf("Usage: %s %s --data FILE --labels FILE [OPTIONS]\n\n", program->name, fit ? "fit" : "evaluate");
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (table[i].fit_only && !fit) continue;
        printf("  %s%s%s\n        %s\n", table[i].name, table[i].value ? " " : "",
               table[i].value ? table[i].value : "", table[i].doc);
    }
    return kt_cli_printed(program);
}

static int set(const kt_program *program, kt_fit_options *options, int which, const char *value) {
    void *field = (char *)options + table[which].field;
    const char *name = table[which].name;
    char *end = NULL;
    errno = 0;
    switch (table[which].kind) {
    case FILES: {
        kt_file_list *files = field;
        if (files->count == KT_MAX_FILES) return usage(program, "%s is given too often%s.", name, "");
        files->at[files->count++] = value;
        return 0;
    }
    case COUNT:
        if (kt_cli_parse_count(value, field)) return 0;
        return usage(program, "%s takes a whole number of at least 1, not '%s'.", name, value);
    case SEED:
        *(uint64_t *)field = strtoull(value, &end, 10);
        if (end != value && !*end && !errno && *value != '-') return 0;
        return usage(program, "%s takes a whole number, not '%s'.", name, value);
    case SHARE:
        *(double *)field = strtod(value, &end);
        if (end != value && !*end && *(double *)field > 0 && *(double *)field < 1) return 0;
        return usage(program, "%s takes a number between 0 and 1, not '%s'.", name, value);
    case TEXT: *(const char **)field = value; return 0;
    case FLAG: *(bool *)field = true; return 0;
    }
    return 0;
}

static int check(const kt_program *program, const kt_fit_options *options) {
    if (!options->data.count)
        return usage(program, "The samples are missing; give them with --data FILE%s%s.", "", "");
    if (!options->labels.count)
        return usage(program, "The labels are missing; give them with --labels FILE%s%s.", "", "");
    if (options->resume && !options->checkpoint)
        return usage(program, "--resume wants --checkpoint DIR%s%s.", "", "");
    if ((options->csv_separator || options->csv_append) && !options->csv_log)
        return usage(program, "--csv-log-separator and --csv-log-append want --csv-log FILE%s%s.", "", "");
    if ((options->tensorboard_freq || options->tensorboard_rates || options->tensorboard_histograms ||
         options->tensorboard_images || options->tensorboard_embeddings ||
         options->tensorboard_metadata.count || options->tensorboard_no_graph ||
         options->tensorboard_profile) &&
        !options->tensorboard)
        return usage(program, "Options of --tensorboard want --tensorboard DIR%s%s.", "", "");
    if (options->tensorboard_images && !options->tensorboard_histograms)
        return usage(program, "--tensorboard-write-images wants --tensorboard-histogram-freq N%s%s.", "", "");
    if (options->tensorboard_metadata.count && !options->tensorboard_embeddings)
        return usage(program, "--tensorboard-embeddings-metadata wants --tensorboard-embeddings-freq N%s%s.",
                     "", "");
    if (options->raise_error && !options->terminate_on_nan)
        return usage(program, "--terminate-on-nan-raise-error wants --terminate-on-nan%s%s.", "", "");
    if (options->backup_and_restore && (options->checkpoint || options->resume))
        return usage(program, "Either --backup-and-restore or --checkpoint with --resume%s%s.", "", "");
    if (options->validation_data.count && options->validation_split > 0)
        return usage(program, "Either --validation-data or --validation-split%s%s.", "", "");
    if (!options->validation_data.count != !options->validation_labels.count)
        return usage(program, "--validation-data and --validation-labels go together%s%s.", "", "");
    if (options->validation_sample_weights.count && !options->validation_data.count)
        return usage(program, "--validation-sample-weight wants --validation-data FILE%s%s.", "", "");
    return 0;
}

int kt_fit_options_read(const kt_program *program, bool fit, int argc, char **argv,
                        kt_fit_options *out_options, bool *out_help) {
    *out_options = (kt_fit_options){.epochs = 1, .batch_size = 32};
    *out_help = false;
    for (int at = 0; at < argc;) {
        const char *text = argv[at++], *value = NULL;
        int which = 0;
        if (!strcmp(text, "--help") || !strcmp(text, "-h")) {
            *out_help = true;
            return help(program, fit);
        }
        for (; which < OPTION_COUNT; which++) {
            value = kt_cli_after_name(text, table[which].name);
            if (table[which].fit_only && !fit) continue;
            if (value || !strcmp(text, table[which].name)) break;
        }
        if (which == OPTION_COUNT)
            return usage(program, "There is no option '%s'; --help lists them%s.", text, "");
        if (table[which].kind == FLAG && value)
            return usage(program, "%s takes no value%s.", table[which].name, "");
        if (table[which].kind != FLAG && !value) {
            if (at == argc) return usage(program, "%s wants a value%s.", text, "");
            value = argv[at++];
        }
        int status = set(program, out_options, which, value);
        if (status) return status;
    }
    return check(program, out_options);
}
