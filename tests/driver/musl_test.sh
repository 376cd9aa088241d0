# --libc=musl: one static executable with equal outputs.
. "$(dirname "$0")/common.sh"
cd "$work"
expect_status 2 "$KERATIN" compile "$digits/digits.keras" -o digits.so --libc=musl
expect_errors 1
expect_status 2 "$KERATIN" compile "$digits/digits.keras" -o digits --libc=newlib
expect_errors 1
expect_status 1 "$KERATIN" compile "$digits/digits.keras" -o digits.arm --libc=musl --target riscv64-linux-gnu
expect_status 1 env PATH=/nowhere "$KERATIN" compile "$digits/digits.keras" -o digits --libc=musl
expect_errors 1
expect_text 'install musl-tools' errors
[ ! -e digits ] || fail "digits was written"
if ! command -v musl-gcc >/dev/null || [ ! -e "$(dirname "$KERATIN")/../lib/musl/libkeratin_rt.a" ]; then
    echo "SKIPPED: musl-gcc is not there"
    exit 77
fi

"$KERATIN" compile "$digits/digits.keras" -o digits --libc=musl
"$KERATIN" compile "$digits/digits.keras" -o dynamic --name digits
readelf -lW digits >headers
! grep -q -e INTERP -e DYNAMIC headers || fail "the executable is dynamic"
./digits --input "$digits/images.npy" --output static.npy
./dynamic --input "$digits/images.npy" --output dynamic.npy
[ -n "$SANITIZE" ] || cmp static.npy dynamic.npy || fail "other outputs"
"$COMPARE" classes static.npy "$digits/classes.npy"
./digits --input "$digits/images.npy" --output - >static.csv
./dynamic --input "$digits/images.npy" --output - >dynamic.csv
[ -n "$SANITIZE" ] || cmp static.csv dynamic.csv || fail "other CSV"
./digits describe >static.json && ./dynamic describe >dynamic.json && cmp static.json dynamic.json
./digits benchmark --threads 2 --batch 32 >benchmark.json
expect_text '"threads": 2' benchmark.json
mkdir again && "$KERATIN" compile "$digits/digits.keras" -o again/digits --libc=musl && cmp digits again/digits

# Weights beside it, and by name.
"$KERATIN" compile "$digits/digits.keras" -o beside --libc=musl --weights=file
(cd / && "$work/beside" --input "$digits/images.npy" --output "$work/beside.npy")
"$COMPARE" close beside.npy static.npy
