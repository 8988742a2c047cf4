#!/usr/bin/env bash
# test_private.sh SPHYNX MAKE_PACK: private inference by two processes. Networks that hold every
# primitive, stride and both kinds of cell, every instruction set forced; keys, hashes, limits and
# stops as a user meets them.
. "$(dirname "$0")/check.sh"
sphynx=$1
export XDG_CACHE_HOME=$OUT/cache

cat >"$OUT/all.txt" <<'TXT'
Genotype(normal=[[('avg_pool_3x3', 0), ('skip_connect_NR', 1)],
 [('van_conv_3x3_NR', 0), ('van_dil_conv_5x5_NR', 2)],
 [('van_conv_5x5_NR', 1), ('van_dil_conv_3x3_NR', 3)],
 [('avg_pool_3x3', 2), ('van_conv_3x3_NR', 4)]], normal_concat=range(2, 6),
 reduce=[[('avg_pool_3x3', 0), ('skip_connect_NR', 1)],
 [('van_conv_5x5_NR', 0), ('van_dil_conv_3x3_NR', 1)],
 [('van_dil_conv_5x5_NR', 0), ('van_conv_3x3_NR', 2)],
 [('skip_connect_NR', 3), ('avg_pool_3x3', 4)]], reduce_concat=range(2, 6))
TXT

# The lowest set first; one that this machine lacks falls back to what it has.
for isa in portable aesni avx2 vaes256 vaes512; do
    for genotype in published "$OUT/all.txt"; do
        check "private inference, $isa" 0 env SPHYNX_ISA=$isa "$sphynx" bench pi --json \
            --genotype "$genotype" --init-channels 2 --layers 3 --reduce-at 0,2 --input 3x32x32 \
            --classes 10
        [ "$(jq -r .matches_integer_executor "$OUT/stdout")" = true ] ||
            fail "$isa, $genotype: not the integer executor's logits"
        [ "$(jq -r .predicted.bytes_equal "$OUT/stdout")" = true ] ||
            fail "$isa, $genotype: other bytes than predicted"
    done
done

# ---- a server and its clients ----

pack=$OUT/pack.h5 model=$OUT/model.h5
"$2" "$pack" 16 96 || exit 1
check "train" 0 "$sphynx" train --data "$pack" --out "$OUT/run" --init-channels 2 --layers 3 \
    --reduce-at 0,2 --epochs 1 --max-steps 2 --batch 8 --aux-weight 0
check "export" 0 "$sphynx" export --model "$OUT/run" -o "$model"
check "bench of a deployed model" 0 "$sphynx" bench pi --model "$model" --json
[ "$(jq '.matches_integer_executor and .predicted.bytes_equal' "$OUT/stdout")" = true ] ||
    fail "bench of a deployed model: $(cat "$OUT/stdout")"
check "bench of two things" 2 "$sphynx" bench pi --model "$model" --network resnet18
one_line "bench of two things"
check "bench of no deployed model" 1 "$sphynx" bench pi --model "$OUT/run/model.h5"
one_line "bench of no deployed model"
key=$(printf '%064d' 7)
umask 077 # keys that others can read are refused
printf '# of the test\n\nalice:%s\n' "$key" >"$OUT/alice"
printf 'bob:%064d\nalice:%s\n' 9 "$key" >"$OUT/keys"
echo "alice:$(printf '%064d' 8)" >"$OUT/wrong"

# start ARGS: a server; its port in $port
start() {
    serve --model "$model" --listen 127.0.0.1:0 --state "$OUT/server" --timeout 10 --json "$@"
}

# What terminals and schedulers end programs with ends a server in order; the next gets its place.
for signal in HUP USR1 USR2 XCPU; do
    start
    kill -"$signal" "$server"
    wait "$server" || fail "SIG$signal: the server's exit code is $?"
    grep -q '"connections": 0' "$OUT/served" || fail "SIG$signal: no account of what was done"
done

query() { "$sphynx" query --connect "127.0.0.1:$port" --state "$OUT/client" --timeout 10 "$@"; }
images=(--data "$pack" --index 0,1 --verify "$model")

