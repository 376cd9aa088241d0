# -g: the code of kernels has lines of the dumped graph, as gdb and llvm-dwarfdump read them.
. "$(dirname "$0")/common.sh"
cd "$work"

"$KERATIN" compile "$digits/digits.keras" -o plain --name digits
"$KERATIN" compile "$digits/digits.keras" -o digits -g --dump-dir dumps
"$KERATIN" compile "$digits/digits.keras" -o again -g --name digits
./digits --input "$digits/images.npy" --output y.npy
"$COMPARE" classes y.npy "$digits/classes.npy"
graph=$(ls dumps/*.kir | tail -n 1)
# Without dumps the graph is written beside the program, and is the same text.
cmp "$graph" again.kir
for form in shared object static asm llvm; do
    "$KERATIN" compile "$digits/digits.keras" -o form.$form --emit=$form -g --name digits
    [ -s form.$form.kir ] || fail "--emit=$form -g wrote no graph"
done
expect_text '^!.* = .*!DILocation(line: ' form.llvm
expect_status 2 "$KERATIN" compile "$digits/digits.keras" -o - --emit=llvm -g

line=$(grep -n '^kernel @conv_add_maximum(' "$graph" | cut -d: -f1)
seen=0
if command -v llvm-dwarfdump-19 >/dev/null; then
    seen=1
    llvm-dwarfdump-19 --debug-line digits >lines
    expect_text "name: \"$graph\"" lines
    # Every line that code has is a kernel's first line or one of its nodes, and the convolution's is there.
    awk -v graph="$graph" '/^debug_line\[/ { ours = 0 } index($0, graph) { ours = 1 } ours && /^0x/ && $2 > 0 { print $2 }' lines | sort -un >numbers
    [ -s numbers ] || fail "no lines: $(head -40 lines)"
    while read -r number; do
        sed -n "${number}p" "$graph" | grep -q -e '^kernel @' -e '^  %[0-9]* = .* @ ' || fail "line $number is no node"
    done <numbers
    conv=$(awk -v from="$line" 'NR > from && / = conv\(/ { print NR; exit }' "$graph")
    relu=$(awk -v from="$line" 'NR > from && / = maximum\(/ { print NR; exit }' "$graph")
    [ -z "$SANITIZE" ] || relu= # where it is between checks that have no line
    for number in $conv $relu; do grep -q -x "$number" numbers || fail "no code for line $number"; done
    llvm-dwarfdump-19 --debug-info digits >info
    expect_text 'DW_AT_name.*("conv_add_maximum")' info
    expect_text 'DW_AT_producer.*("Keratin ' info
    llvm-dwarfdump-19 --debug-info form.shared | grep -q '("conv_add_maximum")' || fail "the library's code has no lines"
    llvm-dwarfdump-19 --debug-info form.object | grep -q '("conv_add_maximum")' || fail "the object's code has no lines"
    llvm-dwarfdump-19 --debug-info plain | grep -q '("conv_add_maximum")' && fail "there is debug information without -g"
fi
if command -v gdb >/dev/null; then
    seen=1
    gdb -nx -batch -ex 'info line conv_add_maximum' digits >answer 2>&1
    expect_text "Line $line of \"$graph\"" answer
    gdb -nx -batch -ex 'list conv_add_maximum' digits >answer 2>&1
    expect_text ' = conv(.*digits/conv2d' answer
fi
[ $seen = 1 ] && exit 0
echo "SKIPPED: there is neither llvm-dwarfdump-19 nor gdb to read debug information with"
exit 77
