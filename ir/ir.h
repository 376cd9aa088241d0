/* The graph: one typed, pure SSA form that every reader makes and every pass keeps.
 *
 * A graph holds functions. An entry ("predict") is what a program offers; a body is a composite (softmax,
 * layer_norm) that a `call` names, the step of one `scan`, or a fused kernel. A function is a list of nodes in an order in which every
 * value is defined before it is used. Nodes, values, functions and locations are 32-bit indices into arrays of
 * the graph, so that order is deterministic; index 0 is none. Everything lives in the graph's arena.
 *
 * Variables are pure: an entry takes a variable's value as a parameter and gives its new value as a result;
 * a parameter and a result of one variable are donated to each other, as in XLA.
 *
 * Passes do not edit nodes: they write a function anew through a builder (kt_builder_begin_rewrite) and put it
 * in place of the old one. Shape inference thus runs at one place, the builder. */
#ifndef KT_IR_IR_H
#define KT_IR_IR_H

#include "ir/attributes.h"
#include "support/table.h"

typedef uint32_t kt_value;
typedef uint32_t kt_node;
typedef uint32_t kt_loc;

/* What a parameter or result of a function stands for. */
typedef enum kt_role {
    KT_ROLE_PLAIN,    /* of bodies and kernels */
    KT_ROLE_INPUT,    /* parameter: what the user feeds, by name */
    KT_ROLE_OUTPUT,   /* result: what the user gets, by name */
    KT_ROLE_VARIABLE, /* index: kt_graph.variables */
    KT_ROLE_CONSTANT, /* index: kt_graph.constants: a result of `prepare`, a parameter of the others */
} kt_role;

typedef struct kt_port {
    kt_value value;
    kt_role role;
    uint32_t index;   /* see kt_role; inputs and outputs: position among their like */
    const char *name; /* inputs and outputs */
} kt_port;

typedef enum kt_func_kind { KT_FUNC_ENTRY, KT_FUNC_BODY, KT_FUNC_KERNEL, KT_FUNC_STEP } kt_func_kind;

typedef struct kt_function {
    const char *name;      /* unique in the graph */
    kt_func_kind kind;
    const char *composite; /* bodies: the composite's name ("softmax"); else NULL */
    KT_VECTOR(kt_port) params;
    KT_VECTOR(kt_port) results;
    KT_VECTOR(kt_node) nodes;
} kt_function;

typedef struct kt_node_info {
    kt_op op;
    kt_loc loc;
    uint32_t operand_count, result_count;
    const kt_value *operands;
    kt_value first_result; /* results are consecutive values */
    const void *attrs;     /* struct kt_attrs_NAME, or NULL where the operation has none */
} kt_node_info;

typedef struct kt_value_info {
    kt_type type;
    kt_node node;   /* 0: a parameter */
    uint32_t index; /* which result of the node, or which parameter */
} kt_value_info;

/* What a variable is for. */
typedef enum kt_variable_kind {
    KT_VARIABLE_WEIGHT, /* of a layer */
    KT_VARIABLE_STATE,  /* of a layer, from call to call: recurrent states, seed generators; not in Keras's file */
    KT_VARIABLE_SLOT,   /* of an optimizer */
    KT_VARIABLE_METRIC, /* set back to its first value when an epoch begins */
} kt_variable_kind;
const char *kt_variable_kind_name(kt_variable_kind kind); /* "weight", "state", … */

typedef struct kt_variable {
    const char *path;      /* Keras's variable.path: "dense/kernel" */
    const char *file_path; /* its place in Keras's weight file: "layers/dense/vars/0" */
    kt_type type;          /* static */
    bool trainable;
    kt_variable_kind kind;
    const void *data;      /* its value, dense and row-major; NULL: not known */
} kt_variable;

/* What `prepare` makes of the variables. */
typedef struct kt_constant {
    const char *name;
    kt_type type;
    const void *data; /* NULL until prepare has run */
} kt_constant;

/* Where a node comes from. Interned: equal locations have equal handles. */
typedef struct kt_loc_info {
    const char *path;     /* layer path and what it does there, "functional/dense/matmul"; NULL where fused */
    const char *file;     /* C source, or NULL */
    uint32_t line;
    const kt_loc *parts;  /* fused: the locations of all that went in, each once, in order */
    uint32_t part_count;
} kt_loc_info;

