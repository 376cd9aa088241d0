# The classes of both examples' whole test sets are Keras's, image for image, at every batch size and level.
. "$(dirname "$0")/common.sh"

"$KERATIN" compile "$digits/digits.keras" -o "$work/digits"
for batch in 1 7 64 360; do
    "$work/digits" predict --input "$digits/images.npy" --output "$work/y.npy" --batch-size $batch
    "$COMPARE" classes "$work/y.npy" "$digits/classes.npy" || fail "digits, batches of $batch"
done
for level in 0 1 3; do
    "$KERATIN" compile "$digits/digits.keras" -o "$work/level" -O$level
    "$work/level" --input "$digits/images.npy" --output "$work/level.npy"
    "$COMPARE" close "$work/y.npy" "$work/level.npy" || fail "digits, -O$level"
done

[ -f /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ] || {
    echo "SKIPPED: fashion, Debian's package dataset-fashion-mnist is not installed"
    exit 77
}
"$SOURCE/examples/fashion/images" "$work"
"$KERATIN" compile "$SOURCE/examples/fashion/fashion.keras" -o "$work/fashion"
"$work/fashion" --input "$work/images.npy" --output "$work/y.npy"
"$COMPARE" classes "$work/y.npy" "$SOURCE/examples/fashion/classes.npy" || fail "fashion"
