/* libc's streams for libhdf5 inside libraries.
 *
 * Debian compiles libhdf5.a for executables: it reads stdout and stderr at addresses that the linker must
 * know, which it does not in a shared object. Nothing else keeps that archive out of one. So libraries are
 * linked with --wrap for these two names (codegen/link.c), and what libhdf5 then refers to are these
 * variables. */
#include <stdio.h>

extern FILE *__real_stdout, *__real_stderr;
extern FILE *__wrap_stdout, *__wrap_stderr;
FILE *__wrap_stdout, *__wrap_stderr;

__attribute__((constructor)) static void take_streams(void) {
    __wrap_stdout = __real_stdout;
    __wrap_stderr = __real_stderr;
}
