#!/bin/sh
# --quantize=int8: products of bytes, ranges from data, the same whole numbers on every CPU, and what it refuses.
. "$(dirname "$0")/common.sh"
calibrated() { # FILE MODEL OPTIONS: quantised by FILE
    data=$1
    definition=$2
    shift 2
    "$KERATIN" compile "$definition" --quantize=int8 --calibrate "$data" "$@" 2>"$work/notes" || fail "$(cat "$work/notes")"
}
number() { # NAME FILE
    sed -n "s/.*\"$1\": \[*\([^],}]*\).*/\1/p" "$2"
}
npy() { # SHAPE: the header of an .npy of bytes
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"
}

# Two dense layers, of which the first reads numbers of either sign, 30 of them: no whole fours.
numbers() { # COUNT SEED: from -1 to 1
    awk -v count="$1" -v x="$2" \
        'BEGIN { for (i = 0; i < count; i++) { x = (x * 1103 + 12345) % 65536; print x / 32768 - 1 } }'
}
list() { numbers "$1" "$2" | paste -sd, -; }
mlp=$work/mlp.kir
cat >"$mlp" <<EOF
graph "mlp"
symbols batch
variable @a : f32[30,21] = [$(list 630 1)]
variable @b : f32[21] = [$(list 21 2)]
variable @c : f32[21,5] = [$(list 105 3)]
entry @predict(
  input 0 "x" %0: f32[batch,30],
  variable @a %1: f32[30,21],
  variable @b %2: f32[21],
  variable @c %3: f32[21,5]
) {
  %4 = dot_general(%0, %1) lhs_contract=[1] rhs_contract=[0] : f32[batch,21] @ "first/matmul"
  %5 = broadcast(%2) shape=[batch,21] axes=[1] : f32[batch,21] @ "first/bias"
  %6 = add(%4, %5) : f32[batch,21] @ "first/bias"
  %7 = constant literal=[0] : f32[]
  %8 = broadcast(%7) shape=[batch,21] : f32[batch,21]
  %9 = maximum(%6, %8) : f32[batch,21] @ "first/relu"
  %10 = dot_general(%9, %3) lhs_contract=[1] rhs_contract=[0] : f32[batch,5] @ "second/matmul"
  return output 0 "y" %10
}
EOF
# A convolution of three channels of either sign, with padding; the product behind it reads what a window left.
cat >"$work/convnet.kir" <<EOF
graph "convnet"
symbols batch
variable @a : f32[3,3,3,7] = [$(list 189 5)]
variable @b : f32[63,5] = [$(list 315 6)]
entry @predict(
  input 0 "x" %0: f32[batch,6,5,1],
  variable @a %1: f32[3,3,3,7],
  variable @b %2: f32[63,5]
) {
  %3 = reverse(%0) axes=[1] : f32[batch,6,5,1]
  %4 = neg(%0) : f32[batch,6,5,1]
  %5 = concat(%0, %3, %4) axis=3 : f32[batch,6,5,3]
  %6 = conv(%5, %1) strides=[1,1] low=[1,1] high=[1,2] dilation=[1,1] input_dilation=[1,1] groups=1 : f32[batch,6,6,7] @ "conv"
  %7 = reduce_window(%6) kind=maximum window=[1,2,2,1] strides=[1,2,2,1] dilation=[1,1,1,1] low=[0,0,0,0] high=[0,0,0,0] : f32[batch,3,3,7] @ "pool"
  %8 = reshape(%7) shape=[batch,63] : f32[batch,63] @ "flatten"
  %9 = dot_general(%8, %2) lhs_contract=[1] rhs_contract=[0] : f32[batch,5] @ "dense/matmul"
  return output 0 "y" %9
}
EOF
numbers 3000 4 | awk '{ printf "%s%s", $0, NR % 30 ? "," : "\n" }' >"$work/x.csv"
for name in mlp convnet; do
    model=$work/$name.kir
    "$KERATIN" compile "$model" -o "$work/floats"
    calibrated "$work/x.csv" "$model" -o "$work/bytes"
    expect_text '2 contractions and convolutions multiply bytes.* y departs by at most' "$work/notes"
    expect_text ' in 9[0-9] of 100 rows\| in 100 of 100 rows' "$work/notes"
    "$work/floats" --input "$work/x.csv" --output "$work/floats.csv"
    "$work/bytes" --input "$work/x.csv" --output "$work/bytes.csv"
    cmp -s "$work/floats.csv" "$work/bytes.csv" && fail "nothing of $name was quantised"
    paste -d, "$work/floats.csv" "$work/bytes.csv" | awk -F, '
        function size(x) { return x < 0 ? -x : x }
        { for (i = 1; i <= 5; i++) {
            if (size($i - $(i + 5)) > most) most = size($i - $(i + 5))
            if (size($i) > largest) largest = size($i) } }
        END { exit !(most < 0.02 * largest) }' || fail "bytes depart too far in $name: $(cat "$work/notes")"
    # The same bits whatever multiplies them, in kernels that are fused or not.
    for how in '--cpu x86-64' '--cpu x86-64-v2' '--cpu x86-64-v3' '--cpu cascadelake' -O0 -O3 '--batch 7'; do
        # shellcheck disable=SC2086
        calibrated "$work/x.csv" "$model" $how -o "$work/other"
        if "$work/other" --input "$work/x.csv" --output "$work/other.csv" 2>"$work/errors"; then
            cmp "$work/bytes.csv" "$work/other.csv" || fail "$how gives other numbers in $name"
        else
            expect_text ' CPU ' "$work/errors"
        fi
    done
