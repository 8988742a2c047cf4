# shellcheck shell=bash
# Sourced by the shell tests of the program: check NAME CODE COMMAND... runs the command, compares
# its exit code, and leaves its output in $OUT/stdout and $OUT/stderr. `finish` gives the verdict.
set -u
OUT=$(mktemp -d)
owner=$BASHPID # a job killed before it became its program would run the trap, too
trap '[ "$BASHPID" != "$owner" ] || rm -rf "$OUT"' EXIT
failures=0

fail() {
    echo "FAILED: $*"
    sed 's/^/  stderr: /' "$OUT/stderr" | head -5
    failures=$((failures + 1))
}

check() {
    local name=$1 code=$2 got=0
    shift 2
    "$@" >"$OUT/stdout" 2>"$OUT/stderr" || got=$?
    [ "$got" -eq "$code" ] || fail "$name: exit code $got, expected $code"
}

# has FILE PATTERN NAME
has() { grep -Eq -- "$2" "$OUT/$1" || fail "$3: no '$2' in $1"; }

# one_line NAME: the last command talked exactly one line and printed nothing
one_line() {
    [ "$(wc -l <"$OUT/stderr")" -eq 1 ] || fail "$1: not exactly one line on stderr"
    [ ! -s "$OUT/stdout" ] || fail "$1: something on stdout"
}

# serve ARGS: a server of $sphynx in the background, $server; its port in $port, its output in
# $OUT/served and $OUT/talk
serve() {
    : >"$OUT/talk" # before the server's own redirection: the last one's port must not be found
    "$sphynx" serve "$@" >"$OUT/served" 2>"$OUT/talk" &
    server=$!
    port=
    for _ in $(seq 600); do
        port=$(sed -n 's/.*listening at 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$OUT/talk")
        [ -z "$port" ] || return
        kill -0 "$server" 2>"$OUT/gone" || break
        sleep 0.05
    done
    fail "the server does not start: $(cat "$OUT/talk")"
}

# stop: ends it as a user would
stop() {
    kill -TERM "$server"
    wait "$server" || fail "the server's exit code is $?: $(cat "$OUT/talk")"
}

finish() {
    [ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
    echo "all passed"
}
