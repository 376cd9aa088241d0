# Recurrent models from end to end: a tagger of masked words, and layers that keep their states between batches.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver

# As Keras, at every level and for every number of threads, bit for bit.
for model in tagger stateful; do
    for level in 0 2; do
        "$KERATIN" compile "$here/$model.keras" -o "$work/$model" -O$level
        "$work/$model" --input "$here/${model}_x.npy" --output "$work/one.npy" --threads 1
        "$work/$model" --input "$here/${model}_x.npy" --output "$work/two.npy" --threads 2
        "$COMPARE" close "$here/${model}_y.npy" "$work/one.npy" || fail "$model departs from Keras at -O$level"
        cmp "$work/one.npy" "$work/two.npy" || fail "two threads give other bits"
    done
done

# So does training, where threads take some of the samples each through a loop.
"$KERATIN" compile "$here/tagger.keras" --train --optimizer=sgd --loss=sparse_categorical_crossentropy -o "$work/trainer"
awk 'BEGIN { for (i = 0; i < 3000; i++) for (k = 0; k < 9; k++) printf "%d%s", (i * 7 + k * k) % 30, k < 8 ? "," : "\n" }' \
    >"$work/words.csv"
awk -F , -v OFS=, '{ for (k = 1; k <= NF; k++) $k %= 5; print }' "$work/words.csv" >"$work/tags.csv"
for threads in 1 2 3; do
    "$work/trainer" fit --data "$work/words.csv" --labels "$work/tags.csv" --batch-size 2000 --quiet --threads $threads \
        --save "$work/trained$threads.keras"
    cmp "$work/trained1.keras" "$work/trained$threads.keras" || fail "$threads threads train other weights"
done

# The states are variables with no place in the file of weights.
"$work/stateful" describe >"$work/describe.json"
expect_text '"path": "lstm_1/rnn_state", "file_path": null, ' "$work/describe.json"

# States need a batch of a fixed size.
expect_status 1 "$KERATIN" compile "$here/unfixed.keras" -o "$work/unfixed"
expect_text "lstm_1: .*batch must have a fixed size" "$work/errors"
