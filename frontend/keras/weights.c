/* Reading model.weights.h5, by a child process (runtime/checkpoint/hdf5_reader.h). What is stored in another
 * element type is converted here, as Keras does when it assigns. */
#include "frontend/keras/keras_impl.h"
#include "ir/element.h"

#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */
static void convert(kt_dtype from, const void *source, kt_dtype to, void *target, size_t count) {
    if (from == to) {
        memcpy(target, source, count * kt_dtype_bytes(to));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (kt_dtype_is_float(from) && kt_dtype_is_float(to)) {
            kt_element_set_float(to, target, i, kt_element_float(from, source, i));
        } else if (kt_dtype_is_float(from)) {
            double number = kt_element_float(from, source, i);
            bool fits = number > -9.2e18 && number < 9.2e18; /* else, and for NaN: 0 */
            kt_element_set_integer(to, target, i, to == KT_BOOL ? number != 0 : fits ? (int64_t)number : 0);
        } else if (kt_dtype_is_float(to)) {
            int64_t number = kt_element_integer(from, source, i);
            kt_element_set_float(to, target, i, from == KT_U64 ? (double)(uint64_t)number : (double)number);
        } else {
            kt_element_set_integer(to, target, i, kt_element_integer(from, source, i));
        }
    }
}

static const char *shape_string(kt_arena *arena, int rank, const int64_t *dims) {
    kt_text text = {.arena = arena};
    kt_text_add(&text, "(");
    for (int i = 0; i < rank; i++) kt_text_format(&text, i ? ", %lld" : "%lld", (long long)dims[i]);
    kt_text_add(&text, rank == 1 ? ",)" : ")");
    return kt_text_string(&text);
}

/* The layer's path of a variable "functional/dense/kernel", for problems. */
static const char *layer_path(kt_arena *arena, const char *variable_path) {
    const char *slash = strrchr(variable_path, '/');
    return slash ? kt_arena_format(arena, "%.*s", (int)(slash - variable_path), variable_path)
                 : variable_path;
}

static kt_status report(kt_arena *arena, const kt_variable *variable, const kt_hdf5_item *item,
                        const kt_hdf5_record *record, kt_diag *diag) {
    const char *where = layer_path(arena, variable->path), *place = variable->file_path;
    switch (record->finding) {
    case KT_HDF5_MISSING:
        return kt_diag_add(
            diag, KT_INVALID, where,
            "The value of %s is not in model.weights.h5: there is no dataset %s. The weights do not "
            "belong to this config.json.",
            variable->path, place);
    case KT_HDF5_WRONG_TYPE:
        return kt_diag_add(diag, KT_INVALID, where, "Dataset %s of model.weights.h5 does not hold numbers.",
                           place);
    case KT_HDF5_WRONG_SHAPE: {
        int rank = record->rank < 0 ? 0 : record->rank < KT_MAX_RANK ? record->rank : KT_MAX_RANK;
        return kt_diag_add(
            diag, KT_INVALID, where,
            "Dataset %s of model.weights.h5 has the shape %s, but %s needs %s. The weights do not "
            "belong to this config.json.",
            place, shape_string(arena, rank, record->dims), variable->path,
            shape_string(arena, item->rank, item->dims));
    }
    default:
        return kt_diag_add(
            diag, KT_INVALID, where,
            "Dataset %s of model.weights.h5 is damaged; save the model again or copy the file anew.", place);
    }
}

/* Keras quantizes the layers in attention, too, but says so only in their weights. */
static bool is_quantized_unsaid(const kt_variable *variable, const kt_hdf5_record *record) {
    return record->dtype == KT_I8 && kt_dtype_is_float(variable->type.dtype) && variable->type.rank >= 2;
}

static kt_status cut_short(const kt_hdf5_reader *c, const kt_hdf5_limits *limits, kt_diag *diag) {
    if (c->late)
        return kt_diag_add(
            diag, KT_INVALID, "model.weights.h5",
            "The weights could not be read within %d seconds; the file is damaged, or this machine "
            "is too slow for it.",
            limits->seconds);
    return kt_diag_add(
        diag, KT_INVALID, "model.weights.h5",
        "The process that reads the weights stopped half-way; the file is damaged, or there is not "
        "enough memory.");
}

