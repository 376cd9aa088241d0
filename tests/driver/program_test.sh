# A compiled program from outside: what it links, its size, its verbs and formats, and that threads change nothing.
. "$(dirname "$0")/common.sh"

"$KERATIN" compile "$digits/digits.keras" -o "$work/digits"
cd "$work"

# Inputs and outputs in every format agree.
./digits predict --input "$digits/images.npy" --output y.npy
./digits --input "image=$digits/images.npy" --output y.npz
./digits --input "$digits/images.npy" --output y.csv
./digits --input "$digits/images.npy" --output - >stdout.csv
./digits --input - --output stdin.npy <"$digits/images.npy"
cmp y.csv stdout.csv
cmp y.npy stdin.npy
"$COMPARE" close y.npy y.npz
"$COMPARE" close y.npy y.csv
[ "$(wc -l <y.csv)" = 360 ] || fail "360 lines of CSV expected"
./digits --input "$digits/images.npy" --output y.json
[ "$(head -c 2 y.json)" = "[[" ] || fail "y.json is no nested array"

# CSV in: one sample a line, flattened; a header is optional.
header=$(od -An -tu2 -j8 -N2 "$digits/images.npy" | tr -d ' ')
od -An -v -tu1 -w64 -j$((header + 10)) "$digits/images.npy" | sed 's/^ *//; s/  */,/g' >x.csv
./digits --input x.csv --output from_csv.npy
cmp y.npy from_csv.npy
{ seq -s, 1 64 | sed 's/[0-9]*/p&/g'; cat x.csv; } >headed.csv
./digits --input headed.csv --output from_headed.npy
cmp y.npy from_headed.npy

# Threads change nothing, bit for bit.
for batch in 1 7 64 360; do
    ./digits --input "$digits/images.npy" --output one.npy --threads 1 --batch-size $batch
    ./digits --input "$digits/images.npy" --output two.npy --threads 2 --batch-size $batch
    cmp one.npy two.npy || fail "two threads give other bits, batches of $batch"
done

# One batch size, fixed when compiling: the last batch is padded and cut.
"$KERATIN" compile "$digits/digits.keras" -o fixed --batch 7
./fixed --input "$digits/images.npy" --output fixed.npy
"$COMPARE" close y.npy fixed.npy
./fixed benchmark --batch 3 --threads 1 >benchmark.json
expect_text '"batch": 7, ' benchmark.json

./digits describe >describe.json
expect_text '"name": "image", "dtype": "float32", "shape": \["batch", 8, 8, 1\]' describe.json
expect_text '"file_path": "layers/dense/vars/0"' describe.json
./digits benchmark --batch 3 --threads 1 >benchmark.json
expect_text '"entry": "predict", "batch": 3, "threads": 1, "median_us": ' benchmark.json

# Vectors of which half is padding, in rows that are all padding or none: nothing is read outside the input.
cat >padded.kir <<'END'
graph "padded"
symbols batch
entry @predict(
    input 0 "x" %0: f32[batch,1,1,4]
) {
  %1 = constant literal=[0] : f32[]
  %2 = pad(%0, %1) low=[0,1,2,0] high=[0,1,2,0] interior=[0,0,0,0] : f32[batch,3,5,4]
  %3 = mul(%2, %2) : f32[batch,3,5,4]
  return output 0 "y" %3
}
END
"$KERATIN" compile padded.kir -o padded
printf '1,2,3,4\n5,6,7,8\n9,10,11,12\n' | ./padded --input - >padded.csv
zeros=$(printf '0,%.0s' $(seq 28))
behind=$(printf ',0%.0s' $(seq 28))
for squares in 1,4,9,16 25,36,49,64 81,100,121,144; do echo "$zeros$squares$behind"; done >expected.csv
cmp padded.csv expected.csv

# Wrong use and wrong input.
expect_status 2 ./digits predict --no-such-option
expect_status 1 ./digits --input missing.npy --output z.npy
expect_errors 1
head -c 300 "$digits/images.npy" >truncated.npy
expect_status 1 ./digits --input truncated.npy --output z.npy
expect_errors 1
expect_status 1 ./digits --input "$SOURCE/examples/fashion/classes.npy" --output z.npy
expect_errors 1
expect_text image errors
expect_status 1 ./digits --input "$digits/images.npy" --output /dev/full
[ ! -e z.npy ] || fail "a failed run left its output"

if [ -z "$SANITIZE" ]; then
    libraries=$(ldd digits | sed 's/ .*//; s/^[[:space:]]*//' | sort | tr '\n' ' ')
    case "$libraries" in
    "/lib64/ld-linux-x86-64.so.2 libc.so.6 libm.so.6 linux-vdso.so.1 " | \
    "/lib64/ld-linux-x86-64.so.2 libc.so.6 linux-vdso.so.1 " | "/lib/ld-linux-aarch64.so.1 libc.so.6 libm.so.6 linux-vdso.so.1 ") ;;
    *) fail "the program wants $libraries" ;;
    esac
    weights=$(sed 's/.*"weights_bytes": \([0-9]*\).*/\1/' describe.json)
    size=$(($(wc -c <digits) - weights))
    [ "$size" -le 400000 ] || fail "$size bytes without weights"
fi
