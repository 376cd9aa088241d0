#!/bin/sh
# Trainers as libraries in each form: they train, save and load from C; what they save is a model like any other.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
cd "$work"
flags="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I."
[ -z "$SANITIZE" ] || flags="$flags -fsanitize=$SANITIZE"

for ending in so a o; do
    "$KERATIN" compile "$here/trainer.keras" --train -o "trainer.$ending"
    mkdir "$ending"
    $CC $flags -DLINKED "$here/trainer.c" "./trainer.$ending" -o "with_$ending" -lm -pthread
    "./with_$ending" - "$ending" "$here/trainer_x.npy" "$here/trainer_y.npy" >"$ending/evaluated" || fail "trainer.$ending"
    # Another shared library may hold it.
    $CC $flags -shared -o "held.so" -Wl,--whole-archive "./trainer.$ending" -Wl,--no-whole-archive -lm -pthread ||
        fail "trainer.$ending does not go into a shared library"
done
mkdir opened
$CC $flags "$here/trainer.c" -o opening -pthread
./opening ./trainer.so opened "$here/trainer_x.npy" "$here/trainer_y.npy" >opened/evaluated || fail "trainer.so, opened"
for form in a o opened; do
    cmp so/last0.keras "$form/last0.keras" || fail "a library in another form trains or saves something else: $form"
done

# What a library saved is what programs evaluate.
"$KERATIN" compile "$here/trainer.keras" --train -o program
./program evaluate --data "$here/trainer_x.npy" --labels "$here/trainer_y.npy" --batch-size 96 --weights so/last0.keras >evaluated
sed 's/.*"loss": \([^,}]*\).*/\1/' evaluated >loss
expect_text "\"loss\": $(cat loss)[,}]" so/evaluated

# Weights beside a library are what it begins with, or those of another file.
cat >beside.c <<'END'
#include "beside.h"
#include <stdio.h>
int main(int argc, char **argv) {
    beside *model = argc > 2 ? beside_create_from(1, argv[2]) : beside_create(1);
    if (!model || beside_save(model, argv[1])) return 1;
    beside_destroy(model);
    return 0;
}
END
"$KERATIN" compile "$here/trainer.keras" --train --weights=file -o beside.so
"$KERATIN" weights so/last0.keras -o last.weights
$CC $flags beside.c ./beside.so -o with_beside -pthread
./with_beside first.keras && ./with_beside second.keras last.weights || fail "weights beside a library that trains"
"$KERATIN" weights first.keras -o - | cmp - beside.so.weights || fail "a library does not begin with the weights beside it"
"$KERATIN" weights second.keras -o - | cmp - last.weights || fail "a library does not begin with other weights"

# One file, and nothing exported but its own.
[ -n "$SANITIZE" ] || ! ldd trainer.so | grep -v 'linux-vdso\|libm\.\|libc\.\|ld-linux' || fail "trainer.so needs more than libc and libm"
[ -n "$SANITIZE" ] || [ "$(wc -c <trainer.so)" -lt 6000000 ] || fail "trainer.so has $(wc -c <trainer.so) bytes"
for file in trainer.o trainer.so; do
    exported=$(nm $([ $file = trainer.so ] && echo -D) --defined-only --extern-only $file | awk '{print $3}' | grep -v '^trainer_' || true)
    [ -n "$SANITIZE" ] || [ -z "$exported" ] || fail "$file also exports $exported"
done
