#!/bin/sh
# The C interface: models that are built or opened in C fit as Keras does, and to the same bits as a compiled trainer.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
library=$(dirname "$KERATIN")/../lib
flags="-std=c11 -Wall -Wextra -Werror -I$SOURCE/include -L$library -Wl,-rpath,$library"
[ -z "$SANITIZE" ] || flags="$flags -fsanitize=$SANITIZE"
$CC $flags "$here/api.c" -o "$work/api" -lkeratin -lm
"$work/api" "$here/trainer.keras" "$here/trainer_x.npy" "$here/trainer_y.npy" "$work" "$here/initializers.txt" >"$work/history" || fail "the C interface"

# To 1e-4 of what Keras recorded: sixteen steps of Adam make more of a rounding than one.
while read -r name numbers; do
    grep "^$name " "$work/history" >"$work/ours" || fail "no $name in $(cat "$work/history")"
    echo "$name $numbers" | cat - "$work/ours" | awk '
        NR == 1 { count = split($0, theirs) }
        NR == 2 && NF == count { for (i = 2; i <= count; i++) if ((d = $i - theirs[i]) > 1e-4 || d < -1e-4) bad = 1; seen = 1 }
        END { exit bad || !seen }' || fail "$name is not Keras's $numbers but $(cat "$work/ours")"
done <"$here/trainer_history.txt"

"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"
"$work/trainer" fit --data "$here/trainer_x.npy" --labels "$here/trainer_y.npy" --batch-size 20 --epochs 4 --no-shuffle \
    --validation-split 0.25 --class-weight 0=1,1=2.5,2=0.5 --quiet --save "$work/trainer.weights.h5"
for model in built opened labels labels_seen sample_weight; do
    cmp "$work/trainer.weights.h5" "$work/$model.weights.h5" || fail "a model that was $model in C trains other weights"
done

cmp "$work/given.weights.h5" "$work/asked.weights.h5" || fail "samples that a function gives train other weights"

# What is saved is a model with what it was compiled with and its optimizer's state.
"$KERATIN" compile "$work/built.keras" --train -o "$work/again" 2>"$work/errors"
[ ! -s "$work/errors" ] || fail "a model that was built in C is compiled with: $(cat "$work/errors")"
"$work/again" evaluate --data "$here/trainer_x.npy" --labels "$here/trainer_y.npy" >"$work/evaluated"
"$work/trainer" evaluate --data "$here/trainer_x.npy" --labels "$here/trainer_y.npy" --weights "$work/trainer.weights.h5" >"$work/expected"
cmp "$work/evaluated" "$work/expected" || fail "a model that was saved in C evaluates to something else"

# The example.
$CC $flags "$SOURCE/examples/train_c/train.c" -o "$work/train" -lkeratin -lm
"$work/train" >"$work/lines" || fail "examples/train_c"
expect_text '^accuracy on samples it has not seen: \(0\.9\|1\)' "$work/lines"

# Nothing is exported but what the header declares.
nm -D --defined-only --extern-only "$library/libkeratin.so" | awk '{print $3}' | grep -v '^kt_model_' >"$work/exported" &&
    [ -z "$SANITIZE" ] && fail "libkeratin.so also exports $(cat "$work/exported")"
for name in $(grep -o '\bkt_model_[a-z_]*(' "$SOURCE/include/keratin/keratin.h" | tr -d '(' | sort -u); do
    nm -D --defined-only "$library/libkeratin.so" | grep -q " $name\$" || fail "libkeratin.so does not export $name"
done
