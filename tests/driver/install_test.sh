# cmake --install: what is installed may be moved, compiles by itself alone, and is found by CMake and pkg-config.
. "$(dirname "$0")/common.sh"
if [ -n "$SANITIZE" ]; then
    echo "SKIPPED: instrumented builds are not for installing"
    exit 77
fi
build=$(cd "$(dirname "$KERATIN")/.." && pwd)
cd "$work"
DESTDIR=$work/stage cmake --install "$build" --prefix /opt/keratin >installed || fail "cmake --install"
mv stage/opt/keratin moved
[ -z "$(find stage -type f)" ] || fail "also installed: $(find stage -type f | head -n 3)"
moved=$work/moved
# What debuggers read names it, in builds that have it.
strip -o "$work/driver" "$moved/bin/keratin"
strip -o "$work/library" "$moved/lib/libkeratin.so"
for file in driver library "$moved"/lib/cmake/Keratin/*.cmake "$moved"/lib/pkgconfig/*; do
    ! strings -a "$file" | grep -F "$build" || fail "$file names the build tree"
done

# Tools that write down what they are asked to link.
mkdir tools
for tool in cc musl-gcc ld; do
    real=$(command -v $tool) || continue
    printf '#!/bin/sh\nprintf "%%s\\n" "$@" >>"%s"\nexec "%s" "$@"\n' "$work/linked" "$real" >tools/$tool
    chmod +x tools/$tool
done
compile() {
    env PATH="$work/tools:$PATH" "$moved/bin/keratin" compile "$@"
}
# All archives that the last program was linked from, but for the C compiler's own, are in the moved folder.
expect_linked() {
    expect_text "^$moved/lib/$1\$" linked
    ! grep -e '\.a$' linked | grep -v -e "^$moved/lib/" -e /libgcc || fail "linked from elsewhere"
    rm linked
}
compile "$digits/digits.keras" -o digits
expect_linked libkeratin_rt.a
./digits --input "$digits/images.npy" --output dynamic.npy
"$COMPARE" classes dynamic.npy "$digits/classes.npy"
compile "$digits/digits.keras" -o digits.a
expect_linked libkeratin_rt.a
compile "$SOURCE/tests/driver/trainer.keras" --train -o trainer
expect_linked keratin/libhdf5_serial.a
./trainer fit --data "$SOURCE/tests/driver/trainer_x.npy" --labels "$SOURCE/tests/driver/trainer_y.npy" --quiet \
    --save trained.keras
./trainer evaluate --data "$SOURCE/tests/driver/trainer_x.npy" --labels "$SOURCE/tests/driver/trainer_y.npy" \
    --weights trained.keras >evaluated
expect_text '"loss"' evaluated
if [ -e "$build/lib/musl/libkeratin_rt.a" ]; then
    compile "$digits/digits.keras" -o static --libc=musl
    expect_linked musl/libkeratin_rt.a
    ./static --input "$digits/images.npy" --output static.npy
    "$COMPARE" classes static.npy "$digits/classes.npy"
fi
for machine in aarch64-linux-gnu x86_64-linux-gnu; do
    [ -e "$build/lib/$machine/libkeratin_rt.a" ] || continue
    "$moved/bin/keratin" compile "$digits/digits.keras" -o other --target $machine
done

# The C interface: by pkg-config, and by CMake.
export PKG_CONFIG_PATH="$moved/lib/pkgconfig"
$CC "$SOURCE/examples/train_c/train.c" $(pkg-config --cflags --libs keratin) -lm -Wl,-rpath,"$moved/lib" -o train
./train >lines || fail "a program that pkg-config links"
expect_text '^accuracy on samples it has not seen: \(0\.9\|1\)' lines
mkdir project
cat >project/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.25)
project(spirals LANGUAGES C)
find_package(Keratin 0.1 REQUIRED)
add_executable(train ${EXAMPLE})
target_link_libraries(train PRIVATE Keratin::keratin m)
END
cmake -S project -B project/build -DCMAKE_PREFIX_PATH="$moved" -DEXAMPLE="$SOURCE/examples/train_c/train.c" \
    -DCMAKE_C_COMPILER="$CC" >configured || fail "find_package(Keratin)"
cmake --build project/build >built || fail "$(cat built)"
./project/build/train >again || fail "a program that CMake links"
cmp lines again || fail "it trains otherwise"
readelf -d project/build/train | grep -q "RUNPATH.*$moved/lib" || fail "it is linked with another library"
