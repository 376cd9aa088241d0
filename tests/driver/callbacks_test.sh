#!/bin/sh
# Callbacks of a compiled trainer against what Keras's own wrote and decided (make_callbacks.py): logs in CSV and for
# TensorBoard, learning rates, when training stops, which models are kept, and that a resumed run goes on as it would have.
. "$(dirname "$0")/common.sh"
here=$SOURCE/tests/driver
recorded=$here/callbacks
data="--data $here/trainer_x.npy --labels $here/trainer_y.npy"
fit="fit $data --batch-size 20 --no-shuffle --quiet"
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/trainer"

# Two texts of numbers and words, $2 Keras's, are the same: numbers to 1e-4, as sixteen steps of Adam make more of a rounding
# than one, words exactly.
same() {
    awk -v other="$2" '
        { n = split($0, ours, /[ ,;]/); ok = (getline line < other) > 0; m = split(line, theirs, /[ ,;]/)
          if (!ok || n != m) { print "line " NR ": " $0 " is not " line; bad = 1; exit }
          for (i = 1; i <= n; i++) {
              numbers = ours[i] ~ /^-?[0-9]/ && theirs[i] ~ /^-?[0-9]/
              d = ours[i] - theirs[i]
              if (numbers ? d > 1e-4 || d < -1e-4 : ours[i] != theirs[i]) { print "line " NR ": " ours[i] " is not " theirs[i]; bad = 1; exit } } }
        END { if (!bad && (getline line < other) > 0) { print "misses " line; bad = 1 } exit bad }' "$1" >"$work/difference" ||
        fail "$3: $(cat "$work/difference")"
}
# The history in $work/history.json is the one that Keras recorded as $1; without the log $2, if it is given.
same_history() {
    tr '}' '\n' <"$work/history.json" | sed 's/[{"]//g; s/\], /\n/g' | sed 's/[],:[]/ /g; s/NaN/nan/g; s/  */ /g; s/ $//' | grep . | grep -v "^${2:-none} " >"$work/ours"
    sed -n "s/^$1 //p" "$recorded/recorded.txt" | grep -v "^${2:-none} " >"$work/theirs"
    same "$work/ours" "$work/theirs" "history of $1"
}

# What callbacks say, in $work/said, is what Keras recorded of the run $1, --quiet or not.
same_said() {
    sed "s|$work/kept/[a-z]*/||; s|$work/||" "$work/said" >"$work/ours"
    sed -n "s/^$1 \{0,1\}//p" "$recorded/said.txt" >"$work/theirs"
    [ -s "$work/theirs" ] || fail "Keras says nothing in $1"
    same "$work/ours" "$work/theirs" "what is said in $1"
}

# The learning rate falls on a plateau; logs of it all.
"$work/trainer" $fit --epochs 8 --validation-split 0.25 --history "$work/history.json" --csv-log "$work/plateau.csv" \
    --tensorboard "$work/board" --tensorboard-no-graph \
    --reduce-lr-on-plateau monitor=val_loss,factor=0.5,patience=1,min_delta=0.1,cooldown=1,min_lr=0.006,verbose=1 >"$work/said"
same_history plateau
same_said plateau
cmp "$work/ours" "$work/theirs" || fail "rates are said otherwise"
same "$work/plateau.csv" "$recorded/plateau.csv" "plateau.csv"
for side in train validation; do
    "$EVENTS" "$recorded/$side.tfevents" >"$work/theirs" || fail "Keras's events of $side are not read"
    [ "$(wc -l <"$work/theirs")" -gt 20 ] || fail "Keras's events of $side are not all read"
    "$EVENTS" "$work/board/$side"/events.out.tfevents.*.v2 >"$work/ours" || fail "events of $side are wrong"
    same "$work/ours" "$work/theirs" "events of $side"
done
printf x | dd of="$work/board/train/$(ls "$work/board/train")" bs=1 seek=40 conv=notrunc 2>"$work/errors"
expect_status 1 "$EVENTS" "$work/board/train/$(ls "$work/board/train")"

# What a server is told, in a form and as JSON; one that is not there gets a warning only.
"$SINK" 3 "$work/remote" >"$work/port" &
until [ -s "$work/port" ]; do sleep 0.05; done
root=http://127.0.0.1:$(cat "$work/port")
"$work/trainer" $fit --epochs 2 --validation-split 0.25 --remote-monitor root=$root
"$work/trainer" $fit --remote-monitor "root=$root/of,path=logs,headers=X-Run: a b,send_as_json=true"
wait $!
quoted='s/%2C/,/g; s/+/ /g; s/%7D/ }/; s/}$/ }/' # numbers by themselves
sed "$quoted" "$work/remote" >"$work/ours"
sed "$quoted" "$recorded/remote.txt" >"$work/theirs"
same "$work/ours" "$work/theirs" "what a server is told"
"$work/trainer" $fit --remote-monitor root=$root,field=x 2>"$work/errors" || fail "fails for want of a server"
grep -q "warning: Could not reach RemoteMonitor root server at $root\$" "$work/errors" || fail "no warning: $(cat "$work/errors")"
for wrong in root=https://localhost root=localhost:9000 root=http:// "root=http://a b" "path=/a b" headers=X "headers=:x" port=1; do
    expect_status 2 "$work/trainer" $fit --remote-monitor "$wrong"
