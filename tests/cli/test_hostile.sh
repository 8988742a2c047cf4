#!/usr/bin/env bash
# test_hostile.sh SPHYNX MAKE_PACK WEIGHTS: command lines, files and machines that mean no good get
# one clear line and exit 1 or 2, soon, and leave nothing behind.
. "$(dirname "$0")/check.sh"
sphynx=$1 make_pack=$2 weights=$3
cd "$OUT" || exit 1
export XDG_CACHE_HOME=$OUT/cache

"$make_pack" pack.h5 16 96 || exit 1
check "import" 0 "$sphynx" import "$weights" --raw -o model.h5
head -c 5000 model.h5 >cut.h5
{ head -c 5000 model.h5 && printf 'not what stood here' && tail -c +5020 model.h5; } >changed.h5
mkdir folder work
echo '{"init_channels": 1, "layers": 1e99, "reduce_at": [0]}' >plan-real.json
echo '{"init_channels": 1, "layers": 3, "reduce_at": [0, -1]}' >plan-cell.json
echo '{"init_channels": 1, "layers": 3, "reduce_at": 0}' >plan-list.json
echo '{"init_channels": 1, "layers": 65, "reduce_at": [0]}' >plan-deep.json
echo '[]' >plan-array.json
printf '[plan]\nclasses = 10\n[dance]\nx = 1\n' >section.ini
printf 'classes = ten\n' >value.ini
printf 'classes = 10\0\n' >binary.ini
kept=$(ls)

# refused CODE PATTERN ARGS...: the pattern is in the one line
refused() {
    local code=$1 pattern=$2
    shift 2
    check "$*" "$code" timeout 60 "$sphynx" "$@" </dev/null
    one_line "$*"
    has stderr "$pattern" "$*"
}

# ---- words ----
refused 2 'how were the images normalised' import "$weights" -o work/other.h5
refused 2 'mean with --std' import "$weights" -o work/other.h5 --mean 0.5,0.5,0.5
refused 2 'mean with --std' import "$weights" -o work/other.h5 --mean 0,0,0 --std 1,1,1 --raw
for mean in 0.5 0.5,0.5,x 0,0,0,0 ''; do
    refused 2 '3 numbers' import "$weights" -o work/other.h5 --mean "$mean" --std 1,1,1
done
for mean in 0.5,0.5,inf nan,0,0 0,-1001,0 0,1e30,0; do
    refused 2 'a mean of -1000 to 1000' import "$weights" -o work/other.h5 --std 1,1,1 \
        --mean "$mean"
done
for std in 1,0,1 1,-1,1 1e-40,1,1 1,1,9e-7 1e39,1,1 1,1001,1; do
    refused 2 'a std of 1e-06 to 1000' import "$weights" -o work/other.h5 --mean 0,0,0 --std "$std"
done
# What is let in can be computed with, and --help says what that is.
check "extremes" 0 "$sphynx" import "$weights" -o work/least.h5 --mean -1000,0,1000 \
    --std 1e-6,1,1000
