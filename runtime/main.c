/* Alone in its file, so that only executables take it from the archive. */
#include "runtime/runtime.h"

int main(int argc, char **argv) { return kt_program_main(&kt_main_program, argc, argv); }
