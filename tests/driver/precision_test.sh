#!/bin/sh
# --precision=bf16: rounded operands and float32 sums, against sums in float64 by awk; the same bits on every CPU; and
# what it refuses.
. "$(dirname "$0")/common.sh"
rounded() { # MODEL OPTIONS
    "$KERATIN" compile "$@" --precision=bf16 2>"$work/notes" || fail "$(cat "$work/notes")"
}
numbers() { # COUNT SEED: from -1 to 1
    awk -v count="$1" -v x="$2" \
        'BEGIN { for (i = 0; i < count; i++) { x = (x * 1103 + 12345) % 65536; print x / 32768 - 1 } }'
}
list() { numbers "$1" "$2" | paste -sd, -; }
rows() { # FILE WIDTH COUNT SEED
    numbers "$(($2 * $3))" "$4" | awk -v width="$2" '{ printf "%s%s", $0, NR % width ? "," : "\n" }' >"$1"
}
# Every other CPU gives the same bits.
same_everywhere() { # MODEL INPUT WANTED
    for how in '--cpu x86-64' '--cpu x86-64-v3' '--cpu x86-64-v4' '--cpu sapphirerapids' '--batch 3'; do
        # shellcheck disable=SC2086
        rounded "$1" $how -o "$work/other"
        if "$work/other" --input "$2" --output "$work/other.csv" 2>"$work/errors"; then
            cmp "$3" "$work/other.csv" || fail "$how gives other numbers in $1"
        else
            expect_text ' CPU ' "$work/errors"
            echo "SKIPPED running $1 with $how: this CPU has not what it wants"
        fi
    done
}

# Dense layers of many sizes, odd depths among them, with bias and relu.
bf16='
    # To nearest of 8 bits, ties to even.
    function bf16(x,  size, unit, whole) {
        size = x < 0 ? -x : x
        if (size == 0) return 0
        unit = 2 ^ (int(log(size) / log(2) + 200) - 200 - 7)
        while (size / unit >= 256) unit *= 2
        while (size / unit < 128) unit /= 2
        whole = int(size / unit)
        size = size / unit - whole
        if (size > 0.5 || (size == 0.5 && whole % 2 == 1)) whole++
        return (x < 0 ? -1 : 1) * whole * unit
    }
    function check(wanted, found) {
        error = wanted - found > 0 ? wanted - found : found - wanted
        if (error > worst) worst = error
        if (wanted > largest) largest = wanted
        if (-wanted > largest) largest = -wanted
    }
    END { exit !(worst <= 1e-5 * largest && largest > 0) }'
seed=1
for size in 1x6 2x3 3x17 7x33 16x16 31x5 64x64 70x40 129x9 256x10; do
    depth=${size%x*}
    columns=${size#*x}
    seed=$((seed + 1))
    cat >"$work/dense.kir" <<EOF
graph "dense"
symbols batch
variable @w : f32[$depth,$columns] = [$(list $((depth * columns)) $seed)]
variable @b : f32[$columns] = [$(list "$columns" $((seed + 50)))]
entry @predict(input 0 "x" %0: f32[batch,$depth], variable @w %1: f32[$depth,$columns], variable @b %2: f32[$columns]) {
  %3 = dot_general(%0, %1) lhs_contract=[1] rhs_contract=[0] : f32[batch,$columns] @ "dense/matmul"
  %4 = broadcast(%2) shape=[batch,$columns] axes=[1] : f32[batch,$columns] @ "dense/bias"
  %5 = add(%3, %4) : f32[batch,$columns] @ "dense/bias"
  %6 = constant literal=[0] : f32[]
  %7 = broadcast(%6) shape=[batch,$columns] : f32[batch,$columns]
  %8 = maximum(%5, %7) : f32[batch,$columns] @ "dense/relu"
  return output 0 "y" %8
}
EOF
    rows "$work/x.csv" "$depth" 7 $((seed + 100))
    rounded "$work/dense.kir" -o "$work/program"
    "$work/program" --input "$work/x.csv" --output "$work/y.csv"
    numbers $((depth * columns)) $seed >"$work/w"
    numbers "$columns" $((seed + 50)) >"$work/b"
    awk -F, -v depth="$depth" -v columns="$columns" "$bf16"'
        FILENAME ~ /w$/ { w[nw++] = bf16($1); next }
        FILENAME ~ /b$/ { b[nb++] = $1; next }
        FILENAME ~ /x.csv$/ { for (k = 0; k < depth; k++) x[rows, k] = bf16($(k + 1)); rows++; next }
        {
            for (n = 0; n < columns; n++) {
                sum = b[n]
                for (k = 0; k < depth; k++) sum += x[row, k] * w[k * columns + n]
                check(sum > 0 ? sum : 0, $(n + 1))
            }
            row++
        }' "$work/w" "$work/b" "$work/x.csv" "$work/y.csv" || fail "a dense layer of $size departs"
    case $size in 70x40 | 129x9) same_everywhere "$work/dense.kir" "$work/x.csv" "$work/y.csv" ;; esac
