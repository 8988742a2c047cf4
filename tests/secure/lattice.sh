#!/usr/bin/env bash
# usage: lattice.sh SOURCE   The parameter sets have 128 bits, and what estimates them can fail.
set -u
source=$1
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

"$source/scripts/security/lattice" || fail "a set has too few bits, or a known point is missed"

# test_he.c pins the very same numbers to the tables that are used
diff - <("$source/scripts/security/lattice" --sets) <<'TXT' || fail "other sets than pinned"
0 4096 106 21
1 8192 120 21
2 8192 138 21
TXT

# a set of 109 bits and a wrong known point, planted in a copy
mkdir -p "$tmp/scripts/security" "$tmp/kernels/crypto"
sed 's/"usvp": 143.8/"usvp": 143.3/' "$source/scripts/security/lattice" \
    >"$tmp/scripts/security/lattice"
cp "$source/kernels/crypto/sampler.h" "$tmp/kernels/crypto"
sed 's/{4096, {36, 35, 35}}/{4096, {37, 36, 36}}/' "$source/host/secure/he/he_params.c" \
    >"$tmp/sets.c"
python3 "$tmp/scripts/security/lattice" "$tmp/sets.c" >"$tmp/out"
[ $? -eq 1 ] || fail "a weak set and a wrong point were let pass"
[ "$(grep -c MISSED "$tmp/out")" -eq 1 ] || fail "the wrong point was not told"
[ "$(grep -c 'TOO FEW' "$tmp/out")" -eq 1 ] || fail "the weak set was not told"
