#!/usr/bin/env bash
# test_prune.sh SPHYNX MAKE_PACK: a trained model with fewer ReLUs, and budgets that are none.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
"$make_pack" pack.h5 8 160 && "$make_pack" large.h5 16 96 || exit 1

check "base" 0 "$sphynx" train --data pack.h5 --init-channels 2 --layers 4 --reduce-at 0,2 \
    --aux-weight 0 --batch 16 --epochs 2 --val-fraction 0.25 --threads 1 --out run
# 4 cells of 2 channels of 8x8, balanced: 128 ReLUs each
prune=("$sphynx" prune --model run --data pack.h5 --images 64 --batch 32 --threads 1)
edge=("${prune[@]}" --max-depth 40)

refused() { # NAME CODE PATTERN COMMAND...: one line, and no file
    check "$1" "$2" "${@:4}" -o never.h5
    one_line "$1"
    has stderr "$3" "$1"
    [ ! -e never.h5 ] || fail "$1: left a file"
}
says() { # NAME FILTER
    jq -e "$2" stdout >jq.out || fail "$1: $(cat stdout)"
}

deploys() { # NAME MODEL DATA: of the last command's JSON, positions are those that export gives
    local said; said=$(jq -c '[.relus, .interactive_positions]' stdout)
    rm -f deployed.h5
    check "$1, deployed" 0 "$sphynx" export --model "$2" --data "$3" --calibration 16 \
        -o deployed.h5 --json
    [ "$(jq -c '[.relus, .interactive_positions]' stdout)" = "$said" ] ||
        fail "$1: $said, export: $(jq -c '[.relus, .interactive_positions]' stdout)"
}

# ---- three granularities ----
check "pixel" 0 "${prune[@]}" --granularity pixel --relu-budget 301 -o pixel.h5 --json
says "pixel" '.relus == 301 and .relus_before == 512 and .interactive_positions >= 301 and
    .interactive_positions <= 512 and ([.layers[].relus] | add) == 301 and
    (.layers | length) == 4 and .images == 40 and (.loss_before > 0) and
    (.loss_predicted | type == "number") and
    (.loss_after > 0) and .private_after.bytes > 0 and .private_before.online_ms > 0'
check "channel" 0 "${prune[@]}" --granularity channel --relu-budget 301 -o channel.h5 --json
says "channel" '.relus <= 301 and .relus >= 288'
deploys "channel" channel.h5 pack.h5
check "edge" 0 "${edge[@]}" --relu-budget 301 -o edge.h5 --json
says "edge" '.relus == 256 and .relus_full == 512 and .depth <= 40 and
    ([.layers[].relus] | sort) == [0, 0, 128, 128] and
    (.loss_predicted - .loss_before - ([.layers[] | select(.relus == 0).value] | add) |
        fabs) < 1e-9'
# what is kept is worth more than what is dropped: sizes are equal and depth is free
says "edge's choice" '([.layers[] | select(.relus > 0).value] | min) >=
    ([.layers[] | select(.relus == 0).value] | max)'
deploys "edge" edge.h5 pack.h5
check "per kind" 0 "${edge[@]}" --per-kind --relu-budget 301 -o kind.h5 --json
says "per kind" '(.layers[0].relus == .layers[2].relus) and (.layers[1].relus == .layers[3].relus)
    and .relus == 256'
check "rounds" 0 "${edge[@]}" --rounds 2 --relu-budget 130 -o rounds.h5 --json
says "rounds" '.relus == 128 and ([.rounds[].relus] == [384, 128] or
    [.rounds[].relus] == [256, 128]) and .rounds[1].loss == .loss_after and
    .rounds[1].loss_predicted == .loss_predicted'
check "rounds of kinds" 0 "${edge[@]}" --rounds 2 --per-kind --relu-budget 130 -o rounds.h5 --json
says "rounds of kinds" '.relus == 0 and ([.rounds[].relus] == [256, 0])'
check "everything kept" 0 "${prune[@]}" --relu-budget 512 -o all.h5 --json
says "everything kept" '.relus == 512 and .loss_after == .loss_before and
    .loss_predicted == .loss_before and .private_before == .private_after'
check "text" 0 "${edge[@]}" --budget relus:301 -o text.h5
has stdout '256 of 512 ReLUs kept, [0-9]* interactive' "text"
has stdout 'private query takes [0-9]+ bytes and, over lan, [0-9.]+ ms online \(before: ' "text"
cmp edge.h5 text.h5 || fail "the same budget in other words gives another model"