done

# The rate by epochs, and columns of a log without validation; Python's newlines and numbers.
"$work/trainer" $fit --epochs 4 --history "$work/history.json" --csv-log "$work/scheduled.csv" --csv-log-separator ';' \
    --learning-rate-scheduler verbose=1,0=0.05,1=0.02,3=0.001 >"$work/said"
same_history scheduled
same_said scheduled
cmp "$work/ours" "$work/theirs" || fail "rates are said otherwise"
same "$work/scheduled.csv" "$recorded/scheduled.csv" "scheduled.csv"
[ "$(cut -d ';' -f 3 "$work/scheduled.csv")" = "$(cut -d ';' -f 3 "$recorded/scheduled.csv")" ] || fail "rates are written otherwise"
"$work/trainer" $fit --csv-log "$work/scheduled.csv" --csv-log-separator ';' --csv-log-append
[ "$(cut -d ';' -f 1 "$work/scheduled.csv" | tr '\n' ' ')" = "epoch 0 1 2 3 0 " ] || fail "not appended: $(cat "$work/scheduled.csv")"

# No number, from the first epoch on: it is the best, and nothing improves on it. (Which class is the likeliest of none
# depends on how one looks for it, and with it the accuracy.)
cp "$here/trainer_x.npy" "$work/nowhere.npy"
# The first element, behind the header of 128 bytes, becomes a NaN.
printf '\000\000\300\177' | dd of="$work/nowhere.npy" bs=1 seek=128 conv=notrunc 2>"$work/errors"
nowhere="fit --data $work/nowhere.npy --labels $here/trainer_y.npy --batch-size 20 --no-shuffle"
"$work/trainer" $nowhere --quiet --epochs 6 --early-stopping monitor=loss,patience=2 --history "$work/history.json"
same_history nan accuracy
"$work/trainer" $nowhere --epochs 6 --terminate-on-nan --history "$work/history.json" >"$work/lines"
same_history terminated accuracy
expect_text '^Batch 0: Invalid loss, terminating training$' "$work/lines"
expect_status 1 "$work/trainer" $nowhere --terminate-on-nan --terminate-on-nan-raise-error --save "$work/nowhere.keras"
expect_errors 1
expect_text 'NaN or Inf loss encountered at batch 0\. Loss value: nan\. Terminating training immediately\.$' "$work/errors"
[ ! -e "$work/nowhere.keras" ] || fail "a run that failed is saved"
expect_status 2 "$work/trainer" $fit --terminate-on-nan-raise-error
expect_errors 1

# mode=auto follows the metric.
"$work/trainer" $fit --epochs 9 --validation-split 0.25 --history "$work/history.json" \
    --early-stopping monitor=val_accuracy,patience=1,min_delta=0.05,restore_best_weights=true,verbose=1 >"$work/said"
same_history accuracy
same_said accuracy
expect_status 2 "$work/trainer" $fit --early-stopping monitor=nothing
expect_errors 1
expect_text "whether 'nothing' is better high or low" "$work/errors"
"$KERATIN" compile "$here/trainer.keras" --train --metrics "accuracy , accuracy" -o "$work/twice"
"$work/twice" $fit --history "$work/history.json" --early-stopping monitor=accuracy_1
expect_text '^{"accuracy": .*"accuracy_1": .*"loss": ' "$work/history.json"

# What is kept, and under which names.
mkdir "$work/kept"
"$work/trainer" $fit --epochs 6 --model-checkpoint \
    "filepath=$work/kept/best/{epoch:02d}-{loss:.1f}.keras,monitor=accuracy,save_best_only=true,initial_value_threshold=0.5,verbose=1" >"$work/said"
same_said best
"$work/trainer" $fit --epochs 2 --model-checkpoint "filepath=$work/lowest.keras,monitor=loss,save_best_only=true,verbose=1" >"$work/said"
same_said lowest
"$work/trainer" $fit --epochs 2 --model-checkpoint \
    "filepath=$work/kept/often/{epoch}-{batch:3d}.weights.h5,save_weights_only=true,save_freq=3,verbose=1" >"$work/said"
same_said often
(cd "$work/kept" && find . -type f | sed 's|^\./||' | sort) >"$work/names"
grep -v ^board/ "$recorded/kept.txt" | cmp -s "$work/names" - || fail "kept are $(cat "$work/names")"
"$work/trainer" $fit --epochs 6 --save "$work/last.keras"
cmp "$work/last.keras" "$work/kept/best/06-0.5.keras" || fail "the model of the last epoch is not what was kept of it"
for wrong in filepath=x.h5 filepath=x.keras,save_weights_only=true filepath=x.keras,save_freq=often filepath=x.keras,mode=up,save_best_only=true; do
    expect_status 2 "$work/trainer" $fit --model-checkpoint "$wrong"
    expect_errors 1
