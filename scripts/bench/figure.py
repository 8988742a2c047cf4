"""Pictures of figures as SVG, without any library: accuracy against what it costs."""
import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 420, 64, 190, 16, 52
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#edae49", "#6a4c93", "#00798c", "#8d5524", "#555555",
           "#c02f97", "#7a9e00", "#2e4057", "#e07a5f")


def _ticks(low, high, logarithmic):
    if logarithmic:
        values = [m * 10 ** e for e in range(math.floor(math.log10(low)),
                                             math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)]
    else:
        step = 10 ** math.floor(math.log10(max(high - low, 1e-9) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 6)
        values = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [v for v in values if low <= v <= high * (1 + 1e-9)]


def _words(value):
    for size, letter in ((1e6, "M"), (1e3, "K")):
        if value >= size:
            return "%g%s" % (round(value / size, 2), letter)
    return "%g" % round(value, 6)


def scatter(series, x_name, y_name, logarithmic=True):
    """An SVG file's text.

    series: {name: [(x, y, deviation or None), ...]}; lines join a name's points by rising x.
    """
    points = [p for line in series.values() for p in line]
    if not points:
        return ("<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d'></svg>\n"
                % (WIDTH, HEIGHT))
    low_x, high_x = (f(p[0] for p in points) for f in (min, max))
    low_y = min(p[1] - (p[2] or 0) for p in points)
    high_y = max(p[1] + (p[2] or 0) for p in points)
    if logarithmic:
        low_x, high_x = low_x / 1.15, high_x * 1.15
    else:
        low_x, high_x = 0, high_x * 1.05
    low_y, high_y = low_y - 0.5, high_y + 0.5
    scale = math.log if logarithmic else float

    def at_x(x):
        share = (scale(x) - scale(low_x)) / (scale(high_x) - scale(low_x))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def at_y(y):
        return TOP + (high_y - y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)

    out = ["<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif'"
           " font-size='12'>" % (WIDTH, HEIGHT),
           "<rect width='100%' height='100%' fill='white'/>"]
    for x in _ticks(low_x, high_x, logarithmic):
        out.append("<path d='M%.1f %dV%d' stroke='#ddd'/><text x='%.1f' y='%d' "
                   "text-anchor='middle'>%s</text>" % (at_x(x), TOP, HEIGHT - BOTTOM, at_x(x),
                                                       HEIGHT - BOTTOM + 18, _words(x)))
    for y in _ticks(low_y, high_y, False):
        out.append("<path d='M%d %.1fH%d' stroke='#ddd'/><text x='%d' y='%.1f' text-anchor='end'>"
                   "%g</text>" % (LEFT, at_y(y), WIDTH - RIGHT, LEFT - 6, at_y(y) + 4,
                                  round(y, 6)))
    out.append("<text x='%d' y='%d' text-anchor='middle'>%s</text>"
               % ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, html.escape(x_name)))
    out.append("<text transform='translate(18 %d) rotate(-90)' text-anchor='middle'>%s</text>"
               % ((TOP + HEIGHT - BOTTOM) / 2, html.escape(y_name)))
    for k, (name, line) in enumerate(series.items()):
        colour = COLOURS[k % len(COLOURS)]
        line = sorted(line)
        out.append("<path d='M%s' fill='none' stroke='%s' stroke-opacity='0.5'/>" % (
            "L".join("%.1f %.1f" % (at_x(x), at_y(y)) for x, y, _ in line), colour))
        for x, y, off in line:
            if off:
                out.append("<path d='M%.1f %.1fV%.1f' stroke='%s'/>" % (
                    at_x(x), at_y(y - off), at_y(y + off), colour))
            out.append("<circle cx='%.1f' cy='%.1f' r='4' fill='%s'><title>%s: %s, %.2f</title>"
                       "</circle>" % (at_x(x), at_y(y), colour, html.escape(name), _words(x), y))
        out.append("<circle cx='%d' cy='%d' r='4' fill='%s'/><text x='%d' y='%d'>%s</text>" % (
            WIDTH - RIGHT + 16, TOP + 12 + 18 * k, colour, WIDTH - RIGHT + 26, TOP + 16 + 18 * k,
            html.escape(name)))
    return "\n".join(out) + "\n</svg>\n"


def beside(panels):
    """Several such pictures in one, from left to right."""
    inner = "".join(p.replace("<svg ", "<svg x='%d' " % (k * WIDTH), 1)
                    for k, p in enumerate(panels))
    return ("<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d'>\n%s</svg>\n"
            % (WIDTH * len(panels), HEIGHT, inner))
