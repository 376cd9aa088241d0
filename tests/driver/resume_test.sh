#!/bin/sh
# A trainer that is killed at random moments, or whose disk is full, ends after --resume as one that was left alone; a
# checkpoint that is cut anywhere is refused in a sentence. RESUME_SEED=N repeats the moments of an earlier run.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
seed=${RESUME_SEED:-$(date +%s)}
echo "RESUME_SEED=$seed"
# $1 numbers below $2, which follow from the seed.
random() {
    awk -v seed="$seed" -v count="$1" -v below="$2" 'BEGIN { srand(seed); while (count-- > 0) print int(rand() * below) }'
}
fit="fit --data $here/trainer_x.npy --labels $here/trainer_y.npy --seed 5 --quiet --validation-split 0.25
    --reduce-lr-on-plateau monitor=val_loss,patience=2,factor=0.5 --early-stopping monitor=loss,patience=40"
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"
"$work/trainer" $fit --epochs 300 --save "$work/whole.keras" --history "$work/whole.json"
compare() {
    cmp "$work/whole.json" "$work/history.json" || fail "$1: another history (RESUME_SEED=$seed)"
    cmp "$work/whole.keras" "$work/model.keras" || fail "$1: other weights (RESUME_SEED=$seed)"
}
resume() {
    exec "$work/trainer" $fit --epochs 300 --checkpoint "$work/run" --resume --save "$work/model.keras" --history "$work/history.json"
}

begin=$(date +%s%3N)
(resume)
long=$(($(date +%s%3N) - begin)) # milliseconds
[ "$long" -lt 250 ] || long=250
compare "with checkpoints"
rm -rf "$work/run"

# A run that ends before its time is compared, and another begins.
killed=0
for moment in $(random 20 "$long"); do
    resume &
    process=$!
    sleep "$(printf '0.%03d' "$moment")"
    kill -KILL $process 2>/dev/null || true
    status=0
    wait $process || status=$?
    case $status in
    0)
        compare "resumed after $killed kills"
        rm -rf "$work/run"
        ;;
    137) killed=$((killed + 1)) ;;
    *) fail "status $status after $killed kills (RESUME_SEED=$seed)" ;;
    esac
done
[ "$killed" -ge 3 ] || fail "only $killed of 20 runs were killed"
(resume)
compare "resumed after $killed kills"
echo "$killed of 20 runs were killed"

size=$(wc -c <"$work/run/training.state")
cp "$work/run/training.state" "$work/state"
for length in 0 $(random 15 "$size") $((size - 1)); do
    head -c "$length" "$work/state" >"$work/run/training.state"
    expect_status 1 "$work/trainer" $fit --epochs 301 --checkpoint "$work/run" --resume
    expect_errors 1
    expect_text "training.state" "$work/errors"
done

# A disk of 64 KB, in a name space of its own.
mkdir "$work/disk"
cat >"$work/full" <<'EOF'
mount -t tmpfs -o size=64k keratin "$1/disk" || exit 77
shift
"$@" 2 2>/dev/null || exit 2
cat /dev/zero >"$work/disk/filler" 2>/dev/null
"$@" 300 2>"$work/errors" && exit 3
[ $? = 1 ] || exit 4
rm "$work/disk/filler"
"$@" 300 --save "$work/model.keras" --history "$work/history.json" || exit 5
EOF
cat >"$work/disk_fit" <<EOF
epochs=\$1
shift
exec "$work/trainer" $(echo $fit) --checkpoint "$work/disk/run" --resume --epochs \$epochs "\$@"
EOF
status=0
work=$work unshare -rm sh "$work/full" "$work" sh "$work/disk_fit" 2>"$work/refused" || status=$?
case $status in
0)
    expect_errors 1
    expect_text "training.state" "$work/errors"
    compare "resumed after the disk was full"
    ;;
77 | 1) echo "SKIPPED: driver/resume, the full disk: $(head -n 1 "$work/refused")" ;;
*) fail "the full disk: step $status: $(cat "$work/errors")" ;;
esac
