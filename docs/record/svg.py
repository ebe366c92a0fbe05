"""Draws the pictures of a session as one SVG that moves by CSS alone.

All pictures stand below each other on a strip, and the strip jumps behind a window. Rows and
whole screens that come again are drawn once. It has no script, no font and no file of others:
a code host shows it as an image. Where nothing may move, it is the last picture.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

CELL_WIDTH = 8
CELL_HEIGHT = 17
FONT_SIZE = 13
BASELINE = 13
MARGIN = 12
BAR_HEIGHT = 28
GAP = 10
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

BACK, BAR, EDGE, TEXT, QUIET, CURSOR = "#161b22", "#21262d", "#484f58", "#e6edf3", "#adbac7", "#8b949e"
COLOURS = {
    "black": "#8b949e",
    "red": "#ff8a80",
    "green": "#7ee787",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": TEXT,
}


@dataclass
class Screen:
    rows: list
    cursor_row: int
    cursor_column: int


@dataclass
class Frame:
    caption: str
    screens: list
    active: int
    millis: int


class Defs:
    """What is drawn once: gives each text a short name."""

    def __init__(self):
        self.names = {}

    def use(self, prefix, body, y):
        if not body:
            return ""
        name = self.names.setdefault(body, "%s%d" % (prefix, len(self.names)))
        return '<use href="#%s"%s/>' % (name, ' y="%d"' % y if y else "")

    def draw(self):
        return "".join('<g id="%s">%s</g>\n' % (name, body) for body, name in self.names.items())


def draw_run(run, y):
    """`textLength` keeps the columns whatever font there is."""
    column, text, colour, is_bold = run
    colour = COLOURS.get(colour, TEXT)
    return '<text x="%d" y="%d" textLength="%d"%s%s>%s</text>' % (
        MARGIN + column * CELL_WIDTH,
        BASELINE + y,
        len(text) * CELL_WIDTH,
        "" if colour == TEXT else ' fill="%s"' % colour,
        ' font-weight="bold"' if is_bold else "",
        escape(text),
    )


def draw_row(runs):
    return "".join(draw_run(run, 0) for run in runs)


def screen_height(screen):
    return BAR_HEIGHT + len(screen.rows) * CELL_HEIGHT + MARGIN


def draw_cursor(screen, top, is_active):
    look = 'fill="%s"' % CURSOR if is_active else 'fill="none" stroke="%s"' % CURSOR
    return '<rect x="%d" y="%d" width="%d" height="%d" %s/>' % (
        MARGIN + screen.cursor_column * CELL_WIDTH,
        top + screen.cursor_row * CELL_HEIGHT,
        CELL_WIDTH,
        CELL_HEIGHT - 1,
        look,
    )


def draw_frame(frame, defs, y):
    """All but the row that is typed in stays as it is from key to key."""
    still, moving, top = "", "", 0
    for index, screen in enumerate(frame.screens):
        is_active = index == frame.active
        caption = frame.caption if index == 0 else "another terminal"
        still += '<text x="%d" y="%d" fill="%s">%s</text>' % (
            MARGIN,
            top + 18,
            QUIET,
            escape(caption),
        )
        first = top + BAR_HEIGHT + 6
        for row, runs in enumerate(screen.rows):
            place = first + row * CELL_HEIGHT
            if is_active and row == screen.cursor_row:
                moving += defs.use("r", draw_row(runs[:-1]), place)
                moving += "".join(draw_run(run, place) for run in runs[-1:])
            else:
                still += defs.use("r", draw_row(runs), place)
        if is_active:
            moving += draw_cursor(screen, first, True)
        else:
            still += draw_cursor(screen, first, False)
        top += screen_height(screen) + GAP
    return '<g transform="translate(0 %d)">%s%s</g>\n' % (y, defs.use("s", still, 0), moving)


def draw_window(top, width, height):
    return (
        '<rect x="0.5" y="{y}" width="{w}" height="{h}" rx="8" fill="{BACK}" stroke="{EDGE}"/>'
        '<path d="M1 {b}V{c}a7.5 7.5 0 0 1 7.5-7.5H{e}a7.5 7.5 0 0 1 7.5 7.5V{b}z" fill="{BAR}"/>\n'
    ).format(
        y=top + 0.5,
        w=width - 1,
        h=height - 1,
        b=top + BAR_HEIGHT,
        c=top + 8.5,
        e=width - 8.5,
        BACK=BACK,
        EDGE=EDGE,
        BAR=BAR,
    )


def draw_times(frames, height):
    """Each picture stays until the next: no movement between them."""
    total, now, steps = sum(frame.millis for frame in frames), 0, ""
    for index, frame in enumerate(frames):
        steps += "%.3f%%{transform:translateY(%dpx)}" % (100 * now / total, -index * height)
        now += frame.millis
    steps += "to{transform:translateY(%dpx)}" % (-(len(frames) - 1) * height)
    return (
        "@keyframes play{%s}\n"
        "@media (prefers-reduced-motion:no-preference)"
        "{#strip{animation:play %.2fs step-end infinite}}"
    ) % (steps, total / 1000)


def draw(frames, columns):
    width, screens = columns * CELL_WIDTH + 2 * MARGIN, frames[0].screens
    height = sum(screen_height(screen) + GAP for screen in screens) - GAP
    windows, top = "", 0
    for screen in screens:
        windows += draw_window(top, width, screen_height(screen))
        top += screen_height(screen) + GAP
    defs = Defs()
    strip = "".join(
        draw_frame(frame, defs, index * height) for index, frame in enumerate(frames)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}"'
        ' xml:space="preserve"'
        ' font-family="{fonts}" font-size="{size}" fill="{fill}">\n'
        "<style>{times}</style>\n<defs>\n{defs}</defs>\n{windows}"
        '<svg width="{w}" height="{h}">'
        '<g id="strip" transform="translate(0 -{last})">\n{strip}</g></svg>\n</svg>\n'
    ).format(
        w=width,
        h=height,
        fonts=FONTS,
        size=FONT_SIZE,
        fill=TEXT,
        times=draw_times(frames, height),
        defs=defs.draw(),
        windows=windows,
        last=(len(frames) - 1) * height,
        strip=strip,
    )
