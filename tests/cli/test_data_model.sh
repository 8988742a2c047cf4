#!/usr/bin/env bash
# test_data_model.sh SPHYNX PYTHON: a model of pictures of differing sizes gives the same answer to
# a picture whether it comes from the pack or from its file, and evaluation adds up these answers.
. "$(dirname "$0")/check.sh"
sphynx=$1 python=$2
"$python" -c 'import PIL, numpy' 2>"$OUT/stderr" || { echo "no PIL, numpy"; exit 77; }
export XDG_CACHE_HOME=$OUT/cache
cd "$OUT" || exit 1
# Two classes, stripes and spots, from 20 to 150 pixels, so that some are decoded at a smaller
# scale; every fourth a PNG.
"$python" - <<'PY' || exit 1
import os
import numpy as np
from PIL import Image
rng = np.random.default_rng(3)
for i in range(48):
    h, w = (int(v) for v in rng.integers(20, 150, 2))
    y, x = np.mgrid[0:h, 0:w]
    stripes = 110 + 90 * np.sin(x / 3 + rng.random())
    spots = 110 + 45 * (np.sin(x / 3) + np.sin(y / 3))
    v = (spots if i % 2 else stripes)[..., None] + rng.integers(-30, 30, 3)
    name = f"set/{'test' if i >= 32 else 'train'}/{'spots' if i % 2 else 'stripes'}/{i:02}"
    os.makedirs(os.path.dirname(name), exist_ok=True)
    image = Image.fromarray(np.clip(v, 0, 255).astype(np.uint8))
    image.save(name + (".png" if i % 4 == 3 else ".jpg"))
PY
check "pack" 0 "$sphynx" data pack imagefolder set -o pack.h5
has stdout '32 train \+ 16 test images of 3 channels and differing sizes, 2 classes' "pack"
check "pack as planes" 0 "$sphynx" data pack imagefolder set -o planes.h5 --store raw:40
small=(--init-channels 1 --layers 3 --reduce-at "0,2" --aux-weight 0 --batch 8 --epochs 2)
added_up() { # added_up NAME: what eval printed is what the answers in packed.json add up to
    jq -e --slurpfile p packed.json '
        ($p[0] | map(if .classes[0].class == .label then 1 else 0 end) | add / length) as $top1 |
        ($p[0] | map(.label as $l | .classes[] | select(.class == $l).probability | -log) |
            add / length) as $loss |
        .images == 16 and .top1 == $top1 and ((.loss - $loss) | fabs) < 1e-4' stdout >same ||
        fail "$1: evaluation is not what the answers add up to: $(cat stdout)"
}
for way in "0.5,1 20" "0.3,1 16"; do
    read -r crop resize <<<"$way"
    rm -rf run deployed.h5
    check "train $way" 0 "$sphynx" train --data pack.h5 --out run "${small[@]}" --input 3x16x16 \
        --resized-crop "$crop" --test-resize "$resize" --threads 2
    check "inspect $way" 0 "$sphynx" inspect --model run
    has stdout "any size: the middle 16 of $resize pixels scaled to 16x16" "inspect $way"
    # each test picture by its number and by its file; the order is that of the names
    mapfile -t files < <(cd set && find test -type f | LC_ALL=C sort)
    check "predict files" 0 "$sphynx" predict --model run "${files[@]/#/set/}" --json
    mv stdout files.json
    for i in "${!files[@]}"; do
        check "predict $i" 0 "$sphynx" predict --model run --data pack.h5 --index "$i" --json
        cat stdout
    done | jq -s 'map(.[0])' >packed.json
    jq -e -n --slurpfile a files.json --slurpfile b packed.json \
        '($a[0] | length) == 16 and [$a[0][].classes] == [$b[0][].classes]' >same ||
        fail "$way: a file gives another answer than the same picture in the pack"
    check "eval $way" 0 "$sphynx" eval --model run --data pack.h5 --json --batch 5
    added_up "$way"
    check "export $way" 0 "$sphynx" export --model run -o deployed.h5 --calibration 16
    check "eval integers $way" 0 "$sphynx" eval --model deployed.h5 --data pack.h5 --json
    jq -e '.images == 16' stdout >same || fail "eval integers: $(cat stdout)"
done
check "inspect the deployed" 0 "$sphynx" inspect --model deployed.h5
has stdout 'any size: the middle 16 of 16 pixels' "inspect the deployed"
serve --model deployed.h5 --listen 127.0.0.1:0 --state server --timeout 60
check "query" 0 "$sphynx" query --connect "127.0.0.1:$port" --state client --data pack.h5 \
    --index 0,3 --verify deployed.h5 --timeout 60 --json "set/${files[0]}" "set/${files[3]}"
jq -e 'length == 4 and .[0].logits == .[2].logits and .[1].logits == .[3].logits
       and .[2].label != null' stdout >same || fail "query: $(cat stdout)"
stop

# boxes of pictures that are stored as planes of one size
check "train on planes" 0 "$sphynx" train --data planes.h5 --out planes "${small[@]}" \
    --input 3x16x16 --resized-crop 0.5,1 --test-resize 20
check "inspect of planes" 0 "$sphynx" inspect --model planes
has stdout "any size: the middle 16 of 20 pixels" "inspect of planes"
for i in {0..15}; do
    check "planes $i" 0 "$sphynx" predict --model planes --data planes.h5 --index "$i" --json
    cat stdout
done | jq -s 'map(.[0])' >packed.json
check "eval of planes" 0 "$sphynx" eval --model planes --data planes.h5 --json
added_up "planes"

# a model of one size, and pictures of several
check "train on one size" 0 "$sphynx" data pack imagefolder set -o raw.h5 --store raw:16
has stdout 'test images of 3x16x16' "train on one size"
check "train on one size" 0 "$sphynx" train --data raw.h5 --out fixed "${small[@]}" --pad-crop 2
check "eval of differing sizes" 1 "$sphynx" eval --model fixed --data pack.h5 --allow-changed
one_line "eval of differing sizes"
has stderr 'differing sizes; the model takes 2 of 3 and 16x16' "eval of differing sizes"
check "predict one of them" 0 "$sphynx" predict --model fixed --data raw.h5 --index 2 --json
check "import" 0 "$sphynx" import run/model.h5 -o imported.h5 --init-channels 1 --layers 3 \
    --reduce-at "0,2" --input 3x16x16 --classes 2 --data pack.h5 --test-resize 16
check "import of other classes" 1 "$sphynx" import run/model.h5 -o other.h5 --init-channels 1 \
    --layers 3 --reduce-at "0,2" --input 3x16x16 --classes 77 --data pack.h5 --test-resize 16
one_line "import of other classes"
has stderr '2 classes, images of 3 channels and differing sizes; the network takes 77 classes' \
    "import of other classes"
check "eval the import" 0 "$sphynx" eval --model imported.h5 --data pack.h5 --json
imported=$(jq -c '[.top1, .loss]' stdout)
check "eval the run" 0 "$sphynx" eval --model run --data pack.h5 --json
[ "$imported" = "$(jq -c '[.top1, .loss]' stdout)" ] || fail "an import evaluates otherwise"
finish
