#!/bin/sh
# A compiled trainer from outside: it fits as Keras does, evaluates, saves, resumes bit for bit, and refuses what is wrong.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
data="--data $here/trainer_x.npy --labels $here/trainer_y.npy"
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"

# Two lines of evaluate, to 1e-6: programs that only predict fold what a trainer cannot, so they round otherwise.
same_numbers() {
    cat "$1" "$2" | tr -d '{}:,' | awk '
        NR == 1 { count = split($0, one) }
        NR == 2 && NF == count { for (i = 1; i <= count; i++) if (one[i] != $i && ((d = one[i] - $i) > 1e-6 || d < -1e-6)) bad = 1; seen = 1 }
        END { exit bad || !seen }'
}

"$work/trainer" fit $data --batch-size 20 --epochs 4 --no-shuffle --validation-split 0.25 \
    --class-weight 0=1,1=2.5,2=0.5 --history "$work/history.json" >"$work/lines"
same_logs "$here/trainer_history.txt" "$work/history.json"
[ "$(grep -c '^Epoch [1-4]/4$' "$work/lines")" = 4 ] || fail "not four epochs: $(cat "$work/lines")"
expect_text '^4/4 - .*/step - accuracy: 0\.[0-9]* - loss: [0-9.]* - val_accuracy: 0\.[0-9]* - val_loss: ' "$work/lines"

# The order of samples follows from the seed; threads change nothing.
"$work/trainer" fit $data --epochs 3 --seed 5 --quiet --save "$work/one.keras" --threads 1 --history "$work/one.json"
"$work/trainer" fit $data --epochs 3 --seed 5 --quiet --save "$work/two.keras" --threads 2 --history "$work/two.json"
"$work/trainer" fit $data --epochs 3 --seed 6 --quiet --history "$work/other.json"
cmp "$work/one.keras" "$work/two.keras" || fail "two threads train other weights"
! cmp -s "$work/one.json" "$work/other.json" || fail "the seed changes nothing"

# A run that is taken up again ends as one that was not interrupted.
"$work/trainer" fit $data --epochs 1 --seed 5 --quiet --checkpoint "$work/run"
"$work/trainer" fit $data --epochs 3 --seed 5 --quiet --checkpoint "$work/run" --resume --save "$work/resumed.keras" \
    --history "$work/resumed.json"
cmp "$work/one.keras" "$work/resumed.keras" || fail "a resumed run ends with other weights"
cmp "$work/one.json" "$work/resumed.json" || fail "a resumed run has another history"

# What was saved is what evaluates and predicts, here and in a program compiled from the saved file.
"$work/trainer" evaluate $data --weights "$work/one.keras" >"$work/trained"
"$work/trainer" evaluate $data >"$work/untrained"
! cmp -s "$work/trained" "$work/untrained" || fail "--weights changes nothing"
"$KERATIN" compile "$work/one.keras" -o "$work/saved"
"$work/saved" --input "$here/trainer_x.npy" --output "$work/saved.npy"
"$work/trainer" predict --input "$here/trainer_x.npy" --output "$work/trained.npy" --weights "$work/one.keras"
"$COMPARE" close "$work/saved.npy" "$work/trained.npy" || fail "the saved model predicts otherwise"
"$KERATIN" compile "$here/trainer.keras" --loss sparse_categorical_crossentropy -o "$work/evaluator"
"$work/evaluator" evaluate $data >"$work/evaluated"
same_numbers "$work/evaluated" "$work/untrained" || fail "a program that only evaluates gives other numbers"
# Weights in a file are what `keratin weights` writes, of a program that evaluates, too.
"$KERATIN" compile "$here/trainer.keras" --loss sparse_categorical_crossentropy --weights=file -o "$work/apart"
"$work/apart" evaluate $data >"$work/evaluated"
same_numbers "$work/evaluated" "$work/untrained" || fail "a program whose weights are in a file gives other numbers"
"$KERATIN" weights "$work/one.keras" -o "$work/one.weights"
"$work/apart" evaluate $data --weights "$work/one.weights" >"$work/evaluated"
same_numbers "$work/evaluated" "$work/trained" || fail "evaluate does not take other weights"
"$work/apart" evaluate $(echo $data | sed 's/--data [^ ]*/--data -/') --weights "$work/one.weights" <"$here/trainer_x.npy" >"$work/evaluated"
same_numbers "$work/evaluated" "$work/trained" || fail "evaluate does not read standard input"
"$work/apart" --input "$here/trainer_x.npy" --output "$work/apart.npy" --weights "$work/one.weights"
"$COMPARE" close "$work/saved.npy" "$work/apart.npy" || fail "a program that evaluates predicts otherwise with other weights"

