#!/usr/bin/env bash
# test_references.sh SPHYNX MAKE_PACK: published networks from training to private evaluation.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 16 320 || exit 1

# The class is where a spot lies: mirrored or shifted it would be another.
train=("$sphynx" train --data pack.h5 --batch 16 --threads 1 --no-flip --pad-crop 0 --lr 0.1
    --schedule one-cycle)

holds() { # NAME FILE EXPRESSION
    jq -e "$3" "$2" >jq.out || fail "$1: not $3: $(head -c 400 "$2")"
}

# ---- a network that learns, and all that is done with one ----
net=(--network "resnet18,width=4,stem_relu=0")
check "train" 0 "${train[@]}" "${net[@]}" --epochs 4 --out run --json
holds "it learns" stdout '.top1 > 0.9 and .relus == 7680'
holds "the run's inputs" run/run.json \
    '.inputs | .reference == "resnet18,form=32,stem_relu=0,width=4" and (has("genotype") | not)'
check "inspect" 0 "$sphynx" inspect --model run --json
holds "inspect" stdout '.network == "resnet18,form=32,stem_relu=0,width=4" and .relus == 7680 and
    .input == [1, 16, 16] and .preprocessing.classes == 4'
check "its ReLUs by name" 0 "$sphynx" inspect --model run --relus
has stdout '^layer1.0.relu1 +4x16x16 +1024$' "its ReLUs by name"
check "eval" 0 "$sphynx" eval --model run --data pack.h5 --json
holds "eval" stdout '.top1 > 0.9'
check "predict" 0 "$sphynx" predict --model run --data pack.h5 --index 3 --json
check "export" 0 "$sphynx" export --model run --data pack.h5 -o deployed.h5 --json
holds "export" stdout '.relus == 7680'
check "cost" 0 "$sphynx" cost --model deployed.h5 --json
holds "cost" stdout '.relus == 7680'
check "integers" 0 "$sphynx" eval --model deployed.h5 --data pack.h5 --json
holds "integers" stdout '.top1 > 0.85'
for model in run deployed.h5; do # never the other decoder instead
    check "nvJPEG of $model" $([ $model = run ] && echo 1 || echo 2) "$sphynx" eval \
        --model $model --data pack.h5 --decoder nvjpeg
    one_line "nvJPEG of $model"
    has stderr 'decoder cpu|decoded by the CPU' "nvJPEG of $model"
done
check "bench pi" 0 "$sphynx" bench pi "${net[@]}" --input 3x16x16 --classes 4 --json
holds "bench pi" stdout '.matches_integer_executor and .relus == 7680'
bytes='[.relus, .storage_bytes, .online.rounds, .online.bytes_sent + .online.bytes_received]'
jq -c "$bytes" stdout >measured
check "cost of a network" 0 "$sphynx" cost "${net[@]}" --input 3x16x16 --classes 4 --usual-rates \
    --json
jq -c "$bytes" stdout | cmp - measured || fail "cost of a network: not what bench pi took"
check "cost of two" 2 "$sphynx" cost --model deployed.h5 "${net[@]}"
one_line "cost of two"
has stderr '[-]-network means nothing with --model' "cost of two"

# A model is a file of weights, too; another network's are refused.
import=("$sphynx" import run/model.h5 --input 1x16x16 --classes 4 --data pack.h5)
check "import" 0 "${import[@]}" "${net[@]}" -o imported.h5 --json
holds "import" stdout '.relus == 7680'
check "eval of the import" 0 "$sphynx" eval --model imported.h5 --data pack.h5 --json
holds "eval of the import" stdout '.top1 > 0.9'
check "import as another" 1 "${import[@]}" --network resnet34,width=4 -o none.h5
one_line "import as another"
has stderr 'see --network' "import as another"
[ ! -e none.h5 ] || fail "import as another: left a file"

# ---- the network of the model that is begun with ----
check "begun with, named" 0 "${train[@]}" "${net[@]}" --init-from run --epochs 1 --max-steps 2 \
    --out named
check "begun with" 0 "${train[@]}" --init-from run --epochs 1 --max-steps 2 --out unnamed
cmp named/result.json unnamed/result.json || fail "begun with: not the model's network"
check "resumed" 0 "${train[@]}" --init-from run --epochs 1 --max-steps 2 --out unnamed --resume
check "cells instead" 2 "${train[@]}" --init-from run --layers 3 --out never
one_line "cells instead"
has stderr '[-]-layers means nothing with --init-from a model of resnet18,form=32,stem_relu=0' \
    "cells instead"