start --psk "$OUT/keys" --query-limit 6
grep -q '^Max core file size *0 *0 ' "/proc/$server/limits" ||
    fail "the server's secrets could reach a core dump"
check "query" 0 query --psk "$OUT/alice" "${images[@]}" --json
jq -e 'length == 2 and all(.matches_integer_executor and (.logits | length) == 4
    and ((.answer.seconds - .load.seconds - .online.seconds) | fabs) < 1e-9
    and .answer.seconds > .online.seconds
    and .offline.seconds > 0 and .offline.rounds > 0 and .online.rounds > 0
    and .online.bytes_sent > 0 and .online.bytes_received > 0
    and (.class as $c | .logits | max == .[$c])
    and (["north-west", "north-east", "south-west", "south-east"] as $names
         | .name == $names[.class] and .label_name == $names[.label]))' "$OUT/stdout" >"$OUT/jq" ||
    fail "query: not the promised JSON"
check "a wrong key" 1 query --psk "$OUT/wrong" "${images[@]}"
one_line "a wrong key"
check "no key" 1 query "${images[@]}"
one_line "no key"
has stderr 'closed the connection: does the server want --psk' "no key"
chmod 640 "$OUT/alice"
check "a key that others can read" 1 query --psk "$OUT/alice" "${images[@]}"
one_line "a key that others can read"
has stderr 'chmod 600' "a key that others can read"
chmod 600 "$OUT/alice"
check "a key from a pipe" 0 query --psk <(cat "$OUT/alice") --prepare 1 # the third
check "another model" 1 query --psk "$OUT/alice" "${images[@]}" --model-hash "$(printf '%064d' 1)"
one_line "another model"
has stderr 'another model' "another model"
check "nothing to ask" 2 query --psk "$OUT/alice"
check "an image that is not there" 1 query --psk "$OUT/alice" --data "$pack" --index 999
one_line "an image that is not there"
check "the server goes on" 0 query --psk "$OUT/alice" "${images[@]}" # one ready, one more
check "more queries than allowed" 1 query --psk "$OUT/alice" --prepare 3
has stderr 'may prepare 2 more of its 6 queries, not 3' "more queries than allowed"
SPHYNX_LOG=pi:debug check "as many as allowed" 0 query --psk "$OUT/alice" "${images[@]}"
for line in 'info: phase prepare, so many queries: [1-9]' 'info: phase infer, by unit [0-9]+' \
    'debug: waits for READY of 8 bytes' 'info: sends SHARE of [0-9]+ bytes' \
    'info: receives LOGITS of 32 bytes'; do
    has stderr "^pi $line\$" "a traced query"
done
grep '^pi ' "$OUT/stderr" | grep -Ev ' (phase [a-z ,:]+ [0-9]+|[a-z ]+ [A-Z_]+ of [0-9]+ bytes)$' \
    >"$OUT/told" && fail "the trace tells more than kinds and lengths: $(head -1 "$OUT/told")"
check "not one more, from another state folder" 1 query --psk "$OUT/alice" --prepare 1 \
    --state "$OUT/new"
has stderr '0 more of its 6' "not one more, from another state folder"
check "nor to prepare" 1 query --psk "$OUT/alice" --prepare 1
stop
jq -e '.answered == 6 and .failed >= 4' "$OUT/served" >"$OUT/jq" ||
    fail "serve: not the promised JSON"

# A full disk at the server: the client hears of it, nothing half-made stays, the server goes on.
rm -rf "$OUT/server"
limit=$(ulimit -S -f)
ulimit -S -f 256
start
ulimit -S -f "$limit"
check "the server's disk is full" 1 query "${images[@]}"
one_line "the server's disk is full"
has stderr 'its log says why' "the server's disk is full"
check "it is still full" 1 query "${images[@]}"
[ -z "$(find "$OUT/server" -name 't-*' -o -name '.tmp-*')" ] || fail "a full disk leaves files"
stop
has talk 'File too large' "the server's log"
jq -e '.connections == 2 and .failed == 2' "$OUT/served" >"$OUT/jq" ||
    fail "serve after a full disk"