done
# Convolutions by 3 x 3 of 7 x 6 pixels, padded by 1, of various channels, features and strides.
for size in 3x7x1 4x20x2 5x33x1 6x16x2; do
    channels=${size%%x*}
    stride=${size##*x}
    features=${size#*x}
    features=${features%x*}
    height=$((6 / stride + 1))
    width=$((5 / stride + 1))
    seed=$((seed + 1))
    weights=$((9 * channels * features))
    cat >"$work/conv.kir" <<EOF
graph "conv"
symbols batch
variable @w : f32[3,3,$channels,$features] = [$(list $weights $seed)]
entry @predict(input 0 "x" %0: f32[batch,7,6,$channels], variable @w %1: f32[3,3,$channels,$features]) {
  %2 = conv(%0, %1) strides=[$stride,$stride] low=[1,1] high=[1,1] dilation=[1,1] input_dilation=[1,1] groups=1 : f32[batch,$height,$width,$features] @ "conv"
  return output 0 "y" %2
}
EOF
    rows "$work/x.csv" $((42 * channels)) 3 $((seed + 100))
    rounded "$work/conv.kir" -o "$work/program"
    "$work/program" --input "$work/x.csv" --output "$work/y.csv"
    numbers $weights $seed >"$work/w"
    awk -F, -v channels="$channels" -v features="$features" -v stride="$stride" -v height="$height" -v width="$width" "$bf16"'
        FILENAME ~ /w$/ { w[nw++] = bf16($1); next }
        FILENAME ~ /x.csv$/ { for (k = 0; k < 42 * channels; k++) x[rows, k] = bf16($(k + 1)); rows++; next }
        {
            for (i = 0; i < height; i++) for (j = 0; j < width; j++) for (f = 0; f < features; f++) {
                sum = 0
                for (u = 0; u < 3; u++) for (v = 0; v < 3; v++) {
                    down = i * stride + u - 1
                    right = j * stride + v - 1
                    if (down < 0 || down > 6 || right < 0 || right > 5) continue
                    for (c = 0; c < channels; c++)
                        sum += x[row, (down * 6 + right) * channels + c] * w[((u * 3 + v) * channels + c) * features + f]
                }
                check(sum, $((i * width + j) * features + f + 1))
            }
            row++
        }' "$work/w" "$work/x.csv" "$work/y.csv" || fail "a convolution of $size departs"
    [ "$stride" = 1 ] || same_everywhere "$work/conv.kir" "$work/x.csv" "$work/y.csv"
done

# Two layers: what lies between is rounded, the first product's kernel does it, and weights take half the space.
mlp=$work/mlp.kir
cat >"$mlp" <<EOF
graph "mlp"
symbols batch
variable @a : f32[30,64] = [$(list 1920 1)]
variable @b : f32[64,32] = [$(list 2048 2)]
entry @predict(input 0 "x" %0: f32[batch,30], variable @a %1: f32[30,64], variable @b %2: f32[64,32]) {
  %3 = dot_general(%0, %1) lhs_contract=[1] rhs_contract=[0] : f32[batch,64] @ "first/matmul"
  %4 = tanh(%3) : f32[batch,64] @ "first/tanh"
  %5 = dot_general(%4, %2) lhs_contract=[1] rhs_contract=[0] : f32[batch,32] @ "second/matmul"
  return output 0 "y" %5
}
EOF
rows "$work/x.csv" 30 40 3
rounded "$mlp" --emit=plan -o "$work/plan"
expect_text 'bf16\[batch,64\]' "$work/plan"
grep -q 'f32\[batch,64\]' "$work/plan" && fail "floats lie between the layers: $(cat "$work/plan")"
rounded "$mlp" --emit=optimized -o "$work/optimized.kir"
expect_text 'dot_general.*panel.*wide=1 : f32\[batch,32\]' "$work/optimized.kir"
"$KERATIN" compile "$mlp" --precision=f32 -o "$work/floats"
rounded "$mlp" -o "$work/program"
for program in floats program; do
    "$work/$program" describe | sed -n 's/.*"weights_bytes": *\([0-9]*\).*/\1/p' >"$work/$program.bytes"
    "$work/$program" --input "$work/x.csv" --output "$work/$program.csv"
done
[ $((2 * $(cat "$work/program.bytes"))) = "$(cat "$work/floats.bytes")" ] || fail "weights take $(cat "$work/program.bytes") bytes"
paste -d, "$work/floats.csv" "$work/program.csv" | awk -F, '
    function size(x) { return x < 0 ? -x : x }
    { for (i = 1; i <= 32; i++) {
        if (size($i - $(i + 32)) > most) most = size($i - $(i + 32))
        if (size($i) > largest) largest = size($i) } }
    END { exit !(most > 0 && most < largest / 128) }' || fail "bfloat16 departs too far, or not at all"
# Weights in a file are rounded as the program starts.
rounded "$mlp" --weights=file -o "$work/beside"
"$work/beside" --input "$work/x.csv" --output "$work/beside.csv"
cmp "$work/program.csv" "$work/beside.csv" || fail 'weights in a file give other numbers'
# The instruction is used where there is one, and it is said where there is none.
for how in 'sapphirerapids 0' 'cascadelake 1' 'haswell 1'; do
    rounded "$mlp" --target x86_64-linux-gnu --cpu "${how% *}" --emit=asm -o "$work/asm"
    [ "$(grep -c 'lacks AVX-512 BF16' "$work/notes")" = "${how#* }" ] || fail "$how: $(cat "$work/notes")"
    found=0
    grep -q vdpbf16ps "$work/asm" || found=1
    [ "$found" = "${how#* }" ] || fail "vdpbf16ps and ${how% *}"
done

expect_refused 2 'is f32 or bf16' "$mlp" --precision=f16
expect_refused 2 'does not go with --quantize' "$mlp" --precision=bf16 --quantize=int8 --calibrate "$work/x.csv"
expect_refused 2 'mixed_bfloat16' "$SOURCE/tests/driver/trainer.keras" --precision=bf16 --train
expect_refused 2 'shows in --emit=optimized' "$mlp" --precision=bf16 --emit=graph
exit 0