# ---- cut and gone on with; as teacher and student ----
short=("${train[@]}" --network "cnet1,width=2" --epochs 1)
check "whole" 0 "${short[@]}" --out whole
check "cut" 0 "${short[@]}" --max-steps 7 --out cut
check "gone on" 0 "${short[@]}" --resume --out cut
cmp whole/model.h5 cut/model.h5 || fail "not the same model"
check "another network" 1 "${train[@]}" --network "cnet1,width=3" --epochs 1 --resume --out cut
one_line "another network"
check "taught by stages" 0 "${short[@]}" --teacher run --attention-weight 10 \
    --attention-at stages.0=stages.0,stages.2=stages.2 --max-steps 2 --out taught
check "no such stage" 1 "${short[@]}" --teacher run --attention-weight 10 \
    --attention-at stages.7 --out never
has stderr 'no activation stages.7, but stages.0 to stages.3' "no such stage"
[ ! -e never ] || fail "no such stage: left a folder"

# ---- ReLUs that a network never had, hardly trained; privately as the integers have it ----
for few in "deepreduce,cull=1,thin=1,alpha=0.078125,blocks=2+1+1+1" \
    "deepreduce,cull=1+2+3+4,thin=1,alpha=0.03125" "cnet2,width=1"; do
    check "train $few" 0 "${train[@]}" --network "$few" --input 1x32x32 --max-steps 2 --epochs 1 \
        --out culled
    check "export $few" 0 "$sphynx" export --model culled --data pack.h5 --calibration 32 \
        -o culled.h5 --json
    holds "export $few" stdout '.interactive_positions >= .relus'
    check "bench pi $few" 0 "$sphynx" bench pi --model culled.h5 --json
    holds "bench pi $few" stdout '.matches_integer_executor'
    rm -r culled
done
check "bench pi, untrained" 0 "$sphynx" bench pi --network "deepreduce,cull=1,thin=1,alpha=0.0625" \
    --input 1x16x16 --classes 10 --json
holds "bench pi, untrained" stdout '.matches_integer_executor and .interactive_positions >= .relus'

# ---- chains of any length ----
check "a short chain" 0 "$sphynx" inspect --network cnet,layers=5,width=1 --classes 10 --json
holds "a short chain" stdout '.relus == 5120 and
    .network == "cnet,form=32,layers=5,width=1,kernels=00000,skips=none"'
check "a chain whose states nobody joins" 0 "$sphynx" bench pi --network cnet,layers=5,width=1 \
    --input 1x16x16 --classes 4 --json
holds "a chain whose states nobody joins" stdout '.matches_integer_executor'
check "it learns" 0 "${train[@]}" --network cnet,layers=3,width=4,skips=all --epochs 4 \
    --out chain --json
holds "it learns" stdout '.top1 > 0.6 and .relus == 3072'

# ---- what does not go together ----
for bad in "--layers 3" "--genotype published" "--plan plan.json" "--aux-weight 0.4" \
    "--drop-path 0.1" "--reduce-at 0"; do
    # shellcheck disable=SC2086
    check "train $bad" 2 "${train[@]}" "${net[@]}" $bad --out never
    one_line "train $bad"
done
check "unknown" 2 "${train[@]}" --network resnet19 --out never
has stderr "network 'resnet19': unknown; there are resnet18" "unknown"
check "too large a form" 2 "${train[@]}" --network resnet18,form=224 --out never
has stderr 'does not take inputs of 16x16' "too large a form"
[ ! -e never ] || fail "a refusal left a folder"

# ---- an op that private evaluation lacks is named ----
check "train with max pools" 0 "${train[@]}" --network vgg16,width=2 --input 1x32x32 --epochs 1 \
    --max-steps 2 --out pools
check "the networks there are" 0 "$sphynx" inspect --help
has stdout '^  deepreduce .* alpha=1 rho=1 blocks=2\+2\+2\+2; form 32 64$' "the networks there are"
check "export of max pools" 1 "$sphynx" export --model pools --data pack.h5 -o none.h5
one_line "export of max pools"
has stderr 'features.6 \(max_pool\) cannot be evaluated privately; .*pool=avg' "export of max pools"
[ ! -e none.h5 ] || fail "export of max pools: left a file"
check "with average pools" 0 "${train[@]}" --network vgg16,width=2,pool=avg --input 1x32x32 \
    --epochs 1 --max-steps 2 --out pools2
check "export of average pools" 0 "$sphynx" export --model pools2 --data pack.h5 -o none.h5
finish
