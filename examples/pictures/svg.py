"""A terminal's screen as an SVG picture: tmux capture-pane -e -p | svg.py COLUMNS ROWS > picture.svg"""

import sys
from html import escape

import pyte

WIDTH, HEIGHT, PAD = 8.4, 18, 12
NAMED = {
    "black": "1c1c22", "red": "e06c75", "green": "98c379", "brown": "e5c07b", "blue": "61afef",
    "magenta": "c678dd", "cyan": "56b6c2", "white": "dcdfe4", "brightblack": "5c6370",
    "brightred": "e06c75", "brightgreen": "98c379", "brightbrown": "e5c07b",
    "brightblue": "61afef", "brightmagenta": "c678dd", "brightcyan": "56b6c2",
    "brightwhite": "ffffff",
}
GROUND, TEXT = "101014", "dddddd"


def colour(value, default):
    return default if value == "default" else NAMED.get(value, value)


def runs(line, columns):
    """Neighbouring cells that look alike, as (first column, cell, text)."""
    found = []
    for column in range(columns):
        cell = line[column]
        look = (cell.fg, cell.bg, cell.bold, cell.reverse)
        if found and found[-1][1] == look and cell.data and cell.data.isascii():
            found[-1][2].append(cell.data)
        elif cell.data:
            found.append((column, look, [cell.data]))
    return found


def main(columns, rows):
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    stream.feed(sys.stdin.buffer.read().rstrip(b"\n").replace(b"\n", b"\r\n"))
    width, height = columns * WIDTH + 2 * PAD, rows * HEIGHT + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
          f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">')
    print(f'<rect width="100%" height="100%" rx="8" fill="#{GROUND}"/>')
    for row in range(rows):
        for column, (fg, bg, bold, reverse), text in runs(screen.buffer[row], columns):
            text = "".join(text)
            ink, paper = colour(fg, TEXT), colour(bg, GROUND)
            if reverse:
                ink, paper = paper, ink
            x, y = PAD + column * WIDTH, PAD + row * HEIGHT
            if paper != GROUND:
                print(f'<rect x="{x:.1f}" y="{y}" width="{len(text) * WIDTH:.1f}" '
                      f'height="{HEIGHT}" fill="#{paper}"/>')
            if text.strip():
                weight = ' font-weight="bold"' if bold else ""
                print(f'<text x="{x:.1f}" y="{y + 13}" fill="#{ink}"{weight} xml:space="preserve" '
                      f'textLength="{len(text) * WIDTH:.1f}">{escape(text)}</text>')
    print("</svg>")


main(int(sys.argv[1]), int(sys.argv[2]))
