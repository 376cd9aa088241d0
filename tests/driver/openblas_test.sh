# --contractions=openblas: programs and libraries whose products are OpenBLAS's; the right kernels of it, no threads of
# its own, the environment as it was.
. "$(dirname "$0")/common.sh"
unset OPENBLAS_CORETYPE # what is chosen without it
cd "$work"
model=$digits/digits.keras
fashion=$SOURCE/examples/fashion/fashion.keras

expect_status 2 "$KERATIN" compile "$model" -o out --contractions=mkl
expect_errors 1
"$KERATIN" compile "$model" -o digits.loops --emit=loops --contractions=openblas
expect_text ' = product ' digits.loops
"$KERATIN" compile "$model" -o own.loops --emit=loops
! grep -q ' = product ' own.loops || fail "OpenBLAS without being asked for"
# Half precision is not its, so tests/fixtures leaves these out.
for family in dtype_float16 dtype_mixed_float16 dtype_bfloat16 dtype_mixed_bfloat16; do
    "$KERATIN" compile "$SOURCE/tests/fixtures/$family.keras" -o half.plan --emit=plan --contractions=openblas
    "$KERATIN" compile "$SOURCE/tests/fixtures/$family.keras" -o own.plan --emit=plan
    cmp half.plan own.plan || fail "OpenBLAS changes $family"
done
"$KERATIN" compile "$model" -o arm.s --target aarch64-linux-gnu --contractions=openblas
expect_text 'kt_blas_sgemm' arm.s
expect_status 1 "$KERATIN" compile "$model" -o out --target aarch64-linux-gnu --contractions=openblas
expect_errors 1

status=0
"$KERATIN" compile "$model" -o digits --contractions=openblas 2>errors || status=$?
if [ $status = 1 ] && grep -q 'install libopenblas-dev' errors; then
    echo "SKIPPED: driver/openblas: $(cat errors)"
    exit 77
fi
[ $status = 0 ] || fail "$(cat errors)"
./digits --input "$digits/images.npy" --output classes.npy
"$COMPARE" classes classes.npy "$digits/classes.npy" || fail "digits"
"$KERATIN" compile "$fashion" -o fashion --contractions=openblas
if [ -z "$SANITIZE" ]; then
    needed=$(readelf -d digits | grep NEEDED | grep -v -e 'libc\.so' -e 'libm\.so' -e 'ld-linux' || true)
    [ -z "$needed" ] || fail "the program also needs $needed"
fi
"$KERATIN" compile "$model" -o own
[ "$(wc -c <own)" -lt 5000000 ] || [ -n "$SANITIZE" ] || fail "OpenBLAS is in a program that does not call it"

# The kernels of this CPU, whatever OpenBLAS would take.
core=$(OPENBLAS_VERBOSE=2 ./digits describe 2>&1 >/dev/null | sed -n 's/^Core: //p')
if grep -q avx512vl /proc/cpuinfo; then
    [ "$core" = SkylakeX ] || fail "OpenBLAS uses its kernels for $core"
elif grep -q avx2 /proc/cpuinfo; then
    [ "$core" = Haswell ] || fail "OpenBLAS uses its kernels for $core"
fi
core=$(OPENBLAS_CORETYPE=Nehalem OPENBLAS_VERBOSE=2 ./digits describe 2>&1 >/dev/null | sed -n 's/^Core: //p')
[ "$core" = Nehalem ] || [ "$(uname -m)" != x86_64 ] || fail "OPENBLAS_CORETYPE counts for nothing, it is $core"

# The same bits with any number of threads; the same numbers as ours. Every form of product: matrices, batches of them,
# vectors, transposed operands, no depth, float64; float16 stays with our kernels.
cat >products.kir <<'END'
graph "products"
symbols batch

