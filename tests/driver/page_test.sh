# The pages that the compiler writes, --dump-dir's index.html and --report: one file each, which needs no other; and, if
# there is a browser, what their scripts draw.
. "$(dirname "$0")/common.sh"
cd "$work"

# A library, which has no evaluation to be drawn among the layers.
"$KERATIN" compile "$digits/digits.keras" -o digits.so --dump-dir dumps --report report.html
page=dumps/index.html
for file in $page report.html; do
    # Nothing but the name of SVG looks like an address, and nothing is loaded.
    if grep -o -e '[a-z]*://[^"]*' $file | grep -v -x 'http://www.w3.org/2000/svg'; then fail "$file names an address"; fi
    if grep -n -e '<link' -e '<img' -e '@import' -e ' src=' -e 'fetch(' $file; then fail "$file loads something"; fi
done
[ "$(wc -c <report.html)" -lt 100000 ] || fail "the report holds texts"
# For a form that needs no code there is a page too.
"$KERATIN" compile "$digits/digits.keras" -o plan --emit=plan --dump-dir planned
expect_text '"plans": \[{"entry": "predict"' planned/index.html
# What a trainer computes again, as its plan lists it.
"$KERATIN" compile "$SOURCE/tests/driver/seeded.keras" --train --memory-limit 80K --emit=plan -o seeded.plan --report seeded.html
sed -n '/^\(computed again\|memory of\)/,/^layouts:/p' seeded.plan | grep -v '^layouts:' >listed
[ "$(grep -c '^  .* bytes moved  //' listed)" -gt 20 ] || fail "the plan lists little that is run again: $(cat listed)"
sed -n 's/^"again": "\(.*\)\\n"}.*/\1/p' seeded.html | sed 's/\\n/\n/g; s/\\u003c/</g' | cmp - listed || fail "the page tells other things"
expect_status 1 "$KERATIN" compile "$digits/digits.keras" -o digits --report no/such/directory/report.html
expect_errors 1

browser=$(command -v chromium || command -v chromium-browser || true)
if [ -z "$browser" ]; then
    echo "SKIPPED: there is no chromium to draw pages with"
    exit 77
fi

# What the script made of the page with $2 behind its #, in the file dom.
draw() {
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" \
        --virtual-time-budget=5000 --dump-dom "file://$work/$1#$2" >whole 2>browser_errors || fail "chromium: $(tail -3 browser_errors)"
    sed '/<script/,/<\/script>/d' whole >dom
    grep -q 'role="tab"' dom || fail "$1#$2: the script did not run"
}
count() {
    grep -o -e "$1" dom | wc -l
}

draw $page model=digits%2Fdigit
expect_text '<div id="layer"><h2>digits/digit</h2>' dom
expect_text '1,930 parameters' dom
# Its node and its kernels.
expect_text '= dot_general(.*digits/digit/matmul' dom
expect_text 'step [0-9]* of predict: <code>dot_general_add<' dom
[ "$(count 'class="node')" = 9 ] || fail "not 8 layers and an input"
[ "$(count 'class="edge"')" = 8 ] || fail "not 8 edges"
[ "$(count '<g class="node"[^>]*aria-selected="true"')" = 1 ] || fail "the layer is not marked"

draw $page passes=1
expect_text 'before and after inline' dom
expect_text 'id="changes">[1-9][0-9]* lines went, [1-9][0-9]* came' dom
expect_text 'class="old"' dom
expect_text 'class="new"' dom
expect_text 'fold: nothing to do</summary>' dom

steps=$(grep -c '^  [0-9]*: ' dumps/*.plan)
buffers=$(grep -c 'bytes, arena, steps' dumps/*.plan)
draw $page memory
[ "$(count '<rect')" = "$buffers" ] || fail "$(count '<rect') rectangles for $buffers buffers"
expect_text 'stroke-dasharray="6 4"' dom
draw seeded.html memory
expect_text 'memory of train_step (batch 32): ' dom
expect_text 'pad_1 for 512 bytes' dom

draw $page kernels=1
[ "$(count '<td class="mono">')" = $((2 * steps)) ] || fail "$(count '<td class="mono">') cells for $steps steps"
expect_text '<pre>kernel conv_add_maximum(a0.*units' dom
expect_text '<pre>define internal void @kernel.conv_add_maximum(' dom
expect_text '<pre>kernel.conv_add_maximum:' dom
draw $page times
expect_text '<td>link</td>' dom

draw report.html kernels=1
[ "$(count '<td class="mono">')" = $((2 * steps)) ] || fail "the report's kernels"
if grep -q '<summary>LLVM' dom; then fail "the report has no code to show"; fi

# A name that is no name: it is shown, and does nothing.
"$KERATIN" compile "$digits/digits.keras" -o graph.kir
sed 's|digits/conv2d/|digits/<\\/script><b id=evil>\&/|g; s|\\/|/|g' graph.kir >hostile.kir
grep -q '</script><b id=evil>' hostile.kir || fail "the graph was not changed"
"$KERATIN" compile hostile.kir -o hostile --dump-dir hostile_dumps
draw hostile_dumps/index.html model
expect_text '&lt;/script&gt;&lt;b id=evil&gt;&amp;' dom
if grep -q '<b id' dom; then fail "a layer's name became an element"; fi
