#!/usr/bin/env bash
# test_fixtures.sh SPHYNX FIXTURES: files that released versions wrote still open and mean the same.
. "$(dirname "$0")/check.sh"
sphynx=$(readlink -f "$1")
export XDG_CACHE_HOME=$OUT/cache


for folder in "$2"/*/; do
    version=$(basename "$folder") d=$OUT/$(basename "$folder")
    mkdir -p "$d/run"
    for file in pack checkpoint model deployed; do
        gzip -dc "$folder$file.h5.gz" >"$d/$file.h5" || fail "$version: $file.h5.gz"
    done

    check "$version: pack" 0 "$sphynx" data check "$d/pack.h5"
    check "$version: eval" 0 "$sphynx" eval --model "$d/model.h5" --data "$d/pack.h5" --threads 1
    check "$version: eval of a checkpoint" 0 "$sphynx" eval --model "$d/checkpoint.h5" \
        --data "$d/pack.h5" --threads 1
    for image in 0 1; do
        check "$version: predict" 0 "$sphynx" predict --model "$d/model.h5" --data "$d/pack.h5" \
            --index "$image" --top 10 --threads 1 --json
        jq -s -e 'def row: map({class, name, p: (.probability * 1e5 | round)}) | sort_by(.class);
                  (.[0][0].classes | row) as $now | (.['$((image + 1))'][0].classes | row) as $was |
                  all(range(10); ($now[.].p - $was[.].p | fabs) <= 1 and
                                 $now[.].name == $was[.].name)' \
            "$OUT/stdout" "$folder/predict.json" >"$OUT/jq" ||
            fail "$version: other answers for image $image: $(cat "$OUT/stdout")"
    done

    cp "$folder"/{config.ini,run.json,metrics.jsonl} "$d/run"
    cp "$d/checkpoint.h5" "$d/run/last.h5"
    check "$version: resume" 0 env -C "$d" "$sphynx" train --config run/config.ini --resume \
        --out run --max-steps 12 --json
    jq -e '.steps == 12' "$OUT/stdout" >"$OUT/jq" || fail "$version: $(cat "$OUT/stdout")"

    check "$version: integers" 0 "$sphynx" eval --model "$d/deployed.h5" --executor integer \
        --data "$d/pack.h5" --threads 1 --json
    jq -s -e '.[0].top1 == .[1].top1 and (.[0].loss - .[1].loss | fabs) < 1e-5' \
        "$OUT/stdout" "$folder/eval.json" >"$OUT/jq" || fail "$version: $(cat "$OUT/stdout")"
    check "$version: export" 0 "$sphynx" export --model "$d/checkpoint.h5" --data "$d/pack.h5" \
        --calibration 8 --threads 1 -o "$d/again.h5"

    serve --model "$d/deployed.h5" --listen 127.0.0.1:0 --state "$d/server"
    check "$version: query" 0 timeout 300 "$sphynx" query --connect "127.0.0.1:$port" \
        --state "$d/client" --data "$d/pack.h5" --verify "$d/deployed.h5" --json
    jq -e '.[0].matches_integer_executor' "$OUT/stdout" >"$OUT/jq" ||
        fail "$version: $(cat "$OUT/stdout")"
    sleep 0.2 # a thread that has just served may be ending still, and hold memory of its own
    stop
done
finish