done
for wrong in '{nothing}' '{epoch:.2q}' '{loss:d}' '{loss' 'loss}' '{epoch:999d}'; do
    expect_status 1 "$work/trainer" $fit --model-checkpoint "filepath=$work/$wrong.keras"
    expect_errors 1
done

# Logs of two outputs, their names and order: a last smaller batch counts in an output's loss as the others do.
"$KERATIN" compile "$here/two_outputs.keras" --train -o "$work/two"
"$work/two" fit --data "$here/trainer_x.npy" --labels "zeta=$here/trainer_y.npy" --labels "alpha=$recorded/alpha.csv" \
    --batch-size 20 --no-shuffle --validation-split 0.25 --csv-log "$work/two.csv" --history "$work/history.json" >"$work/lines"
same "$work/two.csv" "$recorded/two_outputs.csv" "logs of two outputs"
head -n 1 "$recorded/two_outputs.csv" | tr -d '\r' | cut -d , -f 2- >"$work/theirs"
grep -o '"[a-z_]*": \[' "$work/history.json" | tr -d '"[: ' | paste -sd , >"$work/ours"
cmp "$work/ours" "$work/theirs" || fail "the history of two outputs has $(cat "$work/ours")"
"$KERATIN" compile "$here/keyed.keras" --train -o "$work/keyed"
"$work/keyed" fit --data "$here/trainer_x.npy" --labels "zeta=$here/trainer_y.npy" --labels "alpha=$recorded/alpha.csv" \
    --batch-size 20 --no-shuffle --csv-log "$work/keyed.csv" --quiet
same "$work/keyed.csv" "$recorded/keyed.csv" "logs of a dict of outputs"
tail -n 1 "$work/lines" | grep -o ' [a-z_]*: [0-9]' | sed 's/ \(.*\):.*/\1/' | paste -sd , >"$work/ours"
cmp "$work/ours" "$work/theirs" || fail "the progress of two outputs has $(cat "$work/ours")"
# Weights for the samples of one output alone; and names that are none of its outputs.
two="--data $here/trainer_x.npy --batch-size 20"
"$work/two" fit $two --labels "zeta=$here/trainer_y.npy" --labels "alpha=$recorded/alpha.csv" --sample-weight "zeta=$here/trainer_y.npy" \
    --no-shuffle --epochs 2 --quiet --history "$work/history.json"
same_history half_weighted
for option in --labels --sample-weight --validation-labels; do
    expect_status 2 "$work/two" fit $two --labels "zeta=$here/trainer_y.npy" --labels "alpha=$recorded/alpha.csv" \
        --validation-data "$here/trainer_x.npy" --validation-labels "zeta=$here/trainer_y.npy" --validation-labels "alpha=$recorded/alpha.csv" \
        $option "omega=$here/trainer_y.npy"
    expect_errors 1
    expect_text "error: $option: There is no input 'omega' for it, but 'zeta' and 'alpha'\.$" "$work/errors"
done
expect_status 2 "$work/two" fit --data "omega=$here/trainer_x.npy" --labels "zeta=$here/trainer_y.npy" --labels "alpha=$recorded/alpha.csv"
expect_text "error: --data: There is no input 'omega' for it, but 'x'\.$" "$work/errors"

# Metrics that are vectors: lists in the history, in evaluations and, quoted, in CSV; their mean in the progress line.
"$KERATIN" compile "$here/vectors.keras" --train -o "$work/vectors"
vectors="--data $here/trainer_x.npy --labels $here/vectors_y.npy --batch-size 20"
"$work/vectors" fit $vectors --no-shuffle --epochs 1 --validation-split 0.25 --checkpoint "$work/vectors.run" --quiet
"$work/vectors" fit $vectors --no-shuffle --epochs 2 --validation-split 0.25 --csv-log "$work/vectors.csv" --history "$work/vectors.json" >"$work/lines"
grep loss "$work/lines" >"$work/vectors.txt"
for file in csv json txt; do
    for side in ours:$work theirs:$recorded; do
        sed 's|^.*/step||' "${side#*:}/vectors.$file" | tr -d '"[]{}' | tr ':' ' ' >"$work/${side%%:*}"
    done
    same "$work/ours" "$work/theirs" "vectors.$file"
    [ "$(tr -cd '"[]' <"$work/vectors.$file")" = "$(tr -cd '"[]' <"$recorded/vectors.$file")" ] || fail "vectors.$file has other brackets"
done
"$work/vectors" fit $vectors --no-shuffle --epochs 2 --validation-split 0.25 --checkpoint "$work/vectors.run" --resume --quiet --history "$work/resumed.json"
cmp "$work/vectors.json" "$work/resumed.json" || fail "a resumed run has other vectors"
"$work/vectors" evaluate $vectors >"$work/lines"
expect_text '"f1_score": \[[0-9.]*, [0-9.]*, [0-9.]*\], "r2_score": \[' "$work/lines"
for wrong in "--early-stopping monitor=val_f1_score" "--reduce-lr-on-plateau monitor=f1_score" "--tensorboard $work/vectors.board" \
    "--model-checkpoint filepath=$work/best.keras,monitor=f1_score,save_best_only=true"; do
    expect_status 2 "$work/vectors" fit $vectors $wrong
    expect_errors 1
    expect_text 'f1_score.* is a list' "$work/errors"
