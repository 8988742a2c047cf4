#!/usr/bin/env bash
# test_verbs.sh SPHYNX MAKE_PACK: every verb of the program on every device there is, one small
# call each, from one table. The program is asked for its verbs: one that the table lacks fails.
. "$(dirname "$0")/check.sh"
sphynx=$1 pack=$OUT/pack.h5 set=$OUT/set
export XDG_CACHE_HOME=$OUT/cache
"$2" "$pack" 16 32 || exit 1
mkdir "$set"
for prefix in train t10k; do # ten black images of MNIST's shape
    { printf '\0\0\10\3\0\0\0\12\0\0\0\34\0\0\0\34'; head -c 7840 /dev/zero; } \
        >"$set/$prefix-images-idx3-ubyte"
    printf '\0\0\10\1\0\0\0\12\0\1\2\3\4\5\6\7\10\11' >"$set/$prefix-labels-idx1-ubyte"
done

# VERB | ARGUMENTS, in an order that makes what is needed; & runs beside the next. Words split at
# spaces; PACK, SET, OUT (the device's folder), PORT and NET stand for what they say.
net="--init-channels 1 --layers 3 --reduce-at 0,2"
table='
doctor           |
data pack        | mnist SET -o OUT/set.h5
data check       | OUT/set.h5
data info        | OUT/set.h5
data preview     | OUT/set.h5 -o OUT/grid.png
data batches     | PACK -o OUT/batches.h5 --steps 1 --batch 4
search           | --data PACK --out OUT/search --init-channels 1 --layers 2 --reduce-loc 3 \
                  --order 1 --batch 2 --epochs 1 --max-steps 1 --validate-images 4
locate           | --data PACK --out OUT/locate --init-channels 1 --layers 3 --batch 2 --epochs 1 \
                  --max-steps 1 --validate-images 4
plan             | --relu-budget 51200 --input 3x32x32 --classes 100 --max-layers 4
train            | --data PACK --out OUT/train NET --epochs 1 --max-steps 2 --batch 4 --aux-weight 0
train            | --data PACK --out OUT/fewer --init-from OUT/train --teacher OUT/train \
                  --linearize relupruner --relu-budget 9 --batch 4 --epochs 2 --linearize-after 1 \
                  --fine-tune-epochs 1
train            | --data PACK --out OUT/shared --init-from OUT/train --teacher OUT/train \
                  --linearize senet --relu-budget 9 --epochs 2 --batch 4 --fine-tune-epochs 0
eval             | --model OUT/train/model.h5 --data PACK --batch 4
predict          | --model OUT/train/model.h5 --data PACK
prune            | --model OUT/train --data PACK -o OUT/pruned.h5 --granularity pixel \
                  --relu-budget 100 --images 8 --batch 4
export           | --model OUT/train -o OUT/deployed.h5 --calibration 8
import           | OUT/train/model.h5 -o OUT/imported.h5 NET --input 1x16x16 --classes 4 --data PACK
inspect          | --model OUT/deployed.h5
cost             | --model OUT/deployed.h5
serve            | --model OUT/deployed.h5 --listen 127.0.0.1:0 --state OUT/server \
                  --connections 1 --timeout 60 &
query            | --connect 127.0.0.1:PORT --state OUT/client --data PACK \
                  --verify OUT/deployed.h5 --timeout 60
bench supernet-step | --init-channels 1 --layers 2 --order 1 --batch 1 --input 3x8x8 \
                  --classes 4 --steps 1
bench train-step | NET --batch 2 --input 3x32x32 --classes 4 --steps 1
bench eval       | NET --batch 2 --input 3x16x16 --classes 4 --steps 1
bench crypto     | --relus 64 --repeats 1
bench pi         | NET --input 3x16x16 --classes 4
bench loader     | PACK --images 8 --batch 4 --size 8 --rounds 1'

table=$(sed -e ':again' -e '/\\$/{N;s/ *\\\n */ /;b again' -e '}' <<<"$table")

# listed VERB...: what its help lists below "commands:"
listed() {
    "$sphynx" "$@" --help | awk '/^$/ {on = 0} on && /^  [a-z]/ {print $1} /^commands:/ {on = 1}'
}
for verb in $(listed); do
    below=$(listed "$verb")
    if [ -z "$below" ]; then echo "$verb"; fi
    for sub in $below; do echo "$verb $sub"; done
done | sort >"$OUT/known"
cut -d '|' -f 1 <<<"$table" | sed 's/ *$//; /^$/d' | sort -u >"$OUT/tabled"
[ -s "$OUT/known" ] || fail "the program lists no verbs"
diff "$OUT/known" "$OUT/tabled" >"$OUT/stderr" || fail "verbs of the program and of the table"

# The server's port, once it listens.
port_of() {
    for _ in $(seq 600); do
        sed -n 's/.*listening at 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$1" | grep . && return
        sleep 0.05
    done
}

run_on() { # DEVICE
    local device=$1 out=$OUT/$1 server='' verb arguments words name
    mkdir "$out"
    while IFS='|' read -r verb arguments; do
        [ -n "$verb" ] || continue
        arguments=${arguments//NET/$net}
        arguments=${arguments//PACK/$pack} arguments=${arguments//SET/$set}
        arguments=${arguments//OUT/$out}
        case $arguments in *PORT*) arguments=${arguments//PORT/$(port_of "$out/served")} ;; esac
        read -ra words <<<"$verb ${arguments%&} --device $device --threads 1"
        name="${verb%"${verb##*[! ]}"} on $device"
        case $arguments in
        *'&')
            timeout 120 "$sphynx" "${words[@]}" >"$out/answer" 2>"$out/served" &
            server=$!
            ;;
        *) check "$name" 0 "$sphynx" "${words[@]}" ;;
        esac
    done <<<"$table"
    cp "$out/served" "$OUT/stderr"
    wait "$server" || fail "serve on $device: exit code $?"
}

run_on cpu
# as test_devices.sh asks: this fails where there is no such device
"$sphynx" bench eval --init-channels 1 --layers 3 --reduce-at 0,2 --input 1x8x8 --classes 4 \
    --batch 1 --steps 1 --device cuda >"$OUT/stdout" 2>"$OUT/stderr"
case $?:$(cat "$OUT/stderr") in
0:*) run_on cuda ;;
*'no device'* | *'not built in'*) echo "no device cuda: the CPU alone" ;;
*) fail "bench on cuda" ;;
esac
finish
