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

finish() {
    [ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
    echo "all passed"
}
