/* Initial values of weights: Keras's initializers over numbers from SplitMix64, normal ones after Box and
 * Muller (1958), or where an initializer has a seed over those that TensorFlow draws from it.
 *
 * Glorot's, He's and LeCun's are VarianceScaling with other options (Glorot and Bengio 2010, He et al. 2015).
 * Fans of a kernel are the last two dimensions, times all others, where no axes are given. */
#include "frontend/initializers/initializers.h"
#include "frontend/initializers/seeded.h"
#include "ir/element.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

typedef struct drawing {
    const json_t *config; /* of the initializer; NULL: its defaults */
    const char *where;    /* the variable's path, for problems */
    int64_t dims[KT_MAX_RANK];
    int rank;
    size_t count;
    double *out;
    uint64_t state;
    bool seeded;
    int64_t seed; /* its own, if seeded */
    kt_arena *arena;
    kt_diag *diag;
} drawing;

/* ---- numbers --------------------------------------------------------------------------------- */
/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* In (0, 1). */
static double next_uniform(drawing *d) { return ((double)(next_random(&d->state) >> 12) + 0.5) * 0x1p-52; }

static double next_normal(drawing *d) {
    double radius = sqrt(-2 * log(next_uniform(d)));
    return radius * cos(2 * 3.14159265358979323846 * next_uniform(d));
}

