# Bad input of every kind: one clear sentence each, status 1, nothing left behind.
. "$(dirname "$0")/common.sh"
cd "$work"
model=$digits/digits.keras
size=$(wc -c <"$model")

refused() { # FILE ERRORS
    expect_status 1 "$KERATIN" compile "$1" -o out
    expect_errors "$2"
    [ ! -e out ] || fail "$1 was refused, but left a file"
}

for part in 0 1 20 50 75 90 99; do
    head -c $((size * part / 100)) "$model" >truncated.keras
    refused truncated.keras 1
done
head -c $((size - 1)) "$model" >truncated.keras
refused truncated.keras 1
for at in 3 40 200 $((size / 2)) $((size - 60)) $((size - 10)); do
    cp "$model" corrupt.keras
    printf 'XXXXXXXX' | dd of=corrupt.keras bs=1 seek=$at conv=notrunc 2>/dev/null
    status=0
    "$KERATIN" compile corrupt.keras -o out 2>errors || status=$?
    [ $status = 0 ] || { [ $status = 1 ] && [ "$(grep -c 'keratin: error: ' errors)" -ge 1 ]; } ||
        fail "corrupted at $at: status $status, $(cat errors)"
    rm -f out
done
refused missing.keras 1
echo 'not a model' >text.kir
refused text.kir 1
expect_text 'A graph starts with' errors
mv text.kir text.keras
refused text.keras 1
expect_text 'no .keras archive' errors
# Outputs that do not count from 0, or a name that stands twice: programs list them in that order.
for outputs in 'output 1 "a" %1, output 0 "b" %2' 'output 0 "a" %1, output 0 "b" %2' 'output 0 "a" %1, output 2 "b" %2' \
    'output 0 "a" %1, output 1 "a" %2'; do
    cat >ports.kir <<EOF
graph "ports"
symbols batch
entry @predict(input 0 "x" %0: f32[batch,3]) {
  %1 = neg(%0) : f32[batch,3]
  %2 = abs(%0) : f32[batch,3]
  return $outputs
}
EOF
    expect_status 1 "$KERATIN" compile ports.kir -o out
    expect_text 'ports.kir: predict: .*(rule R3)' errors
    [ ! -e out ] || fail "outputs out of order left a file"
done
mkdir directory.keras
refused directory.keras 1

refused "$SOURCE/tests/driver/lambda.keras" 1
expect_text 'Lambda' errors
refused "$SOURCE/tests/driver/unknown.keras" 2
expect_text 'block/flipped' errors
expect_text 'contrasted' errors
refused "$SOURCE/tests/driver/boxed.keras" 2
expect_text 'boxed/flip: it takes a tensor of images; a dictionary' errors
expect_text 'boxed/resize: it takes a tensor of images; a dictionary' errors

# Without its header a library is not there either.
mkdir library.h
expect_status 1 "$KERATIN" compile "$model" -o library.so
expect_errors 1
[ "$(ls -d library*)" = library.h ] || fail "a library without a header: $(ls)"

expect_status 1 "$KERATIN" compile "$model" -o out --shape image=2x9x8x1
expect_errors 1
expect_status 1 "$KERATIN" compile "$model" -o out --shape picture=2x8x8x1
expect_errors 1
expect_status 2 "$KERATIN" compile "$model" -o out --batch 0
expect_errors 1
expect_status 1 "$KERATIN" compile "$model" -o no/such/directory/out
expect_errors 1
expect_text 'Cannot write no/such/directory/out' errors
expect_status 1 "$KERATIN" compile "$model" -o /dev/full --emit=asm
expect_errors 1
expect_status 1 "$KERATIN" compile "$model" -o /dev/full --emit=exe
expect_errors 1
[ -c /dev/full ] || fail "a device was replaced by a file"
expect_status 2 "$KERATIN" compile "$model"
expect_status 2 "$KERATIN" compile "$model" -o out --no-such-option
expect_status 2 "$KERATIN" compile "$model" -o out --emit=nothing
expect_status 2 "$KERATIN" compile "$model" -o out -O7
expect_status 2 "$KERATIN" compile "$model" -o out --print-after=nothing
expect_status 2 "$KERATIN" no-such-command
expect_status 2 "$KERATIN"
expect_status 2 "$KERATIN" opt "$model" --passes=nothing
expect_errors 1
[ ! -e out ] || fail "a refused compilation left a file"
