/* Tuning files: what is read prints and reads the same. */
#include "fuzz.h"
#include "passes/tuning.h"

#include <string.h>

static kt_status read_tuning(kt_arena *arena, kt_bytes input, kt_diag *diag) {
    kt_tuning tuning = {.arena = arena}, again = {.arena = arena};
    kt_text text = {.arena = arena}, second = {.arena = arena};
    KT_TRY(kt_tuning_parse(&tuning, (char *)input.at, input.count, diag));
    kt_tuning_print(&tuning, &text);
    char *copy = kt_arena_string(arena, kt_text_string(&text));
    kt_diag none = {0};
    if (kt_tuning_parse(&again, copy, text.length, &none) != KT_OK)
        KT_BUG("what was printed does not read: %s", none.count ? none.problems[0].text : "");
    kt_tuning_print(&again, &second);
    if (strcmp(kt_text_string(&text), kt_text_string(&second)) != 0) KT_BUG("it prints otherwise");
    return KT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader(read_tuning, data, size);
    return 0;
}
