# Libraries in each form, from a C program: two models, two contexts each, two threads at once.
. "$(dirname "$0")/common.sh"
cd "$work"
flags="-std=c11 -Wall -Wextra -Werror -I."
[ -z "$SANITIZE" ] || flags="$flags -fsanitize=$SANITIZE"
source=$SOURCE/tests/driver/library.c

models() { # ENDING
    "$KERATIN" compile "$digits/digits.keras" -o "digits.$1"
    "$KERATIN" compile "$SOURCE/examples/fashion/fashion.keras" -o "fashion.$1"
}
# Under a sanitizer the generated code is instrumented too.
"$KERATIN" compile "$digits/digits.keras" -o instrumented.ll
case "$SANITIZE" in
*address*) expect_text '@__asan_report_store' instrumented.ll ;;
thread) expect_text 'call void @__tsan_[a-z_]*write' instrumented.ll ;;
esac

models o
$CC $flags "$source" digits.o fashion.o -o with_objects -lm -pthread
./with_objects || fail "objects"
if [ "$SANITIZE" = thread ]; then
    $CC $flags -DRACE "$source" digits.o fashion.o -o with_race -lm -pthread
    ! ./with_race 2>race || fail "a race of generated code went unseen"
    expect_text 'data race' race
fi
models a
$CC $flags "$source" digits.a fashion.a -o with_archives -lm -pthread
./with_archives || fail "archives"
models so
$CC $flags "$source" ./digits.so ./fashion.so -o with_shared -lm -pthread
./with_shared || fail "shared libraries"

for file in digits.o digits.so; do
    exported=$(nm $([ $file = digits.so ] && echo -D) --defined-only --extern-only $file | awk '{print $3}' | grep -v '^digits_' || true)
    [ -n "$SANITIZE" ] || [ -z "$exported" ] || fail "$file also exports $exported"
done
"$KERATIN" compile "$digits/digits.keras" -o libother.so
expect_text other_predict libother.h
