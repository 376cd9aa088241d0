/* Debug information: each instruction of a kernel has the line of the graph's text on which the node stands
 * that it was made for. So perf annotate and gdb show operations, types and layers as the "source". A kernel
 * is a function of that file, under its plain name. */
#include "codegen/llvm/llvm_impl.h"

#include <llvm-c/DebugInfo.h>
#include <string.h>

static void add_flag(kt_module *module, const char *name, unsigned value) {
    LLVMValueRef number = LLVMConstInt(LLVMInt32TypeInContext(module->context), value, false);
    LLVMAddModuleFlag(module->module, LLVMModuleFlagBehaviorWarning, name, strlen(name),
                      LLVMValueAsMetadata(number));
}

static void dispose(void *builder) {
    if (!kt_llvm_is_exhausted()) LLVMDisposeDIBuilder(builder);
}

void kt_llvm_debug_begin(kt_module *module) {
    const kt_debug *debug = module->options.debug;
    static const char producer[] = "Keratin " KT_VERSION;
    if (!debug) return;
    add_flag(module, "Debug Info Version", LLVMDebugMetadataVersion());
    add_flag(module, "Dwarf Version", 5);
    module->debug = LLVMCreateDIBuilder(module->module);
    kt_arena_defer(module->arena, dispose, module->debug);
    module->debug_file = LLVMDIBuilderCreateFile(module->debug, debug->file, strlen(debug->file),
                                                 debug->directory, strlen(debug->directory));
    LLVMDIBuilderCreateCompileUnit(module->debug, LLVMDWARFSourceLanguageC11, module->debug_file, producer,
                                   sizeof producer - 1, module->options.level > 0, "", 0, 0, "", 0,
                                   LLVMDWARFEmissionFull, 0, false, false, "", 0, "", 0);
}

LLVMMetadataRef kt_llvm_debug_kernel(kt_module *module, LLVMValueRef function, const kt_loops *loops) {
    if (!module->debug) return NULL;
    unsigned line = module->options.debug->function_lines[kt_graph_find(loops->graph, loops->name)];
    LLVMMetadataRef type =
        LLVMDIBuilderCreateSubroutineType(module->debug, module->debug_file, NULL, 0, LLVMDIFlagZero);
    LLVMMetadataRef scope = LLVMDIBuilderCreateFunction(
        module->debug, module->debug_file, loops->name, strlen(loops->name), "", 0, module->debug_file, line,
        type, true, true, line, LLVMDIFlagZero, module->options.level > 0);
    LLVMSetSubprogram(function, scope);
    return scope;
}

void kt_llvm_debug_at(const kt_module *module, LLVMBuilderRef builder, LLVMMetadataRef scope,
                      const kt_loops *loops, kt_node node) {
    if (!scope) return;
    const kt_debug *debug = module->options.debug;
    unsigned line =
        node ? debug->node_lines[node] : debug->function_lines[kt_graph_find(loops->graph, loops->name)];
    LLVMSetCurrentDebugLocation2(builder,
                                 LLVMDIBuilderCreateDebugLocation(module->context, line, 0, scope, NULL));
}

void kt_llvm_debug_end(kt_module *module) {
    if (module->debug) LLVMDIBuilderFinalize(module->debug);
}
