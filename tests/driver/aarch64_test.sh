# Programs and libraries for aarch64, made by cross tools and run by an emulator; float16, threads, refusals.
. "$(dirname "$0")/common.sh"
cd "$work"
cc=aarch64-linux-gnu-gcc
here=$(dirname "$KERATIN")/..
if ! command -v qemu-aarch64 >/dev/null || ! command -v $cc >/dev/null || [ ! -f "$here/lib/aarch64-linux-gnu/libkeratin_rt.a" ]; then
    echo "SKIPPED: driver/aarch64: qemu-aarch64, $cc or its runtime is missing"
    exit 77
fi
run="qemu-aarch64 -L /usr/aarch64-linux-gnu"
arm="--target aarch64-linux-gnu"

for cpu in generic cortex-a72 neoverse-n1 apple-m1; do
    "$KERATIN" compile "$digits/digits.keras" -o digits $arm --cpu $cpu
    $run ./digits --input "$digits/images.npy" --output classes.npy
    "$COMPARE" classes classes.npy "$digits/classes.npy" || fail "--cpu $cpu"
done
file=$(aarch64-linux-gnu-readelf -d digits | grep NEEDED | grep -v -e 'libc\.so' -e 'libm\.so' -e 'ld-linux' || true)
[ -z "$file" ] || fail "the program also needs $file"
for threads in 1 2 3; do
    $run ./digits --input "$digits/images.npy" --output "threads$threads.npy" --threads $threads
    cmp threads1.npy "threads$threads.npy" || fail "$threads threads"
done
"$KERATIN" compile "$digits/digits.keras" -o arm64.o --target arm64-linux
"$KERATIN" compile "$digits/digits.keras" -o aarch64.o --name arm64 --target aarch64-unknown-linux
cmp arm64.o aarch64.o || fail "two spellings of one triple"

# A library in each form, two models at once, from two threads.
flags="-std=c11 -Wall -Wextra -Werror -I."
for form in o a so; do
    "$KERATIN" compile "$digits/digits.keras" -o digits.$form $arm
    "$KERATIN" compile "$SOURCE/examples/fashion/fashion.keras" -o fashion.$form $arm
    $cc $flags "$SOURCE/tests/driver/library.c" ./digits.$form ./fashion.$form -o with_$form -lm -pthread
    $run ./with_$form || fail "a library in form .$form"
done

# Conversions between float types are instructions or code of ours, the same bits as here.
cat >halves.kir <<'END'
graph "halves"
symbols batch

entry @predict(input 0 "x" %0: f32[batch,7]) {
  %1 = cast(%0) dtype=f16 : f16[batch,7]
  %2 = exp(%1) : f16[batch,7]
  %3 = cast(%2) dtype=f32 : f32[batch,7]
  %4 = cast(%0) dtype=bf16 : bf16[batch,7]
  %5 = exp(%4) : bf16[batch,7]
  %6 = cast(%5) dtype=f64 : f64[batch,7]
  %7 = cast(%0) dtype=i8 : i8[batch,7]
  %8 = cast(%7) dtype=f32 : f32[batch,7]
  return output 0 "half" %3, output 1 "brain" %6, output 2 "byte" %8
}
END
printf '0.5,-1,1e-5,11,-3.7,65,-126.9\n0,-0.0,1e-8,9.25,100,-17,88\n' >x.csv
"$KERATIN" compile halves.kir -o here
"$KERATIN" compile halves.kir -o there $arm
./here --input x.csv --output here.npz
$run ./there --input x.csv --output there.npz
cmp here.npz there.npz || fail "conversions differ"

# Without the cross compiler one sentence says what to install.
mkdir bin
for tool in cc ld ar objcopy; do ln -s "$(command -v $tool)" bin/$tool; done
expect_status 1 env PATH="$work/bin" "$KERATIN" compile "$digits/digits.keras" -o out $arm
expect_errors 1
expect_text 'install gcc-aarch64-linux-gnu' errors
[ ! -e out ] || fail "a refused program was left"
