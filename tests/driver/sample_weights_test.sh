#!/bin/sh
# Weights of samples, and of the steps of samples: they train as in Keras, from any kind of file.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
"$KERATIN" compile "$here/stepped.keras" --train -o "$work/trainer"
data="--data $here/stepped_x.npy --labels $here/stepped_y.npy --batch-size 5"

"$work/trainer" fit $data --sample-weight "$here/stepped_weights.npy" --epochs 4 --no-shuffle --validation-split 0.25 \
    --quiet --history "$work/history.json"
same_logs "$here/stepped_history.txt" "$work/history.json"

# Samples that validate have weights of their own, and do not take those of samples that are trained on.
"$work/trainer" fit $data --epochs 2 --no-shuffle --validation-data "$here/stepped_x.npy" --validation-labels "$here/stepped_y.npy" \
    --validation-sample-weight "$here/stepped_weights.npy" --quiet --history "$work/history.json"
same_logs "$here/stepped_validated_history.txt" "$work/history.json"

# A weight for a sample, [n] or [n, 1], is one for each of its steps, in whatever order samples come.
awk 'BEGIN { for (i = 0; i < 24; i++) print i % 3 + 0.5 }' >"$work/one.csv"
awk '{ print "[" $1 "]" }' "$work/one.csv" >"$work/column.jsonl"
awk '{ print $1 }' "$work/one.csv" >"$work/row.jsonl"
awk '{ print "[" $1 "," $1 "," $1 "," $1 "]" }' "$work/one.csv" >"$work/each.jsonl"
for threads in 1 2; do
    for weights in one.csv column.jsonl row.jsonl each.jsonl; do
        "$work/trainer" fit $data --sample-weight "$work/$weights" --epochs 2 --seed 3 --quiet --threads $threads --save "$work/$weights.keras"
        "$work/trainer" evaluate $data --sample-weight "$work/$weights" --threads $threads >"$work/$weights.json"
        cmp "$work/one.csv.keras" "$work/$weights.keras" || fail "$weights trains other weights"
        cmp "$work/one.csv.json" "$work/$weights.json" || fail "$weights evaluates to something else"
    done
done
"$work/trainer" evaluate $data >"$work/unweighted.json"
! cmp -s "$work/one.csv.json" "$work/unweighted.json" || fail "weights do not matter"

# What does not fit, and what would be none of Keras's.
refused() { # TEXT ARGUMENTS
    text=$1
    shift
    expect_status 1 "$work/trainer" fit $data "$@"
    expect_errors 1
    expect_text "$text" "$work/errors"
}
awk '{ print "[" $1 "," $1 "," $1 "]" }' "$work/one.csv" >"$work/three.jsonl"
refused "'sample_weight' has the shape \[24, 3\], but \[batch, [a-z_.0-9]*\] is expected" --sample-weight "$work/three.jsonl"
head -23 "$work/one.csv" >"$work/few.csv"
refused "'sample_weight' has 23 samples" --sample-weight "$work/few.csv"
refused "class-weight is for labels of one class a sample" --class-weight 0=2
expect_status 2 "$work/trainer" fit $data --validation-sample-weight "$here/stepped_weights.npy"
expect_text "validation-sample-weight wants --validation-data" "$work/errors"
