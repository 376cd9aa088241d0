#!/bin/sh
# Callbacks of a compiled trainer against what Keras's own wrote and decided (make_callbacks.py): logs in CSV and for
# TensorBoard, learning rates, when training stops, which models are kept, and that a resumed run goes on as it would have.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
recorded=$here/callbacks
data="--data $here/trainer_x.npy --labels $here/trainer_y.npy"
fit="fit $data --batch-size 20 --no-shuffle --quiet"
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"

# Two texts of numbers and words, $2 Keras's, are the same: numbers to 1e-4, as sixteen steps of Adam make more of a rounding
# than one, words exactly.
same() {
    awk -v other="$2" '
        { n = split($0, ours, /[ ,;]/); ok = (getline line < other) > 0; m = split(line, theirs, /[ ,;]/)
          if (!ok || n != m) { print "line " NR ": " $0 " is not " line; bad = 1; exit }
          for (i = 1; i <= n; i++) {
              numbers = ours[i] ~ /^-?[0-9]/ && theirs[i] ~ /^-?[0-9]/
              d = ours[i] - theirs[i]
              if (numbers ? d > 1e-4 || d < -1e-4 : ours[i] != theirs[i]) { print "line " NR ": " ours[i] " is not " theirs[i]; bad = 1; exit } } }
        END { if (!bad && (getline line < other) > 0) { print "misses " line; bad = 1 } exit bad }' "$1" >"$work/difference" ||
        fail "$3: $(cat "$work/difference")"
}
# The history in $work/history.json is the one that Keras recorded as $1; without the log $2, if it is given.
same_history() {
    tr '}' '\n' <"$work/history.json" | sed 's/[{"]//g; s/\], /\n/g' | sed 's/[],:[]/ /g; s/NaN/nan/g; s/  */ /g; s/ $//' | grep . | grep -v "^${2:-none} " >"$work/ours"
    sed -n "s/^$1 //p" "$recorded/recorded.txt" | grep -v "^${2:-none} " >"$work/theirs"
    same "$work/ours" "$work/theirs" "history of $1"
}

# The learning rate falls on a plateau; logs of it all.
"$work/trainer" $fit --epochs 8 --validation-split 0.25 --history "$work/history.json" --csv-log "$work/plateau.csv" \
    --tensorboard "$work/board" \
    --reduce-lr-on-plateau monitor=val_loss,factor=0.5,patience=1,min_delta=0.1,cooldown=1,min_lr=0.006
same_history plateau
same "$work/plateau.csv" "$recorded/plateau.csv" "plateau.csv"
for side in train validation; do
    "$EVENTS" "$recorded/$side.tfevents" >"$work/theirs" || fail "Keras's events of $side are not read"
    [ "$(wc -l <"$work/theirs")" -gt 20 ] || fail "Keras's events of $side are not all read"
    "$EVENTS" "$work/board/$side"/events.out.tfevents.*.v2 >"$work/ours" || fail "events of $side are wrong"
    same "$work/ours" "$work/theirs" "events of $side"
done
printf x | dd of="$work/board/train/$(ls "$work/board/train")" bs=1 seek=40 conv=notrunc 2>"$work/errors"
expect_status 1 "$EVENTS" "$work/board/train/$(ls "$work/board/train")"

# The rate by epochs, and columns of a log without validation; Python's newlines and numbers.
"$work/trainer" $fit --epochs 4 --history "$work/history.json" --csv-log "$work/scheduled.csv" --csv-log-separator ';' \
    --learning-rate-scheduler 0=0.05,1=0.02,3=0.001
same_history scheduled
same "$work/scheduled.csv" "$recorded/scheduled.csv" "scheduled.csv"
[ "$(cut -d ';' -f 3 "$work/scheduled.csv")" = "$(cut -d ';' -f 3 "$recorded/scheduled.csv")" ] || fail "rates are written otherwise"
"$work/trainer" $fit --csv-log "$work/scheduled.csv" --csv-log-separator ';' --csv-log-append
[ "$(cut -d ';' -f 1 "$work/scheduled.csv" | tr '\n' ' ')" = "epoch 0 1 2 3 0 " ] || fail "not appended: $(cat "$work/scheduled.csv")"