done

# Checkpoints for orbax: Keras's state tree, each variable of which is an array of Zarr's, and the model. Optimizers within others
# have names of their own.
same_tree() { # MODEL VARIABLES
    "$work/$1" $fit --epochs 2 --orbax-checkpoint "directory=$work/orbax"
    for array in "$work/orbax/1/pytree"/[!_m]*; do
        sed -n 's/.*"shape": \[\([^]]*\)\], "chunks": \[\1\], "dtype": "<\([fi]\)\([48]\)", "compressor": null,.*/\1:\2:\3/p' \
            "$array/.zarray" | tr -d , | tr i d >"$work/form"
        IFS=: read -r shape kind bytes <"$work/form"
        echo "$1 $(basename "$array") $shape : $(od -An -v -w64 -N $((4 * bytes)) -t "$kind$bytes" "$array"/0*)"
    done | sed 's/  */ /g' | LC_ALL=C sort >"$work/ours"
    grep "^$1 " "$recorded/orbax.txt" | LC_ALL=C sort >"$work/theirs"
    [ "$(wc -l <"$work/theirs")" = "$2" ] || fail "Keras's state tree of $1 has other variables"
    same "$work/ours" "$work/theirs" "a checkpoint of $1 for orbax"
}
for model in several wrapped nadams; do
    "$KERATIN" compile "$here/$model.keras" --train -o "$work/$model"
done
same_tree several 26
same_tree wrapped 20
same_tree nadams 28
same_tree trainer 22
[ "$(grep -o "\"('[a-z_0-9', ]*')\": {\"key_metadata\": \[{\"key\": \"[a-z_]*_variables\", \"key_type\": 2}" "$work/orbax/1/pytree/_METADATA" | wc -l)" = 26 ] ||
    fail "the tree's metadata are $(cat "$work/orbax/1/pytree/_METADATA")"
expect_text '^{"config": "{\\"module\\": \\"keras\\"' "$work/orbax/1/model_config/_strings.json"
# Which of them stay; weights alone; and one of that name that is there goes.
keeps() { # OPTIONS FOLDERS
    rm -rf "$work/orbax"
    "$work/trainer" $fit --epochs 3 --orbax-checkpoint "directory=$work/orbax,$1"
    [ "$(ls "$work/orbax" | paste -sd ' ')" = "$2" ] || fail "orbax keeps $(ls "$work/orbax") with $1"
}
keeps max_to_keep=2,verbose=1,save_on_background=false "1 2"
keeps max_to_keep=0 "0 1 2"
keeps save_freq=4 12
keeps max_to_keep=0,monitor=loss,save_best_only=true,initial_value_threshold=1.2 "1 2"
keeps save_weights_only=true 2
[ ! -e "$work/orbax/2/model_config" ] || fail "weights alone come with a model"
! ls "$work/orbax/2/pytree" | grep optimizer || fail "weights alone come with the state of the optimizer"
"$work/trainer" $fit --epochs 3 --orbax-checkpoint "directory=$work/orbax"
[ -e "$work/orbax/2/model_config/_METADATA" ] || fail "a checkpoint that is there stays"
mkdir "$work/orbax/007" "$work/orbax/2023"
mv "$work/orbax/2" "$work/orbax/5"
"$work/trainer" $fit --epochs 2 --orbax-checkpoint "directory=$work/orbax"
[ "$(ls "$work/orbax" | paste -sd ' ')" = "007 1 2023 5" ] || fail "orbax leaves $(ls "$work/orbax") of what is no checkpoint of this run"
mkdir "$work/orbax/0"
expect_status 1 "$work/trainer" $fit --orbax-checkpoint "directory=$work/orbax"
expect_text '/orbax/0: It is there already, and is no checkpoint\.$' "$work/errors"
[ -d "$work/orbax/0" ] || fail "a folder that is no checkpoint is gone"
for wrong in monitor=loss "directory=$work/x,save_freq=often" "directory=$work/x,max_to_keep=-1" "directory=$work/x,path=y"; do
    expect_status 2 "$work/trainer" $fit --orbax-checkpoint "$wrong"
    expect_errors 1
done
expect_status 1 "$work/trainer" $fit --orbax-checkpoint "directory=$work/trainer/x"
expect_errors 1
status=0
(
    trap '' XFSZ
    ulimit -f 8
    exec "$work/trainer" $fit --orbax-checkpoint "directory=$work/limited"
) 2>"$work/errors" || status=$?
[ "$status" = 1 ] || fail "a checkpoint that is too large ends with $status"
expect_errors 1
expect_text '/0\.orbax-checkpoint-tmp/[^ ]*: It cannot be written: File too large\.$' "$work/errors"
[ -z "$(ls "$work/limited")" ] || fail "a part of a checkpoint is left: $(ls "$work/limited")"

# Averages of the weights are evaluated, and with swap_on_epoch kept; in the end the model has them.
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/averaging" --metrics accuracy \
    --optimizer '{"class_name": "SGD", "config": {"learning_rate": 0.1, "use_ema": true, "ema_momentum": 0.9}}'
