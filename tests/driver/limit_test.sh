#!/bin/sh
# --memory-limit: a step takes no more, as its plan and its process say, and gives the same bits; what cannot be held is
# refused with the least that can.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver

# The bytes that a plan of train_step shares out, with the next values that lie beside their variables.
planned() {
    sed -n '/^plan of train_step$/,/^arena/p' "$1" |
        sed -n 's/^arena.*: \([0-9]*\) bytes;.*/\1/p; s/.* \([0-9]*\) bytes, next value of.*/\1/p' |
        awk '{ sum += $1 } END { print sum }'
}

# MODEL DATA OPTIONS: without a limit, and with the least there is, two trainers end with the same weights, slots and seeds.
# Limits between them are held as well.
same_bits() {
    model=$here/$1.keras
    data="--data $here/$2_x.npy --labels $here/$2_y.npy"
    shift 2
    expect_refused 1 "no less than [0-9]* where it runs kernels again; the limit is 1\.$" \
        "$model" --train "$@" --memory-limit 1
    least=$(sed 's/.*no less than \([0-9]*\) .*/\1/' "$work/errors")
    "$KERATIN" compile "$model" --train "$@" --emit plan -o "$work/all.plan"
    most=$(planned "$work/all.plan")
    [ "$least" -lt "$most" ] || fail "$model cannot do with less than $most"
    for limit in "$least" $(((least + most) / 2)) $((most + 1)); do
        "$KERATIN" compile "$model" --train "$@" --memory-limit "$limit" --emit plan -o "$work/limited.plan"
        [ "$(planned "$work/limited.plan")" -le "$limit" ] ||
            fail "$model needs $(planned "$work/limited.plan") bytes of $limit"
        expect_text "^memory of train_step: $(planned "$work/limited.plan") bytes; .*; $limit are allowed$" "$work/limited.plan"
    done
    "$KERATIN" compile "$model" --train "$@" -o "$work/all"
    "$KERATIN" compile "$model" --train "$@" --memory-limit "$least" -o "$work/limited"
    for threads in 1 2; do
        for program in all limited; do
            "$work/$program" fit $data --epochs 3 --seed 5 --threads $threads --quiet \
                --save "$work/$program.keras" --history "$work/$program.json"
        done
        cmp "$work/all.keras" "$work/limited.keras" || fail "$model trains other weights within a limit"
        cmp "$work/all.json" "$work/limited.json" || fail "$model has another history within a limit"
    done
}
same_bits seeded trainer --batch 32
same_bits stateful stateful --optimizer rmsprop --loss mse
same_bits tagger tagger --optimizer adam --loss mse --shape words=7x9

# Batches of 32 where none is given; the program takes any.
expect_refused 1 '(batch 32) needs' "$here/seeded.keras" --train --memory-limit 1K
"$KERATIN" compile "$here/seeded.keras" --train --memory-limit 80K -o "$work/any"
for batch in 16 40; do
    "$work/any" fit --data "$here/trainer_x.npy" --labels "$here/trainer_y.npy" --batch-size "$batch" --quiet
done

# What is wrong on the command line.
expect_refused 2 'bytes, as 500000, 800K, 300M or 2G, not 0M' "$here/seeded.keras" --train --memory-limit=0M
for size in '' K 1T 1KB -5 1.5M ' 7' 99999999999999999999 9999999999999G; do
    expect_refused 2 '^keratin: error: --memory-limit wants bytes' "$here/seeded.keras" --train "--memory-limit=$size"
done
expect_refused 2 '--memory-limit is for --train' "$here/seeded.keras" --memory-limit 1M
expect_refused 2 'shows in --emit=optimized and --emit=plan' "$here/seeded.keras" --train --memory-limit 1M --emit=graph
"$KERATIN" compile --help | grep -q -e '--memory-limit' || fail "--help does not know --memory-limit"
