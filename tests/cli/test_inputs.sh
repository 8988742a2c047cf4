#!/usr/bin/env bash
# test_inputs.sh SPHYNX MAKE_PACK: what inputs come as. The same picture in other clothes,
# files through pipes, text of other systems, one bad input of many, lists of any length.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2
cd "$OUT" || exit 1
export XDG_CACHE_HOME=$OUT/cache

"$make_pack" pack.h5 16 48 || exit 1
check "train" 0 "$sphynx" train --data pack.h5 --out run --init-channels 2 --layers 3 \
    --reduce-at 0,2 --epochs 1 --max-steps 2 --batch 8 --aux-weight 0 --pad-crop 0
cp run/model.h5 model.h5

# g8.png, g16.png (v * 257), gamma.png and alpha.png of one gradient, bad.png
python3 - <<'PY' || exit 1
import struct, zlib
h = w = 16
def chunk(t, d):
    return struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d))
def png(name, depth, colour, rows, extra=b''):
    with open(name, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n'
                + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, depth, colour, 0, 0, 0)) + extra
                + chunk(b'IDAT', zlib.compress(b''.join(b'\0' + r for r in rows)))
                + chunk(b'IEND', b''))
value = [[(7 * x + 11 * y) % 256 for x in range(w)] for y in range(h)]
png('g8.png', 8, 0, [bytes(r) for r in value])
png('g16.png', 16, 0, [b''.join(struct.pack('>H', v * 257) for v in r) for r in value])
png('gamma.png', 8, 0, [bytes(r) for r in value], chunk(b'gAMA', struct.pack('>I', 100000)))
png('rgb16.png', 16, 2, [b''.join(struct.pack('>H', v * 257) * 3 for v in r) for r in value])
png('alpha.png', 8, 4, [b''.join(bytes([v, 128]) for v in r) for r in value])
PY
head -c 60 g8.png >bad.png

check "pictures" 0 "$sphynx" predict --model model.h5 g8.png g16.png gamma.png rgb16.png --json
jq -e '. as $a | all(.[]; .classes == $a[0].classes)' stdout >same ||
    fail "depth, gamma or colour change the answer"
answer=$(jq -c '.[0].classes' stdout)
check "transparency" 0 "$sphynx" predict --model model.h5 alpha.png
has stderr 'alpha.png: transparent pixels, laid over black' "transparency"

# ---- one bad input of many ----
check "one bad of three" 1 "$sphynx" predict --model model.h5 --json g8.png bad.png \
    absent.png g16.png
jq -e --argjson want "$answer" 'length == 4 and .[0].classes == $want and .[3].classes == $want
    and .[1].image == "bad.png" and (.[1].error | test("damaged"))
    and (.[2].error | test("No such file"))' stdout >same || fail "one bad of three: $(cat stdout)"
[ "$(wc -l <stderr)" -eq 2 ] || fail "one bad of three: not a line for each bad one"
check "one bad of three, text" 1 "$sphynx" predict --model model.h5 g8.png bad.png g16.png
[ "$(wc -l <stderr)" -eq 1 ] || fail "one bad of three, text: not one line"
[ "$(grep -c '^g' stdout)" -eq 2 ] || fail "one bad of three, text: the others are not answered"
check "the only one is bad" 1 "$sphynx" predict --model model.h5 bad.png
one_line "the only one is bad"

# ---- streams ----
check "a picture on a pipe" 0 "$sphynx" predict --model model.h5 --json /dev/stdin < <(cat g8.png)
[ "$(jq -c '.[0].classes' stdout)" = "$answer" ] || fail "a picture on a pipe: another answer"
check "standard input" 0 "$sphynx" predict --model model.h5 --json - < <(cat g8.png)
[ "$(jq -c '.[0].classes' stdout)" = "$answer" ] || fail "standard input: another answer"
check "a model on a pipe" 0 "$sphynx" predict --model <(cat model.h5) --json g8.png
[ "$(jq -c '.[0].classes' stdout)" = "$answer" ] || fail "a model on a pipe: another answer"
mkfifo fifo
cat pack.h5 >fifo &
check "a pack in a fifo" 0 "$sphynx" data info fifo
wait
# One stream serves one input, whatever the verb.
while read -r line; do
    # shellcheck disable=SC2086
    check "$line" 2 timeout 60 "$sphynx" $line < <(echo)
    one_line "$line"
    has stderr '(standard input|/dev/stdin|fifo) is given as two inputs' "$line"
done <<'END'
eval --model - --data -
eval --model - --data /dev/stdin
eval --model fifo --data ./fifo
predict --model - -
predict --model model.h5 - g8.png -
predict --model model.h5 --config - -
export --model - --data - -o deployed.h5
import - --data - -o other.h5
import - --genotype - --raw -o other.h5
train --data - --genotype - --out other
train --data - --init-from - --out other
search --data - --init-from - --out other
inspect --model - --config -
serve --model - --psk -
query --connect localhost:1 --psk - -
query --connect localhost:1 --image - --verify -
END
check "a file twice" 0 "$sphynx" predict --model model.h5 g8.png g8.png
check "no picture on a pipe" 1 "$sphynx" predict --model model.h5 - </dev/null

# ---- text ----
tr -d '\n' >plain.txt <<'TXT'
Genotype(normal=[[('skip_connect_NR', 0), ('skip_connect_NR', 1)],
 [('skip_connect_NR', 2), ('van_dil_conv_5x5_NR', 0)],
 [('van_conv_5x5_NR', 2), ('van_dil_conv_3x3_NR', 0)],
 [('van_conv_3x3_NR', 1), ('skip_connect_NR', 2)]], normal_concat=range(2, 6),
 reduce=[[('van_conv_3x3_NR', 0), ('van_conv_3x3_NR', 1)],
 [('skip_connect_NR', 0), ('van_conv_3x3_NR', 2)],
 [('van_dil_conv_3x3_NR', 0), ('skip_connect_NR', 2)],
 [('van_conv_5x5_NR', 0), ('skip_connect_NR', 4)]], reduce_concat=range(2, 6))
TXT
echo >>plain.txt
check "inspect" 0 "$sphynx" inspect --genotype plain.txt --json
cp stdout want
same_network() { cmp -s stdout want || fail "$1: another network"; }
check "a genotype on a pipe" 0 "$sphynx" inspect --genotype <(cat plain.txt) --json
same_network "a genotype on a pipe"
{ printf '\xef\xbb\xbf2021-03-01 12:00:00 INFO genotype = '; sed 's/$/\r/' plain.txt; } >log.txt
check "a genotype from a log" 0 "$sphynx" inspect --genotype log.txt --json
same_network "a genotype from a log"
printf '\xef\xbb\xbfgenotype = plain.txt\r\njson = true\r\n' >windows.ini
check "a configuration of another system" 0 "$sphynx" inspect --config windows.ini
same_network "a configuration of another system"
check "a configuration on a pipe" 0 "$sphynx" inspect --config <(cat windows.ini)
same_network "a configuration on a pipe"
iconv -t UTF-16 plain.txt >wide.txt
check "UTF-16" 1 "$sphynx" inspect --genotype wide.txt
one_line "UTF-16"
has stderr 'wide.txt: UTF-16 text; save it as UTF-8' "UTF-16"

# ---- long names ----
long=$(printf '%0200d' 1)
mkdir -p "$long/$long/$long"
check "a long path" 1 "$sphynx" predict --model model.h5 "$long/$long/$long/absent.png"
one_line "a long path"
has stderr 'absent.png: No such file' "a long path"
finish
