# Every form of output, byte-identical from one run to the next, and through the text form.
. "$(dirname "$0")/common.sh"
cd "$work"

model=$digits/digits.keras
for form in exe shared static object header graph optimized plan loops llvm asm; do
    mkdir -p one two
    "$KERATIN" compile "$model" -o one/digits --emit=$form
    "$KERATIN" compile "$model" -o two/digits --emit=$form
    [ -s one/digits ] || fail "--emit=$form wrote nothing"
    cmp one/digits two/digits || fail "--emit=$form gives other bytes the second time"
done

# Printed, parsed, printed: the same bytes; and the same library (a program of the model evaluates besides, as it was
# compiled with a loss, which the graph does not hold).
"$KERATIN" compile "$model" -o graph.kir
"$KERATIN" compile graph.kir -o again.kir
cmp graph.kir again.kir || fail "printing what was parsed gives other bytes"
"$KERATIN" compile - -o piped.kir --emit=graph <graph.kir
cmp graph.kir piped.kir
"$KERATIN" compile "$model" -o direct.so --name digits
"$KERATIN" compile graph.kir -o through.so --name digits
cmp direct.so through.so || fail "the graph's text compiles to another program"
"$KERATIN" opt graph.kir --passes=inline,simplify,cse,dce -o some.kir
"$KERATIN" opt some.kir --passes=cse -o more.kir
"$KERATIN" compile some.kir -o some
./some --input "$digits/images.npy" --output y.npy
"$COMPARE" classes y.npy "$digits/classes.npy"

# A library named by its file, whatever that is called, has a header that compiles.
"$KERATIN" compile "$model" -o int.so
expect_text '^int_ \*int__create(int threads);' int.h

# Dumps.
"$KERATIN" compile "$model" -o dumped --dump-dir dumps --print-after=fuse --time-passes 2>report
cmp dumped direct || "$KERATIN" compile "$model" -o dumped --name digits
expect_text 'after fuse' report
for line in simplify fuse lower llvm link 'all passes' total; do
    expect_text " ms .* % * $line" report
done
for ending in kir plan loops ll s; do
    ls dumps/*.$ending >/dev/null || fail "no .$ending among the dumps"
done
for stage in graph simplify fuse optimized plan loops llvm asm; do
    "$KERATIN" dump "$model" --stage $stage >stage
    [ -s stage ] || fail "dump --stage $stage printed nothing"
done
"$KERATIN" dump "$model" --batch 5 >stage
expect_text 'f32\[5,8,8,1\]' stage

# Lists.
"$KERATIN" ops >list && expect_text '^dot_general ' list
"$KERATIN" passes >list && expect_text '^fuse ' list
"$KERATIN" layers >list && expect_text '^Conv2D ' list
"$KERATIN" targets >list && expect_text 'x86-64-v3' list
"$KERATIN" version >list && expect_text '^keratin [0-9]' list
for command in compile run dump opt summary diff ops passes layers targets version; do
    "$KERATIN" $command --help >help
    expect_text "usage: keratin $command" help
done

# run: the program's own options.
"$KERATIN" run "$model" predict --input "$digits/images.npy" --output run.npy
"$COMPARE" classes run.npy "$digits/classes.npy"
"$KERATIN" run "$model" describe | grep -q entry_points || fail "run describe"

# Other CPUs: what this one cannot run says so.
for cpu in x86-64 x86-64-v3 x86-64-v4; do
    "$KERATIN" compile "$model" -o "for-$cpu" --cpu $cpu
    status=0
    "./for-$cpu" --input "$digits/images.npy" --output cpu.npy 2>errors || status=$?
    if [ $status = 0 ]; then
        "$COMPARE" classes cpu.npy "$digits/classes.npy" || fail "--cpu $cpu"
    else
        [ $status = 1 ] && [ "$(wc -l <errors)" = 1 ] || fail "--cpu $cpu: status $status, $(cat errors)"
        echo "SKIPPED: running --cpu $cpu: $(cat errors)"
    fi
done
"$KERATIN" compile "$model" -o arm.s --target aarch64-linux-gnu --cpu cortex-a76
expect_text fmla arm.s