static double option(const drawing *d, const char *name, double otherwise) {
    const json_t *value = json_object_get(d->config, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void fill(drawing *d, double number) {
    for (size_t i = 0; i < d->count; i++) d->out[i] = number;
}

static void draw_uniform(drawing *d, double least, double most) {
    if (d->seeded) {
        kt_seeded_uniform(d->seed, least, most, d->count, d->out);
        return;
    }
    for (size_t i = 0; i < d->count; i++) d->out[i] = least + (most - least) * next_uniform(d);
}

/* cut: what lies two deviations or more from the mean is drawn again. */
static void draw_normal(drawing *d, double mean, double deviation, bool cut) {
    if (d->seeded) {
        kt_seeded_normal(d->seed, mean, deviation, cut, d->count, d->out);
        return;
    }
    for (size_t i = 0; i < d->count; i++) {
        double number = next_normal(d);
        while (cut && fabs(number) >= 2) number = next_normal(d);
        d->out[i] = mean + deviation * number;
    }
}

/* The product of the dimensions that the option lists, from the end where negative; -1: not dimensions. */
static double product_of_axes(const drawing *d, const json_t *axes) {
    double product = 1;
    size_t i;
    json_t *item;
    json_array_foreach(axes, i, item) {
        json_int_t axis = json_integer_value(item);
        if (!json_is_integer(item) || axis < -d->rank || axis >= d->rank) return -1;
        product *= (double)d->dims[axis < 0 ? axis + d->rank : axis];
    }
    return product;
}

/* ---- initializers ---------------------------------------------------------------------------- */
static kt_status scale_variance(drawing *d, double scale, const char *mode, const char *distribution) {
    double in = 1, out = 1, field = 1;
    for (int axis = 0; axis + 2 < d->rank; axis++) field *= (double)d->dims[axis];
    if (d->rank == 1) in = out = (double)d->dims[0];
    if (d->rank > 1) {
        in = field * (double)d->dims[d->rank - 2];
        out = field * (double)d->dims[d->rank - 1];
    }
    const json_t *in_axes = json_object_get(d->config, "input_axes");
    const json_t *out_axes = json_object_get(d->config, "output_axes");
    if (json_is_array(in_axes) && json_is_array(out_axes)) {
        in = product_of_axes(d, in_axes);
        out = product_of_axes(d, out_axes);
        if (in < 0 || out < 0)
            return kt_diag_add(d->diag, KT_INVALID, d->where,
                               "input_axes and output_axes must list axes of weights of %d dimensions.",
                               d->rank);
    }
    double fan = !strcmp(mode, "fan_in") ? in : !strcmp(mode, "fan_out") ? out : (in + out) / 2;
    scale /= fan > 1 ? fan : 1;
    if (!strcmp(distribution, "uniform")) {
        draw_uniform(d, -sqrt(3 * scale), sqrt(3 * scale));
    } else if (!strcmp(distribution, "untruncated_normal")) {
        draw_normal(d, 0, sqrt(scale), false);
    } else {
        /* the deviation of a normal that is cut off at two of its own */
        draw_normal(d, 0, sqrt(scale) / .87962566103423978, true);
    }
    return KT_OK;
}

static const char *text_option(const drawing *d, const char *name, const char *otherwise) {
    const char *text = json_string_value(json_object_get(d->config, name));
    return text ? text : otherwise;
}

/* Orthonormal rows or columns, whichever are fewer, by Gram and Schmidt's process, each vector gone through
 * twice: those of normal numbers, [the more, the fewer], that a QR decomposition finds whose R has a positive
 * diagonal. */
static kt_status draw_orthogonal(drawing *d, double gain) {
    if (d->rank < 2)
        return kt_diag_add(d->diag, KT_INVALID, d->where,
                           "Orthogonal wants weights of two dimensions at least.");
    size_t columns = (size_t)d->dims[d->rank - 1], rows = columns ? d->count / columns : 0;
    size_t length = rows > columns ? rows : columns, vectors = rows > columns ? columns : rows;
    double *at = KT_NEW_ARRAY(d->arena, double, length *vectors + 1);
    draw_normal(d, 0, 1, false);
    for (size_t v = 0; v < vectors; v++) {
        double *own = at + v * length, norm = 0;
        for (size_t i = 0; i < length; i++) own[i] = d->out[i * vectors + v];
        for (size_t other = 0; other < 2 * v; other++) {
            const double *before = at + other % v * length;
            double along = 0;
            for (size_t i = 0; i < length; i++) along += own[i] * before[i];
            for (size_t i = 0; i < length; i++) own[i] -= along * before[i];
        }
        for (size_t i = 0; i < length; i++) norm += own[i] * own[i];
        for (size_t i = 0; i < length; i++) own[i] /= sqrt(norm);
    }
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++)
            d->out[row * columns + column] =
                gain * (rows > columns ? at[column * length + row] : at[row * length + column]);
    return KT_OK;
}

static kt_status draw_identity(drawing *d, double gain) {
    if (d->rank != 2)
        return kt_diag_add(d->diag, KT_INVALID, d->where, "Identity wants weights of two dimensions.");
    int64_t least = d->dims[0] < d->dims[1] ? d->dims[0] : d->dims[1];
    for (int64_t i = 0; i < least; i++) d->out[i * d->dims[1] + i] = gain;
    return KT_OK;
}

static kt_status zeros(drawing *d) { return fill(d, 0), KT_OK; }
static kt_status ones(drawing *d) { return fill(d, 1), KT_OK; }
static kt_status constant(drawing *d) {
    const json_t *value = json_object_get(d->config, "value");
    if (value && !json_is_number(value))
        return kt_diag_add(d->diag, KT_INVALID, d->where, "Constant wants a number as its value.");
    return fill(d, option(d, "value", 0)), KT_OK;
}
static kt_status random_uniform(drawing *d) {
    return draw_uniform(d, option(d, "minval", -0.05), option(d, "maxval", 0.05)), KT_OK;
}
static kt_status random_normal(drawing *d) {
    return draw_normal(d, option(d, "mean", 0), option(d, "stddev", 0.05), false), KT_OK;
}
static kt_status truncated_normal(drawing *d) {
    return draw_normal(d, option(d, "mean", 0), option(d, "stddev", 0.05), true), KT_OK;
}
static kt_status variance_scaling(drawing *d) {
    double scale = option(d, "scale", 1);
    const char *mode = text_option(d, "mode", "fan_in");
    const char *distribution = text_option(d, "distribution", "truncated_normal");
    if (!(scale > 0))
        return kt_diag_add(d->diag, KT_INVALID, d->where, "VarianceScaling wants a scale above 0.");
    if (!kt_options_listed("fan_in fan_out fan_avg", mode))
        return kt_diag_add(d->diag, KT_INVALID, d->where,
                           "VarianceScaling has no mode '%s', but fan_in, fan_out and fan_avg.", mode);
    if (!kt_options_listed("uniform normal truncated_normal untruncated_normal", distribution))
        return kt_diag_add(d->diag, KT_INVALID, d->where,
                           "VarianceScaling has no distribution '%s', but uniform, normal, truncated_normal "
                           "and untruncated_normal.",
                           distribution);
    return scale_variance(d, scale, mode, distribution);
}
static kt_status glorot_uniform(drawing *d) { return scale_variance(d, 1, "fan_avg", "uniform"); }
static kt_status glorot_normal(drawing *d) { return scale_variance(d, 1, "fan_avg", "truncated_normal"); }
static kt_status he_uniform(drawing *d) { return scale_variance(d, 2, "fan_in", "uniform"); }
static kt_status he_normal(drawing *d) { return scale_variance(d, 2, "fan_in", "truncated_normal"); }
static kt_status lecun_uniform(drawing *d) { return scale_variance(d, 1, "fan_in", "uniform"); }
static kt_status lecun_normal(drawing *d) { return scale_variance(d, 1, "fan_in", "truncated_normal"); }
static kt_status orthogonal(drawing *d) { return draw_orthogonal(d, option(d, "gain", 1)); }
static kt_status identity(drawing *d) { return draw_identity(d, option(d, "gain", 1)); }

/* Names without case and underscores. */
static const struct {
    const char *name;
    kt_status (*draw)(drawing *d);
} table[] = {
    {"zeros", zeros},
    {"zero", zeros},
    {"ones", ones},
    {"one", ones},
    {"constant", constant},
    {"randomuniform", random_uniform},
    {"uniform", random_uniform},
    {"randomnormal", random_normal},
    {"normal", random_normal},
    {"truncatednormal", truncated_normal},
    {"variancescaling", variance_scaling},
    {"glorotuniform", glorot_uniform},
    {"glorotnormal", glorot_normal},
    {"heuniform", he_uniform},
    {"henormal", he_normal},
    {"lecununiform", lecun_uniform},
    {"lecunnormal", lecun_normal},
    {"orthogonal", orthogonal},
    {"orthogonalinitializer", orthogonal},
    {"identity", identity},
    {"identityinitializer", identity},
};

/* The seed is a number, or a generator's that draws for the first time. */
static kt_status read_seed(drawing *d) {
    const json_t *seed = json_object_get(d->config, "seed");
    if (json_is_object(seed)) seed = json_object_get(json_object_get(seed, "config"), "seed");
    if (!seed || json_is_null(seed)) return KT_OK;
    if (!json_is_integer(seed))
        return kt_diag_add(d->diag, KT_INVALID, d->where,
                           "An initializer's seed must be an integer or a SeedGenerator.");
    d->seeded = true;
    d->seed = json_integer_value(seed);
    return KT_OK;
}

static kt_status draw(drawing *d, const json_t *initializer) {
    const char *name = json_string_value(initializer);
    if (!name) name = json_string_value(json_object_get(initializer, "class_name"));
    if (!name) return zeros(d);
    char plain[64] = "";
    size_t length = 0;
    for (const char *c = name; *c && length + 1 < sizeof plain; c++)
        if (*c != '_') plain[length++] = (char)tolower((unsigned char)*c);
    d->config = json_object_get(initializer, "config");
    KT_TRY(read_seed(d));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!strcmp(table[i].name, plain)) return table[i].draw(d);
    return kt_diag_add(d->diag, KT_UNSUPPORTED, d->where, "the initializer '%s' is not supported.", name);
}

