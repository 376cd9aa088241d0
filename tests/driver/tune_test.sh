# keratin compile --tune and --tuning-file: what is measured is kept, read, and decides; what is wrong is said.
. "$(dirname "$0")/common.sh"
cd "$work"
export XDG_CACHE_HOME="$work/cache"
# One size of batch: half as much to measure as of any.
ln -s "$digits/digits.keras" .
model="digits.keras --batch 8"
right() { "./$1" --input "$digits/images.npy" --output y.npy && "$COMPARE" classes y.npy "$digits/classes.npy"; }
plan() { "$KERATIN" compile $model --emit=plan -o - "$@" 2>notes; }

# The plan says what the cost model chose and why.
plan >plan
expect_text '^  dot_general_add.*: product of matrices; vectors [0-9]* (.*), rows [0-9]* (' plan
expect_text '^  digits/digit/matmul: layout; panel [0-9]* (weights are packed once)$' plan
! grep -q tuned plan || fail "the plan says that something is tuned"
[ ! -e cache ] || fail "something was kept without being asked"

# A search: short, so that it is cut short; the records are there all the same, in the default place.
"$KERATIN" compile $model -o first --tune --tune-seconds 1 2>notes
expect_text 'layouts and kernels were measured' notes
file=$(echo cache/keratin/*)
[ "$file" = cache/keratin/tuning ] || fail "there is $file"
expect_text '^keratin tuning 1$' "$file"
right first || fail "a tuned program is wrong"
# Another search goes on; then there is nothing left to measure: the same bytes, and the file stays.
"$KERATIN" compile $model -o first --tune 2>notes
expect_text 'layouts and kernels were measured' notes
right first || fail "a program tuned to the end is wrong"
cp "$file" kept
cp first once
"$KERATIN" compile $model -o first --tune 2>notes
expect_text ' 0 layouts and kernels were measured' notes
! grep -q 'cut short' notes || fail "nothing was left, and said: $(cat notes)"
cmp first once || fail "a second compilation gives other bytes"
cmp "$file" kept || fail "the file has changed"
"$KERATIN" compile $model -o first --tuning-file kept 2>notes
expect_text 'layouts and kernels go by measurements' notes
cmp first once || fail "--tuning-file gives other bytes than --tune"
# Nothing is read unless that is said; records for other threads do not count.
"$KERATIN" compile $model -o first 2>notes
[ ! -s notes ] || fail "said: $(cat notes)"
"$KERATIN" compile $model -o first --tuning-file kept --tune-threads 2 2>notes
expect_text ' 0 of [0-9]* layouts and kernels go by measurements' notes

# Records decide: the plan, the loops, and not the results.
sed 's/\t[^\t]*\t\([^\t]*\)\tkernel/\trows=3 unroll=4 high=5 wide=1\t\1\tkernel/' kept >changed
plan --tuning-file changed >plan
expect_text '^  dot_general_add.*, rows 3 (tuned; the cost model has' plan
"$KERATIN" compile $model --emit=loops -o loops
"$KERATIN" compile $model --emit=loops -o other --tuning-file changed 2>notes
! cmp -s loops other || fail "records change nothing"
"$KERATIN" compile $model -o first --tuning-file changed 2>notes
right first || fail "a program by records is wrong"
# What does not do, and what is not known, is ignored and said.
sed 's/rows=3/rows=300/' changed >unfit
plan --tuning-file unfit >plan
expect_text 'have a choice that does not do there' notes
sed '2,$s/\t[^\t]*\t/\tcolour=3\t/' kept >unknown
plan --tuning-file unknown >plan
expect_text 'this version does not know what they say' notes

# Files that are not as they should be: one sentence that names them, status 1, and nothing written.
rm -f out
head -c 300 kept >cut
printf 'keratin tuning 7\nend 0\n' >later
printf 'something else\n' >no_file
sed '2s/\t[0-9.]* [0-9.]*\t/\tx\t/' changed >damaged
for file in cut later no_file damaged missing; do
    expect_status 1 "$KERATIN" compile $model -o out --tuning-file $file
    expect_errors 1
    expect_text "$file" errors
    [ ! -e out ] || fail "$file left a program"
    [ $file = missing ] && continue
    cp $file before
    expect_status 1 "$KERATIN" compile $model -o out --tune --tuning-file $file
    expect_errors 1
    cmp $file before || fail "--tune wrote over $file"
done
expect_status 1 "$KERATIN" compile $model -o out --tune --tuning-file no/such/directory
expect_errors 1
XDG_CACHE_HOME=/dev/null/x expect_status 1 "$KERATIN" compile $model -o out --tune
expect_errors 1
# Nor is a file begun for what cannot be read or written.
expect_status 1 "$KERATIN" compile missing.keras -o out --tune --tuning-file begun
expect_errors 1
expect_status 1 "$KERATIN" compile $model -o no/such/out --tune --tuning-file begun
expect_errors 1
expect_text 'no/such/out' errors
[ ! -e begun ] || fail "a tuning file was begun in vain"

# Sizes besides the batch are tried at one size.
cat >sequence.kir <<'END'
graph "sequence"
symbols batch, time
variable @w : f16[8,16] = all 0.25
entry @predict(
  input 0 "x" %0: f16[batch,time,8],
  variable @w %1: f16[8,16]
) {
  %2 = dot_general(%0, %1) lhs_contract=[2] rhs_contract=[0] : f16[batch,time,16]
  return output 0 "y" %2
}
END
"$KERATIN" compile sequence.kir -o sequence --tune --tune-seconds 2 --tuning-file of_sequence 2>notes
expect_text "Sizes but the batch's that are not fixed were 64" notes

# What tuning does not go with.
for wrong in '--tune --target aarch64-linux-gnu' '--tune --contractions=openblas' '--tune-seconds 3' '--tune-threads 2' \
    '--tuning-file kept --tune-seconds 3'; do
    expect_status 2 "$KERATIN" compile $model -o out $wrong
    expect_errors 1
done
"$KERATIN" compile $model -o out.s --target aarch64-linux-gnu --tuning-file kept 2>notes
expect_text ' 0 of [0-9]* layouts and kernels go by measurements' notes