# ---- what was written is a model ----
for file in pixel channel edge; do
    check "eval $file" 0 "$sphynx" eval --model $file.h5 --data pack.h5 --json
done
check "again" 0 "${prune[@]}" --granularity pixel --relu-budget 301 -o again.h5
cmp pixel.h5 again.h5 || fail "twice pruned, two models"
check "a pruned model" 0 "$sphynx" prune --model pixel.h5 --data pack.h5 --images 64 --batch 32 \
    --granularity pixel --relu-budget 100 -o less.h5 --json
says "a pruned model" '.relus == 100 and .relus_before == 301'
check "dropped layers stay dropped" 0 "$sphynx" prune --model edge.h5 --data pack.h5 --images 64 \
    --batch 32 --max-depth 40 --relu-budget 128 -o less.h5 --json
says "dropped layers" '.relus == 128 and .relus_before == 256 and
    ([.layers[] | select(.relus_before == 0)] | length) == 2'

# ---- by chance ----
for what in edge pixel; do
    options=(--granularity $what --relu-budget 301)
    [ $what = pixel ] || options+=(--max-depth 40)
    for seed in 1 2 3; do
        check "$what by chance" 0 "${prune[@]}" "${options[@]}" --random --seed $seed \
            -o random-$what-$seed.h5 --json
        says "$what by chance" '(.relus == 301 or .relus == 256) and .loss_after > 0'
        [ $what = pixel ] || says "$what by chance" '(.loss_predicted - .loss_before -
            ([.layers[] | select(.relus == 0).value] | add) | fabs) < 1e-9'
    done
    check "$what by chance again" 0 "${prune[@]}" "${options[@]}" --random --seed 3 -o again.h5
    cmp random-$what-3.h5 again.h5 || fail "$what by chance: a seed gives two models"
    cmp -s random-$what-1.h5 random-$what-2.h5 && cmp -s random-$what-2.h5 random-$what-3.h5 &&
        fail "$what by chance: all seeds give one model"
done
check "counts of another" 0 "${prune[@]}" --granularity pixel --random --like pixel.h5 -o like.h5 \
    --json
says "counts of another" '.relus == 301'
cp stdout like.json
check "pixel's counts" 0 "${prune[@]}" --granularity pixel --relu-budget 301 -o pixel.h5 --json
[ "$(jq -c '[.layers[].relus]' like.json)" = "$(jq -c '[.layers[].relus]' stdout)" ] ||
    fail "other counts by layer than those asked for"
refused "counts and a budget" 2 "like" "${prune[@]}" --granularity pixel --like pixel.h5 \
    --relu-budget 9
refused "counts of layers" 2 "like" "${prune[@]}" --like pixel.h5
refused "counts of a model without masks" 1 "keeps all" "${prune[@]}" --granularity pixel --like run

# ---- reference networks ----
check "reference" 0 "$sphynx" train --data large.h5 --network resnet18,width=1 \
    --batch 16 --max-steps 2 --epochs 1 --threads 1 --out reference
for what in edge channel pixel; do
    check "reference $what" 0 "$sphynx" prune --model reference --data large.h5 --images 32 \
        --batch 32 --granularity $what --relu-budget 1500 -o reference.h5 --json
    says "reference $what" '.relus <= 1500 and .relus_before == 2176'
done
has stderr "does not say which images" "images of a training without held-out ones"

check "wider" 0 "$sphynx" train --data large.h5 --network resnet18,width=4 --batch 16 \
    --max-steps 1 --epochs 1 --threads 1 --out wider
for what in "edge 300 --max-depth 40" "channel 300" "pixel 100"; do
    read -r granularity budget depth <<<"$what"
    # shellcheck disable=SC2086 # two words, or none
    check "$what" 0 "$sphynx" prune --model wider --data large.h5 --images 32 --batch 32 \
        --granularity $granularity --relu-budget $budget $depth -o linear.h5 --json
    says "$what" '.interactive_positions > 5 * .relus' # chains are clamped, most of them
    deploys "$what" linear.h5 large.h5
done

# ---- private budgets: what a deployed model takes ----
private=("$sphynx" prune --model wider --data large.h5 --images 32 --batch 32)
refused "bytes above the model's" 1 "takes less: [0-9]* bytes" "${private[@]}" \
    --budget bytes:999999999
bytes=$(sed 's/.*takes less: \([0-9]*\) bytes.*/\1/' stderr)
mkdir tmp
refused "nowhere to export to" 1 "folder in none .*TMPDIR" env TMPDIR=none "${private[@]}" \
    --budget bytes:1000
