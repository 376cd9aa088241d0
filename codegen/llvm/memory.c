/* Memory that runs out inside LLVM. LLVM is C++: its operator new would throw, which nothing here can catch,
 * and its other allocations end the process. Both have handlers, whose C++ names stand here by their symbols;
 * ours leave through kt_guarded, as all that runs out of memory does.
 *
 * The frames that are left were LLVM's, which is then in an unknown state: nothing of it is released, and
 * kt_llvm_enter refuses to begin with it again in this process. */
#include "codegen/llvm/llvm_impl.h"

#include <pthread.h>
#include <stdatomic.h>

typedef void new_handler(void);
new_handler *set_new_handler(new_handler *handler) __asm__("_ZSt15set_new_handlerPFvvE");
void install_bad_alloc_error_handler(
    void (*handler)(void *context, const char *reason, bool crash_diagnostics),
    void *context) __asm__("_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_");

static new_handler *others; /* what was there before */
static atomic_bool exhausted;

static void leave(void) {
    atomic_store(&exhausted, true);
    kt_out_of_memory();
}

static void leave_new(void) {
    if (kt_is_guarded()) leave();
    if (others)
        others();
    else
        set_new_handler(NULL); /* operator new goes on to throw */
}

static void leave_allocation(void *context, const char *reason, bool crash_diagnostics) {
    (void)context, (void)reason, (void)crash_diagnostics;
    leave();
}

static void install(void) {
    others = set_new_handler(leave_new);
    install_bad_alloc_error_handler(leave_allocation, NULL);
}

kt_status kt_llvm_enter(kt_diag *diag) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install);
    if (!atomic_load(&exhausted)) return KT_OK;
    return kt_diag_add(diag, KT_OUT_OF_MEMORY, NULL,
                       "memory ran out inside LLVM before; this process can compile nothing more.");
}

bool kt_llvm_is_exhausted(void) { return atomic_load(&exhausted); }
