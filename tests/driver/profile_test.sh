# --profile of a compiled program: the table, the trace, and what operations and bytes are counted.
. "$(dirname "$0")/common.sh"
data=$SOURCE/tests/driver/inspection
cd "$work"

"$KERATIN" compile "$digits/digits.keras" -o digits
./digits predict --input "$digits/images.npy" --output plain.npy
./digits predict --input "$digits/images.npy" --output y.npy --batch-size 7 --threads 2 --profile 2>table
"$COMPARE" classes y.npy "$digits/classes.npy"
expect_text '^ *time ms .* GFLOP/s *GB/s *kernel *layers$' table
expect_text ' dot_general_add .* digits/digit/matmul, digits/digit/bias$' table
expect_text ' total *$' table
steps=$("$KERATIN" compile "$digits/digits.keras" -o - --emit=plan | grep -c '^  [0-9]*: ')
[ "$(wc -l <table)" = $((steps + 2)) ] || fail "$(wc -l <table) lines for $steps steps"
# The slowest first; every step as often as there are batches; shares that make up all.
samples=$(./digits predict --input "$digits/images.npy" | wc -l)
awk -v calls=$(((samples + 6) / 7)) -v steps="$steps" '
    NR == 1 { next }
    $7 == "total" { if ($3 != calls * steps) exit 1; next }
    { if ($3 != calls || (NR > 2 && $1 > last + 0.001)) exit 1; last = $1; share += $2 }
    END { if (share < 98 || share > 102) exit 1 }' table || fail "the table is wrong: $(cat table)"

# A trace holds every part; operations are the textbook's: 2 for each product of the 16 x 64 matrix, 1 for each bias
# and each rectifier; bytes are 4 for each element of input, weights, bias and output.
"$KERATIN" compile "$data/plain.keras" -o plain
./plain benchmark --batch 3 --threads 1 --profile=trace.json >line 2>table
expect_text '"median_us"' line
expect_text "\"operations\": $((3 * (2 * 16 * 64 + 64 + 64))), \"bytes\": $((4 * (3 * 16 + 16 * 64 + 64 + 3 * 64))), \"layers\": \"plain/dense/matmul" trace.json
# A convolution of 3 x 3 x 1 to 8 x 8 x 24, its bias (of batch normalization) and rectifier; a 2 x 2 maximum of that.
./digits benchmark --batch 1 --threads 1 --profile=trace.json >line 2>table
expect_text "\"operations\": $((8 * 8 * 24 * (2 * 9 + 2))), .*\"layers\": \"digits/conv2d/conv" trace.json
expect_text "\"operations\": $((4 * 4 * 24 * 4)), .*\"layers\": \"digits/max_pooling2d/" trace.json
KT_PROFILE=1 ./plain benchmark 2>table >line
expect_text ' total *$' table
KT_PROFILE=other.json ./plain benchmark 2>table >line
expect_text '"ph": "X"' other.json
KT_PROFILE=0 ./plain benchmark 2>table >line
[ ! -s table ] || fail "KT_PROFILE=0 printed: $(cat table)"
expect_status 1 ./plain benchmark --profile=no/such/file.json
expect_text 'error: no/such/file.json: It cannot be written' errors
"$KERATIN" run "$digits/digits.keras" predict --input "$digits/images.npy" --output y.npy --profile 2>table
expect_text ' total *$' table
./plain --help >help
expect_text '^  --profile ' help