check "bytes" 0 env TMPDIR=tmp "${private[@]}" \
    --budget "bytes:$((bytes * 9 / 10))" -o bytes.h5 --json
[ -z "$(ls -A tmp)" ] || fail "bytes: left $(ls -A tmp)"
says "bytes" ".bytes <= $bytes * 0.9 and .relus < .relus_before and .depth <= 4 and
    .interactive_positions == .relus"
said=$(jq .bytes stdout)
check "export" 0 "$sphynx" export --model bytes.h5 --data large.h5 --calibration 64 -o deployed.h5
check "cost" 0 "$sphynx" cost --model deployed.h5 --json
says "cost" "([.offline, .online | .bytes_sent + .bytes_received] | add) == $said and
    .interactive_positions == .relus"
refused "no time" 1 "at most 4 conv.*smallest found is [0-9.]* ms .*--max-depth" \
    "${private[@]}" --budget online-ms:0.5@wan

# ---- budgets that are none ----
refused "no budget" 2 "--relu-budget N, or --budget" "${prune[@]}"
refused "zero" 2 "relu-budget.*1" "${prune[@]}" --relu-budget 0
refused "zero in words" 2 "numbers above 0" "${prune[@]}" --budget relus:0
refused "both" 2 "relu-budget" "${prune[@]}" --relu-budget 10 --budget relus:10
refused "no link" 2 "LINK" "${prune[@]}" --budget online-ms:10
refused "no such link" 2 "LINK" "${prune[@]}" --budget online-ms:10@moon
refused "negative time" 2 "above 0" "${prune[@]}" --budget online-ms:-1@wan
refused "unknown kind" 2 "bytes:N" "${prune[@]}" --budget flops:10
refused "above the model's" 1 "at most 512" "${prune[@]}" --relu-budget 513
refused "above a masked model's" 1 "at most 301" "$sphynx" prune --model pixel.h5 --data pack.h5 \
    --relu-budget 302 --granularity pixel
refused "too deep" 1 "smallest possible is [0-9]*.*--max-depth" "${prune[@]}" --relu-budget 1
least=$(sed 's/.*smallest possible is \([0-9]*\).*/\1/' stderr)
check "the smallest" 0 "${prune[@]}" --relu-budget "$least" -o least.h5
refused "below the smallest" 1 "smallest possible is $least" "${prune[@]}" --relu-budget \
    $((least - 1))
refused "a depth that is none" 1 "smallest possible" "${prune[@]}" --relu-budget 256 --max-depth 1
refused "an empty part" 1 "give --val-fraction at least 0.00625" "${prune[@]}" --relu-budget 256 \
    --val-fraction 0.0001
check "no ReLUs" 0 "${edge[@]}" --relu-budget 1 -o none.h5 --json
says "no ReLUs" '.relus == 0 and has("interactive_positions")'
refused "no ReLUs left" 1 "has no ReLUs left" "$sphynx" prune --model none.h5 --data pack.h5 \
    --relu-budget 1
refused "bytes of no ReLUs" 1 "has no ReLUs left" "$sphynx" prune --model none.h5 --data pack.h5 \
    --budget bytes:1000
refused "bytes of pixels" 2 "edge" "${prune[@]}" --granularity pixel --budget bytes:100000
refused "kinds of pixels" 2 "per-kind" "${prune[@]}" --granularity pixel --per-kind --relu-budget 9
refused "rounds of pixels" 2 "rounds" "${prune[@]}" --granularity pixel --rounds 2 --relu-budget 9
refused "counts of another network" 1 "another network" "$sphynx" prune --model reference \
    --data large.h5 --granularity pixel --like pixel.h5
refused "kinds of a reference network" 1 "no cells" "$sphynx" prune --model reference --per-kind \
    --data large.h5 --relu-budget 100
check "over its input" 2 "${prune[@]}" --relu-budget 256 -o run/model.h5
check "over its data" 2 "${prune[@]}" --relu-budget 256 -o pack.h5

# ---- killed: the output is whole or not there ----
cp pixel.h5 out.h5
for delay in 0.02 0.1 0.3 0.6; do
    "${edge[@]}" --relu-budget 301 -o out.h5 >killed 2>&1 &
    pid=$!
    sleep $delay
    kill -9 $pid 2>killed
    wait $pid 2>killed
    cmp -s out.h5 pixel.h5 || cmp -s out.h5 edge.h5 || fail "killed after $delay s: half a file"
done

finish