/* An equality of dimensions that could not be proved; it becomes a check at the entry. */
typedef struct kt_equality {
    kt_dim left, right;
    const char *sentence;
} kt_equality;

typedef struct kt_graph {
    kt_arena *arena;
    kt_dim_pool *dims;
    const char *name;
    KT_VECTOR(kt_function) functions; /* [0] unused */
    KT_VECTOR(kt_node_info) nodes;    /* [0] unused */
    KT_VECTOR(kt_value_info) values;  /* [0] unused */
    KT_VECTOR(kt_loc_info) locations; /* [0]: unknown */
    KT_VECTOR(kt_variable) variables;
    KT_VECTOR(kt_constant) constants;
    KT_VECTOR(kt_equality) equalities;
    kt_table location_table, body_table;
} kt_graph;

kt_graph *kt_graph_create(kt_arena *arena, const char *name);

static inline kt_function *kt_graph_function(const kt_graph *graph, kt_func func) { return &graph->functions.at[func]; }
static inline const kt_node_info *kt_graph_node(const kt_graph *graph, kt_node node) { return &graph->nodes.at[node]; }
static inline const kt_value_info *kt_graph_value(const kt_graph *graph, kt_value value) { return &graph->values.at[value]; }
static inline const kt_type *kt_graph_type(const kt_graph *graph, kt_value value) { return &graph->values.at[value].type; }
/* The node that defines value, or NULL for a parameter. */
const kt_node_info *kt_graph_definition(const kt_graph *graph, kt_value value);
kt_func kt_graph_find(const kt_graph *graph, const char *name); /* 0 if there is none */
/* The functions of one kind in order: kt_graph_next(graph, KT_FUNC_ENTRY, 0), then with the last one; 0 at the end. */
kt_func kt_graph_next(const kt_graph *graph, kt_func_kind kind, kt_func after);
uint32_t kt_graph_add_variable(kt_graph *graph, const kt_variable *variable);
uint32_t kt_graph_add_constant(kt_graph *graph, const kt_constant *constant);
/* The concat that defines value, if its parts are of one type and some, each at least KT_LEAST_RUN elements side by side: a
 * kernel then computes the same element of all parts at a time. Else NULL. */
enum { KT_MOST_PARTS = 8, KT_LEAST_RUN = 16 };
const kt_node_info *kt_graph_parted(const kt_graph *graph, kt_value value);
/* The type whose places a kernel goes over to make value: that of its parts, or its own. */
const kt_type *kt_graph_places(const kt_graph *graph, kt_value value);
/* Where operand number `part` begins along the axis of concat. */
kt_dim kt_graph_part_begin(const kt_graph *graph, const kt_node_info *concat, uint32_t part);
/* The function that a node runs; 0: none. */
kt_func kt_node_callee(const kt_node_info *node);
/* Drops functions that no entry reaches, and renumbers. */
void kt_graph_drop_unreachable(kt_graph *graph);

kt_loc kt_loc_path(kt_graph *graph, const char *path);
kt_loc kt_loc_source(kt_graph *graph, const char *path, const char *file, uint32_t line);
kt_loc kt_loc_fuse(kt_graph *graph, const kt_loc *parts, uint32_t count);
void kt_loc_print(const kt_graph *graph, kt_loc loc, kt_text *out_text); /* for people: "dense/matmul, dense/relu" */

/* ---- builder: appends nodes to a function that is being written ---------------------------------------- *
 * The first wrong node records a sentence in diag, naming the location; from then on every kt_build function
 * returns 0 at once, and kt_builder_finish fails. So callers need not check between. */
typedef struct kt_builder {
    kt_graph *graph;
    kt_diag *diag;
    kt_function function; /* what has been written */
    kt_loc loc;           /* of the nodes that are added */
    kt_status status;
    kt_value *replacement; /* rewrite: by old value, the new one; else NULL */
    uint32_t replacement_count;
    kt_func rewrites;      /* rewrite: the function that kt_builder_finish replaces; else 0 */
} kt_builder;