average="$fit --epochs 3 --validation-split 0.25 --history $work/history.json"
"$work/averaging" $average
same_history plain_average
for swap in False True; do
    "$work/averaging" $average --swap-ema-weights swap_on_epoch=$(echo $swap | tr FT ft) \
        --model-checkpoint "filepath=$work/{epoch}.keras" --save "$work/end.keras"
    same_history swapped_$swap
    for file in 1 3 end; do
        "$work/averaging" evaluate $data --batch-size 96 --weights "$work/$file.keras" |
            tr -d '{}:,"' | awk '{ print $3, $4; print $1, $2 }' >"$work/ours"
        sed -n "s/^swapped_${swap}_$file //p" "$recorded/recorded.txt" >"$work/theirs"
        same "$work/ours" "$work/theirs" "$file.keras with swap_on_epoch=$swap"
    done
done
"$work/averaging" $fit --epochs 6 --history "$work/history.json" --swap-ema-weights swap_on_epoch=true \
    --early-stopping monitor=loss,min_delta=10,patience=2 --save "$work/end.keras"
same_history swapped_early
"$work/averaging" evaluate $data --batch-size 96 --weights "$work/end.keras" |
    tr -d '{}:,"' | awk '{ print $3, $4; print $1, $2 }' >"$work/ours"
sed -n "s/^swapped_early_end //p" "$recorded/recorded.txt" >"$work/theirs"
same "$work/ours" "$work/theirs" "what is left where training stops early with swap_on_epoch"
expect_status 2 "$work/trainer" $fit --swap-ema-weights swap_on_epoch=true
expect_errors 1

# Several optimizers, from the state that Keras saved: their rates, the averages of one, and what is saved. A file from
# before the first step gives weights alone.
"$work/several" $fit --epochs 4 --validation-split 0.25 --history "$work/history.json" --tensorboard "$work/several.board" \
    --reduce-lr-on-plateau monitor=loss,factor=0.5,patience=1,min_delta=10,min_lr=0.003,verbose=1 --swap-ema-weights swap_on_epoch=false \
    --save "$work/end.keras" >"$work/said"
same_history several
same_said several
"$work/several" evaluate $data --batch-size 96 --weights "$work/end.keras" |
    tr -d '{}:,"' | awk '{ print $3, $4; print $1, $2 }' >"$work/ours"
sed -n "s/^several_end //p" "$recorded/recorded.txt" >"$work/theirs"
same "$work/ours" "$work/theirs" "several optimizers in the end"
"$EVENTS" "$work/several.board/train"/events.out.tfevents.*.v2 | cut -d ' ' -f 2 | grep rate | sort -u | paste -sd , >"$work/names"
[ "$(cat "$work/names")" = epoch_learning_rate_adam,epoch_learning_rate_sgd ] || fail "events have rates $(cat "$work/names")"

"$KERATIN" compile "$here/trainer.keras" --train -o "$work/adafactor" --optimizer adafactor
expect_status 2 "$work/adafactor" $fit --orbax-checkpoint "directory=$work/x"
expect_errors 1
expect_text 'Keras takes no Adafactor' "$work/errors"
"$work/adafactor" $fit --epochs 1 --orbax-checkpoint "directory=$work/adafactors,save_weights_only=true"
[ -e "$work/adafactors/0/_CHECKPOINT_METADATA" ] || fail "there are no weights of Adafactor"
"$KERATIN" compile "$here/trainer.keras" --train -o "$work/twins" \
    --optimizer '{"class_name": "MultiOptimizer", "config": {"optimizer_map": {"class_name": "OptimizerMap", "config": {
        "default_optimizer": {"class_name": "Adam", "config": {"name": "same"}},
        "optimizer_map": {".*bias": {"class_name": "SGD", "config": {"name": "same"}}}}}}}'
expect_status 2 "$work/twins" $fit --orbax-checkpoint "directory=$work/x"
expect_errors 1
expect_text 'no two optimizers of one name, here same' "$work/errors"
for name in $(printf %0240d 0) "it's"; do
    rm -rf "$work/named.orbax"
    "$KERATIN" compile "$here/trainer.keras" --train -o "$work/named" \
        --optimizer "{\"class_name\": \"SGD\", \"config\": {\"name\": \"$name\"}}"
    expect_status 2 "$work/named" $fit --orbax-checkpoint "directory=$work/named.orbax"
    expect_errors 1
    expect_text 'The variable optimizer/[a-z_]* cannot be saved: ' "$work/errors"
    [ ! -e "$work/named.orbax" ] || fail "a run that is refused leaves a checkpoint"
    "$work/named" $fit --orbax-checkpoint "directory=$work/named.orbax,save_weights_only=true"
done

# Seeds go on over steps, epochs and evaluations as in Keras, so that whole runs agree.
for model in seeded augmented; do
    "$KERATIN" compile "$here/$model.keras" --train -o "$work/$model"
    "$work/$model" $fit --epochs 3 --validation-split 0.25 --history "$work/history.json"
    same_history "$model"
done

