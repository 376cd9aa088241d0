#!/bin/sh
# Sizes that 63 bits cannot count: what weighs them must not overflow, and programs say that there is no such memory.
. "$(dirname "$0")/common.sh"
vast=$SOURCE/tests/driver/vast.keras
for cpu in x86-64 x86-64-v3 x86-64-v4; do
    for level in 0 2; do
        expect_status 0 "$KERATIN" compile "$vast" --emit=object --cpu=$cpu -O$level -o "$work/vast.o"
        expect_status 0 "$KERATIN" compile "$vast" --emit=object --cpu=$cpu -O$level --batch 8 -o "$work/vast.o"
    done
done
expect_status 0 "$KERATIN" compile "$vast" -o "$work/program"
expect_status 1 "$work/program" benchmark
expect_errors 1
expect_text 'not enough memory' "$work/errors"