/* Takes the records in. Wrong datasets are all reported; a broken stream ends it. */
static kt_status receive_all(kt_hdf5_reader *c, kt_graph *graph, const kt_hdf5_request *request,
                             kt_diag *diag) {
    kt_status status = KT_OK;
    for (uint32_t i = 0; i < request->count; i++) {
        const kt_hdf5_item *item = &request->items[i];
        kt_variable *variable = &graph->variables.at[item->variable];
        kt_hdf5_record record;
        if (!kt_hdf5_receive(c, &record, sizeof record)) return cut_short(c, &request->limits, diag);
        if (record.finding == KT_HDF5_NONE)
            return kt_diag_add(diag, KT_INVALID, "model.weights.h5",
                               "The file is not an HDF5 file, or it is damaged.");
        if (record.finding != KT_HDF5_FOUND) {
            status = report(graph->arena, variable, item, &record, diag);
            continue;
        }
        if (is_quantized_unsaid(variable, &record))
            status = kt_diag_add(diag, KT_UNSUPPORTED, layer_path(graph->arena, variable->path),
                                 "Its weights are quantized (dataset %s of model.weights.h5 holds int8), but "
                                 "config.json does not say so; Keras cannot load them either.",
                                 variable->file_path);
        if (!kt_hdf5_is_believable(&record, item)) return cut_short(c, &request->limits, diag);
        void *stored = kt_arena_alloc(graph->arena, record.bytes + 1);
        if (!kt_hdf5_receive(c, stored, record.bytes)) return cut_short(c, &request->limits, diag);
        if (record.dtype != variable->type.dtype) {
            size_t size = kt_dtype_bytes(variable->type.dtype), had = kt_dtype_bytes((kt_dtype)record.dtype);
            void *converted = kt_arena_alloc(graph->arena, record.bytes / had * size + 1);
            convert((kt_dtype)record.dtype, stored, variable->type.dtype, converted, record.bytes / had);
            stored = converted;
        }
        variable->data = stored;
    }
    return status;
}

/* No file can hold what has no size in bytes; all that comes after multiplies dimensions without a care. */
static kt_status check_size(kt_graph *graph, const kt_variable *variable, const kt_hdf5_item *item,
                            kt_diag *diag) {
    int64_t bytes = sizeof(double); /* of an element as it may be stored */
    for (int d = 0; d < item->rank; d++) {
        if (__builtin_mul_overflow(bytes, item->dims[d], &bytes) || bytes > PTRDIFF_MAX / 2)
            return kt_diag_add(diag, KT_INVALID, layer_path(graph->arena, variable->path),
                               "%s would have the shape %s, which is more than any memory holds.",
                               variable->path, shape_string(graph->arena, item->rank, item->dims));
    }
    return KT_OK;
}

static void stop(void *reader) { kt_hdf5_stop(reader); }

kt_status kt_weights_read_with(kt_graph *graph, kt_bytes file, kt_hdf5_child_fn *run,
                               const kt_hdf5_limits *limits, kt_diag *diag) {
    kt_hdf5_item *items = KT_NEW_ARRAY(graph->arena, kt_hdf5_item, graph->variables.count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        kt_variable *variable = &graph->variables.at[i];
        bool in_file = variable->file_path && variable->kind == KT_VARIABLE_WEIGHT;
        if (!in_file && variable->data) continue;
        if (!in_file) {
            size_t bytes = (size_t)kt_type_static_bytes(graph->dims, &variable->type);
            variable->data = kt_arena_alloc(graph->arena, bytes + 1);
            continue;
        }
        kt_hdf5_item *item = &items[count++];
        item->file_path = variable->file_path;
        item->variable = i;
        item->rank = variable->type.rank;
        for (int d = 0; d < item->rank; d++)
            if (!kt_dim_is_const(graph->dims, variable->type.dims[d], &item->dims[d]))
                KT_BUG("variable %s has no fixed shape", variable->path);
        KT_TRY(check_size(graph, variable, item, diag));
    }
    kt_hdf5_request request = {.file = file, .items = items, .count = count, .limits = *limits};
    kt_hdf5_reader *c = KT_NEW(graph->arena, kt_hdf5_reader);
    kt_arena_defer(graph->arena, stop, c); /* where memory runs out on the way */
    int error = kt_hdf5_start(c, &request, run);
    if (error)
        return kt_diag_add(diag, KT_IO, "model.weights.h5",
                           "The process that reads the weights could not be started: %s.", strerror(error));
    kt_status status = receive_all(c, graph, &request, diag);
    kt_hdf5_stop(c);
    return status;
}

kt_status kt_weights_read(kt_graph *graph, kt_bytes file, kt_diag *diag) {
    const kt_hdf5_limits limits = kt_hdf5_usual_limits(file.count);
    return graph->variables.count ? kt_weights_read_with(graph, file, kt_hdf5_child, &limits, diag) : KT_OK;
}
