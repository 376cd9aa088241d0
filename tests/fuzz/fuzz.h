/* What the fuzz targets share. Each NAME_fuzz.c defines LLVMFuzzerTestOneInput, and is built twice: with
 * libFuzzer where the compiler has it (preset asan, label fuzz), and everywhere with replay.c, which runs it
 * over the committed corpus. What once went wrong lies in corpus/NAME and is thus tried in every test run.
 *
 * A reader has done well if it returned KT_OK and no sentence, or another status and at least one sentence.
 */
#ifndef KT_TESTS_FUZZ_FUZZ_H
#define KT_TESTS_FUZZ_FUZZ_H

#include "frontend/keras/keras_impl.h"
#include "runtime/tensor_io/tensor_io_impl.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs body over a copy of the bytes, a NUL behind them, in an arena of its own. */
typedef kt_status fuzz_body(kt_arena *arena, kt_bytes input, kt_diag *diag);
void fuzz_reader(fuzz_body *body, const uint8_t *data, size_t size);

/* The same for readers of arrays; what was read is written as .npy and CSV, to nowhere. */
typedef int fuzz_arrays_body(const kt_io *io, uint8_t *bytes, size_t count, kt_arrays *out_arrays);
void fuzz_arrays(fuzz_arrays_body *body, const uint8_t *data, size_t size);

/* json.c: changes a JSON text of size bytes in place, in room bytes, so that it stays JSON; returns its new
 * size, 0 where it was no JSON or grew too large. other: another text whose parts may be taken, or NULL. */
size_t fuzz_json_mutate(uint8_t *data, size_t size, size_t room, unsigned seed, const uint8_t *other,
                        size_t other_size);

#endif
