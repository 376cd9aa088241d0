# A machine that does not help: full disks, closed and full outputs, limits, signals. What the driver and programs
# say is one sentence, and nothing half-written is left behind.
. "$SOURCE/tests/driver/common.sh"
cd "$work"
model=$digits/digits.keras
mkdir tmp
export TMPDIR="$work/tmp"
clean() {
    [ -z "$(ls tmp)" ] || fail "$1 left $(ls tmp) in TMPDIR"
    [ -z "$(find . -name '*.tmp' -o -name '*.partial' -o -name '*.??????' -path './out*')" ] || fail "$1 left $(ls)"
}

# Standard output full or closed.
if [ -c /dev/full ]; then
    for command in "dump $model" "compile $model --emit=asm -o -" "summary $model" layers ops passes targets version --help \
        "compile --help"; do
        status=0
        "$KERATIN" $command >/dev/full 2>errors || status=$?
        [ "$status" = 1 ] || fail "status $status of $command, on a full device"
        expect_errors 1
    done
fi
for command in "dump $model" layers version; do
    status=0
    "$KERATIN" $command >&- 2>errors || status=$?
    [ "$status" = 1 ] || fail "status $status of $command, standard output closed"
    expect_errors 1
done
"$KERATIN" compile "$SOURCE/tests/driver/trainer.keras" --train -o trainer
data="--data $SOURCE/tests/driver/trainer_x.npy --labels $SOURCE/tests/driver/trainer_y.npy"
if [ -c /dev/full ]; then
    for command in describe "benchmark --entry predict" "--help" "fit --help" "evaluate --help" "evaluate $data" "fit $data"; do
        status=0
        ./trainer $command >/dev/full 2>errors || status=$?
        [ "$status" = 1 ] || fail "status $status of $command, on a full device"
        expect_errors 1
        expect_text 'trainer: error: Cannot write standard output\.' errors
    done
fi
clean "a full output"

# A reader that goes away ends the driver, as it does others.
"$KERATIN" dump "$digits/../fashion/fashion.keras" --stage asm 2>errors | head -c 10 >/dev/null
[ ! -s errors ] || fail "a closed pipe gives: $(cat errors)"

# Places that cannot be written.
mkdir directory
expect_status 1 "$KERATIN" compile "$model" -o directory
expect_errors 1
if [ "$(id -u)" = 0 ]; then
    echo "SKIPPED, since root may write anywhere: unwritable directories"
else
    mkdir sealed
    chmod 555 sealed
    expect_status 1 "$KERATIN" compile "$model" -o sealed/out
    expect_errors 1
    expect_text 'Permission denied' errors
fi
cp "$model" read_only.keras
chmod 444 read_only.keras
expect_status 0 "$KERATIN" compile read_only.keras -o digits
TMPDIR="$work/none" expect_status 1 "$KERATIN" compile "$model" -o out
expect_errors 1
clean "an unwritable place"

# The model in the output's place, under another name too.
cp "$model" own.keras
ln own.keras other.keras
for command in compile weights; do
    for out in own.keras ./own.keras other.keras; do
        expect_status 2 "$KERATIN" $command own.keras -o "$out"
        expect_errors 1
        cmp own.keras "$model" || fail "$command wrote over its model"
    done
done

# A limit on the sizes of files.
for form in exe shared object asm; do
    expect_status 1 sh -c 'ulimit -f 4; exec "$@"' sh "$KERATIN" compile "$model" -o "out.$form" --emit=$form
    [ ! -e "out.$form" ] || fail "a limited file is there"
    clean "a limit on files"
done
yes 1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8 |
    head -n 3000 >x.csv
expect_status 1 sh -c 'ulimit -f 4; exec "$@"' sh ./digits --input x.csv --output y.npy
expect_errors 1
[ ! -e y.npy ] || fail "a limited result is there"
clean "a limited program"

# Limits on memory; sanitizers want terabytes.
if [ -z "$SANITIZE" ]; then
    for kilobytes in 230000 250000 270000 300000 400000; do
        status=0
        (ulimit -v $kilobytes && exec "$KERATIN" compile "$model" -o out) >output 2>errors || status=$?
        case $status in
        0) ;;
        1) expect_errors 1 ;;
        127) grep -q 'shared librar' errors || fail "$(cat errors)" ;; # not even loaded
        *) fail "status $status with $kilobytes kB: $(head -c 600 errors)" ;;
        esac
        rm -f out
        clean "$kilobytes kB"
    done
    for kilobytes in 3000 6000 10000 20000 60000; do
        status=0
        (ulimit -v $kilobytes && exec ./digits --input x.csv --output y.npy --threads 8) >output 2>errors || status=$?
        case $status in
        0 | 127) ;;
        1) expect_errors 1 ;;
        126 | 139) [ $kilobytes -lt 10000 ] || fail "a program died with $kilobytes kB" ;; # before main
        *) fail "status $status of a program with $kilobytes kB: $(head -c 600 errors)" ;;
        esac
        rm -f y.npy
        clean "a program with $kilobytes kB"
    done
fi

# Sizes past the largest number: whoever has such an input may have such a buffer.
cat >huge.kir <<END
graph "huge"
symbols batch

entry @predict(
    input 0 "x" %0: f32[batch,2147483647,2147483647,4]
) {
  %1 = cumulative(%0) kind=sum axis=1 : f32[batch,2147483647,2147483647,4]
  %2 = cumulative(%1) kind=sum axis=2 : f32[batch,2147483647,2147483647,4]
  return output 0 "y" %2
}
END
expect_status 0 "$KERATIN" compile huge.kir -o huge
echo 1 >one.csv
expect_status 1 ./huge --input one.csv
expect_errors 1
expect_status 1 ./huge benchmark
expect_errors 1

# Signals, at many moments.
for signal in TERM HUP; do
    for moment in 0.01 0.03 0.06 0.1 0.15 0.2 0.3 0.5; do
        "$KERATIN" compile "$digits/../fashion/fashion.keras" -o out >output 2>errors &
        driver=$!
        sleep $moment
        kill -s $signal $driver 2>/dev/null || true
        wait $driver || true
        rm -f out
        clean "SIG$signal after $moment s"
    done
done

# A full disk.
mkdir disk
if mount -t tmpfs -o size=16k none disk 2>/dev/null; then
    trap 'umount "$work/disk"; rm -rf "$work"' EXIT
    for form in exe shared object static asm; do
        expect_status 1 "$KERATIN" compile "$model" -o "disk/out.$form" --emit=$form
        [ -z "$(ls disk)" ] || fail "--emit=$form left $(ls disk) on a full disk"
    done
    expect_status 1 ./digits --input x.csv --output disk/y.npy
    expect_errors 1
    [ -z "$(ls disk)" ] || fail "a program left $(ls disk) on a full disk"
    TMPDIR="$work/disk" expect_status 1 "$KERATIN" compile "$model" -o out
    [ ! -e out ] && [ -z "$(ls disk)" ] || fail "a full TMPDIR leaves $(ls disk)"
else
    echo "SKIPPED, since no file system can be mounted: a full disk"
fi
echo ok
