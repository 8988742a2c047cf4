#!/usr/bin/env bash
# test_manners.sh SPHYNX: what every command of the program promises.
. "$(dirname "$0")/check.sh"
sphynx=$1

check "version" 0 "$sphynx" --version
has stdout '^sphynx [0-9]+\.[0-9]+\.[0-9]+ \(commit [^,]+, ' version
check "help" 0 "$sphynx" --help
cp "$OUT/stdout" "$OUT/help"

# Every verb and sub-verb has help with a usage line and, unless it is a group, an example.
verbs() { sed -n 's/^  \([a-z0-9-]*\) .*/\1/p' "$1"; }
for verb in $(verbs "$OUT/help"); do
    check "$verb --help" 0 "$sphynx" "$verb" --help
    has stdout "^usage: sphynx $verb" "$verb --help"
    if grep -q '^commands:' "$OUT/stdout"; then
        cp "$OUT/stdout" "$OUT/group"
        for sub in $(verbs "$OUT/group"); do
            check "$verb $sub --help" 0 "$sphynx" "$verb" "$sub" --help
            has stdout '^example: sphynx ' "$verb $sub --help"
        done
        check "$verb without command" 2 "$sphynx" "$verb"
        one_line "$verb without command"
        continue
    fi
    has stdout "^example: sphynx $verb" "$verb --help"
    check "$verb with an unknown option" 2 "$sphynx" "$verb" --no-such-option
    one_line "$verb with an unknown option"
    printf 'no-such-key = 1\n' >"$OUT/bad.ini"
    check "$verb with an unknown key" 2 "$sphynx" "$verb" --config "$OUT/bad.ini"
    one_line "$verb with an unknown key"
    has stderr "bad.ini:1: " "$verb with an unknown key"
done

check "no command" 2 "$sphynx"
one_line "no command"
check "unknown command" 2 "$sphynx" dance
one_line "unknown command"

check "doctor" 0 "$sphynx" doctor --json
has stdout '"isa": "(portable|avx2|avx512vl)"' "doctor --json"
SPHYNX_ISA=portable check "doctor, portable" 0 "$sphynx" doctor --json
has stdout '"isa": "portable"' "SPHYNX_ISA lowers the instruction set"
has stdout '"name": "AVX2"' "doctor tells what is lacking"

# Data that could not be written is a failure: /dev/full is always full, >&- is closed.
if [ -e /dev/full ]; then
    check "stdout full" 1 sh -c '"$0" doctor --json >/dev/full' "$sphynx"
    has stderr 'standard output: ' "stdout full"
fi
check "stdout closed" 1 sh -c '"$0" doctor --json >&-' "$sphynx"
finish