done
# Convolutions by minimal filtering give the same bits as those without: of any numbers, and of the largest.
filtered() { # CHANNELS FEATURES WEIGHTS
    cat >"$work/filtered.kir" <<EOF
graph "filtered"
symbols batch
variable @a : f32[3,3,$1,$2] = $3
entry @predict(
  input 0 "x" %0: f32[batch,8,15,$1],
  variable @a %1: f32[3,3,$1,$2]
) {
  %2 = conv(%0, %1) strides=[1,1] low=[1,1] high=[1,1] dilation=[1,1] input_dilation=[1,1] groups=1 : f32[batch,8,15,$2] @ "conv"
  return output 0 "y" %2
}
EOF
    calibrated "$work/many.csv" "$work/filtered.kir" -O1 -o "$work/direct"
    "$work/direct" --input "$work/many.csv" --output "$work/direct.csv"
    for how in '--cpu x86-64' '--cpu x86-64-v3' '--cpu cascadelake' --cpu=native; do
        # shellcheck disable=SC2086
        calibrated "$work/many.csv" "$work/filtered.kir" $how -o "$work/bytes"
        if "$work/bytes" --input "$work/many.csv" --output "$work/bytes.csv" 2>"$work/errors"; then
            cmp "$work/direct.csv" "$work/bytes.csv" || fail "$how filters to other numbers: $*"
        else
            expect_text ' CPU ' "$work/errors"
        fi
    done
    calibrated "$work/many.csv" "$work/filtered.kir" --emit=optimized -o "$work/optimized.kir"
    expect_text 'winograd.* : i32' "$work/optimized.kir"
}
numbers 14400 7 | awk '{ printf "%s%s", $0, NR % 4800 ? "," : "\n" }' >"$work/many.csv"
filtered 40 33 "[$(list 11880 8)]"
yes 1 | head -13440 | paste -sd, - >"$work/many.csv"
for weight in 1 -1; do filtered 112 16 "all $weight"; done
# Ranges of one sample, of one value, and of one sign, beside 0.
for value in 0 5 -5; do
    yes -- "$value" | head -30 | paste -sd, - >"$work/same.csv"
    calibrated "$work/same.csv" "$mlp" -o "$work/bytes"
    "$KERATIN" run "$mlp" --input "$work/same.csv" --output "$work/floats.csv"
    "$work/bytes" --input "$work/same.csv" --output "$work/bytes.csv"
    paste -d, "$work/floats.csv" "$work/bytes.csv" | awk -F, '
        { for (i = 1; i <= 5; i++) if (($i - $(i + 5)) ^ 2 > ($1 ^ 2 + $2 ^ 2 + $3 ^ 2 + $4 ^ 2 + $5 ^ 2) / 2500) exit 1 }' ||
        fail "bytes depart too far at $value: $(cat "$work/notes")"
done
# What is no number in both is no departure; in one of them, it is counted.
sed 's/return .*/%11 = log(%10) : f32[batch,5] @ "log"\n  return output 0 "y" %11/' "$mlp" >"$work/log.kir"
calibrated "$work/x.csv" "$work/log.kir" -o "$work/bytes"
expect_text ' on average, of values up to [0-9.]* ([0-9]* of 500 elements are infinite or no number, but not alike)' "$work/notes"
grep -q 'nan' "$work/notes" && fail "$(cat "$work/notes")"
# It is said where it pays little.
for how in 'haswell lacks' 'cascadelake rows\.$'; do
    calibrated "$work/x.csv" "$mlp" --target x86_64-linux-gnu --cpu "${how%% *}" --emit=plan -o "$work/plan"
    expect_text "${how#* }" "$work/notes"
