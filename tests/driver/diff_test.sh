# keratin diff: the first layer whose output departs from Keras's; tests/driver/inspection/make.py made the models.
. "$(dirname "$0")/common.sh"
data=$SOURCE/tests/driver/inspection
cd "$work"

first_line() {
    [ "$(head -1 output)" = "$1" ] || fail "the first line is not '$1': $(head -3 output)"
}

for how in -O2 -O0 --evaluate; do
    expect_status 0 "$KERATIN" diff "$data/nested.keras" --against "$data/nested.npz" --all $how
    expect_text '^19 compared agree' output
    # Every call of a shared layer, also in a model that is called twice, and operations.
    for path in stem tower/block/conv tower/block/conv@1 tower/block@1 tower shared shared@1 multiply; do
        grep -q "^agrees  *$path " output || fail "$how: $path was not compared"
    done
    [ ! -s errors ] || fail "$how: unexpected: $(cat errors)"

    # One weight of conv, in the model block, which the model tower calls twice.
    expect_status 1 "$KERATIN" diff "$data/spoilt.keras" --against "$data/nested.npz" --all $how
    first_line tower/block/conv
    expect_text '^  2 compared before it agree$' output
    expect_text '^agrees  *stem ' output
    expect_text '^departs  *tower/block/conv@1 ' output
    [ ! -s errors ] || fail "$how: unexpected: $(cat errors)"
done

# Tolerances: what was spoilt is within a large one; rounding is not within none.
expect_status 0 "$KERATIN" diff "$data/spoilt.keras" --against "$data/nested.npz" --rtol 1
expect_status 0 "$KERATIN" diff "$data/spoilt.keras" --against "$data/nested.npz" --atol 10
expect_status 1 "$KERATIN" diff "$data/nested.keras" --against "$data/nested.npz" --rtol 0
expect_status 0 "$KERATIN" diff "$data/nested.keras" --against "$data/nested.npz" --rtol 0 --atol 1e-3

# Missing arrays are skipped; unknown ones, and an input that is not there, are told.
expect_status 1 "$KERATIN" diff "$data/spoilt.keras" --against "$data/some.npz"
first_line nested/both
expect_text "note: .*some.npz: 'no/such' is neither a layer nor an input" errors
expect_status 1 "$KERATIN" diff "$data/nested.keras" --against "$data/no_input.npz"
expect_errors 1
expect_text "no_input.npz: There is no array for the input 'extra'" errors
expect_status 1 "$KERATIN" diff "$data/nested.keras" --against "$SOURCE/tests/fixtures/dense.npz"
expect_errors 1
expect_text 'nothing to compare' errors
expect_status 1 "$KERATIN" diff "$data/nested.keras" --against missing.npz
expect_errors 1
# A shape that differs; and the only input of a Sequential, which may have any name.
expect_status 1 "$KERATIN" diff "$data/plain.keras" --against "$data/plain.npz"
first_line flatten
expect_text 'shape \[2, 64\] instead of \[2, 8, 8\]' output

expect_status 2 "$KERATIN" diff "$data/nested.keras"
expect_status 2 "$KERATIN" diff "$data/nested.keras" --against "$data/nested.npz" --rtol -1
expect_status 2 "$KERATIN" diff "$data/nested.keras" --against "$data/nested.npz" --atol much

# A graph has no layers any more, but outputs.
"$KERATIN" compile "$data/nested.keras" -o nested.kir
expect_status 0 "$KERATIN" diff nested.kir --against "$data/nested.npz"
expect_text '^2 compared agree' output
"$KERATIN" compile "$data/spoilt.keras" -o spoilt.kir
expect_status 1 "$KERATIN" diff spoilt.kir --against "$data/nested.npz"
first_line classes

# Keras may be asked on the spot, where a Python has it.
expect_status 1 "$KERATIN" diff "$data/nested.keras" --keras no-such-python
expect_errors 1
python=${KERAS_PYTHON:-python3}
if "$python" -c 'import keras' 2>imported; then
    expect_status 0 "$KERATIN" diff "$data/nested.keras" --keras "$python"
    expect_text '^19 compared agree' output
    expect_status 0 "$KERATIN" diff "$data/several.keras" --keras "$python"
    expect_status 1 "$KERATIN" diff "$data/nested.keras" --keras "$python" --against "$data/no_input.npz"
    expect_text "no array for the input 'extra'" errors
else
    echo "SKIPPED: --keras, since $python has no Keras (KERAS_PYTHON names another)"
fi