check "extremes" 0 "$sphynx" data preview pack.h5 -o work/grid.png --columns 1
check "extremes" 0 "$sphynx" predict --model work/least.h5 --resize work/grid.png
check "ranges" 0 "$sphynx" import --help
has stdout '--mean .*: -1000 to 1000' "ranges"
has stdout '--std .*: 0.000001 to 1000' "ranges"
rm work/*
refused 2 'HxW' import "$weights" -o work/other.h5 --raw --image 33x32
refused 2 'unknown command' --config x
refused 2 'unknown command' help nothing
refused 2 'which command' bench
refused 2 "'1e3'" inspect --classes 1e3
refused 2 "'0x10'" inspect --classes 0x10
refused 2 "' 5'" inspect --classes ' 5'
refused 2 "''" inspect --reduce-at ''
refused 2 '0..256' inspect --threads -1
refused 2 'out of range' inspect --seed 99999999999999999999
refused 2 'auto, cpu, cuda' inspect --device abacus
refused 2 'cuda:N' inspect --device cuda:
refused 2 'cuda:N' inspect --device cuda:-1
refused 2 'cuda:N' inspect --device cuda:1x
refused 1 'cpu:3' bench eval --device cpu:3
refused 2 'bf16 needs' bench eval --device cpu --precision bf16
refused 2 'needs a value' inspect --config
refused 2 'unexpected operand' inspect -- --json
refused 2 'unknown option' inspect --no-classes
refused 2 'true or false' inspect --json=maybe
refused 2 'at most 4' bench eval --reduce-at 0,1,2,3,4
refused 2 'CxHxW' bench supernet-step --input 3x32
for verb in inspect 'bench eval' 'bench pi'; do # one kind of mistake, whatever the verb
    # shellcheck disable=SC2086
    {
        refused 2 "there are resnet18.*$verb --help" $verb --network nosuch
        refused 2 "does not take inputs of 3x3.*$verb --help" $verb --network resnet18 --input 3x3x3
        refused 2 "CxHxW.*$verb --help" $verb --input 3x32
        refused 2 "at most 4.*$verb --help" $verb --reduce-at 0,1,2,3,4
    }
done
TMPDIR=work/none refused 1 'folder in work/none .*TMPDIR' bench pi --layers 2 --reduce-at 0
refused 2 'a time' train --data pack.h5 --out work/run --time-limit 1e400
refused 2 'a number' train --data pack.h5 --out work/run --lr nan
refused 2 '1 <= A <= B' plan --frontier 9:5:1
refused 2 '--frontier' plan --frontier 99999999999999999999
refused 2 'index' predict --model model.h5 --index 3 picture.png
refused 2 'section.ini:3' plan --relu-budget 9999 --config section.ini
refused 2 'value.ini:1' inspect --config value.ini
refused 1 'not a text file' inspect --config binary.ini

# Names are quoted, but cannot break the line; bytes that are no UTF-8 pass through.
refused 1 'two.lines: No such file' inspect --genotype $'two\nlines'
refused 1 'No such file' inspect --model $'\033[2J\377\376.h5'
refused 2 'unknown command' $'\r\n'
refused 2 'unknown option' inspect $'--two\nlines'

for name in 'a;b' $'a\nb' ' a' "$(printf '%190s' x | tr ' ' x)"; do
    jq -nr --arg name "$name" '"data = \($name | tojson)"' >work/name.ini
    check "a run of such a name" 0 "$sphynx" search --random --config work/name.ini --out work/run
    grep -q "^data = " work/run/config.ini || fail "a run of such a name records it"
    rm -r work/*
done
cp pack.h5 work/$'\377.h5'
refused 1 'data: not UTF-8' search --data work/$'\377.h5' --out work/run
rm work/*

# What JSON cannot hold of a name it shows as '?'.
base64 -d >work/$'\375.png' <<'PNG'
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
PNG
check "predict" 0 "$sphynx" predict --model model.h5 --resize work/$'\375.png' --json
jq -e '.[0].image == "work/?.png" and (.[0].classes | length) == 5' stdout >jq || fail "predict"
check "import" 0 "$sphynx" import "$weights" --raw -o work/$'\376.h5' --json
jq -e '.model == "work/?.h5"' stdout >jq || fail "import: $(cat stdout)"
rm work/* jq

# ---- sizes ----
refused 1 '4096' inspect --input 4096x4096x4096
refused 1 'halving' inspect --input 1x1x1
refused 1 'no network fits' plan --relu-budget 51200 --max-macs 5
refused 1 'no network fits' plan --relu-budget 51200 --min-layers 64 --max-layers 64
refused 1 'GiB' bench supernet-step --batch 65536 --init-channels 4096
refused 1 'too large' bench eval --batch 65536 --input 3x4096x4096
refused 1 'cutout' train --data pack.h5 --out work/run --layers 3 --reduce-at 0,2 \
    --init-channels 1 --aux-weight 0 --batch 8 --cutout 1024
refused 1 'plan-deep.json: .* 1 to 4096 and 1 to 64' train --data pack.h5 --out work/run \
    --plan plan-deep.json
for plan in real cell list array; do
    refused 1 "plan-$plan.json" train --data pack.h5 --out work/run --plan "plan-$plan.json"
done
refused 1 'no image 24: the test split has 24' predict --model model.h5 --data pack.h5 --index 24

# ---- files that are not what they should be ----
for file in folder /dev/zero; do
    refused 1 'a device; expected a file|no model.h5' inspect --model "$file"
    refused 1 'a device; expected a file|folder/genotype.json' inspect --genotype "$file"
    refused 1 'a (folder|device); expected a file' inspect --config "$file"
    refused 1 'a (folder|device); expected a file' data check "$file"
    refused 1 'a (folder|device); expected a file' predict --model model.h5 "$file"
done
for file in cut.h5 changed.h5 plan-array.json; do
    refused 1 'damaged' inspect --model "$file"
    refused 1 'damaged' eval --model "$file" --data pack.h5
    refused 1 'damaged' data info "$file"
    refused 1 'damaged' search --data "$file" --out work/run
done
refused 1 'expected format' eval --model model.h5 --data model.h5
refused 1 'no checkpoint or model' eval --model pack.h5 --data pack.h5
refused 1 'the model takes' eval --model model.h5 --data pack.h5
refused 1 'PNG' predict --model model.h5 pack.h5
refused 1 'no such parameter' import pack.h5 --raw -o work/other.h5
refused 1 'HDF5' import section.ini --raw -o work/other.h5
refused 1 'HDF5' import cut.h5 --raw -o work/other.h5
refused 1 'train-images' data pack mnist pack.h5 -o work/other.h5
{ printf '\0\0\x40\1\0\0\0\0{' && head -c 20971520 /dev/zero; } >work/vast.safetensors
refused 1 'header of 20971520 bytes, expected at most 16777216' import work/vast.safetensors --raw \
    -o work/other.h5
rm work/*

# ---- places that cannot be written ----
for place in folder absent/file; do
    refused 1 "$place" import "$weights" --raw -o "$place"
    refused 1 "$place" inspect --dot "$place"
    refused 1 "$place" data preview pack.h5 -o "$place"
done
# Files and folders are written by name, whole: never to standard output.
for line in "import $weights --raw -o -" "inspect --dot -" "inspect --svg=-" \
    "data preview pack.h5 --output -" "data pack mnist folder -o -" "export --model model.h5 -o -" \
    "search --random --out -" "train --data pack.h5 --out -" "serve --model model.h5 --state -" \
    "query --connect localhost:1 --prepare 1 --state -"; do
    # shellcheck disable=SC2086
    refused 2 "-(out|output|dot|svg|state) '-': expected a name" $line
done
check "a file called -" 0 "$sphynx" inspect --dot ./-
grep -q digraph ./- || fail "a file called - is not written"
rm ./-
refused 1 'no files can be created in /proc' import "$weights" --raw -o /proc/x.h5
refused 1 'no files can be created in /proc' inspect --dot /proc/x.dot
refused 1 '/proc/run: cannot create this folder: none can be' search --random --out /proc/run
refused 2 'empty' search --random --out ''
refused 1 'pack.h5' search --random --out pack.h5
refused 1 'pack.h5' search --random --out pack.h5/run
# Files of 512 bytes at most: the disk is as good as full.
full_disk() (ulimit -f 1 && exec "$@")
check "import to a full disk" 1 full_disk "$sphynx" import "$weights" --raw -o work/other.h5
one_line "import to a full disk"
check "search on a full disk" 1 full_disk "$sphynx" search --random --out work/run
one_line "search on a full disk"
for closed in '>&-' '>/dev/full'; do
    for verb in --help "inspect --json" "plan --frontier 25600" "data info pack.h5 --json"; do
        check "$verb $closed" 1 sh -c "\"\$0\" $verb $closed" "$sphynx"
        one_line "$verb $closed"
    done
done

[ -z "$(ls -A work)" ] || fail "left behind: $(ls -A work)"
[ "$(ls)" = "$kept" ] || fail "left beside: $(ls)"
finish
