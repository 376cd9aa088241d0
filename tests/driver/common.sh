# Sourced by every test: $work is a fresh directory, fail ends the test with a sentence.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# Runs a command that must end with status $1; its standard error is in $work/errors.
expect_status() {
    expected=$1
    shift
    status=0
    "$@" >"$work/output" 2>"$work/errors" || status=$?
    [ "$status" = "$expected" ] || fail "status $status instead of $expected: $* ($(head -c 600 "$work/errors"))"
}
# The last command said exactly $1 lines of "keratin: error: " (or of the program's own) and nothing else.
expect_errors() {
    [ "$(grep -c 'error: ' "$work/errors")" = "$1" ] && [ "$(wc -l <"$work/errors")" = "$1" ] ||
        fail "expected $1 errors, got: $(cat "$work/errors")"
}
expect_text() {
    grep -q -e "$1" "$2" || fail "no '$1' in: $(head -c 600 "$2")"
}
# What keratin compile refuses, with one sentence and without a file.
expect_refused() { # STATUS SENTENCE ARGUMENTS
    wanted=$1
    sentence=$2
    shift 2
    expect_status "$wanted" "$KERATIN" compile "$@" -o "$work/refused"
    expect_errors 1
    expect_text "$sentence" "$work/errors"
    [ ! -e "$work/refused" ] || fail "$* left a file"
}
# The logs that Keras recorded are those of a history, to 1e-4: sixteen steps of Adam make more of a rounding than one.
same_logs() {
    while read -r name numbers; do
        sed -n "s/.*\"$name\": \[\([^]]*\)\].*/\1/p" "$2" | tr -d , >"$work/ours"
        echo "$numbers" | cat - "$work/ours" | awk -v name="$name" '
            NR == 1 { count = split($0, theirs) }
            NR == 2 && NF == count { for (i = 1; i <= count; i++) if ((d = $i - theirs[i]) > 1e-4 || d < -1e-4) bad = 1; seen = 1 }
            END { exit bad || !seen }' || fail "$name is not Keras's $numbers but $(cat "$work/ours")"
    done <"$1"
}
digits=$SOURCE/examples/digits
