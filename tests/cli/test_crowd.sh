#!/usr/bin/env bash
# test_crowd.sh SPHYNX MAKE_PACK STALL_CROWD: what strangers, many clients and bad lines do to a
# server.
. "$(dirname "$0")/check.sh"
sphynx=$1
export XDG_CACHE_HOME=$OUT/cache
umask 077

pack=$OUT/pack.h5 model=$OUT/model.h5
"$2" "$pack" 16 96 || exit 1
check "train" 0 "$sphynx" train --data "$pack" --out "$OUT/run" --init-channels 2 --layers 3 \
    --reduce-at 0,2 --epochs 1 --max-steps 2 --batch 8 --aux-weight 0
check "export" 0 "$sphynx" export --model "$OUT/run" -o "$model"
echo "alice:$(printf '%064d' 7)" >"$OUT/alice"
echo "bob:$(printf '%064d' 9)" >"$OUT/bob"
printf 'b\303\266b:%064d\n' 10 >"$OUT/boeb" # not ASCII, as two more
printf 'b\303\244b:%064d\n' 11 >"$OUT/baeb"
cat "$OUT/alice" "$OUT/bob" "$OUT/boeb" "$OUT/baeb" >"$OUT/keys"

# serve_on PORT ARGS: a server; its port in $port
serve_on() {
    local wanted=$1
    shift
    serve --model "$model" --listen "127.0.0.1:$wanted" --state "$OUT/server" --json "$@"
}

query() { "$sphynx" query --connect "127.0.0.1:$port" --data "$pack" --index 0 "$@"; }

cat >"$OUT/crowd.py" <<'PY'
"""crowd.py PORT N DRIP UP: N connections that say nothing, or a byte every DRIP seconds; what the
server closes is opened again. UP is written once all are there."""
import select, socket, sys, time
port, n, drip, up = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
def dial():
    return socket.create_connection(("127.0.0.1", port))
all_of_them = [dial() for _ in range(n)]
open(up, "w").close()
last = time.monotonic()
while True:
    ready = select.select(all_of_them, [], [], 0.1)[0]
    for s in ready:
        try:
            over = not s.recv(4096)
        except OSError:
            over = True
        if over:
            all_of_them[all_of_them.index(s)] = dial()
            s.close()
            time.sleep(0.02)
    if drip and time.monotonic() - last > drip:
        last = time.monotonic()
        for s in all_of_them:
            try:
                s.send(b"\x16")
            except OSError:
                pass
PY

# crowd N DRIP: begins one; its process in $crowd
crowd() {
    rm -f "$OUT/up"
    python3 "$OUT/crowd.py" "$port" "$1" "$2" "$OUT/up" &
    crowd=$!
    for _ in $(seq 200); do
        [ ! -e "$OUT/up" ] || return
        sleep 0.05
    done
    fail "the crowd does not come"
}

disperse() {
    kill "$crowd"
    wait "$crowd" 2>/dev/null
}

now() { date +%s%N; }

# quick NAME ARGS: a query, which strangers may delay by less than 2 s
quick() {
    local name=$1 begin
    shift
    begin=$(now)
    check "$name" 0 query "$@"
    took=$((($(now) - begin) / 1000000))
}

# ---- strangers ----

serve_on 0 --psk "$OUT/keys"
quick "alone" --psk "$OUT/alice" --state "$OUT/a"
alone=$took
crowd 64 0
quick "among 64 silent strangers" --psk "$OUT/alice" --state "$OUT/a"
[ "$took" -lt $((alone + 2000)) ] || fail "64 silent strangers: $took ms, $alone without them"
disperse
crowd 64 0.2
quick "among 64 strangers that drip bytes" --psk "$OUT/alice" --state "$OUT/a"
[ "$took" -lt $((alone + 2000)) ] || fail "64 dripping strangers: $took ms, $alone without them"
disperse
for who in boeb baeb; do
    check "a name that is not ASCII" 0 query --psk "$OUT/$who" --state "$OUT/a"
done
stop
has talk ' b\\xc3\\xb6b client ' "the log tells names apart"
has talk ' b\\xc3\\xa4b client ' "the log tells names apart"
has talk '^serve: 20[0-9-]*T[0-9:]*Z 127\.0\.0\.1:[0-9]+ alice client [0-9a-f]{8}: 1 prepared, 1' \
    "the log names who was served, when and whence"
has talk ' - refused: ' "the log tells of strangers"

# Plain: a byte now and then does not hold a connection beyond its time for the hello.
serve_on 0 --handshake-timeout 1 --clients 1
python3 - "$port" >"$OUT/held" <<'PY'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(0.2)
begin = time.monotonic()
while time.monotonic() - begin < 20:
    try:
        s.send(b"\x01")
        if not s.recv(4096):
            break
    except TimeoutError:
        pass
    except OSError:
        break
print(int(time.monotonic() - begin))
PY
[ "$(cat "$OUT/held")" -lt 15 ] || fail "a byte now and then holds a connection before its hello"
stop

# ---- clients that stall ----

