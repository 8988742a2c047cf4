#!/usr/bin/env bash
# test_manners.sh SPHYNX: what every command of the program promises.
. "$(dirname "$0")/check.sh"
sphynx=$1

check "version" 0 "$sphynx" --version
has stdout '^sphynx [0-9]+\.[0-9]+\.[0-9]+ \(commit [^,]+, ' version
check "help" 0 "$sphynx" --help
cp "$OUT/stdout" "$OUT/help"

# The text of an option with a long name stands in the column of the others.
check "long options" 0 "$sphynx" train --help
has stdout '^  --schedule [^ ]*$' "long options"
has stdout '^ {31}how it falls' "long options"

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

# An option that means nothing beside the others is refused, and says what it needs: EXPECTED|LINE.
# A configuration file may hold it, since it serves a whole project.
no=$OUT/absent
while IFS='|' read -r expected line; do
    read -ra words <<<"${line//@/$no}"
    check "$line" 2 "$sphynx" "${words[@]}"
    one_line "$line"
    has stderr "$expected" "$line"
done <<'END'
order means nothing with --random|search --random --out @ --order 1
data means nothing with --random|search --random --out @ --data @
max-steps means nothing with --random|search --random --out @ --max-steps 3
published-hessian needs --order 2|search --data @ --out @ --order 1 --published-hessian
allow-changed needs --resume |search --data @ --out @ --allow-changed
milestones needs --schedule step|train --data @ --out @ --milestones 3
lr-factor needs --schedule step|train --data @ --out @ --schedule cosine-steps --lr-factor 0.1
lr-min needs --schedule cosine or --sch|train --data @ --out @ --schedule step --lr-min 0
linear-stem needs --linearize relupruner or |train --data @ --out @ --no-linear-stem
relu-budget needs --linearize relupruner or |train --data @ --out @ --relu-budget 9
flip means nothing with --random|search --random --out @ --no-flip
layers means nothing with --plan|train --data @ --out @ --plan @ --layers 3
allow-changed needs --resume or --init-from|train --data @ --out @ --allow-changed
index needs --data|query --connect localhost:1 --index 3 a.png
allow-changed needs --data|query --connect localhost:1 --allow-changed a.png
resize needs --image or .IMAGE...|query --connect localhost:1 --data @ --resize
verify needs --image or --data or .IMAGE|query --connect localhost:1 --prepare 3 --verify @
data means nothing with .IMAGE...|predict --model @ --data @ a.png
index needs --data|predict --model @ --index 3 a.png
resize needs .IMAGE...|predict --model @ --data @ --resize
classes means nothing with --model|inspect --model @ --classes 3
test-fraction needs operand imagefolder or arrays .see|data pack mnist @ -o @ --held-out 0.2
test-resize means nothing with --image|import @ -o @ --image 8x8 --test-resize 9
store needs operand imagefolder or tiny-imagenet or imagenet .s|data pack mnist @ -o @ --store raw:8
resume needs operand imagefolder|data pack cifar10 @ -o @ --resume
allow-bad needs operand imagefolder|data pack arrays @ -o @ --allow-bad 3
shard needs operand imagefolder|data pack npz @ -o @ --shard 1G
channels needs operand imagefolder|data pack mnist @ -o @ --channels 1
test-fraction needs operand imagefolder|data pack tiny-imagenet @ -o @ --test-fraction 0.2
END
# So does the help.
check "help of train" 0 "$sphynx" train --help
has stdout ' --relu-budget N .*\(needs --linearize relupruner or ' "help of train"
has stdout ' --muon-momentum X .*\(needs --muon-lr\)' "help of train"
has stdout ' --lr X .*learning rate \(default 0.025\)$' "help of train"
# What an option's own range refuses is usage.
for line in "train --data @ --out @ --lr -1" "train --data @ --out @ --momentum 1.5" \
    "train --data @ --out @ --weight-decay -1" "search --data @ --out @ --alpha-lr -1" \
    "search --data @ --out @ --clip -1" "predict --model @ --data @ --index -1" \
    "query --connect localhost:1 --data @ --index 0,-1" "serve --model @ --clients 0"; do
    # shellcheck disable=SC2086
    check "$line" 2 "$sphynx" ${line//@/$no}
    one_line "$line"
    has stderr 'must be' "$line"
done

check "too long a number" 2 "$sphynx" train --data "$no" --out "$no" \
    --batch 99999999999999999999
has stderr 'out of range' "too long a number"
check "no folder" 1 "$sphynx" inspect --dot "$no/dir/x.dot"
one_line "no folder"
has stderr "no folder .*absent/dir" "no folder"
mkdir "$OUT/none"
check "no classes" 1 "$sphynx" data pack folder "$OUT/none" -o "$OUT/p.h5"
has stderr 'no class: a folder for each' "no classes"
printf 'milestones = 3\nlr-factor = 0.5\nallow-changed = true\n' >"$OUT/project.ini"
check "needs of a configuration" 1 "$sphynx" train --data "$no" --out "$no" \
    --config "$OUT/project.ini"
has stderr 'absent: No such file' "needs of a configuration"
printf 'data = x.h5\norder = 1\npublished-hessian = true\n' >"$OUT/project.ini"
check "needs of a configuration" 0 "$sphynx" search --random --out "$OUT/run" \
    --config "$OUT/project.ini"
check "a flag switched off" 1 "$sphynx" search --data "$no" --out "$no" --order 1 \
    --no-published-hessian

check "doctor" 0 "$sphynx" doctor --json
has stdout '"isa": "(portable|avx2|avx512vl)"' "doctor --json"
for library in hdf5 libjpeg-turbo libpng openssl zlib; do
    jq -e --arg l $library '.libraries[$l] | test("^[0-9]+[.][0-9]")' "$OUT/stdout" >"$OUT/jq" ||
        fail "doctor names no version of $library"
done
SPHYNX_ISA=portable check "doctor, portable" 0 "$sphynx" doctor --json
has stdout '"isa": "portable"' "SPHYNX_ISA lowers the instruction set"
has stdout '"name": "AVX2"' "doctor tells what is lacking"

# Data that could not be written is a failure: /dev/full is always full, >&- is closed.
if [ -e /dev/full ]; then
    check "stdout full" 1 sh -c '"$0" doctor --json >/dev/full' "$sphynx"
    has stderr 'standard output: ' "stdout full"
fi
check "stdout closed" 1 sh -c '"$0" doctor --json >&-' "$sphynx"
check "a trace of what is none" 2 env SPHYNX_LOG=graph:loud "$sphynx" --help
one_line "a trace of what is none"
has stderr "SPHYNX_LOG: 'graph:loud'" "a trace of what is none"
check "help" 0 "$sphynx" --help
has stdout '^  SPHYNX_LOG=' "help tells of the trace"
check "a trace" 0 env SPHYNX_LOG=graph:debug,pi:info,json "$sphynx" --help
finish
