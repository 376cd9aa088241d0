#!/bin/sh
# What ./quickstart does: the digits model learns from scratch, and its history is drawn.
. "$(dirname "$0")/common.sh"
"$KERATIN" compile "$digits/untrained.keras" --train -o "$work/trainer"
"$work/trainer" fit --data "$digits/train_images.npy" --labels "$digits/train_labels.npy" --epochs 16 \
    --validation-data "$digits/images.npy" --validation-labels "$digits/labels.npy" --quiet --history "$work/history.json" --save "$work/trained.keras"
"$work/trainer" evaluate --data "$digits/images.npy" --labels "$digits/labels.npy" --weights "$work/trained.keras" >"$work/evaluated"
sed -n 's/.*"accuracy": \([0-9.]*\).*/\1/p' "$work/evaluated" | awk '{ if ($1 > 0.95) good = 1 } END { exit !good }' ||
    fail "digits are not learnt: $(cat "$work/evaluated")"
TERM=dumb "$SOURCE/examples/curve" "$work/history.json" >"$work/drawn"
expect_text '^Loss by epoch: \* training, o validation' "$work/drawn"
expect_text '^Accuracy by epoch: ' "$work/drawn"
! LC_ALL=C grep -q '[^ -~]' "$work/drawn" || fail "not plain characters: $(cat "$work/drawn")"

# Point by point: falling and constant numbers, those that are none, and a single epoch.
echo '{"loss": [9, 4, NaN, 0], "val_loss": [9, 5, 1, Infinity]}' >"$work/history.json"
"$SOURCE/examples/curve" "$work/history.json" >"$work/drawn"
cat >"$work/expected" <<'END'
Loss by epoch: * training, o validation, 8 both
    9.0000 |  8
           |
           |
           |
           |     o
           |     *
           |
           |
           |        o
    0.0000 |           *
           +------------
              1        4

END
cmp "$work/drawn" "$work/expected" || fail "drawn is: $(cat "$work/drawn")"
echo '{"loss": [NaN]}' >"$work/history.json"
[ "$("$SOURCE/examples/curve" "$work/history.json")" = "Loss: no epoch has a number" ] || fail "a loss that is no number is drawn"
echo '{"accuracy": [0.5]}' >"$work/history.json"
[ "$("$SOURCE/examples/curve" "$work/history.json" | grep -c '\*$')" = 1 ] || fail "one epoch is not one point"
