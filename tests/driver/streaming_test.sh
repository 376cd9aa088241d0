#!/bin/sh
# Training on files that are larger than memory: samples stream from them, and train as samples in memory do.
. "$(dirname "$0")/common.sh"
[ -z "$SANITIZE" ] || exit 77 # gigabytes of address space, and slow; the preset hostile streams all that training_test.sh reads
here=$SOURCE/tests/driver
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"

header() { # DESCR SHAPE
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
}
repeat() { # FILE BYTES DOUBLINGS
    tail -c "$2" "$1" >"$work/part"
    for _ in $(seq "$3"); do cat "$work/part" "$work/part" >"$work/twice" && mv "$work/twice" "$work/part"; done
}

# 37 MB from the file, and all of it at once from standard input.
repeat "$here/trainer_x.npy" 2304 14
{ header '<f4' '1572864, 6' && cat "$work/part"; } >"$work/x.npy"
repeat "$here/trainer_y.npy" 384 14
{ header '<i4' '1572864,' && cat "$work/part"; } >"$work/y.npy"
rm "$work/part"
for options in "" "--no-shuffle --validation-split 0.25 --class-weight 0=1,1=2.5,2=0.5"; do
    fit="fit --labels $work/y.npy --quiet --batch-size 4096 $options"
    "$work/trainer" $fit --data "$work/x.npy" --save "$work/streamed.keras" --history "$work/streamed.json"
    "$work/trainer" $fit --data - --save "$work/whole.keras" --history "$work/whole.json" <"$work/x.npy"
    cmp "$work/streamed.keras" "$work/whole.keras" || fail "streamed samples train other weights: $options"
    cmp "$work/streamed.json" "$work/whole.json" || fail "streamed samples make another history: $options"
done

# 200 MB in less address space than that.
{ header '<f8' '4200000, 6'; } >"$work/large.npy"
truncate -s 201600128 "$work/large.npy"
{ header '|u1' '4200000,'; } >"$work/labels.npy"
truncate -s 4200128 "$work/labels.npy"
large="--data $work/large.npy --labels $work/labels.npy --batch-size 8192 --threads 1"
(ulimit -v 150000 && "$work/trainer" fit $large --no-shuffle --quiet --history "$work/history.json") || fail "200 MB want 150 MB"
expect_text '"loss"' "$work/history.json"
(ulimit -v 150000 && "$work/trainer" evaluate $large) >"$work/evaluated" || fail "evaluating 200 MB wants 150 MB"
expect_text '"loss"' "$work/evaluated"

# A file that is cut off is refused before anything is trained.
truncate -s 201600000 "$work/large.npy"
expect_status 1 "$work/trainer" fit $large
expect_errors 1
expect_text "large.npy: The file holds fewer elements than its header says" "$work/errors"