done
# What lies between the layers is bytes, and the first product's kernel makes them.
calibrated "$work/x.csv" "$mlp" --emit=plan -o "$work/plan"
expect_text 'u8\[batch,21\]' "$work/plan"
grep -q 'f32\[batch,21\]' "$work/plan" && fail "floats lie between the layers: $(cat "$work/plan")"
calibrated "$work/x.csv" "$mlp" --emit=optimized -o "$work/optimized.kir"
expect_text 'dot_general.*panel.* : i32\[batch,5\]' "$work/optimized.kir"
calibrated "$work/x.csv" "$mlp" --report "$work/report.html" -o "$work/other"
expect_text '"note": "2 contractions and convolutions multiply bytes' "$work/report.html"

# What does not fit together is wrong usage; what is wrong with the data or the model, wrong input.
int8="--quantize=int8 --calibrate $work/x.csv"
expect_refused 2 'wants data: --calibrate FILE' "$mlp" --quantize=int8
expect_refused 2 'is for --quantize' "$mlp" --calibrate "$work/x.csv"
expect_refused 2 'is for int8 and int8-weights' "$mlp" --quantize=int4 --calibrate "$work/x.csv"
expect_refused 2 'changes the weights' "$SOURCE/tests/driver/trainer.keras" $int8 --train
expect_refused 2 'inside the program' "$mlp" $int8 --weights=file
expect_refused 2 'multiplies no bytes' "$mlp" $int8 --contractions=openblas
expect_refused 2 'shows in --emit=optimized' "$mlp" $int8 --emit=graph
expect_refused 2 'as files' - $int8
sed '1s/^[^,]*/nan/' "$work/x.csv" >"$work/nan.csv"
expect_refused 1 'nan.csv: Element 0 is nan' "$mlp" --quantize=int8 --calibrate "$work/nan.csv"
expect_refused 1 'missing.npy: ' "$mlp" --quantize=int8 --calibrate "$work/missing.npy"
{ npy '2, 29' && head -c 58 /dev/zero; } >"$work/narrow.npy"
expect_refused 1 'narrow.npy: .*29' "$mlp" --quantize=int8 --calibrate "$work/narrow.npy"
npy '0, 30' >"$work/none.npy"
expect_refused 1 'none.npy: There are no samples' "$mlp" --quantize=int8 --calibrate "$work/none.npy"
sed 's/^[^,]*,[^,]*/3e38,-3e38/' "$work/x.csv" >"$work/huge.csv"
expect_refused 1 'huge.csv: Sample 0 gives .* before second/matmul' "$mlp" --quantize=int8 --calibrate "$work/huge.csv"
cat >"$work/none.kir" <<'EOF'
graph "none"
symbols batch
entry @predict(input 0 "x" %0: f32[batch,30]) {
  %1 = neg(%0) : f32[batch,30]
  return output 0 "y" %1
}
EOF
expect_refused 1 'nothing to quantise' "$work/none.kir" $int8

# A convnet, whose second convolution reads what a window left of the first one: right as often as in floats.
fashion=$SOURCE/examples/fashion
"$fashion/images" "$work" 2>/dev/null || exit 0
{ npy '256, 28, 28, 1' && tail -c +129 "$work/train_images.npy" | head -c 200704; } >"$work/some.npy"
test="--data $work/images.npy --labels $work/labels.npy"
"$KERATIN" compile "$fashion/fashion.keras" -o "$work/floats"
calibrated "$work/some.npy" "$fashion/fashion.keras" -o "$work/bytes"
expect_text '3 contractions and convolutions multiply bytes' "$work/notes"
"$work/floats" evaluate $test >"$work/float_logs"
"$work/bytes" evaluate $test >"$work/byte_logs"
awk -v floats="$(number accuracy "$work/float_logs")" -v bytes="$(number accuracy "$work/byte_logs")" \
    'BEGIN { exit !(floats > 0.9 && bytes > floats - 0.005) }' ||
    fail "bytes are right less often: $(cat "$work/byte_logs") instead of $(cat "$work/float_logs")"
cmp -s "$work/float_logs" "$work/byte_logs" && fail "evaluation was not quantised"
exit 0
