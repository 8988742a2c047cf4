#!/usr/bin/env bash
# kill_resume.sh SPHYNX MAKE_PACK: searches, location searches and trainings killed at random
# moments, ten times by SIGTERM and ten times by SIGKILL, end with the numbers of one that was left
# alone. SEED=N repeats the moments.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
SEED=${SEED:-$((RANDOM + 1))}
RANDOM=$SEED
pack=$OUT/pack.h5
"$make_pack" "$pack" 16 96 || exit 1

common=(--data "$pack" --init-channels 1 --batch 8 --no-flip --log-every 1 --threads 1 --resume)
search=(search "${common[@]}" --layers 2 --reduce-loc 3 --epochs 4 --save-every 2)
train=(train "${common[@]}" --layers 3 --reduce-at "0,2" --epochs 8 --aux-weight 0 --drop-path 0.2
    --ema 0.9 --save-every 3)
locate=(locate "${common[@]}" --layers 3 --epochs 3 --save-every 2)

# kill_often FOLDER SIGNAL LIMIT ARGS: runs to the end, killed up to ten times, each after up to
# LIMIT ms. A machine that was slow when LIMIT was measured may be done too early: again, sooner.
kill_often() {
    local folder=$1 signal=$2 limit=$3 runs landed code ms pid
    shift 3
    while [ "$limit" -gt 0 ]; do
        runs=0 landed=0 code=1
        rm -rf "$folder"
        while [ "$code" -ne 0 ] && [ "$runs" -lt 50 ]; do
            "$sphynx" "$@" --out "$folder" >"$OUT/stdout" 2>"$OUT/stderr" &
            pid=$!
            if [ "$runs" -lt 10 ]; then
                ms=$((RANDOM % limit + 1))
                sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
                kill "-$signal" "$pid" 2>"$OUT/kill"
            fi
            code=0
            wait "$pid" 2>"$OUT/wait" || code=$?
            runs=$((runs + 1))
            [ "$code" -eq 0 ] || landed=$((landed + 1))
            case $signal-$code in
            *-0 | TERM-75 | TERM-143 | KILL-137) ;; # 143: before the program could say otherwise
            *) fail "$folder: exit code $code" && return ;;
            esac
        done
        echo "$(basename "$folder"): $runs runs, $landed of them killed within $limit ms"
        [ "$landed" -lt 3 ] || return
        limit=$((limit / 2))
    done
    fail "$folder: the run is over before it can be killed"
}

# sixth_of ARGS: a sixth of the milliseconds that a run takes whose algorithms are measured already
sixth_of() {
    local begin
    begin=$(date +%s%3N)
    check "timed" 0 "$sphynx" "$@" --out "$OUT/timed"
    limit=$((($(date +%s%3N) - begin) / 6 + 1))
    rm -rf "$OUT/timed"
}

# same FOLDER OTHER FILE...
same() {
    local folder=$1 other=$2 file
    shift 2
    for file; do
        cmp "$folder/$file" "$other/$file" || fail "$other: $file differs"
    done
}

export XDG_CACHE_HOME=$OUT/search-cache # of its own: a checkpoint carries all of it
check "search" 0 "$sphynx" "${search[@]}" --out "$OUT/search"
sixth_of "${search[@]}"
for signal in TERM KILL; do
    kill_often "$OUT/search-$signal" $signal "$limit" "${search[@]}"
    same "$OUT/search" "$OUT/search-$signal" result.json metrics.jsonl genotype.json genotype.txt \
        last.h5
done
export XDG_CACHE_HOME=$OUT/train-cache
check "train" 0 "$sphynx" "${train[@]}" --out "$OUT/train"
sixth_of "${train[@]}"
for signal in TERM KILL; do
    kill_often "$OUT/train-$signal" $signal "$limit" "${train[@]}"
    same "$OUT/train" "$OUT/train-$signal" result.json metrics.jsonl model.h5 best.h5 last.h5
done
export XDG_CACHE_HOME=$OUT/locate-cache
check "locate" 0 "$sphynx" "${locate[@]}" --out "$OUT/locate"
sixth_of "${locate[@]}"
for signal in TERM KILL; do
    kill_often "$OUT/locate-$signal" $signal "$limit" "${locate[@]}"
    same "$OUT/locate" "$OUT/locate-$signal" result.json metrics.jsonl location.json last.h5
done
[ "$failures" -eq 0 ] || echo "SEED=$SEED"
finish