# A trainer whose weights lie beside it trains the same, resumed or not, takes what takes their place, and knows its optimizer's state.
"$KERATIN" compile "$here/trainer.keras" --train --weights=file -o "$work/beside"
"$KERATIN" weights "$here/trainer.keras" -o - | cmp - "$work/beside.weights" || fail "the weights beside a trainer are others"
"$work/beside" fit $data --epochs 1 --seed 5 --quiet --checkpoint "$work/beside_run"
"$work/beside" fit $data --epochs 3 --seed 5 --quiet --checkpoint "$work/beside_run" --resume --save "$work/beside.keras"
cmp "$work/one.keras" "$work/beside.keras" || fail "a trainer whose weights are in a file trains other weights"
for weights in one.keras one.weights; do
    "$work/beside" evaluate $data --weights "$work/$weights" >"$work/evaluated"
    cmp "$work/trained" "$work/evaluated" || fail "a trainer whose weights are in a file does not take $weights"
done
"$work/beside" --input "$here/trainer_x.npy" --output "$work/beside.npy" --weights "$work/one.weights"
cmp "$work/trained.npy" "$work/beside.npy" || fail "a trainer whose weights are in a file does not predict with others"
"$KERATIN" compile "$work/one.keras" --train --weights=file -o "$work/trained_beside"
cmp "$work/one.weights" "$work/trained_beside.weights" || fail "the weights beside a trainer of a trained model are others"
"$work/trained_beside" fit $data --quiet --save "$work/begun.keras"
"$work/trainer" fit $data --quiet --weights "$work/one.keras" --save "$work/loaded.keras"
cmp "$work/loaded.keras" "$work/begun.keras" || fail "a trainer whose weights are in a file begins with another state"
"$KERATIN" compile "$here/seeded.keras" --train --weights=file -o "$work/seeded"
"$KERATIN" weights "$here/seeded.keras" -o - | cmp - "$work/seeded.weights" || fail "seeds are among the weights"
expect_status 1 "$work/beside" evaluate $data --weights "$here/trainer_x.npy"
expect_text "neither a .keras nor a .weights.h5" "$work/errors"
cp "$work/seeded.weights" "$work/beside.weights"
expect_status 1 "$work/beside" fit $data
expect_text "beside.weights holds the weights of another model" "$work/errors"
rm "$work/beside.weights"
"$work/beside" evaluate $data --weights "$work/one.keras" >"$work/evaluated"
cmp "$work/trained" "$work/evaluated" || fail "a trainer wants the weights beside it though others are given"
"$work/beside" fit $data --quiet --weights "$work/one.keras" --save "$work/begun.keras"
cmp "$work/loaded.keras" "$work/begun.keras" || fail "a trainer begins otherwise where there are no weights beside it"
expect_status 1 "$work/beside" fit $data
expect_text "Cannot read the weights in .*/beside.weights" "$work/errors"

# LoRA: the kernel stays; factors begin anew with what an archive says of their moments; what is saved is the kernel with their product.
"$KERATIN" compile "$here/adapted.keras" --train --weights=file -o "$work/adapted"
"$work/adapted" fit $data --batch-size 20 --epochs 2 --no-shuffle --quiet --checkpoint "$work/adapting"
"$work/adapted" fit $data --batch-size 20 --epochs 4 --no-shuffle --quiet --checkpoint "$work/adapting" --resume --history "$work/adapted.json" \
    --save "$work/further.keras"
same_logs "$here/adapted_history.txt" "$work/adapted.json"
"$KERATIN" compile "$work/further.keras" -o "$work/further"
"$work/further" --input "$here/trainer_x.npy" --output "$work/further.npy"
"$COMPARE" close "$work/further.npy" "$here/adapted_y.npy" || fail "a saved kernel lacks LoRA's factors"
"$work/adapted" predict --input "$here/trainer_x.npy" --output "$work/loaded.npy" --weights "$work/further.keras"
"$COMPARE" close "$work/loaded.npy" "$here/adapted_y.npy" || fail "factors count twice in what was saved"
"$KERATIN" weights "$here/adapted.keras" -o - | cmp - "$work/adapted.weights" || fail "the weights beside a trainer with LoRA are others"

