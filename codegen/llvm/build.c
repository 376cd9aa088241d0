/* From a graph in kernels to an optimised LLVM module: each kernel by way of its loop form, then the tables.
 */
#include "codegen/in_place.h"
#include "codegen/inspect.h"
#include "codegen/llvm/llvm_impl.h"

kt_status kt_module_build(const kt_program_source *source, const kt_target *target,
                          const kt_module_options *options, kt_arena *arena, kt_module **out_module,
                          kt_diag *diag) {
    kt_module *module;
    kt_graph *graph = source->graph;
    KT_TRY(kt_module_create(target, options, arena, &module, diag));
    double start = kt_seconds_now();
    kt_llvm_number_symbols(module, graph);
    kt_llvm_debug_begin(module);
    LLVMValueRef *kernels = KT_NEW_ARRAY(arena, LLVMValueRef, graph->functions.count);
    const kt_loops **forms = KT_NEW_ARRAY(arena, const kt_loops *, graph->functions.count);
    for (kt_func func = kt_graph_next(graph, KT_FUNC_KERNEL, 0); func;
         func = kt_graph_next(graph, KT_FUNC_KERNEL, func)) {
        kt_loops *loops = KT_NEW(arena, kt_loops);
        KT_TRY(kt_lower_kernel(graph, func, target, arena, loops, diag));
        KT_PUSH(arena, &module->kernels, loops);
        forms[func] = loops;
        kernels[func] = kt_llvm_kernel(module, loops);
    }
    for (uint32_t i = 0; options->verify && i < source->plan_count; i++)
        KT_TRY(kt_in_place_check(graph, &source->plans[i], forms, diag));
    if (options->verify && source->prepare) KT_TRY(kt_in_place_check(graph, source->prepare, forms, diag));
    kt_llvm_debug_end(module);
    KT_TRY(kt_llvm_program(module, source, kernels, diag));
    double lowered = kt_seconds_now();
    KT_TRY(kt_llvm_optimise(module, diag));
    module->lower_seconds = lowered - start;
    module->optimise_seconds = kt_seconds_now() - lowered;
    *out_module = module;
    return KT_OK;
}
