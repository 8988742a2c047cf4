"""Golden masks of test_linearize.c, in float64, from the published formulas alone.

relupruner's are written as its code has them, for its own batch of 128 images: gradients of the
batch's mean, the mean of the last ten batches kept as a list. Prints what the test holds.
"""
from math import cos, floor, pi, sqrt

IMAGES, BATCHES, COUNTS = 128, 10, (6, 5, 4)


def drawn(layer, batch, image, position, salt):
    """A whole number in 0..96, as the test draws it."""
    return (31 * layer + 17 * batch + 13 * image * (salt + 1) + 7 * position * (salt + 3)
            + position * position * (layer + 2) + 5 * salt) % 97


def relupruner():
    maps = [[dict(I=0.0, F=0.0, P=[]) for _ in range(n)] for n in COUNTS]
    norm, square, weight = [0.0] * 3, [0.0] * 3, [1.0] * 3
    for b in range(BATCHES):
        for l, count in enumerate(COUNTS):
            x = [[(drawn(l, b, i, k, 0) - 48 + 6 * k) / 32 for k in range(count)]
                 for i in range(IMAGES)]
            g = [[(drawn(l, b, i, k, 1) - 48) * (k % 3 + 1) / 65536 for k in range(count)]
                 for i in range(IMAGES)]
            for k, m in enumerate(maps[l]):
                mean = lambda f: sum(f(x[i][k], g[i][k]) for i in range(IMAGES)) / IMAGES
                m["P"] = (m["P"] + [mean(lambda a, d: a < 0)])[-10:]
                m["F"] = 0.99 * m["F"] + 0.01 * mean(lambda a, d: d * d)
                v = mean(lambda a, d: abs(d * a)) * sum(m["P"]) / len(m["P"]) \
                    + 0.5 * mean(lambda a, d: a * a) * m["F"]
                m["I"] = 0.95 * m["I"] + 0.05 * v * weight[l]
            norms = [sqrt(sum(d * d for d in row)) for row in g]
            norm[l] = 0.95 * norm[l] + 0.05 * sum(norms) / IMAGES
            squares = sum(d * d for row in g for d in row)
            square[l] = 0.95 * square[l] + 0.05 * squares / (IMAGES * count)
        s = [norm[l] * sqrt(square[l] + 1e-8) * (1 + 0.2 * l / 2) for l in range(3)]
        weight = [(v - min(s)) / (max(s) - min(s)) + 0.1 for v in s]
    return [[m["I"] for m in layer] for layer in maps]


def snl(budget, epochs=40, steps=10, before=2, lr=0.05, penalty=1e-3, growth=1.3):
    """Masks of 0..1 by Adam, as torch.optim.Adam has it, with an L1 penalty that grows; the loss
    falls by a mask as much as it is worth, but for noise. (masks, epochs, penalty, least distance
    of a decision from another)"""
    at = [(l, k) for l, n in enumerate(COUNTS) for k in range(n)]
    a, m, v = ({p: x for p in at} for x in (1.0, 0.0, 0.0))
    least, near, t = len(at), 1.0, 0
    for e in range(epochs):
        for b in range(e * steps, (e + 1) * steps):
            t += 1
            for l, k in at:
                noise = (drawn(l, b, 5, k, 0) - 48) / 97 * 1e-3
                d = noise - (drawn(l, 0, 3, k, 1) + 1) / 97 * 1e-2
                d += penalty if a[l, k] > 0 else 0.0
                m[l, k] = 0.9 * m[l, k] + 0.1 * d
                v[l, k] = 0.999 * v[l, k] + 0.001 * d * d
                a[l, k] -= (lr / (1 - 0.9 ** t) * m[l, k]
                            / (sqrt(v[l, k]) / sqrt(1 - 0.999 ** t) + 1e-8))
                a[l, k] = min(max(a[l, k], 0.0), 1.0)
        near = min([near] + [abs(x - 0.01) for x in a.values()])
        above = sum(x > 0.01 for x in a.values())
        if above <= budget:
            break
        if above < least:
            least = above
        elif e >= before:
            penalty *= growth
    order = sorted(a.values(), reverse=True)
    if order[budget - 1] != order[budget]:
        near = min(near, order[budget - 1] - order[budget])
    kept = sorted(at, key=lambda p: (-a[p], p))[:budget]
    return (["".join(str(int((l, k) in kept)) for k in range(n)) for l, n in enumerate(COUNTS)],
            e + 1, above, penalty, near)


def distances():
    """senet's: an epoch of two batches, sums of |student - teacher|"""
    return [[sum(abs(max(0, (drawn(l, b, i, k, 0) - 48 + 6 * k) / 32)
                     - max(0, (drawn(l, b, i, k, 1) - 40) / 32))
                 for b in range(2) for i in range(IMAGES)) for k in range(n)]
            for l, n in enumerate(COUNTS)]


def by_share(score, shares, budget):
    """Shares of layers' positions, scaled to the budget; largest fractions get what is left."""
    want = [r * n for r, n in zip(shares, COUNTS)]
    exact = [v * budget / sum(want) for v in want]
    assert all(v < n for v, n in zip(exact, COUNTS))
    keep = [floor(v) for v in exact]
    for l in sorted(range(3), key=lambda l: (keep[l] - exact[l], l))[:budget - sum(keep)]:
        keep[l] += 1
    return [masks([row], k)[0] for row, k in zip(score, keep)]


def masks(score, keep):
    order = sorted(((-v, l, k) for l, row in enumerate(score) for k, v in enumerate(row)))
    kept = {(l, k) for _, l, k in order[:keep]}
    return ["".join(str(int((l, k) in kept)) for k in range(len(row)))
            for l, row in enumerate(score)]


def count(e, full, budget, epochs=150, before=5, falling=0.6):
    end = before + floor(falling * (epochs - before))
    if e < before:
        return full
    if e >= end:
        return budget
    p, r = (e - before) / (end - before), budget / full
    return floor(full * (r + (1 - r) * (1 + cos(pi * p ** 1.5)) / 2))


if __name__ == "__main__":
    score = relupruner()
    ordered = sorted(v for row in score for v in row)
    print("least distance of neighbours", min((b - a) / b for a, b in zip(ordered, ordered[1:])))
    for keep in (3, 7, 12):
        print(keep, masks(score, keep))
    score = distances()
    print("senet's", min(abs(a - b) / a for row in score for a in row for b in row if a != b))
    print(by_share(score, (.5, .2, .8), 6), by_share(score, (.1, .2, .6), 4))
    for budget in (12, 8, 3):
        print("snl's", budget, snl(budget))
    print({e: count(e, 491520, 49152) for e in (0, 4, 5, 6, 20, 50, 91, 92, 149)})
    print({e: count(e, 1000, 1, 10, 1, 0.5) for e in range(7)})
