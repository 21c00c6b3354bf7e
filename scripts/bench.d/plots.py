"""Plots as SVG, without a library: lines and bars with axes, readable in light and dark."""

from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 90
COLOURS = ["#2563eb", "#dc2626", "#059669", "#b45309", "#7c3aed", "#475569"]


def nice(top):
    """The smallest of 1, 2, 5 times a power of ten that is not below `top`."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if step * factor >= top:
                return step * factor
        step *= 10


def label(value):
    return f"{value:g}" if abs(value) < 10000 else f"{value:,.0f}"


class Plot:
    def __init__(self, title, x, y):
        self.parts = []
        self.title, self.x, self.y = title, x, y
        self.legend = []

    def text(self, x, y, words, anchor="middle", size=12, turn=0):
        spin = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{spin}>{escape(words)}</text>')

    def line(self, x1, y1, x2, y2, colour="#94a3b8", width=1, dash=""):
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def axes(self, top):
        self.top = nice(top)
        self.text(WIDTH / 2, 22, self.title, size=15)
        for tick in range(6):
            value = self.top * tick / 5
            at = self.at_y(value)
            self.line(LEFT, at, WIDTH - RIGHT, at, "#cbd5e1" if tick else "#64748b")
            self.text(LEFT - 8, at + 4, label(value), "end")
        self.text(18, (TOP + HEIGHT - BOTTOM) / 2, self.y, turn=-90)
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, self.x)

    def at_y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / self.top

    def finish(self, path):
        left = LEFT
        for name, colour in self.legend:
            self.parts.append(f'<rect x="{left}" y="{HEIGHT - 32}" width="12" height="12" fill="{colour}"/>')
            self.text(left + 17, HEIGHT - 22, name, "start")
            left += 34 + 7 * len(name)
        style = "<style>text{font-family:system-ui,sans-serif;fill:#334155}@media(prefers-color-scheme:dark){text{fill:#cbd5e1}}</style>"
        body = "\n".join(self.parts)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
                        f"<title>{escape(self.title)}</title>{style}\n{body}\n</svg>\n")


def bars(path, title, x, y, groups, bound=None):
    """`groups`: [(label, value)]. `bound`: (name, value), a line across."""
    plot = Plot(title, x, y)
    plot.axes(max([value for _, value in groups] + ([bound[1]] if bound else [])))
    width = (WIDTH - LEFT - RIGHT) / len(groups)
    for number, (name, value) in enumerate(groups):
        left, top = LEFT + width * (number + 0.2), plot.at_y(value)
        plot.parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" width="{width * 0.6:.1f}" '
                          f'height="{HEIGHT - BOTTOM - top:.1f}" fill="{COLOURS[0]}"/>')
        plot.text(left + width * 0.3, top - 5, f"{value:.3g}")
        plot.text(left + width * 0.3, HEIGHT - BOTTOM + 18, name)
    if bound:
        at = plot.at_y(bound[1])
        plot.line(LEFT, at, WIDTH - RIGHT, at, COLOURS[1], 1.5, "6 4")
        plot.legend.append((bound[0], COLOURS[1]))
    plot.finish(path)


def lines(path, title, x, y, series, ticks=None, steps=False, bound=None):
    """`series`: {name: [(x, y)]}. `ticks`: [(x, label)]. `steps`: y stays until the next x."""
    plot = Plot(title, x, y)
    points = [point for line in series.values() for point in line]
    plot.axes(max([y for _, y in points] + ([bound[1]] if bound else [])))
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    span = (high - low) or 1

    def at_x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / span

    for value, name in ticks or [(low + span * n / 5, label(round(low + span * n / 5, 2))) for n in range(6)]:
        plot.text(at_x(value), HEIGHT - BOTTOM + 18, name)
    for (name, line), colour in zip(series.items(), COLOURS):
        path_points, before = [], None
        for x_value, y_value in line:
            if steps and before is not None:
                path_points.append(f"{at_x(x_value):.1f},{plot.at_y(before):.1f}")
            path_points.append(f"{at_x(x_value):.1f},{plot.at_y(y_value):.1f}")
            before = y_value
        plot.parts.append(f'<polyline points="{" ".join(path_points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if not steps:
            for point in path_points:
                cx, cy = point.split(",")
                plot.parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>')
        plot.legend.append((name, colour))
    if bound:
        at = plot.at_y(bound[1])
        plot.line(LEFT, at, WIDTH - RIGHT, at, "#64748b", 1.5, "6 4")
        plot.legend.append((bound[0], "#64748b"))
    plot.finish(path)