for name in "$OUT/run/model.h5" "$pack"; do
    ln -sf "$name" "$OUT/alias"
    for out in "$name" "$OUT/alias"; do
        sum=$(sha256sum <"$name")
        check "export onto an input" 2 "$sphynx" export --model "$OUT/run/model.h5" --data "$pack" \
            -o "$out"
        [ "$sum" = "$(sha256sum <"$name")" ] || fail "export destroyed $name"
        check "preview onto an input" 2 "$sphynx" data preview "$name" -o "$out"
        check "import onto an input" 2 "$sphynx" import "$name" --raw -o "$out"
        check "pack onto an input" 2 "$sphynx" data pack npz "$name" -o "$out"
        one_line "pack onto an input"
        has stderr 'is the input' "pack onto an input"
        [ "$sum" = "$(sha256sum <"$name")" ] || fail "an output destroyed $name"
    done
done
check "an empty name" 2 "$sphynx" eval --model "" --data "$pack"
has stderr '[-]-model: empty' "an empty name"
check "an empty genotype" 2 "$sphynx" inspect --genotype ""
has stderr '[-]-genotype: empty' "an empty genotype"
chmod 644 "$model"
start
check "keys for a server without" 1 query --psk "$OUT/alice" "${images[@]}"
one_line "keys for a server without"
has stderr 'the other party is plain' "keys for a server without"
# Material whose record of what is spent is missing is of an earlier version.
check "material" 0 query --prepare 2 --state "$OUT/earlier"
rm "$OUT/earlier"/s-*
check "material of an earlier version" 0 query --state "$OUT/earlier" "${images[@]}"
has stderr 'earlier version was removed \(2 queries\); make new with query --prepare N' \
    "material of an earlier version"
has talk 'others can read' "a model that others can read"
chmod 600 "$model"
check "room again" 0 query "${images[@]}"
# What ends programs ends a query in order: one line, and the server is told why. The server is held
# still meanwhile, so that the query waits.
for signal in INT TERM USR1; do
    kill -STOP "$server"
    "$sphynx" query --connect "127.0.0.1:$port" --state "$OUT/client" \
        "${images[@]}" >"$OUT/stdout" 2>"$OUT/stderr" &
    asking=$!
    for _ in $(seq 200); do # until it is connected
        ! grep -q " 0100007F:$(printf %04X "$port") 01 " /proc/net/tcp || break
        sleep 0.05
    done
    sleep 0.2 # to say hello
    kill -"$signal" "$asking"
    got=0
    wait "$asking" || got=$?
    kill -CONT "$server"
    [ "$got" -eq 75 ] || fail "SIG$signal: the query's exit code is $got"
    one_line "SIG$signal ends a query"
    has stderr 'interrupted; prepared material stays' "SIG$signal ends a query"
done
for _ in $(seq 200); do
    ! grep -q 'gave up: stopped' "$OUT/talk" || break
    sleep 0.05
done
has talk 'gave up: stopped' "an interrupted query tells the server"
echo "no picture" >"$OUT/bad.png"
check "bad ones of many" 1 query --data "$pack" --index 999,0 "$OUT/bad.png" --json
jq -e 'length == 3 and (.[0].error | test("PNG")) and (.[1].error | test("no image 999"))
    and .[1].image == "test image 999" and (.[2].logits | length) == 4' "$OUT/stdout" >"$OUT/jq" ||
    fail "bad ones of many: not the others' answers"
[ "$(wc -l <"$OUT/stderr")" -eq 2 ] || fail "bad ones of many: not one line for each"
stop

check "too little memory" 1 "$sphynx" serve --model "$model" --listen 127.0.0.1:0 \
    --state "$OUT/server" --memory 1M
one_line "too little memory"
has stderr 'too little memory: .* give at least [0-9]+M$' "too little memory"
wanted=$(sed 's/.*give at least //' "$OUT/stderr")
serve --model "$model" --listen 127.0.0.1:0 --state "$OUT/server" --memory "$wanted"
stop
check "plain off the loopback interface" 2 "$sphynx" serve --model "$model" --listen 0.0.0.0:0 \
    --state "$OUT/server"