entry @predict(input 0 "x" %0: f32[batch,40,600], input 1 "y" %1: f32[batch,600,70]) {
  %2 = dot_general(%0, %1) lhs_batch=[0] rhs_batch=[0] lhs_contract=[2] rhs_contract=[1] : f32[batch,40,70]
  %3 = dot_general(%0, %2) lhs_batch=[0] rhs_batch=[0] lhs_contract=[1] rhs_contract=[1] : f32[batch,600,70]
  %4 = cast(%0) dtype=f64 : f64[batch,40,600]
  %5 = cast(%1) dtype=f64 : f64[batch,600,70]
  %6 = dot_general(%4, %5) lhs_batch=[0] rhs_batch=[0] lhs_contract=[2] rhs_contract=[1] : f64[batch,40,70]
  %7 = tanh(%6) : f64[batch,40,70]
  %8 = dot_general(%1, %1) lhs_batch=[0] rhs_batch=[0] lhs_contract=[1,2] rhs_contract=[1,2] : f32[batch]
  %9 = dot_general(%0, %1) lhs_contract=[2] rhs_contract=[1] : f32[batch,40,batch,70]
  %10 = reduce(%9) kind=sum axes=[2] : f32[batch,40,70]
  return output 0 "a" %2, output 1 "b" %3, output 2 "c" %7, output 3 "d" %8, output 4 "e" %10
}
END
"$KERATIN" compile products.kir -o products.loops --emit=loops --contractions=openblas
[ "$(grep -c ' = product ' products.loops)" -ge 3 ] || fail "few products"
"$KERATIN" compile products.kir -o products --contractions=openblas
"$KERATIN" compile products.kir -o products-own
awk 'BEGIN { srand(7); for (i = 0; i < 3; i++) { for (k = 0; k < 24000; k++) printf "%s%.4f", k ? "," : "", rand() - .5; print "" } }' >x.csv
awk 'BEGIN { srand(8); for (i = 0; i < 3; i++) { for (k = 0; k < 42000; k++) printf "%s%.4f", k ? "," : "", rand() - .5; print "" } }' >y.csv
for threads in 1 2 3; do
    ./products --input x=x.csv --input y=y.csv --output products$threads.npz --threads $threads
    ./fashion benchmark --batch 3 --threads $threads >timing
    cmp products1.npz products$threads.npz || fail "$threads threads"
done
./products-own --input x=x.csv --input y=y.csv --output own.npz
for name in a b c d e; do
    ./products --input x=x.csv --input y=y.csv --output a=1a.npy --output b=1b.npy --output c=1c.npy --output d=1d.npy --output e=1e.npy
    ./products-own --input x=x.csv --input y=y.csv --output a=2a.npy --output b=2b.npy --output c=2c.npy --output d=2d.npy --output e=2e.npy
    "$COMPARE" close 1$name.npy 2$name.npy || fail "output $name"
done

# Libraries: two in one program, each with its own OpenBLAS, none of it visible.
flags="-std=gnu11 -Wall -Wextra -Werror -I."
[ -z "$SANITIZE" ] || flags="$flags -fsanitize=$SANITIZE"
for form in o a so; do
    "$KERATIN" compile "$model" -o digits.$form --contractions=openblas
    "$KERATIN" compile "$fashion" -o fashion.$form --contractions=openblas
    $CC $flags "$SOURCE/tests/driver/library.c" ./digits.$form ./fashion.$form -o with_$form -lm -pthread
    ./with_$form || fail "a library in form .$form"
    [ "$(OPENBLAS_VERBOSE=2 ./with_$form 2>&1 | sort -u)" = "Core: $(OPENBLAS_VERBOSE=2 ./digits describe 2>&1 >/dev/null | sed -n 's/^Core: //p')" ] ||
        fail "other kernels in form .$form"
done
exported=$(nm --defined-only --extern-only digits.o | awk '{print $3}' | grep -v '^digits_' || true)
[ -z "$exported" ] || [ -n "$SANITIZE" ] || fail "digits.o also exports $exported"
cat >environment.c <<'END'
#include "digits.h"
#include <dirent.h>
#include <stdlib.h>
int main(void) {
    int threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (readdir(tasks)) threads++;
    closedir(tasks);
    digits *model = digits_create(1);
    int wrong = !model || getenv("OPENBLAS_NUM_THREADS") || getenv("OPENBLAS_CORETYPE") || threads > 3 + SANITIZED;
    digits_destroy(model);
    return wrong;
}
END
$CC $flags -DSANITIZED="${SANITIZE:+1}+0" environment.c ./digits.so -o environment -lm -pthread
env -u OPENBLAS_NUM_THREADS -u OPENBLAS_CORETYPE ./environment || fail "the library leaves traces in the process"
