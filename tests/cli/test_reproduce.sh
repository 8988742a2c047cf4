#!/usr/bin/env bash
# test_reproduce.sh SPHYNX PYTHON: scripts/reproduce on toy sets in the archives' own layouts.
. "$(dirname "$0")/check.sh"
sphynx=$1 python=$2
reproduce=$(cd "$(dirname "$0")/../.." && pwd)/scripts/reproduce
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
again=("$python" -B "$reproduce" --sphynx "$sphynx" --threads 1 --device cpu --toy --seeds 1)

# ---- sets: records of CIFAR-100; a Tiny-ImageNet and an ImageNet of a few pictures ----
mkdir cifar
for file in train test; do
    for i in $(seq 8); do
        # shellcheck disable=SC2059 # the format is the record
        printf "\\x$(printf %x $((i % 3)))\\x$(printf %x $((i * 11)))"
        head -c 3072 /dev/zero | tr '\0' "\\$(printf %o $((i * 9)))"
    done >"cifar/$file.bin"
done
"$python" - <<'PY' || exit 1
import os, struct, zlib
def png(v):
    part = lambda k, d: struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
    rows = b"".join(b"\0" + bytes((v, (v * y) % 256, 9)) * 8 for y in range(8))
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) +
            part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))
def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
keys = ("n01", "n05", "n09")
for k, key in enumerate(keys):
    for i in range(4):
        put("tiny/train/%s/images/%s_%d.JPEG" % (key, key, i), png(20 + 60 * k + i))
        put("imagenet/train/%s/%s_%d.JPEG" % (key, key, i), png(20 + 60 * k + i))
    put("tiny/val/images/val_%d.JPEG" % k, png(25 + 60 * k))
    put("imagenet/val/%s/v.JPEG" % key, png(25 + 60 * k))
put("tiny/wnids.txt", ("\n".join(keys) + "\n").encode())
put("tiny/words.txt", b"n01\tone\nn05\tfive\nn09\tnine\n")
put("tiny/val/val_annotations.txt",
    "".join("val_%d.JPEG\t%s\t0\t0\t1\t1\n" % (k, key) for k, key in enumerate(keys)).encode())
PY

for job in cifar100:cifar:25600 tiny-imagenet:tiny:102400 imagenet:imagenet:344960; do
    IFS=: read -r kind source budget <<<"$job"
    check "$kind" 0 "${again[@]}" "$kind" "$source" --out "$kind" --budgets "$budget"
    jq -e --arg set "$kind" '.set == $set and (.rows | length) >= 1 and all(.rows[];
        (.top1_last | length) == .seeds and .relus > 0 and .online_s_lan > 0)' \
        "$kind/metrics.json" >jq.out || fail "$kind: $(cat "$kind/metrics.json")"
    has "$kind/README.md" '^\| published \|' "$kind"
    has "$kind/pareto.svg" '</svg>' "$kind"
    cp "$kind/metrics.json" before.json
    rm "$kind/published-$budget/seed-1/integers.json"
    check "$kind again" 0 "${again[@]}" "$kind" "$source" --out "$kind" --budgets "$budget"
    cmp before.json "$kind/metrics.json" || fail "$kind: made again, it differs"
    [ "$(grep -c '^\$ sphynx' stderr)" -eq 1 ] || fail "$kind: what was finished ran again"
done

check "a cell searched elsewhere" 0 "${again[@]}" imagenet imagenet --out imagenet \
    --budgets 344960 --cells searched --genotype cifar100/search/genotype.json
jq -e '[.rows[].cell] == ["published", "searched"]' imagenet/metrics.json >jq.out ||
    fail "a cell searched elsewhere: $(cat imagenet/metrics.json)"

check "the plan" 0 "${again[@]}" cifar100 cifar --out planned --plan --budgets 25600 \
    --cells published
has stdout 'together, on this machine' "the plan"
[ ! -e planned ] || fail "the plan made something"
check "a budget the published cell has not" 2 "${again[@]}" cifar100 cifar --out none \
    --budgets 12345
has stderr 'the published cell has 25600, ' "a budget the published cell has not"
check "no such source" 1 "${again[@]}" cifar100 nothing --out none --budgets 25600
has stderr 'nothing: ' "no such source"
has stderr '^reproduce: sphynx data ended with 1' "no such source"
finish