# peak PID: the most memory that it ever had, in bytes
peak() { echo $(($(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$1/status") * 1024)); }

# As many clients as there are places ask and then say no more. The material that they ask for does
# not fit into what the server may take: all of it read, this would fail.
memory=$((128 << 20))
serve_on 0 --clients 64 --memory "$memory"
query --state "$OUT/honest" --prepare 2 >"$OUT/honest.out" 2>&1 || fail "an honest client"
quick "without a crowd" --state "$OUT/honest"
alone=$took
rm -f "$OUT/up"
"$3" "$port" 64 "$OUT" "$OUT/up" 2>"$OUT/stalled" &
crowd=$!
for _ in $(seq 1200); do
    [ ! -s "$OUT/up" ] || break
    sleep 0.05
done
read -r told bytes <"$OUT/up" || fail "the stalled clients do not come"
[ "$told" -gt 8 ] || fail "only $told clients got as far as to stall: $(head -3 "$OUT/stalled")"
[ "$bytes" -gt "$memory" ] || fail "$bytes bytes of material fit into $memory"
quick "among 64 clients that stall" --state "$OUT/honest"
[ "$took" -lt $((alone + 2000)) ] || fail "64 stalled clients: $took ms, $alone without them"
nm "$sphynx" 2>/dev/null | grep -q ' __[at]san_init' || # whose shadow counts as memory
    [ "$(peak "$server")" -lt "$memory" ] ||
    fail "64 stalled clients: $(peak "$server") bytes of memory, --memory $memory"
echo "64 stalled clients: $told got on, $alone ms without them, $took ms with them," \
    "$(peak "$server") bytes, $bytes of material"
disperse
stop

# ---- a busy server ----

# Sixteen clients, one core, a timeout that none of them could keep by itself.
core=$(python3 -c 'import os; print(min(os.sched_getaffinity(0)))')
taskset -pc "$core" $$ >"$OUT/taskset" 2>&1 || echo "not on one core: $(cat "$OUT/taskset")"
serve_on 0 --timeout 2
pids=()
for i in $(seq 16); do
    query --state "$OUT/busy$i" --timeout 2 --index 0,1 --verify "$model" \
        >"$OUT/busy$i.out" 2>"$OUT/busy$i.err" &
    pids+=($!)
done
served=0
for pid in "${pids[@]}"; do
    if wait "$pid"; then served=$((served + 1)); fi
done
[ "$served" -eq 16 ] || fail "$served of 16 clients served: $(cat "$OUT"/busy*.err | head -3)"
stop

# A full server: whoever waits is told so, for longer than the timeout, and served in the end. Whom
# it serves is held still meanwhile.
serve_on 0 --clients 1
query --state "$OUT/first" --prepare 40 >"$OUT/first.out" 2>&1 &
first=$!
for _ in $(seq 400); do
    [ -z "$(find "$OUT/server" -name 't-*' -newer "$OUT/talk")" ] || break
    sleep 0.02
done
kill -STOP "$first"
query --state "$OUT/second" --timeout 1 >"$OUT/second.out" 2>&1 &
second=$!
for _ in $(seq 400); do
    ! grep -q 'server full, 0 before you' "$OUT/second.out" || break
    sleep 0.05
done
has second.out 'server full, 0 before you' "a client that waits"
sleep 2
kill -CONT "$first"
wait "$first" || fail "the first client: $(cat "$OUT/first.out")"
wait "$second" || fail "a client that waits: $(cat "$OUT/second.out")"
for _ in $(seq 400); do # until both accounts are written
    [ "$(grep -c ' prepared, ' "$OUT/talk")" -lt 2 ] || break
    sleep 0.05
done
stop
jq -e '.failed == 0' "$OUT/served" >"$OUT/jq" || fail "a full server: $(grep ended "$OUT/talk")"

# ---- who starts first, who comes back ----

query --state "$OUT/a" --psk "$OUT/alice" --wait 60 >"$OUT/early.out" 2>&1 &
early=$!
sleep 0.3
serve_on "$port" --psk "$OUT/keys"
wait "$early" || fail "a client before its server: $(cat "$OUT/early.out")"
check "nobody comes" 1 query --connect 127.0.0.1:1 --wait 0.3 --state "$OUT/a"
one_line "nobody comes"

# ---- keys that change ----

grep -av "^bob" "$OUT/keys" >"$OUT/new" && mv "$OUT/new" "$OUT/keys"
check "a key that was taken back" 1 query --psk "$OUT/bob" --state "$OUT/b"
has stderr 'refused the pre-shared key' "a key that was taken back"
echo "bob" >>"$OUT/keys"
sleep 0.5
check "a broken file of keys" 0 query --psk "$OUT/alice" --state "$OUT/a"
sed -i '$d' "$OUT/keys" && cat "$OUT/bob" >>"$OUT/keys"
kill -HUP "$server"
check "a key that was given" 0 query --psk "$OUT/bob" --state "$OUT/b"
stop
has talk 'keys were read again' "keys that change"
has talk 'keys stay as they were: .*line 4' "a broken file of keys"
check "keys by a pipe" 1 query --connect 127.0.0.1:1 --psk <(cat "$OUT/alice") --state "$OUT/a"
has stderr 'connecting' "keys by a pipe"
check "a name that nobody knows" 1 query --connect nobody.invalid:1 --wait 0.3 --state "$OUT/a"
one_line "a name that nobody knows"
finish