# No number, from the first epoch on: it is the best, and nothing improves on it. (Which class is the likeliest of none
# depends on how one looks for it, and with it the accuracy.)
cp "$here/trainer_x.npy" "$work/nowhere.npy"
# The first element, behind the header of 128 bytes, becomes a NaN.
printf '\000\000\300\177' | dd of="$work/nowhere.npy" bs=1 seek=128 conv=notrunc 2>"$work/errors"
nowhere="fit --data $work/nowhere.npy --labels $here/trainer_y.npy --batch-size 20 --no-shuffle"
"$work/trainer" $nowhere --quiet --epochs 6 --early-stopping monitor=loss,patience=2 --history "$work/history.json"
same_history nan accuracy
"$work/trainer" $nowhere --epochs 6 --terminate-on-nan --history "$work/history.json" >"$work/lines"
same_history terminated accuracy
expect_text '^Batch 0: Invalid loss, terminating training$' "$work/lines"

# mode=auto follows the metric.
"$work/trainer" $fit --epochs 9 --validation-split 0.25 --early-stopping monitor=val_accuracy,patience=1,min_delta=0.05 \
    --history "$work/history.json"
same_history accuracy
expect_status 2 "$work/trainer" $fit --early-stopping monitor=nothing
expect_errors 1
expect_text "whether 'nothing' is better high or low" "$work/errors"
"$KERATIN" compile "$here/trainer.keras" --train --metrics "accuracy , accuracy" -o "$work/twice"
"$work/twice" $fit --history "$work/history.json" --early-stopping monitor=accuracy_1
expect_text '^{"accuracy": .*"accuracy_1": .*"loss": ' "$work/history.json"

# What is kept, and under which names.
mkdir "$work/kept"
"$work/trainer" $fit --epochs 6 --model-checkpoint \
    "filepath=$work/kept/best/{epoch:02d}-{loss:.1f}.keras,monitor=accuracy,save_best_only=true,initial_value_threshold=0.5"
"$work/trainer" $fit --epochs 2 --model-checkpoint \
    "filepath=$work/kept/often/{epoch}-{batch:3d}.weights.h5,save_weights_only=true,save_freq=3"
(cd "$work/kept" && find . -type f | sed 's|^\./||' | sort) >"$work/names"
cmp -s "$work/names" "$recorded/kept.txt" || fail "kept are $(cat "$work/names")"
"$work/trainer" $fit --epochs 6 --save "$work/last.keras"
cmp "$work/last.keras" "$work/kept/best/06-0.5.keras" || fail "the model of the last epoch is not what was kept of it"
for wrong in filepath=x.h5 filepath=x.keras,save_weights_only=true filepath=x.keras,save_freq=often filepath=x.keras,mode=up,save_best_only=true; do
    expect_status 2 "$work/trainer" $fit --model-checkpoint "$wrong"
    expect_errors 1
done
for wrong in '{nothing}' '{epoch:.2q}' '{loss:d}' '{loss' 'loss}' '{epoch:999d}'; do
    expect_status 1 "$work/trainer" $fit --model-checkpoint "filepath=$work/$wrong.keras"
    expect_errors 1
done

# Callbacks of a resumed run know what they knew.
callbacks="--validation-split 0.25 --early-stopping monitor=val_loss,patience=3,min_delta=0.05,restore_best_weights=true
    --reduce-lr-on-plateau monitor=val_loss,factor=0.5,patience=2,min_delta=0.1,cooldown=1"
"$work/trainer" $fit $callbacks --epochs 20 --save "$work/one.keras" --history "$work/one.json"
[ "$(tr , '\n' <"$work/one.json" | wc -l)" -lt 80 ] || fail "it does not stop early: $(cat "$work/one.json")"
for epochs in 1 2 3 4 20; do
    "$work/trainer" $fit $callbacks --epochs $epochs --checkpoint "$work/run" --resume --history "$work/resumed.json" --save "$work/resumed.keras"
done
cmp "$work/one.json" "$work/resumed.json" || fail "a resumed run has another history"
cmp "$work/one.keras" "$work/resumed.keras" || fail "a resumed run ends with other weights"
"$work/trainer" $fit $callbacks --epochs 20 --checkpoint "$work/run" --resume --save "$work/again.keras"
cmp "$work/one.keras" "$work/again.keras" || fail "a run that had stopped goes on"

for wrong in "--learning-rate-scheduler 0=x" "--learning-rate-scheduler 3=1,2=1" "--learning-rate-scheduler 1" "--csv-log-separator ;;"; do
    expect_status 2 "$work/trainer" $fit $wrong
    expect_errors 1
done
expect_status 1 "$work/trainer" $fit --tensorboard "$work/trainer/board"
expect_errors 1
