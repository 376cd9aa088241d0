# --target, --cpu and --features: what is not known is wrong usage; what is made holds no instruction of another CPU;
# a CPU that lacks one says so.
. "$(dirname "$0")/common.sh"
cd "$work"
model=$digits/digits.keras

for wrong in '--cpu no-such-cpu' '--target sparc-linux-gnu' '--target arm64-apple-macosx' '--features +mmx3' \
    '--features avx2' '--target aarch64-linux-gnu --cpu haswell' '--target aarch64-linux-gnu --features +sve' \
    '--target riscv64-linux-gnu --cpu native'; do
    expect_status 2 "$KERATIN" compile "$model" -o out $wrong
    expect_errors 1
    expect_text 'keratin targets' errors
done
"$KERATIN" targets >targets
for word in x86_64-linux-gnu aarch64-linux-gnu riscv64-linux-gnu wasm32 x86-64-v4 neoverse-n1 apple-m1; do
    expect_text $word targets
done

# Text forms for machines that nothing is linked for.
for triple in riscv64-linux-gnu wasm32-unknown-unknown; do
    "$KERATIN" compile "$model" -o other.s --target $triple
    "$KERATIN" compile "$model" -o other.ll --target $triple
    [ -s other.s ] && [ -s other.ll ] || fail "nothing for $triple"
    expect_status 1 "$KERATIN" compile "$model" -o out --target $triple
    expect_errors 1
    expect_text '--emit=asm and --emit=llvm work' errors
    [ ! -e out ] || fail "a refused program was left"
done

[ "$(uname -m)" = x86_64 ] && [ -z "$SANITIZE" ] || exit 0

# Registers and instructions by CPU. AVX instructions begin with v (verr and the like do not occur).
code() { # MODEL CPU
    "$KERATIN" compile "$1" -o code.o --name code --target x86_64-linux-gnu --cpu "$2"
    objdump -d --no-show-raw-insn code.o | sed -n 's/^ *[0-9a-f]*:\t//p' >code
}
has() { expect_text "$1" code; }
lacks() { ! grep -m 3 -E -e "$1" code || fail "$2 code for $3"; }
# For every family of layers LLVM is given the features of the CPU and asked for no instruction by name that the CPU
# lacks; what it makes of that is looked at where products, sums and conversions of all types occur.
skylake=+avx,+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512dq,+avx512vl,+sse4.1,+sse4.2,+popcnt,+bmi,+bmi2,+lzcnt,+movbe,+avx512cd
for family in "$SOURCE"/tests/fixtures/*.keras "$model"; do
    "$KERATIN" compile "$family" -o code.ll --name code --target x86_64-linux-gnu --cpu skylake-avx512
    expect_text '"target-features"=' code.ll
    sed -n 's/.*"target-features"="\([^"]*\)".*/\1/p' code.ll >features
    ! grep -m 3 -v -x -F -e "$skylake" features || fail "other features for $family"
    ! grep -m 3 -E -e 'llvm\.x86\.[a-z0-9.]*(vpdp|vnni|bf16|fp16|vbmi|vpopcnt|vpshld|vpshrd|madd52|gf2p8|aes|sha|tdp|tile|exp2|rcp28)|call .* asm ' code.ll ||
        fail "later instructions for $family"
done
for family in conv activations quantized dtype_mixed_bfloat16 dtype_mixed_float16 integers_in_operations op_special attention; do
    code "$SOURCE/tests/fixtures/$family.keras" skylake-avx512
    lacks '^(vp2intersect|vpdp|vpopcnt|vpshld|vpshrd|vpmadd52|vperm[it2]*b |vpmultishift|vgf2p8|vaes|v[a-z0-9]*[a-z]ph |vcvt(u?w|u?dq|u?qq|pd)2ph|vcvtne|vp4|v4f|vexp2|vrcp28|tdp|sha|clwb|movdir)' later "$family"
done
code "$model" skylake-avx512
has '%zmm'
for cpu in haswell; do
    for family in conv activations; do
        code "$SOURCE/tests/fixtures/$family.keras" $cpu
        has '%ymm'
        lacks '%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])|%k[0-7]' AVX-512 $cpu
    done
done
for cpu in x86-64 x86-64-v2; do
    for family in conv activations; do
        code "$SOURCE/tests/fixtures/$family.keras" $cpu
        has '%xmm'
        lacks '%[yz]mm|^v' AVX $cpu
        [ $cpu != x86-64 ] || lacks '^(pblend|blendv|round[ps][sd]|pextr[bdq]|pinsr[bdq]|pm[ai][xn][us]?[bd] |pmulld|popcnt|ptest|pcmpgtq|pmov[sz]x)' SSE4 $cpu
    done
done
code "$model" haswell
has '^vfmadd'
"$KERATIN" compile "$model" -o code.o --name code --cpu haswell --features -fma
objdump -d --no-show-raw-insn code.o | sed -n 's/^ *[0-9a-f]*:\t//p' >code
lacks '^vfn?m(add|sub)' FMA '-fma'

# A CPU without what a program needs.
if ! command -v qemu-x86_64 >/dev/null; then
    echo "SKIPPED: driver/targets: qemu-x86_64 is missing"
    exit 77
fi
for cpu in haswell skylake-avx512; do
    "$KERATIN" compile "$model" -o digits --cpu $cpu
    expect_status 1 qemu-x86_64 -cpu Nehalem ./digits --input "$digits/images.npy" --output classes.npy
    [ "$(wc -l <errors)" = 1 ] || fail "not one sentence: $(cat errors)"
    expect_text 'this CPU does not have' errors
    [ ! -e classes.npy ] || fail "a program that cannot run left a file"
done
"$KERATIN" compile "$model" -o digits --cpu nehalem
qemu-x86_64 -cpu Nehalem ./digits --input "$digits/images.npy" --output classes.npy
"$COMPARE" classes classes.npy "$digits/classes.npy" || fail "--cpu nehalem"
