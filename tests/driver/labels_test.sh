#!/bin/sh
# Labels that are no class, and weights of such classes, are refused in a sentence before anything is trained or written.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
x=$here/trainer_x.npy
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"

labels() { # FILE ROW LABEL: 96 labels, one of them as said
    awk -v row="$2" -v label="$3" 'BEGIN { for (i = 0; i < 96; i++) print i == row ? label : i % 3 }' >"$1"
}
refused() { # TEXT ARGUMENTS...: status 1, one sentence, nothing written
    text=$1
    shift
    expect_status 1 "$@"
    expect_errors 1
    expect_text "$text" "$work/errors"
    [ ! -s "$work/output" ] || fail "an epoch began: $(cat "$work/output")"
}
for case in 3:3 50:-1 95:12 7:1.5 20:nan 3:4294967296; do
    row=${case%:*} label=${case#*:}
    labels "$work/wrong.csv" "$row" "$label"
    for verb in fit evaluate; do
        refused "wrong.csv: Row $row, counted from 0, has the label $label, but there are 3 classes, numbered from 0\.$" \
            "$work/trainer" $verb --data "$x" --labels "$work/wrong.csv"
    done
    labels "$work/right.csv" 0 2
    refused "wrong.csv: Row $row," "$work/trainer" fit --data "$x" --labels "$work/right.csv" \
        --validation-data "$x" --validation-labels "$work/wrong.csv" --history "$work/history.json"
done
[ ! -e "$work/history.json" ] || fail "there is a history"
labels "$work/whole.csv" 5 2.0
"$work/trainer" fit --data "$x" --labels "$work/whole.csv" --quiet

# A class that is ignored is no class otherwise.
ignoring='{"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": -1}}'
"$KERATIN" compile "$here/trainer.keras" --train --loss "$ignoring" -o "$work/ignoring"
labels "$work/ignored.csv" 5 -1
"$work/ignoring" fit --data "$x" --labels "$work/ignored.csv" --quiet
labels "$work/wrong.csv" 5 -2
refused "Row 5, .* the label -2, but there are 3 classes, numbered from 0; -1 is ignored\.$" \
    "$work/ignoring" fit --data "$x" --labels "$work/wrong.csv"

for wrong in 3=2 0=1,-1=2; do
    class=${wrong#0=1,}
    refused "class-weight gives the class ${class%=2} a weight, but there are 3 classes" "$work/trainer" fit --data "$x" --labels "$work/right.csv" --class-weight $wrong
done

# Labels that are streamed are refused when they are read: rows are the file's, in whatever order they come.
[ -z "$SANITIZE" ] || exit 0
header() { # DESCR SHAPE
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
}
{ header '|u1' '35000000, 6'; } >"$work/large.npy"
truncate -s 210000128 "$work/large.npy"
{ header '|u1' '35000000,'; } >"$work/large_y.npy"
truncate -s 35000128 "$work/large_y.npy"
printf '\007' | dd of="$work/large_y.npy" bs=1 seek=140 conv=notrunc 2>/dev/null
expect_status 1 "$work/trainer" evaluate --data "$work/large.npy" --labels "$work/large_y.npy" --batch-size 65536
expect_errors 1
expect_text "large_y.npy: Row 12, counted from 0, has the label 7" "$work/errors"