/* ---- variables ------------------------------------------------------------------------------- */
typedef struct beginning {
    kt_graph *graph;
    uint64_t seed;
    kt_diag *diag;
    kt_status status;
} beginning;

static void *new_value(const kt_graph *graph, const kt_variable *variable, size_t *out_count) {
    *out_count = (size_t)kt_type_static_elements(graph->dims, &variable->type);
    return kt_arena_alloc(graph->arena, *out_count * kt_dtype_bytes(variable->type.dtype) + 1);
}

static void begin_weight(beginning *b, const kt_weight *weight) {
    kt_variable *variable = &b->graph->variables.at[weight->variable];
    if (variable->data) return;
    kt_dtype dtype = variable->type.dtype;
    drawing d = {
        .where = variable->path, .rank = variable->type.rank, .arena = b->graph->arena, .diag = b->diag};
    for (int axis = 0; axis < d.rank; axis++)
        if (!kt_dim_is_const(b->graph->dims, variable->type.dims[axis], &d.dims[axis]))
            KT_BUG("variable %s has no fixed shape", variable->path);
    void *value = new_value(b->graph, variable, &d.count);
    d.out = KT_NEW_ARRAY(b->graph->arena, double, d.count + 1);
    d.state = (b->seed + 1) * 0xD1342543DE82EF95 ^ weight->variable * (uint64_t)0x2545F4914F6CDD1D;
    kt_status status = draw(&d, weight->initializer);
    if (status != KT_OK) b->status = status;
    for (size_t i = 0; i < d.count; i++) {
        if (weight->root) d.out[i] = sqrt(d.out[i]);
        if (kt_dtype_is_float(dtype))
            kt_element_set_float(dtype, value, i, d.out[i]);
        else
            kt_element_set_integer(dtype, value, i, (int64_t)d.out[i]);
    }
    variable->data = value;
}

static void begin_layer(beginning *b, const kt_layer *layer) {
    for (uint32_t i = 0; i < layer->weights.count && layer->graph == b->graph; i++)
        if (!layer->weights.at[i].state) begin_weight(b, &layer->weights.at[i]);
    for (uint32_t i = 0; i < layer->children.count; i++) begin_layer(b, layer->children.at[i]);
}

kt_status kt_weights_initialize(kt_layer *model, kt_graph *graph, uint64_t seed, kt_diag *diag) {
    beginning b = {.graph = graph, .seed = seed, .diag = diag};
    begin_layer(&b, model);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        size_t count;
        if (!graph->variables.at[i].data)
            graph->variables.at[i].data = new_value(graph, &graph->variables.at[i], &count);
    }
    return b.status;
}