# Several ModelCheckpoints in one run, each by itself, also where it is taken up again.
mkdir "$work/both"
both="--model-checkpoint filepath=$work/both/best-{epoch:02d}-{loss:.1f}.keras,monitor=accuracy,save_best_only=true,initial_value_threshold=0.5
    --model-checkpoint filepath=$work/both/often-{epoch}-{batch:3d}.weights.h5,save_weights_only=true,save_freq=3"
"$work/trainer" $fit --epochs 6 $both
for epochs in 2 6; do
    "$work/trainer" $fit --epochs $epochs --checkpoint "$work/both.run" --resume $(echo "$both" | sed 's|/both/|/again/|')
done
(cd "$work/both" && ls) >"$work/names"
(cd "$work/again" && ls) | cmp - "$work/names" || fail "a resumed run keeps $(ls "$work/again")"
[ "$(grep -c '^best-' "$work/names")" = "$(grep -c ^best/ "$recorded/kept.txt")" ] || fail "of two, the first keeps $(cat "$work/names")"
[ "$(grep -c '^often-' "$work/names")" = 10 ] || fail "of two, the second keeps $(cat "$work/names")"

# Each finds its own state by its path, whatever their order and number.
"$work/trainer" $fit --epochs 2 --checkpoint "$work/order.run" --model-checkpoint "filepath=$work/order/other.keras,monitor=loss,save_best_only=true" \
    --model-checkpoint "filepath=$work/order/best.keras,monitor=loss,save_best_only=true,initial_value_threshold=0.1"
"$work/trainer" $fit --epochs 3 --checkpoint "$work/order.run" --resume \
    --model-checkpoint "filepath=$work/order/best.keras,monitor=loss,save_best_only=true,initial_value_threshold=0.1" \
    --model-checkpoint "filepath=$work/order/new.keras,monitor=loss,save_best_only=true" \
    --model-checkpoint "filepath=$work/order/other.keras,monitor=loss,save_best_only=true"
[ "$(ls "$work/order" | paste -sd ' ')" = "new.keras other.keras" ] || fail "in another order checkpoints keep $(ls "$work/order")"

# Events of every eighth step, and of epochs that end with one; how long steps take nobody knows.
"$work/trainer" $fit --epochs 6 --validation-split 0.25 --tensorboard "$work/steps" --tensorboard-no-graph --tensorboard-update-freq 8 \
    --tensorboard-write-steps-per-second --tensorboard-histogram-freq 3
for side in train validation; do
    "$EVENTS" "$recorded/steps_$side.tfevents" | sed 's/\(steps_per_second\) .*/\1/' >"$work/theirs"
    "$EVENTS" "$work/steps/$side"/events.out.tfevents.*.v2 | sed 's/\(steps_per_second\) [0-9.e+]*$/\1/' >"$work/ours"
    same "$work/ours" "$work/theirs" "events of steps, $side"
done
[ "$(grep -c histogram "$work/theirs")" = 0 ] || fail "validation has histograms"
"$work/trainer" $fit --epochs 1 --tensorboard "$work/every" --tensorboard-update-freq batch
"$EVENTS" "$work/every/train"/events.out.tfevents.*.v2 | grep batch_loss >"$work/ours"
[ "$(wc -l <"$work/ours")" = 5 ] || fail "there are not five steps: $(cat "$work/ours")"

# The model's graph, but for the identities that Keras gives objects it shares; pictures of weights; embeddings. (Logs are
# compared above.)
"$KERATIN" compile "$here/board.keras" --train -o "$work/pictures"
embedded="fit --data $here/board_x.npy --labels $here/trainer_y.npy --batch-size 20 --no-shuffle --quiet --tensorboard-embeddings-freq 2"
"$work/pictures" $embedded --epochs 3 --tensorboard "$work/shown" --tensorboard-histogram-freq 2 --tensorboard-write-images \
    --tensorboard-embeddings-metadata "kinds=kinds'\"\\é.tsv"
without_logs() {
    grep -v epoch_ | sed 's/, "shared_object_id": [0-9]*//g'
}
"$EVENTS" "$recorded/board.tfevents" | without_logs >"$work/theirs"
"$EVENTS" "$work/shown/train"/events.out.tfevents.*.v2 | without_logs >"$work/ours"
[ "$(grep -c /image "$work/theirs")" = 26 ] || fail "Keras's pictures are not all read"
same "$work/ours" "$work/theirs" "events of pictures"
cmp "$work/shown/projector_config.pbtxt" "$recorded/projector_config.pbtxt" || fail "embeddings are shown otherwise"
(cd "$work/shown/train" && ls keras*) >"$work/ours"
sed -n 's|^board/||p' "$recorded/kept.txt" | cmp - "$work/ours" || fail "other weights are saved than $(cat "$work/ours")"
"$work/pictures" evaluate --data "$here/board_x.npy" --labels "$here/trainer_y.npy" \
    --weights "$work/shown/train/keras_embedding.ckpt-2.weights.h5" >"$work/evaluated"