one_line "plain off the loopback interface"
has stderr 'give --psk' "plain off the loopback interface"
# Options that do not go together are a wrong command line, whichever party's.
while read -r what options; do
    # shellcheck disable=SC2086 # several words
    check "serve $options" 2 "$sphynx" serve --model "$model" --state "$OUT/server" $options
    one_line "serve $options"
    has stderr "$what" "serve $options"
    [[ $options = *--allow* || $options = *--listen* ]] && continue
    # shellcheck disable=SC2086
    check "query $options" 2 query --prepare 1 $options
    one_line "query $options"
    has stderr "$what" "query $options"
done <<TXT
certificates --allow $OUT/alice
certificates --allow $OUT/alice --psk $OUT/keys
both --psk $OUT/keys --cert $OUT/keys
both --psk $OUT/keys --ca $OUT/keys
all --cert $OUT/keys
all --key $OUT/keys --cert $OUT/keys
all --ca $OUT/keys
real --psk $OUT/keys --link lan --listen 0.0.0.0:0
TXT
check "query over an imitated link elsewhere" 2 query --connect 192.0.2.1:1 --psk "$OUT/alice" \
    --link lan --prepare 1
mkdir -m 700 "$OUT/others" && touch "$OUT/others/thesis.tex"
mkdir -m 755 "$OUT/open"
for state in "$OUT/others" "$OUT/open" /etc; do
    check "serve --state $state" 1 "$sphynx" serve --model "$model" --state "$state"
    one_line "serve --state $state"
    check "query --state $state" 1 query --prepare 1 --state "$state"
    one_line "query --state $state"
done
[ "$(ls -A "$OUT/others")" = thesis.tex ] && [ -z "$(ls -A "$OUT/open")" ] ||
    fail "something came into a folder that was refused"
check "a model that is none" 1 "$sphynx" serve --model "$pack" --state "$OUT/server"
one_line "a model that is none"
check "nobody there" 1 query --connect 127.0.0.1:1 "${images[@]}"
one_line "nobody there"
has stderr '[-]-wait' "nobody there"
check "cost" 0 "$sphynx" cost --model "$model" --link wan --json
jq -e '.relus == ([.layers[].relus] | add) and .online.rounds > 0 and .offline.bytes_sent > 0' \
    "$OUT/stdout" >"$OUT/jq" || fail "cost: not the promised JSON"
jq -e '[.rates[] | arrays[], numbers] | all(. >= 0)' "$OUT/stdout" >"$OUT/jq" ||
    fail "cost: a rate below nothing"
for link in loopback lan wan; do
    check "cost by usual rates" 0 "$sphynx" cost --model "$model" --link $link --usual-rates --json
    mv "$OUT/stdout" "$OUT/cost_$link"
done
check "nowhere to measure" 1 env TMPDIR="$OUT/none" "$sphynx" cost --model "$model"
one_line "nowhere to measure"
has stderr 'none .*TMPDIR' "nowhere to measure"
check "cost by usual rates again" 0 "$sphynx" cost --model "$model" --usual-rates --json
cmp -s "$OUT/stdout" "$OUT/cost_loopback" || fail "cost: usual rates gave other figures"
jq -es 'map(.online) | .[0].seconds < .[1].seconds and .[1].seconds < .[2].seconds and
    .[0].rounds == .[2].rounds and .[0].bytes_sent == .[2].bytes_sent' \
    "$OUT"/cost_{loopback,lan,wan} >"$OUT/jq" ||
    fail "cost: a slower link costs no more time, or other bytes"
jq -e '([.layers[].online.seconds] | add) as $layers | ([.online_parts[]] | add) as $parts |
    .online_parts.link == 0 and .online.seconds - $layers < 1e-9 and
    .online.seconds <= $parts + 1e-9' "$OUT/cost_loopback" >"$OUT/jq" ||
    fail "cost: parts or segments do not make the whole"
for address in nope localhost: :1 localhost:x localhost:70000; do
    check "listen at $address" 2 "$sphynx" serve --model "$model" --listen "$address"
    one_line "listen at $address"
    has stderr "listen: address $address: " "listen at $address"
    check "connect to $address" 2 "$sphynx" query --connect "$address" --prepare 1
    one_line "connect to $address"
done
check "a link that is none" 2 "$sphynx" cost --model "$model" --link fast
finish
