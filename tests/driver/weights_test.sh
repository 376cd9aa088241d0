# Weights in a file: beside programs and libraries, other ones by name, and what is said of wrong files.
. "$(dirname "$0")/common.sh"
cd "$work"
flags="-std=c11 -Wall -Wextra -Werror -I."
[ -z "$SANITIZE" ] || flags="$flags -fsanitize=$SANITIZE"

# y = x * sqrt(w), of which sqrt(w) is prepared.
model() { # w
    cat <<END
graph "scale"
symbols batch
variable @layer/w : f32[2] = [$1]
variable @unused : i64[3,1] = [1, 2, 3]

entry @predict(
    input 0 "x" %0: f32[batch,2],
    variable @layer/w %1: f32[2]
) {
  %2 = sqrt(%1) : f32[2]
  %3 = broadcast(%2) shape=[batch,2] axes=[1] : f32[batch,2]
  %4 = mul(%0, %3) : f32[batch,2]
  return output 0 "y" %4
}
END
}
model "4, 9" >one.kir
model "16, 25" >two.kir
echo 1,2 >x.csv
predicts() { # EXPECTED COMMAND…
    expected=$1
    shift
    got=$("$@" --input x.csv)
    [ "$got" = "$expected" ] || fail "$got instead of $expected: $*"
}

# Beside the program, wherever both are, whatever they are called; and another file by name.
mkdir -p dir elsewhere
"$KERATIN" compile one.kir -o dir/scale --weights=file
[ -f dir/scale.weights ] || fail "no dir/scale.weights"
predicts 2,6 dir/scale
"$KERATIN" weights two.kir -o two.weights
predicts 4,10 dir/scale --weights two.weights
predicts 4,10 dir/scale --weights two.weights --threads 1
mv dir/scale elsewhere/moved && mv dir/scale.weights elsewhere/moved.weights
(cd / && predicts_from=$work/elsewhere/moved && [ "$(echo 1,2 | "$predicts_from" --input -)" = 2,6 ]) || fail "moved"
cp two.weights elsewhere/moved.weights
predicts 4,10 elsewhere/moved
elsewhere/moved benchmark --weights two.weights >benchmark.json
elsewhere/moved describe | grep -q '"path": "layer/w", "file_path": null' || fail "describe"

# What `weights` and `compile` write is the same, twice, for any target and level.
"$KERATIN" weights one.kir -o one.weights
"$KERATIN" weights one.kir -o - | cmp - one.weights || fail "weights on standard output"
for options in -O0 -O3 '--cpu x86-64-v3'; do
    [ "$(uname -m)" = x86_64 ] || [ "$options" = -O0 ] || continue
    "$KERATIN" compile one.kir -o other --weights=file $options
    cmp other.weights one.weights || fail "$options: other weights"
done

# The model's own weights do not lie in the program.
"$KERATIN" compile "$digits/digits.keras" -o digits --weights=file
"$KERATIN" compile "$digits/digits.keras" -o embedded --name digits
./digits --input "$digits/images.npy" --output file.npy
./embedded --input "$digits/images.npy" --output inside.npy
"$COMPARE" close file.npy inside.npy
[ "$(wc -c <digits)" -lt "$(wc -c <embedded)" ] || fail "the program holds its weights all the same"
mkdir again && "$KERATIN" compile "$digits/digits.keras" -o again/digits --weights=file
cmp digits again/digits && cmp digits.weights again/digits.weights || fail "other bytes the second time"

# Wrong files: one sentence, status 1.
wrong() { # FILE SENTENCE
    expect_status 1 ./digits --input "$digits/images.npy" --output y.npy --weights "$1"
    expect_errors 1
    expect_text "$2" "$work/errors"
    [ ! -e y.npy ] || fail "a result was written"
}
wrong two.weights 'two.weights holds the weights of another model'
wrong missing.weights 'Cannot read the weights in missing.weights: No such file'
wrong x.csv 'x.csv is no .weights file'
wrong / '/ is no .weights file'
: >empty.weights && wrong empty.weights 'empty.weights is no .weights file'
head -c 20000 digits.weights >short.weights && wrong short.weights 'short.weights is damaged: it has 20000 bytes'
{ cat digits.weights && echo; } >long.weights && wrong long.weights 'long.weights is damaged'
{ printf KTWEIGHT && printf '\002' && tail -c +10 digits.weights; } >later.weights
wrong later.weights 'later.weights has version 2'
rm digits.weights
expect_status 1 ./digits --input "$digits/images.npy" --output y.npy
expect_errors 1
expect_text "Cannot read the weights in .*/digits.weights" errors
expect_status 2 ./embedded --input "$digits/images.npy" --weights two.weights
expect_text 'The weights are in this program' errors
expect_status 2 "$KERATIN" compile one.kir -o bad --weights=both
model "4, 9" | sed 's/ = \[4, 9\]//' >none.kir
expect_status 1 "$KERATIN" weights none.kir -o none.weights
expect_errors 1
[ ! -e none.weights ] || fail "none.weights was written"

