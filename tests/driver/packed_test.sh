# The protobuf form: the same graph as the text form, for every fixture; the same program; bad files.
. "$(dirname "$0")/common.sh"
cd "$work"

models="$digits/digits.keras $SOURCE/tests/fixtures/*.keras"
[ -z "$SANITIZE" ] || models="$digits/digits.keras $SOURCE/tests/fixtures/masks.keras"
for model in $models; do
    "$KERATIN" compile "$model" -o graph.kir
    "$KERATIN" compile graph.kir -o graph.kpb
    "$KERATIN" compile graph.kpb -o again.kir
    cmp graph.kir again.kir || fail "$model: other text through .kpb"
    "$KERATIN" compile again.kir -o again.kpb
    cmp graph.kpb again.kpb || fail "$model: other .kpb the second time"
done
"$KERATIN" compile "$digits/digits.keras" -o graph.kpb
"$KERATIN" compile "$digits/digits.keras" -o graph.kir

# What passes leave: kernels, constants, fused locations.
"$KERATIN" compile graph.kpb -o packed.kpb --emit=optimized
"$KERATIN" compile graph.kir -o optimized.kir --emit=optimized
"$KERATIN" opt packed.kpb --passes=dce -o - >through.kir
"$KERATIN" opt optimized.kir --passes=dce -o - >straight.kir
cmp through.kir straight.kir || fail "the optimized graph is another one through .kpb"

# The same program.
"$KERATIN" compile graph.kir -o straight --name digits
"$KERATIN" compile graph.kpb -o through --name digits
cmp straight through || fail "the .kpb compiles to another program"
./through --input "$digits/images.npy" --output y.npy
"$COMPARE" classes y.npy "$digits/classes.npy"

# Other commands, and standard input.
"$KERATIN" dump graph.kpb >one && "$KERATIN" dump graph.kir >two && cmp one two || fail "dump"
"$KERATIN" dump - <graph.kpb >two && cmp one two || fail "dump of standard input"
"$KERATIN" opt graph.kpb --passes=inline,simplify -o opt.kpb
"$KERATIN" opt graph.kir --passes=inline,simplify -o opt.kir
"$KERATIN" compile opt.kpb -o through.kir && cmp through.kir opt.kir || fail "opt -o .kpb"
"$KERATIN" run graph.kpb --input "$digits/images.npy" --output y.npy
"$COMPARE" classes y.npy "$digits/classes.npy"

# Version 1 stays readable.
frozen=$SOURCE/tests/ir/packed_v1
"$KERATIN" compile $frozen.kpb -o now.kir && cmp now.kir $frozen.kir || fail "the frozen .kpb reads otherwise"

# Bad files: one sentence with the file's name.
bad() {
    expect_status 1 "$KERATIN" dump "$1"
    expect_errors 1
    expect_text "^keratin: error: $1: .*$2" "$work/errors"
}
head -c 1000 graph.kpb >short.kpb && bad short.kpb 'damaged .kpb'
{ printf '\012\007keratin\020\377\001' && tail -c +12 graph.kpb; } >later.kpb && bad later.kpb 'version 255'
{ printf '\012\007keratin' && tail -c +12 graph.kpb; } >none.kpb && bad none.kpb 'does not say its version'
