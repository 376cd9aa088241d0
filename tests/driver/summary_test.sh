# keratin summary: cell by cell what Keras's model.summary() prints; tests/driver/inspection/make.py made the files.
. "$(dirname "$0")/common.sh"
export LC_ALL=C.UTF-8 # its bars are characters
data=$SOURCE/tests/driver/inspection
cd "$work"

# Cells between bars, without the table's lines and without spaces, but for the steps by which names are indented.
cells() {
    grep -v -e '─' -e '━' "$1" | sed -e 's/ *│ */|/g' -e 's/ *┃ */|/g' -e '/^$/d'
}

compared=0
for expected in "$data"/*.summary; do
    model=$(basename "$expected" | sed 's/\..*//')
    case $expected in
    *.expanded.summary) option=--expand-nested ;;
    *) option= ;;
    esac
    "$KERATIN" summary "$data/$model.keras" $option >got
    cells "$expected" >expected
    cells got >cells
    [ "$(wc -l <expected)" -gt 8 ] || fail "$expected holds no table"
    cmp expected cells || fail "$model $option: $(diff expected cells)"
    # All lines of the table are equally wide, and names stand one step deeper in nested models.
    [ "$(grep '[│┃─━]' got | sed 's/[^x]/x/g' | sort -u | wc -l)" = 1 ] || fail "$model $option: ragged"
    compared=$((compared + 1))
done
[ $compared = 6 ] || fail "only $compared summaries"
"$KERATIN" summary "$data/nested.keras" --expand-nested >got
expect_text '^│    └ block (Sequential) ' got
expect_text '^│       └ conv (Conv2D) ' got

"$KERATIN" compile "$data/plain.keras" -o plain.kir
expect_status 1 "$KERATIN" summary plain.kir
expect_errors 1