# Libraries: beside the shared library; in the directory of what objects and archives were linked into.
cat >main.c <<'END'
#include "scale.h"
#include <stdio.h>
int main(int argc, char **argv) {
    float x[2] = {1, 2}, y[2];
    scale *model = argc > 1 ? scale_create_from(1, argv[1]) : scale_create(1);
    if (!model || scale_predict(model, 1, x, y)) return 1;
    printf("%g,%g\n", y[0], y[1]);
    scale_destroy(model);
    return 0;
}
END
for ending in so a o; do
    mkdir -p "lib$ending" "bin$ending"
    "$KERATIN" compile one.kir -o "lib$ending/scale.$ending" --weights=file
    cp "lib$ending/scale.h" .
    $CC $flags main.c "lib$ending/scale.$ending" -o "bin$ending/main" -lm -pthread
    [ $ending = so ] || cp "lib$ending/scale.$ending.weights" "bin$ending/"
    [ "$("bin$ending/main")" = 2,6 ] || fail ".$ending: weights beside it"
    [ "$("bin$ending/main" two.weights)" = 4,10 ] || fail ".$ending: other weights"
    ! "bin$ending/main" x.csv || fail ".$ending: wrong weights were taken"
    rm "lib$ending/scale.$ending.weights" && rm -f "bin$ending/scale.$ending.weights"
    ! "bin$ending/main" || fail ".$ending: missing weights were not missed"
done
"$KERATIN" compile one.kir -o scale.h
! grep -q create_from scale.h || fail "create_from without --weights=file"

# Graphs whose `prepare` is something else.
cat >prepare.kir <<'END'
graph "prepare"
symbols batch
entry @prepare(
    input 0 "x" %0: f32[batch,2]
) {
  %1 = mul(%0, %0) : f32[batch,2]
  return output 0 "y" %1
}
END
cat >constant.kir <<'END'
graph "constant"
symbols batch
constant @table : f32[2] = [1, 2]
entry @predict(
    input 0 "x" %0: f32[batch,2],
    constant @table %1: f32[2]
) {
  %2 = broadcast(%1) shape=[batch,2] axes=[1] : f32[batch,2]
  %3 = mul(%0, %2) : f32[batch,2]
  return output 0 "y" %3
}
END
sed 's/ = \[1, 2\]//' constant.kir >novalue.kir
"$KERATIN" compile constant.kir -o constant
[ "$(./constant --input x.csv)" = 1,4 ] || fail "a constant of the graph"
"$KERATIN" compile constant.kir -o constant --weights=file
[ "$(./constant --input x.csv)" = 1,4 ] || fail "a constant of the graph, which is no weight"
# A constant of the graph beside those that are made of weights.
awk '/^entry/ && !done { print "variable @w : f32[2] = [3, 4]"; done = 1 } { print }' constant.kir |
    sed 's/^    constant @table %1: f32\[2\]/&,\n    variable @w %4: f32[2]/; s/^  %3 = .*/&\n  %5 = sqrt(%4) : f32[2]\n  %6 = broadcast(%5) shape=[batch,2] axes=[1] : f32[batch,2]\n  %7 = mul(%3, %6) : f32[batch,2]/; s/"y" %3/"y" %7/' >mixed.kir
for arguments in 'prepare.kir' 'prepare.kir --weights=file' 'mixed.kir --weights=file' 'novalue.kir' \
    'novalue.kir --weights=file'; do
    expect_status 1 "$KERATIN" compile $arguments -o bad
    expect_errors 1
done
# Already optimised.
"$KERATIN" compile one.kir -o optimized.kir --emit=optimized
"$KERATIN" compile optimized.kir -o optimized --weights=file
predicts 2,6 ./optimized