void kt_builder_begin(kt_builder *out_builder, kt_graph *graph, kt_func_kind kind, const char *name, kt_diag *diag);
kt_value kt_builder_param(kt_builder *builder, kt_role role, const char *name, uint32_t index, const kt_type *type);
void kt_builder_result(kt_builder *builder, kt_role role, const char *name, uint32_t index, kt_value value);
/* Puts the function into the graph. out_func may be NULL. */
kt_status kt_builder_finish(kt_builder *builder, kt_func *out_func) KT_MUST_USE;

/* Writes a function anew. begin copies the parameters (dropping none); then for each old node in order the
 * caller either builds something else and tells kt_builder_replace, or copies it with kt_builder_copy, which
 * takes operands from the replacements. kt_builder_copy_results adds the old results. Old values that were
 * never replaced read as 0. */
void kt_builder_begin_rewrite(kt_builder *out_builder, kt_graph *graph, kt_func func, kt_diag *diag);
kt_value kt_builder_lookup(const kt_builder *builder, kt_value old_value);
void kt_builder_replace(kt_builder *builder, kt_value old_value, kt_value new_value);
void kt_builder_copy(kt_builder *builder, kt_node old_node);
void kt_builder_copy_results(kt_builder *builder);

/* Composites: begin a body over operand types, build it, then call it. Bodies that print alike
 * (anonymously) are one.
 *   kt_builder body; kt_value p[2];
 *   kt_builder_begin_composite(&body, builder, "softmax", operands, 2, p);
 *   … kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, y);
 *   kt_build_composite(builder, &body, operands, 2, results); */
void kt_builder_begin_composite(kt_builder *out_body, const kt_builder *builder, const char *composite,
                                const kt_value *operands, uint32_t count, kt_value *out_params);
void kt_build_composite(kt_builder *builder, kt_builder *body, const kt_value *operands, uint32_t count,
                        kt_value *out_results);

