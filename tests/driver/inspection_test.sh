# Options that inspect, the variables that stand for them, and the page of the documentation that lists both.
. "$(dirname "$0")/common.sh"
cd "$work"
model=$digits/digits.keras

# docs/debugging.md holds the tables that the driver prints.
"$KERATIN" --help=markdown >tables
sed -n '/^<!-- begin/,/^<!-- end/p' "$SOURCE/docs/debugging.md" | sed '1d;$d' >documented
cmp tables documented || fail "docs/debugging.md has other tables than keratin --help=markdown prints"

# --print-after: one pass, all, and one that there is not.
"$KERATIN" compile "$model" -o one --dump-dir stages
passes=$(ls stages/*.kir | wc -l)
"$KERATIN" compile "$model" -o one --print-after=all 2>all
[ "$(grep -c '^// after ' all)" = "$passes" ] || fail "$(grep -c '^// after ' all) passes were printed"
"$KERATIN" compile "$model" -o one --print-after=split 2>split
[ "$(grep '^// after ' split)" = '// after split' ] || fail "--print-after=split printed $(grep '^// after ' split)"
expect_text '^entry @prepare(' split
"$KERATIN" compile "$model" -o - --emit=graph --print-after=bind 2>errors >graph
expect_text '^// after bind' errors
if grep -q '^// after' graph; then fail "--print-after printed into the output"; fi
expect_status 2 "$KERATIN" compile "$model" -o one --print-after=nothing

# Variables.
KT_DUMP=dumps "$KERATIN" compile "$model" -o one
[ -s dumps/index.html ] && ls dumps/*.fuse.kir >/dev/null || fail "KT_DUMP wrote nothing"
KT_DUMP=dumps "$KERATIN" compile "$model" -o one --dump-dir other
[ -s other/index.html ] || fail "--dump-dir does not win"
KT_DEBUG=1 "$KERATIN" compile "$model" -o one 2>times
expect_text ' total$' times
if grep -q '^// after' times; then fail "KT_DEBUG=1 printed graphs"; fi
KT_DEBUG=2 "$KERATIN" compile "$model" -o one 2>times
expect_text ' total$' times
[ "$(grep -c '^// after ' times)" = "$passes" ] || fail "KT_DEBUG=2 does not print all"
KT_DEBUG=0 KT_DUMP= KT_VERIFY=1 "$KERATIN" compile "$model" -o one 2>times
[ ! -s times ] || fail "KT_DEBUG=0 printed: $(head -3 times)"
"$KERATIN" --help >help
for variable in KT_DUMP KT_DEBUG KT_VERIFY KT_PROFILE; do expect_text "^  $variable " help; done
