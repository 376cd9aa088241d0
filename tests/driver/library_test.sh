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

# The generic interface.
$CC $flags "$SOURCE/tests/driver/generic.c" ./digits.so -o generic -lm -pthread
./generic || fail "the generic interface"

# Names: of the file without lib and ending, made an identifier; or as --name says, which is all that symbols depend on.
"$KERATIN" compile "$digits/digits.keras" -o libfirst.a && expect_text '^int first_predict' libfirst.h
"$KERATIN" compile "$digits/digits.keras" -o some-model.o && expect_text '^int some_model_predict' some-model.h
"$KERATIN" compile "$digits/digits.keras" -o libfirst.so --name second && expect_text '^int second_predict' libfirst.h
nm -D --defined-only libfirst.so >names && expect_text ' second_predict$' names
exported=$(nm -g --defined-only libfirst.a | awk 'NF == 3 {print $3}' | grep -v '^first_' || true)
[ -n "$SANITIZE" ] || [ -z "$exported" ] || fail "libfirst.a also exports $exported"

# The same bytes under another name of the file, in another directory, if the symbols have the same name.
mkdir -p other/place
for ending in so a o; do
    "$KERATIN" compile "$digits/digits.keras" -o "here.$ending" --name same
    (cd other/place && "$KERATIN" compile "$digits/digits.keras" -o "there.$ending" --name same)
    cmp "here.$ending" "other/place/there.$ending" || fail ".$ending depends on where it is written"
    cmp here.h other/place/there.h
done
(cd other && "$KERATIN" compile "$digits/digits.keras" -o exe --name same)
"$KERATIN" compile "$digits/digits.keras" -o exe2 --name same
cmp exe2 other/exe || fail "a program depends on where it is written"