# A trainer begins with the state of the optimizer in the archive, as Keras's load_model does; another optimizer with none.
"$KERATIN" compile "$work/one.keras" --train -o "$work/again" 2>"$work/errors"
[ ! -s "$work/errors" ] || fail "a saved model is compiled with: $(cat "$work/errors")"
"$work/again" fit $data --quiet --save "$work/begun.keras"
cmp "$work/loaded.keras" "$work/begun.keras" || fail "a trainer of a trained model begins with another state"
"$KERATIN" compile "$work/one.keras" --train --optimizer sgd -o "$work/again"
"$work/again" fit $data --quiet
# What a trainer is told to use in place of the archive's is what its files say, in Keras's words; training goes on with it and its state.
schedule='{"class_name": "ExponentialDecay", "config": {"initial_learning_rate": 0.0625, "decay_steps": 10, "decay_rate": 0.5}}'
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/recompiled" \
    --optimizer "{\"class_name\": \"adamw\", \"config\": {\"learning_rate\": $schedule}}" \
    --loss '{"class_name": "function", "config": "sparse_categorical_crossentropy"}' \
    --metrics '["accuracy", {"class_name": "SparseTopKCategoricalAccuracy", "config": {"k": 2}}]'
"$work/recompiled" fit $data --batch-size 20 --epochs 2 --no-shuffle --quiet --save "$work/recompiled.keras"
grep -a -o '"compile_config": .*}' "$work/recompiled.keras" | sed 's/^"compile_config": //; s/}$//' | cmp - "$here/recompiled.json" ||
    fail "a file says that it was compiled with $(grep -a -o '"compile_config": .*}' "$work/recompiled.keras")"
"$KERATIN" compile "$work/recompiled.keras" --train -o "$work/again"
"$work/again" fit $data --batch-size 20 --no-shuffle --quiet --history "$work/again.json"
same_logs "$here/recompiled_history.txt" "$work/again.json"
# Classes by their names, some of which Keras finds by module only, and what is within one that says its module.
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/again" --optimizer lamb --loss SparseCategoricalCrossentropy
"$work/again" fit $data --quiet --save "$work/again.keras"
grep -a -F -q '"compile_config": {"optimizer":{"class_name":"Lamb","module":"keras.optimizers","config":{},"registered_name":null},"loss":{"class_name":"SparseCategoricalCrossentropy","module":"keras.losses","config":{},"registered_name":null},' \
    "$work/again.keras" || fail "Keras does not find $(grep -a -o '"compile_config": .*}' "$work/again.keras")"
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/again" \
    --optimizer "{\"module\": \"keras.optimizers\", \"class_name\": \"Adam\", \"config\": {\"learning_rate\": $schedule}}"
"$work/again" fit $data --quiet --save "$work/again.keras"
grep -a -F -q '"decay_rate":0.5},"module":"keras.optimizers.schedules","registered_name":null}' "$work/again.keras" ||
    fail "Keras does not find $(grep -a -o '"compile_config": .*}' "$work/again.keras")"
# A layer was frozen after training: the state is no longer the optimizer's, which Keras warns of, too.
"$KERATIN" compile "$here/frozen.keras" --train -o "$work/again" 2>"$work/errors"
expect_text "warning: .*frozen.keras: The optimizer begins anew: model.weights.h5: It holds the dataset optimizer/vars" "$work/errors"
"$work/again" fit $data --quiet

# A plain program evaluates, too, if the model was compiled with a loss, and its weights are stored once; a library does not.
"$KERATIN" compile "$here/trainer.keras" -o "$work/plain"
"$work/plain" evaluate $data >"$work/evaluated"
same_numbers "$work/evaluated" "$work/untrained" || fail "a plain program evaluates to other numbers"
expect_status 2 "$work/plain" fit $data
"$KERATIN" compile "$here/trainer.keras" -o "$work/plain.so"
! grep -q evaluate "$work/plain.h" || fail "a library that nobody asked to evaluates"
"$KERATIN" compile "$here/trainer.keras" -o "$work/predicting.kir"
"$KERATIN" compile "$work/predicting.kir" -o "$work/predicting"
for program in plain predicting; do
    "$work/$program" describe | sed 's/.*"weights_bytes": \([0-9]*\).*/\1/' >"$work/$program.bytes"
done
cmp "$work/plain.bytes" "$work/predicting.bytes" || fail "weights are stored twice"
"$work/plain" --input "$here/trainer_x.npy" --output "$work/plain.npy"
"$work/predicting" --input "$here/trainer_x.npy" --output "$work/predicting.npy"
cmp "$work/plain.npy" "$work/predicting.npy" || fail "a program that evaluates predicts otherwise"
"$KERATIN" compile "$here/own_loss.keras" -o "$work/own" 2>"$work/errors"
expect_text "warning: .*own_loss.keras: The program does not evaluate: .*loss" "$work/errors"
"$work/own" --input "$here/trainer_x.npy" --output "$work/own.npy"
expect_status 2 "$work/own" evaluate $data

# Optimizers within others: steps that overflow leave weights alone, constraints too, and what Keras's file holds twice is in ours.
"$KERATIN" compile "$here/wrapped.keras" --train -o "$work/wrapped"
"$work/wrapped" fit $data --batch-size 20 --epochs 4 --no-shuffle --quiet --history "$work/wrapped.json" --save "$work/wrapped.weights.h5"
same_logs "$here/wrapped_history.txt" "$work/wrapped.json"
"$DATASETS" "$work/wrapped.weights.h5" | LC_ALL=C sort >"$work/datasets"
cmp "$here/wrapped_datasets.txt" "$work/datasets" || fail "other datasets: $(diff "$here/wrapped_datasets.txt" "$work/datasets")"
"$KERATIN" compile "$here/wrapped.keras" --train -o "$work/again"
"$work/again" evaluate $data --weights "$work/wrapped.weights.h5" >"$work/evaluated"

# In the end moving averages take the weights' place; with this momentum they stay what the first step made of the weights.
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/again" \
    --optimizer '{"class_name": "SGD", "config": {"use_ema": true, "ema_momentum": 1.0}}'
for epochs in 1 2; do
    "$work/again" fit $data --epochs $epochs --no-shuffle --quiet --save "$work/average.keras"
    "$KERATIN" compile "$work/average.keras" --emit=graph -o "$work/average"
    grep "^variable @.* trainable = " "$work/average" >"$work/average_$epochs"
done
[ "$(grep -c kernel "$work/average_1")" = 2 ] || fail "the saved model lacks kernels"
cmp "$work/average_1" "$work/average_2" || fail "fit does not end with the averages"

# Callbacks: no epoch improves by 5, so the second is the last; the rate is halved when it does not improve.
"$work/trainer" fit $data --quiet --epochs 9 --validation-split 0.25 --history "$work/stopped.json" \
    --early-stopping monitor=val_loss,patience=1,min_delta=5,restore_best_weights=true --csv-log "$work/log.csv"
[ "$(wc -l <"$work/log.csv")" = 3 ] || fail "not stopped after two epochs: $(cat "$work/log.csv")"
[ "$(head -n 1 "$work/log.csv" | tr -d '\r')" = epoch,accuracy,loss,val_accuracy,val_loss ] || fail "another head: $(head -n 1 "$work/log.csv")"
"$work/trainer" fit $data --quiet --epochs 1 --checkpoint "$work/logged" --csv-log "$work/log.csv"
"$work/trainer" fit $data --quiet --epochs 2 --checkpoint "$work/logged" --resume --csv-log "$work/log.csv"
[ "$(cut -d , -f 1 "$work/log.csv" | tr '\n' ' ')" = "epoch 0 1 " ] || fail "a resumed log is $(cat "$work/log.csv")"
"$work/trainer" fit $data --quiet --epochs 4 --seed 5 --save "$work/slow.keras" \
    --reduce-lr-on-plateau monitor=loss,patience=1,min_delta=5,factor=0.001
"$work/trainer" fit $data --quiet --epochs 4 --seed 5 --save "$work/fast.keras"
! cmp -s "$work/slow.keras" "$work/fast.keras" || fail "the learning rate stays"
"$work/trainer" fit $data --quiet --epochs 2 --early-stopping monitor=nothing,mode=min 2>"$work/errors"
expect_text "warning: There is no log 'nothing'" "$work/errors"
expect_status 2 "$work/trainer" fit $data --early-stopping patience=many
expect_errors 1
expect_status 2 "$work/trainer" fit $data --reduce-lr-on-plateau unknown=1
expect_errors 1

# One file, and nothing but libc and libm.
if [ -z "$SANITIZE" ]; then
    [ "$(wc -c <"$work/trainer")" -lt 6000000 ] || fail "a trainer has $(wc -c <"$work/trainer") bytes"
    ! ldd "$work/trainer" | grep -v 'linux-vdso\|libm\.\|libc\.\|ld-linux' || fail "a trainer needs more than libc and libm"
fi

# What is wrong is said in a sentence, and nothing is written.
expect_status 2 "$work/trainer" fit --labels "$here/trainer_y.npy"
expect_errors 1
expect_status 2 "$work/trainer" fit $data --epochs 0
expect_errors 1
expect_status 2 "$work/trainer" fit $data --class-weight nonsense
expect_errors 1
expect_status 2 "$work/trainer" fit $data --class-weight 0=nan
expect_errors 1
expect_status 1 "$work/trainer" fit $data --validation-split 0.999
expect_errors 1
expect_text 'There are no samples to train on\.' "$work/errors"
expect_status 2 "$work/trainer" fit $data --resume
expect_errors 1
expect_status 1 "$work/trainer" fit --data "$here/trainer_x.npy" --labels "$here/trainer_x.npy"
expect_errors 1
expect_text "labels" "$work/errors"
expect_status 1 "$work/trainer" fit $data --quiet --save "$work/nowhere/model.keras"
expect_errors 1
head -c 9000 "$work/one.keras" >"$work/cut.keras"
expect_status 1 "$work/trainer" evaluate $data --weights "$work/cut.keras"
expect_errors 1
head -c 500 "$work/run/training.state" >"$work/short" && mv "$work/short" "$work/run/training.state"
expect_status 1 "$work/trainer" fit $data --quiet --checkpoint "$work/run" --resume
expect_errors 1
expect_status 1 "$KERATIN" compile "$here/trainer.keras" --train --loss nonsense -o "$work/none"
expect_text "compile/loss: there is no loss 'nonsense'" "$work/errors"
expect_status 1 "$KERATIN" compile "$here/trainer.keras" --train --loss '{}' -o "$work/none"
expect_text "compile/loss: it gives no output a loss." "$work/errors"
expect_status 1 "$KERATIN" compile "$here/tagger.keras" --train -o "$work/none"
expect_text "not compiled with a loss" "$work/errors"
expect_status 2 "$KERATIN" compile "$here/trainer.keras" --optimizer adam -o "$work/none"
[ ! -e "$work/none" ] || fail "something was written"

# What the loss does not depend on stays as it is, which the compiler says.
"$KERATIN" compile "$here/two_outputs.keras" --train --loss '["sparse_categorical_crossentropy", null]' \
    --optimizer '{"class_name": "SGD", "config": {"learning_rate": 0.1, "weight_decay": 0.1}}' -o "$work/half" 2>"$work/errors"
expect_text 'warning: .*: The loss does not depend on alpha/kernel, alpha/bias: not trained\.$' "$work/errors"

# The one loss that is left is the whole loss: as in Keras, the output's own is not in the logs again.
"$work/half" evaluate --data "$here/trainer_x.npy" --labels "zeta=$here/trainer_y.npy" \
    --labels "alpha=$here/callbacks/alpha.csv" >"$work/lines"
expect_text '^{"loss": ' "$work/lines"
! grep -q '_loss"' "$work/lines" || fail "the loss is there twice: $(cat "$work/lines")"

# Where but one of several outputs has labels, they and their weights go by its name, too, and others are left alone.
"$KERATIN" compile "$here/two_outputs.keras" --train --loss '["sparse_categorical_crossentropy", null]' \
    --metrics '[["accuracy"], null]' -o "$work/lone" 2>/dev/null
for name in "" zeta=; do
    labels=$name$here/trainer_y.npy
    "$work/lone" evaluate --data "$here/trainer_x.npy" --labels "$labels" --sample-weight "$labels" >"$work/lines.$name"
done
cmp "$work/lines." "$work/lines.zeta=" || fail "a name changes what is evaluated"

# Numbers that are none are JSON as Python reads it.
sed 's/.*/nan,nan,nan,nan,nan,nan/' "$here/callbacks/alpha.csv" >"$work/nan.csv"
"$work/trainer" evaluate --data "$work/nan.csv" --labels "$here/trainer_y.npy" >"$work/lines"
expect_text '^{"loss": NaN, ' "$work/lines"
