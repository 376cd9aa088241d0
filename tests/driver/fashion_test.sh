#!/bin/sh
# The example of training from scratch, with a part of its images: it learns from them what holds of others.
. "$(dirname "$0")/common.sh"
fashion=$SOURCE/examples/fashion
"$fashion/images" "$work" 2>/dev/null || {
    echo "SKIPPED: Debian's package dataset-fashion-mnist is not installed"
    exit 77
}
header() { # SHAPE
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"
}
number() { # NAME FILE
    sed -n "s/.*\"$1\": \[*\([^],}]*\).*/\1/p" "$2"
}
above() { # NUMBER 0.8
    awk -v number="$1" -v bound="$2" 'BEGIN { exit !(number > bound) }'
}
{ header '12000, 28, 28, 1' && tail -c +129 "$work/train_images.npy" | head -c 9408000; } >"$work/some.npy"
{ header '12000,' && tail -c +129 "$work/train_labels.npy" | head -c 12000; } >"$work/some_labels.npy"
test="--data $work/images.npy --labels $work/labels.npy"

"$KERATIN" compile "$fashion/untrained.keras" --train -o "$work/trainer"
"$work/trainer" evaluate $test >"$work/before"
above 0.2 "$(number accuracy "$work/before")" || fail "an untrained model is right too often: $(cat "$work/before")"
# Keras is right for 0.78 of them while it trains, and then for 0.84 of the test images.
"$work/trainer" fit --data "$work/some.npy" --labels "$work/some_labels.npy" --batch-size 16 --quiet \
    --history "$work/history.json" --save "$work/trained.keras"
above "$(number accuracy "$work/history.json")" 0.75 || fail "it does not learn: $(cat "$work/history.json")"
"$work/trainer" evaluate $test --weights "$work/trained.keras" >"$work/after"
above "$(number accuracy "$work/after")" 0.8 || fail "what it learns is of no use elsewhere: $(cat "$work/after")"

# What was saved is a model that predicts, and its evaluation counts what its predictions are.
"$KERATIN" compile "$work/trained.keras" -o "$work/program"
"$SOURCE/examples/classify" "$work/program" "$work/images.npy" "$work/labels.npy" 28 0 1 2 3 4 5 6 7 8 9 >"$work/classified"
right=$(sed -n 's/^\([0-9]*\) of 10000 images right.*/\1/p' "$work/classified")
awk -v right="$right" -v accuracy="$(number accuracy "$work/after")" \
    'BEGIN { d = right - 10000 * accuracy; exit !(right > 0 && d < 0.5 && d > -0.5) }' ||
    fail "$right images are right, but $(cat "$work/after")"