/* Any operation; returns its first result. attrs is copied. */
kt_value kt_build_node(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count, const void *attrs);
const kt_type *kt_build_type(const kt_builder *builder, kt_value value); /* of an invalid value: a scalar */
/* Records a problem at the builder's location; returns 0. */
kt_value kt_build_fail(kt_builder *builder, kt_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define KT_UNARY(name, domain, gradient, doc)          kt_value kt_build_##name(kt_builder *builder, kt_value x);
#define KT_BINARY(name, domain, traits, gradient, doc) kt_value kt_build_##name(kt_builder *builder, kt_value x, kt_value y);
#define KT_COMPARE(name, domain, doc)        kt_value kt_build_##name(kt_builder *builder, kt_value x, kt_value y);
#define KT_OP(name, operands, results, traits, gradient, doc)
#include "ir/ops.def"
kt_value kt_build_select(kt_builder *builder, kt_value condition, kt_value x, kt_value y);
kt_value kt_build_cast(kt_builder *builder, kt_value x, kt_dtype dtype); /* x itself if it has the dtype */
kt_value kt_build_constant(kt_builder *builder, const kt_type *type, const void *data); /* data is copied */
kt_value kt_build_scalar(kt_builder *builder, kt_dtype dtype, double number);
kt_value kt_build_iota(kt_builder *builder, const kt_type *type, int axis);
kt_value kt_build_philox(kt_builder *builder, kt_value key, kt_value counter, int rank, const kt_dim *shape);
kt_value kt_build_size(kt_builder *builder, kt_dim dim);
kt_value kt_build_reshape(kt_builder *builder, kt_value x, int rank, const kt_dim *shape);
kt_value kt_build_transpose(kt_builder *builder, kt_value x, const int64_t *axes);
kt_value kt_build_broadcast(kt_builder *builder, kt_value x, int rank, const kt_dim *shape, const int64_t *axes);
kt_value kt_build_slice(kt_builder *builder, kt_value x, const kt_dim *start, const kt_dim *limit, const int64_t *strides);
kt_value kt_build_pad(kt_builder *builder, kt_value x, kt_value fill, const kt_dim *low, const kt_dim *high, const int64_t *interior);
kt_value kt_build_concat(kt_builder *builder, const kt_value *parts, uint32_t count, int axis);
kt_value kt_build_reverse(kt_builder *builder, kt_value x, uint32_t count, const int64_t *axes);
kt_value kt_build_gather(kt_builder *builder, kt_value x, kt_value indices, int axis, int batch_dims);
kt_value kt_build_reduce(kt_builder *builder, kt_value x, kt_reduction kind, uint32_t count, const int64_t *axes);
kt_value kt_build_arg_reduce(kt_builder *builder, kt_value x, kt_reduction kind, int axis, kt_dtype dtype);
kt_value kt_build_reduce_window(kt_builder *builder, kt_value x, const kt_attrs_reduce_window *attrs);
kt_value kt_build_cumulative(kt_builder *builder, kt_value x, const kt_attrs_cumulative *attrs);
kt_value kt_build_scatter(kt_builder *builder, kt_value x, kt_value positions, kt_value updates, const kt_attrs_scatter *attrs);
kt_value kt_build_dot_general(kt_builder *builder, kt_value x, kt_value y, const kt_attrs_dot_general *attrs);
kt_value kt_build_conv(kt_builder *builder, kt_value x, kt_value kernel, const kt_attrs_conv *attrs);
kt_value kt_build_conv_by_kernel(kt_builder *builder, kt_value x, kt_value cotangent, const kt_attrs_conv_by_kernel *attrs);
kt_value kt_build_winograd(kt_builder *builder, kt_value x, kt_value kernel, const kt_attrs_winograd *attrs);
/* results: one value for each result of callee. */
void kt_build_call(kt_builder *builder, kt_func callee, const kt_value *operands, uint32_t count, kt_value *out_results);

/* A scan by step, which must be the body of no other. results: one value for each result of the step. */
void kt_build_scan(kt_builder *builder, const kt_attrs_scan *attrs, const kt_value *operands, uint32_t count, kt_value *out_results);
/* Any operation of several results, as kt_build_node. */
void kt_build_nodes(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count, const void *attrs, kt_value *out_results);

/* Conveniences over the primitives. */
kt_value kt_build_fill(kt_builder *builder, const kt_type *type, double number); /* a scalar, broadcast */
kt_value kt_build_like(kt_builder *builder, kt_value x, double number);          /* a fill of x's type */
/* NumPy's broadcasting: brings both to one shape. */
void kt_build_broadcast_pair(kt_builder *builder, kt_value *x, kt_value *y);
kt_value kt_build_broadcast_to(kt_builder *builder, kt_value x, int rank, const kt_dim *shape); /* NumPy's rule */
/* a and b must be equal: true if that is provable; else, if they may be, an entry check is added. False, and a
 * problem, if they cannot be equal. what names the place. */
bool kt_build_require_equal(kt_builder *builder, kt_dim a, kt_dim b, const char *what);
bool kt_build_require_at_least(kt_builder *builder, kt_dim dim, int64_t bound, const char *what); /* likewise */

/* ---- gradients ------------------------------------------------------------------------------- */
/* The derivatives of y, a float scalar of the function that is being written, by each of wrt, floats that it was
 * computed from (parameters or not): out_gradients[i] has the type of wrt[i], and is 0 where y does not depend on it.
 * They are ordinary nodes behind all there are, so that derivatives of them can be taken in turn; each has the
 * location "grad of …". Which operations have derivatives, ops.def says; stop_gradient keeps them from flowing, and
 * must not have been simplified away before. Operations that have none here fail with a sentence. */
void kt_build_gradient(kt_builder *builder, kt_value y, const kt_value *wrt, uint32_t count, kt_value *out_gradients);
/* The same, with no value (0) instead of zeros for what nothing that has a derivative leads from to y. */
void kt_build_reached_gradient(kt_builder *builder, kt_value y, const kt_value *wrt, uint32_t count,
                               kt_value *out_gradients);

/* ---- inference and verification -------------------------------------------------------------- */
typedef struct kt_infer {
    kt_graph *graph;
    kt_op op;
    const kt_type *operands;
    uint32_t operand_count;
    const void *attrs;
    kt_type *results; /* to be filled in */
    uint32_t result_count;
    kt_loc loc;
    kt_diag *diag;
} kt_infer;
/* Checks an operation's constraints C1, C2, … (documented above each kt_infer_NAME in ir/infer/) and gives the
 * results' types. */
kt_status kt_infer_node(kt_infer *infer) KT_MUST_USE;
/* Records "OP C<constraint>: …" at the location. */
kt_status kt_infer_fail(kt_infer *infer, int constraint, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Checks types, dominance, donation, roles, names, and each operation's constraints. */
kt_status kt_graph_verify(kt_graph *graph, kt_diag *diag) KT_MUST_USE;

/* ---- text form ------------------------------------------------------------------------------- */
/* Lossless: parsing and printing again gives the same bytes; ir/text/print.c describes the form. Functions are
 * printed before their callers, values numbered anew in each function, so that functions that are equal up to
 * numbering print alike. */
typedef struct kt_print_options {
    bool elide;     /* a hash stands for the bytes of constants and variables past 16 elements: for people only */
    bool anonymous; /* no function name, no locations: the key by which equal functions are found */
    /* By kt_node and kt_func, to be filled in: on which line they stand, the first being 1; or NULL. */
    uint32_t *node_lines, *function_lines;
} kt_print_options;
/* options may be NULL: all false. */
void kt_graph_print(const kt_graph *graph, const kt_print_options *options, kt_text *out_text);
/* An operation alone, on one line and without names: operands and results by their types. */
void kt_operation_print(const kt_graph *graph, const kt_node_info *node, kt_text *out_text);
void kt_function_print(const kt_graph *graph, const kt_function *function, const kt_print_options *options, kt_text *out_text);
/* text is NUL-terminated; the graph lives in arena. Problems carry "line N". */
kt_status kt_graph_parse(kt_arena *arena, const char *text, size_t length, kt_graph **out_graph, kt_diag *diag) KT_MUST_USE;

/* ---- protobuf form --------------------------------------------------------------------------- */
/* Holds the same as the text form (ir/packed/keratin.proto); reading and writing again gives the same bytes. */
#define KT_PACKED_INSIDE ((size_t)1 << 30)
/* Elements of more than `inside` bytes in all go into PATH.data beside path; "-" is standard output. */
kt_status kt_graph_write_packed(const kt_graph *graph, const char *path, size_t inside, kt_diag *diag) KT_MUST_USE;
bool kt_packed_is(const void *bytes, size_t count); /* by the first bytes */
/* path: where bytes come from, so that PATH.data is found; NULL: from standard input. The graph lives in arena, which
 * nothing of bytes is left in. Problems carry a function's or variable's name. */
kt_status kt_graph_read_packed(kt_arena *arena, const void *bytes, size_t count, const char *path,
                               kt_graph **out_graph, kt_diag *diag) KT_MUST_USE;

/* Writes path whole or not at all: in protobuf if it ends in .kpb, else as text; "-" is standard output. */
kt_status kt_graph_write(const kt_graph *graph, const char *path, kt_arena *scratch, kt_diag *diag) KT_MUST_USE;

/* ---- reference evaluator --------------------------------------------------------------------- */
typedef struct kt_tensor {
    kt_dtype dtype;
    int rank;
    int64_t dims[KT_MAX_RANK];
    void *data;
} kt_tensor;
size_t kt_tensor_elements(const kt_tensor *tensor);
size_t kt_tensor_bytes(const kt_tensor *tensor);

/* Runs func with plain loops. arguments: one a parameter of the roles PLAIN and INPUT, in order (variables and
 * constants are taken from the graph). symbols: by symbol index; NULL: read off the arguments' dims.
 * out_results: one a result, their data in arena, or where all that func takes is of the graph, also there. Integers wrap; f16 and bf16 round after every operation. */
kt_status kt_eval(kt_graph *graph, kt_func func, const int64_t *symbols, const kt_tensor *arguments,
                  uint32_t argument_count, kt_arena *arena, kt_tensor *out_results, kt_diag *diag) KT_MUST_USE;
/* As kt_eval without arguments, but large products may be OpenBLAS's, whose sums have an order of its own (on one
 * machine always the same). */
kt_status kt_eval_fast(kt_graph *graph, kt_func func, kt_arena *arena, kt_tensor *out_results, kt_diag *diag) KT_MUST_USE;
/* One node, its operands given: what constant folding uses. */
kt_status kt_eval_node(kt_graph *graph, kt_node node, const kt_tensor *operands, kt_arena *arena,
                       kt_tensor *out_results, kt_diag *diag) KT_MUST_USE;

#endif