"$work/pictures" $embedded --tensorboard "$work/shared" --tensorboard-embeddings-metadata all.tsv
[ "$(grep -c 'metadata_path: "all.tsv"' "$work/shared/projector_config.pbtxt")" = 2 ] || fail "embeddings do not share a file"
expect_status 2 "$work/pictures" $embedded --tensorboard "$work/unshown" --tensorboard-embeddings-metadata sorts=all.tsv
expect_errors 1
[ ! -e "$work/unshown" ] || fail "a run that is refused leaves events"
expect_text "has no Embedding 'sorts'" "$work/errors"

# A profile of four steps, two epochs of five, changes nothing else: each step has each kernel, within its time, and the
# first products of a layer have the operations of a book.
"$work/trainer" $fit --epochs 2 --save "$work/plain.keras"
"$work/trainer" $fit --epochs 2 --save "$work/profiled.keras" --tensorboard "$work/profiled" --tensorboard-no-graph \
    --tensorboard-profile-batch 3,6 --threads 2
cmp "$work/plain.keras" "$work/profiled.keras" || fail "a profile changes what is trained"
"$EVENTS" "$work/profiled/train/plugins/profile"/????_??_??_??_??_??/*.xplane.pb >"$work/events" || fail "no profile is read"
steps=$("$KERATIN" compile "$here/trainer.keras" --train --emit=plan -o - | sed -n '/train_step/,/train_step_weighted/p' | grep -c '^  [0-9]*: ')
awk -F '|' -v kernels="$steps" '
    $1 !~ /^(caller 0|worker [0-9]+)$/ || $4 > $5 { exit bad = 1 }
    $2 == "Profiled batch" { if ($1 != "caller 0" || $6 != "step_num=" (batches + 2) % 5 || $7 != "_r=1") exit bad = 2
                             begin[++batches] = $4; end[batches] = $5; next }
    { if ($2 != $2 || index($2, " ") || index($2, "/" $3 ":" $3) == 0) exit bad = 3
      for (i = 1; i <= batches; i++) if ($4 >= begin[i] && $5 <= end[i] && $6 == "part=0") count[i]++ }
    END { if (bad || batches != 4) exit 10 + bad
          for (i = 1; i <= 4; i++) if (count[i] != kernels) { print i, count[i], kernels; exit 20 } }' "$work/events" ||
    fail "the profile is wrong, $?: $(head -n 30 "$work/events")"
[ "$(grep -c "sequential/dense/matmul/dot_general.*|flops=$((20 * (2 * 6 * 8 + 8 + 8)))|.*|layers=sequential/dense/matmul, sequential/dense/bias" "$work/events")" -ge 3 ] ||
    fail "a kernel has other operations: $(grep dot_general "$work/events")"
# One that is not at its end when training is; none at all; and where it cannot be written.
"$work/trainer" $fit --tensorboard "$work/short" --tensorboard-profile-batch 4,100
"$EVENTS" "$work/short/train/plugins/profile"/*/*.xplane.pb >"$work/events"
[ "$(grep -c 'Profiled batch' "$work/events")" = 2 ] || fail "the end of a run is profiled otherwise"
# A run that is taken up within its range goes on with it.
for epochs in 1 2; do
    "$work/trainer" $fit --epochs $epochs --checkpoint "$work/profiled.run" --resume --tensorboard "$work/part$epochs" \
        --tensorboard-profile-batch 4,7
    "$EVENTS" "$work/part$epochs/train/plugins/profile"/*/*.xplane.pb >"$work/events"
    [ "$(grep -c 'Profiled batch' "$work/events")" = 2 ] || fail "epoch $epochs is profiled otherwise"
done
for none in 0 6 0,4; do
    "$work/trainer" $fit --tensorboard "$work/none" --tensorboard-profile-batch $none
    [ ! -e "$work/none/train/plugins" ] || fail "there is a profile of $none"
done
for wrong in -1 3,2 x 1,x 1,2,3 1, ""; do
    expect_status 2 "$work/trainer" $fit --tensorboard "$work/none" "--tensorboard-profile-batch=$wrong"
    expect_errors 1
done
touch "$work/none/train/plugins"
expect_status 1 "$work/trainer" $fit --tensorboard "$work/none" --tensorboard-profile-batch 2
expect_errors 1
expect_text "Cannot make the directory $work/none/train/plugins/profile: Not a directory\.$" "$work/errors"
status=0
(
    trap '' XFSZ
    ulimit -f 8
    exec "$work/trainer" $fit --tensorboard "$work/large" --tensorboard-no-graph --tensorboard-profile-batch 2,5
) 2>"$work/errors" || status=$?
[ "$status" = 1 ] || fail "a profile that is too large ends with $status"
expect_errors 1
expect_text '\.xplane\.pb: It cannot be written: File too large\.$' "$work/errors"
[ -z "$(find "$work/large" -name '*xplane*')" ] || fail "a part of a profile is left"

# BackupAndRestore: a run that is broken off goes on; in the end nothing is left.
"$work/trainer" $fit --epochs 3 --save "$work/one.keras" --history "$work/one.json"
"$work/trainer" $fit --epochs 1 --backup-and-restore "backup_dir=$work/backup,delete_checkpoint=false"
[ -s "$work/backup/training.state" ] || fail "nothing is backed up"
"$work/trainer" $fit --epochs 3 --backup-and-restore "backup_dir=$work/backup" --save "$work/two.keras" --history "$work/two.json"
cmp "$work/one.keras" "$work/two.keras" || fail "a restored run ends with other weights"
cmp "$work/one.json" "$work/two.json" || fail "a restored run has another history"
[ ! -e "$work/backup" ] || fail "the backup stays"
# Four of five steps, and the epoch from its begin on: nine of the optimizer's steps.
"$work/trainer" $fit --epochs 1 --backup-and-restore "backup_dir=$work/backup,save_freq=4,delete_checkpoint=false"
"$work/trainer" $fit --epochs 1 --backup-and-restore "backup_dir=$work/backup,save_freq=100" --save "$work/steps.keras"
"$KERATIN" compile "$work/steps.keras" --train --emit=graph -o "$work/steps.kir"
expect_text '@optimizer/iteration .*= \[9\]' "$work/steps.kir"
for wrong in save_freq=2 backup_dir=x,save_freq=often backup_dir=x,double_checkpoint=true; do
    expect_status 2 "$work/trainer" $fit --backup-and-restore $wrong
    expect_errors 1
done
expect_status 2 "$work/trainer" $fit --backup-and-restore backup_dir=x --checkpoint y
expect_errors 1
for wrong in "--tensorboard-update-freq 2" "--tensorboard $work/b --tensorboard-update-freq often" --csv-log-append \
    --tensorboard-no-graph "--tensorboard-profile-batch 2" "--tensorboard $work/b --tensorboard-write-images" \
    "--tensorboard $work/b --tensorboard-embeddings-metadata all.tsv"; do
    expect_status 2 "$work/trainer" $fit $wrong
    expect_errors 1
done

# Callbacks of a resumed run know what they knew.
callbacks="--validation-split 0.25 --early-stopping monitor=val_loss,patience=3,min_delta=0.05,restore_best_weights=true,verbose=1
    --reduce-lr-on-plateau monitor=val_loss,factor=0.5,patience=2,min_delta=0.1,cooldown=1"
"$work/trainer" $fit $callbacks --epochs 20 --save "$work/one.keras" --history "$work/one.json" >"$work/said"
expect_text '^Restoring model weights from the end of the best epoch: [0-9]*\.$' "$work/said"
[ "$(tr , '\n' <"$work/one.json" | wc -l)" -lt 80 ] || fail "it does not stop early: $(cat "$work/one.json")"
for epochs in 1 2 3 12 20; do
    "$work/trainer" $fit $callbacks --epochs $epochs --checkpoint "$work/run" --resume --history "$work/resumed.json" --save "$work/resumed.keras" >"$work/resumed"
done
cmp "$work/said" "$work/resumed" || fail "a resumed run says otherwise when it stops: $(cat "$work/resumed")"
cmp "$work/one.json" "$work/resumed.json" || fail "a resumed run has another history"
cmp "$work/one.keras" "$work/resumed.keras" || fail "a resumed run ends with other weights"
"$work/trainer" $fit $callbacks --epochs 20 --checkpoint "$work/run" --resume --save "$work/again.keras"
cmp "$work/one.keras" "$work/again.keras" || fail "a run that had stopped goes on"

# Where another number is watched than before, or in another way, it has no best one yet.
lowest="filepath=$work/lowest.keras,monitor=loss,save_best_only=true"
"$work/trainer" $fit --epochs 3 --checkpoint "$work/watched" --model-checkpoint "$lowest"
"$work/trainer" $fit --epochs 4 --checkpoint "$work/watched" --resume --model-checkpoint \
    "filepath=$work/highest.keras,monitor=loss,mode=max,save_best_only=true"
[ -e "$work/highest.keras" ] || fail "the lowest loss was taken for the highest"

# A run that was kept by another version, the state's checksum being right: CRC-32 of what follows the header of 64 bytes and
# of the header, with 0 in the place of the checksum.
state=$work/watched/training.state
patch() { # OFFSET: bytes from standard input
    dd of="$state" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
list=$(od -An -tu8 -j 16 -N 8 "$state" | tr -d ' ')
printf '\001' | patch $((64 + list))
printf '\000\000\000\000' | patch 40
{ tail -c +65 "$state"; head -c 64 "$state"; } | gzip -c | tail -c 8 | head -c 4 >"$work/checksum"
patch 40 <"$work/checksum"
expect_status 1 "$work/trainer" $fit --epochs 5 --checkpoint "$work/watched" --resume
expect_errors 1
expect_text "training.state keeps a run in version 1 of the format; this program reads version [0-9]*\.$" "$work/errors"

for wrong in "--learning-rate-scheduler 0=x" "--learning-rate-scheduler 3=1,2=1" "--learning-rate-scheduler 1" "--learning-rate-scheduler verbose=1" "--learning-rate-scheduler verbose=x,0=1" "--csv-log-separator ;;"; do
    expect_status 2 "$work/trainer" $fit $wrong
    expect_errors 1
done
expect_status 1 "$work/trainer" $fit --tensorboard "$work/trainer/board"
expect_errors 1
