#!/usr/bin/env bash
# test_batches.sh SPHYNX: sphynx data batches against the arrays a pack was made of, in NumPy.
. "$(dirname "$0")/check.sh"
sphynx=$(realpath "$1")
python=/usr/bin/python3 # Debian's, which has the packages
"$python" -c 'import h5py, numpy' 2>"$OUT/gone" || { echo "skipped: needs python3-h5py"; exit 77; }
cd "$OUT" || exit 1

# Image i of 20 is grey i + 10 everywhere but in its first column, which is 0; label i % 3.
"$python" - <<'PY'
import numpy as np
x = np.empty((20, 3, 8, 6), np.uint8)
x[:] = 10 + np.arange(20).reshape(-1, 1, 1, 1)
x[..., 0] = 0
y = np.arange(20) % 3
np.savez("set.npz", x_train=x, y_train=y, x_test=x[:7], y_test=y[:7])
PY
check "pack" 0 "$sphynx" data pack npz set.npz -o set.h5
plain=(--no-flip --pad-crop 0)
check "epoch" 0 "$sphynx" data batches set.h5 --batch 6 "${plain[@]}" -o epoch.h5
has stdout '3 batches of 6 images of 3x8x6' "epoch"
check "two epochs" 0 "$sphynx" data batches set.h5 --steps 6 --batch 6 "${plain[@]}" -o two.h5
check "second epoch" 0 "$sphynx" data batches set.h5 --epoch 1 --batch 6 "${plain[@]}" -o second.h5
check "flipped" 0 "$sphynx" data batches set.h5 --batch 6 --pad-crop 0 -o flipped.h5 --threads 2
check "test" 0 "$sphynx" data batches set.h5 --batch 4 --test -o test.h5 --json
[ "$(cat "$OUT/stdout" | jq -c '[.steps, .batch]')" = "[2,4]" ] || fail "test: --json"
check "another seed" 0 "$sphynx" data batches set.h5 --batch 6 "${plain[@]}" --seed 2 -o seed.h5
# What train has decides here, too: recipes, held-out images, stages of resolution.
printf '[train]\nbatch = 6\nflip = false\npad-crop = 0\nlr = 0.5\n' >plain.ini
check "by a recipe" 0 "$sphynx" data batches set.h5 --recipe plain.ini -o recipe.h5
check "a recipe overruled" 0 "$sphynx" data batches set.h5 --recipe plain.ini --batch 5 -o five.h5
has stdout '4 batches of 5 images' "a recipe overruled"
check "the rest" 0 "$sphynx" data batches set.h5 --val-fraction 0.25 --batch 5 "${plain[@]}" \
    -o rest.h5
stages=("$sphynx" data batches set.h5 --input 3x8x8 --resized-crop 1,1 --epochs 4 --batch 6
    --resolutions 4:0,8:50%)
check "early" 0 "${stages[@]}" --steps 6 -o early.h5
has stdout '6 batches of 6 images of 3x4x4' "early"
check "late" 0 "${stages[@]}" --epoch 2 -o late.h5
has stdout '3 batches of 6 images of 3x8x8' "late"
check "both" 2 "${stages[@]}" --epoch 1 --steps 4 -o both.h5
one_line "both"
has stderr 'epoch 2 is of another resolution: --steps up to 3 ' "both"
check "stages without boxes" 2 "$sphynx" data batches set.h5 --resolutions 4:0 -o both.h5
has stderr 'resolutions needs --resized-crop' "stages without boxes"
check "held out of the test split" 2 "$sphynx" data batches set.h5 --test --val-fraction 0.2 \
    -o both.h5
[ ! -e both.h5 ] || fail "something is left of a refusal"
check "compare" 0 "$python" - <<'PY'
import h5py
import numpy as np

def load(name):
    with h5py.File(name, "r") as f:
        return f["images"][()], f["labels"][()], f["indices"][()]

def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))

made = np.load("set.npz")
x = made["x_train"].astype(np.float64) / 255
with h5py.File("set.h5", "r") as f: # what it is normalised by; see data/pack
    mean, std = (f.attrs[n].reshape(1, 3, 1, 1) for n in ("mean", "std"))
x = (x - mean) / std

images, labels, indices = load("epoch.h5")
assert images.shape == (3, 6, 3, 8, 6) and images.dtype == np.float32
order = indices.ravel()
assert len(set(order)) == 18 and not np.array_equal(np.sort(order), order)
assert np.array_equal(labels, made["y_train"][indices])
assert np.abs(images - x[indices]).max() < 1e-5 # f32 of numbers below 4
two = load("two.h5")
assert same([a[:3] for a in two], (images, labels, indices))
assert same([a[3:] for a in two], load("second.h5"))
assert same(load("recipe.h5"), load("epoch.h5"))
rest = load("rest.h5")[2]
assert rest.shape == (3, 5) and len(set(rest.ravel())) == 15
assert not same(load("second.h5"), load("epoch.h5"))
flipped, _, again = load("flipped.h5")
assert np.array_equal(again, indices)
turned = np.array([[np.array_equal(flipped[s, k], images[s, k, :, :, ::-1]) for k in range(6)]
                   for s in range(3)])
kept = np.array([[np.array_equal(flipped[s, k], images[s, k]) for k in range(6)] for s in range(3)])
assert (turned ^ kept).all() and 0 < turned.sum() < 18
images, labels, indices = load("test.h5")
assert indices.tolist() == [[0, 1, 2, 3], [4, 5, 6, -1]]
assert np.abs(images.reshape(8, 3, 8, 6)[:7] - x[:7]).max() < 1e-5
assert not np.array_equal(load("seed.h5")[2], load("epoch.h5")[2])
PY
check "one" 0 "$sphynx" data batches set.h5 --steps 1 --batch 1 -o one.h5
has stdout ': 1 batch of 1 image of 3x8x6$' "one"
check "onto its pack" 2 "$sphynx" data batches set.h5 -o set.h5
check "too many for memory" 1 "$sphynx" data batches set.h5 --steps 1000000000 --batch 65536 -o x.h5
one_line "too many for memory"
check "batch above the split" 1 "$sphynx" data batches set.h5 --batch 21 -o x.h5
one_line "batch above the split"
[ ! -e x.h5 ] || fail "something is left of a failure"
check "option of another" 2 "$sphynx" data batches set.h5 --crop-ratio 1,1 -o x.h5
finish
