#!/bin/sh
# --quantize=int8-weights: bytes for weights, floats for all else, as Keras computes with weights that are rounded so.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
model=$here/words.keras
quantized() { # OPTIONS
    "$KERATIN" compile "$model" --quantize=int8-weights "$@" 2>"$work/notes" || fail "$(cat "$work/notes")"
}

# On every target, in kernels that are fused or not, for any batch or one.
for how in '--cpu x86-64' '--cpu x86-64-v2' '--cpu x86-64-v3' '--cpu x86-64-v4' --cpu=native -O0 -O3 '--batch 1' '--batch 4'; do
    # shellcheck disable=SC2086
    quantized $how -o "$work/bytes"
    [ ! -s "$work/notes" ] || fail "$(cat "$work/notes")"
    if "$work/bytes" --input "$here/words_x.npy" --output "$work/y.npy" 2>"$work/errors"; then
        "$COMPARE" close "$here/words_y.npy" "$work/y.npy" || fail "$how departs from Keras"
    else
        expect_text ' CPU ' "$work/errors"
    fi
done
if command -v qemu-aarch64 >/dev/null && [ -f "$(dirname "$KERATIN")/../lib/aarch64-linux-gnu/libkeratin_rt.a" ]; then
    quantized --target aarch64-linux-gnu -o "$work/bytes"
    qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/bytes" --input "$here/words_x.npy" --output "$work/y.npy"
    "$COMPARE" close "$here/words_y.npy" "$work/y.npy" || fail "aarch64 departs from Keras"
fi
for threads in 1 2; do
    quantized -o "$work/bytes"
    "$work/bytes" --input "$here/words_x.npy" --output "$work/threads$threads.npy" --threads $threads
done
cmp "$work/threads1.npy" "$work/threads2.npy" || fail "two threads give other bits"

# Weights in a file are made bytes where the program runs.
quantized --weights=file -o "$work/apart"
"$work/apart" --input "$here/words_x.npy" --output "$work/y.npy"
"$COMPARE" close "$here/words_y.npy" "$work/y.npy" || fail "weights in a file depart from Keras"

# All weights that are multiplied or looked up are bytes, those of loops too, and kernels read them.
quantized --emit=optimized -o "$work/optimized.kir"
grep -e '^kernel .*f32\[[0-9]*,[0-9]*,32\]' "$work/optimized.kir" && fail "weights are floats"
[ "$(grep -c -e '^constant .*: i8\[' "$work/optimized.kir")" -ge 9 ] || fail "too few weights are bytes: $(grep '^constant' "$work/optimized.kir")"
expect_text 'gather(.*) .*: i8\[batch,9,12\]' "$work/optimized.kir"

# With data it is said how far results depart.
quantized --calibrate "$here/words_x.npy" -o "$work/bytes"
expect_text 'Weights of contractions and of tables are bytes; on the calibration data: .* departs by at most .* of 11 rows\.$' "$work/notes"

expect_refused 2 'changes the weights' "$here/trainer.keras" --quantize=int8-weights --train
expect_refused 2 'multiplies no bytes' "$model" --quantize=int8-weights --contractions=openblas
expect_refused 2 'as files' - --quantize=int8-weights --calibrate "$here/words_x.npy"
cat >"$work/none.kir" <<'EOF'
graph "none"
symbols batch
entry @predict(input 0 "x" %0: f32[batch,30]) {
  %1 = neg(%0) : f32[batch,30]
  return output 0 "y" %1
}
EOF
expect_refused 1 'none.kir: .*nothing to quantise' "$work/none.kir" --quantize=int8-weights
exit 0
