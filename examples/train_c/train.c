/* Builds, trains and asks a small network in C:
 *
 *     cc train.c -I../../include -L../../build/release/lib -lkeratin -lm -Wl,-rpath,../../build/release/lib
 *     ./a.out
 *
 * It learns which of two spirals a point lies on. */
#include <keratin/keratin.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>

enum { TRAINED = 800, UNSEEN = 200 };

/* Points in turn on two spirals of two turns each, with a little noise; which of both is the label. */
static void make_spirals(int count, unsigned seed, float (*points)[2], int32_t *labels) {
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        double along = (double)(seed >> 8) / (1 << 24),
               angle = 4 * 3.14159265358979 * along + (i % 2) * 3.14159265358979;
        seed = seed * 1664525 + 1013904223;
        double radius = 0.2 + along + 0.05 * ((double)(seed >> 8) / (1 << 24) - 0.5);
        points[i][0] = (float)(radius * cos(angle));
        points[i][1] = (float)(radius * sin(angle));
        labels[i] = i % 2;
    }
}

static int print_epoch(kt_model *model, int64_t epoch, const char *const *names, const double *logs,
                       int count, void *data) {
    (void)model, (void)data;
    if (epoch % 10 != 9) return 0;
    printf("epoch %lld", (long long)epoch + 1);
    for (int i = 0; i < count; i++) printf("  %s %.4f", names[i], logs[i]);
    printf("\n");
    return 0; /* go on */
}

static int failed(kt_model *model) {
    (void)fprintf(stderr, "train: %s\n", kt_model_error(model));
    kt_model_destroy(model);
    return 1;
}

int main(void) {
    static float points[TRAINED][2], new_points[UNSEEN][2];
    static int32_t labels[TRAINED], new_labels[UNSEEN];
    make_spirals(TRAINED, 1, points, labels);
    make_spirals(UNSEEN, 2, new_points, new_labels);
    const kt_buffer x = {points, sizeof points, KT_F32, 2, {TRAINED, 2}},
                    y = {labels, sizeof labels, KT_I32, 1, {TRAINED}};
    const kt_buffer new_x = {new_points, sizeof new_points, KT_F32, 2, {UNSEEN, 2}};
    const kt_buffer new_y = {new_labels, sizeof new_labels, KT_I32, 1, {UNSEEN}};
    const kt_data data = {.inputs = &x, .input_count = 1, .labels = &y, .label_count = 1};
    const kt_data unseen = {.inputs = &new_x, .input_count = 1, .labels = &new_y, .label_count = 1};

    kt_model *model = kt_model_create("spirals");
    if (!model) return 1;
    int h = kt_model_input(model, "point", KT_F32, 1, (const int64_t[]){2});
    h = kt_model_layer(model, "Dense", "{\"units\": 32, \"activation\": \"relu\"}", &h, 1);
    h = kt_model_layer(model, "Dense", "{\"units\": 32, \"activation\": \"relu\"}", &h, 1);
    h = kt_model_layer(model, "Dense", "{\"units\": 2, \"activation\": \"softmax\"}", &h, 1);
    if (kt_model_output(model, h)) return failed(model);
    if (kt_model_compile(model, "{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": 0.01}}",
                         "sparse_categorical_crossentropy", "accuracy"))
        return failed(model);

    const kt_fit_settings settings = {.epochs = 50, .validation = &unseen};
    const kt_fit_callbacks callbacks = {.epoch_end = print_epoch};
    float logs[2];
    if (kt_model_fit(model, &data, &settings, &callbacks) || kt_model_evaluate(model, &unseen, 0, logs))
        return failed(model);
    printf("accuracy on samples it has not seen: %.3f\n", (double)logs[1]);
    kt_model_destroy(model);
    return 0;
}
