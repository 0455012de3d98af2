"""A terminal's screen as an SVG picture: tmux capture-pane -e -p | svg.py COLUMNS ROWS > picture.svg"""

import re
import sys
from html import escape

import pyte
from wcwidth import wcswidth

WIDTH, HEIGHT, PAD = 8.43, 18, 12
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
    """Neighbouring cells that look alike, as (first column, look, characters).

    What is not ASCII may come from another font, as wide as it likes: each such character has its
    own place, unless it is repeated.
    """
    found = []
    for column in range(columns):
        cell = line[column]
        look = (cell.fg, cell.bg, cell.bold, cell.reverse)
        joins = found and found[-1][1] == look and (
            found[-1][2][-1] == cell.data
            or (cell.data.isascii() and found[-1][2][-1].isascii()))
        if not cell.data:
            continue  # the second half of a wide one
        if joins and wcswidth(cell.data) == 1:
            found[-1][2].append(cell.data)
        else:
            found.append((column, look, [cell.data]))
    return found


def drawn(char, count, x, y, ink):
    """What is a line or a block, as a shape: fonts leave gaps between such characters."""
    def rect(x, y, width, height):
        return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#{ink}"/>'

    middle, half = y + HEIGHT / 2, WIDTH / 2
    heights = "▁▂▃▄▅▆▇█"
    if char == "─":
        return rect(x, middle - 0.5, count * WIDTH, 1)
    if char == "━":
        return rect(x, middle - 1.5, count * WIDTH, 3)
    if char == "╸":
        return rect(x, middle - 1.5, half, 3)
    if char == "▌":
        return rect(x, y, half, HEIGHT)
    if char == "│":
        return "".join(rect(x + at * WIDTH + half - 0.5, y, 1, HEIGHT) for at in range(count))
    if char in heights:
        height = HEIGHT * (heights.index(char) + 1) / 8
        return rect(x, y + HEIGHT - height, count * WIDTH, height)
    if char in "╭╮╰╯":
        end = y + HEIGHT if char in "╭╮" else y
        side = x + WIDTH if char in "╭╰" else x
        return (f'<path d="M{x + half:.1f} {end:.1f}Q{x + half:.1f} {middle:.1f} '
                f'{side:.1f} {middle:.1f}" stroke="#{ink}" fill="none"/>')
    return None


def main(columns, rows):
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    stream.feed(sys.stdin.buffer.read().rstrip(b"\n").replace(b"\n", b"\r\n"))
    width, height = columns * WIDTH + 2 * PAD, rows * HEIGHT + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
          f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">')
    print(f'<rect width="100%" height="100%" rx="8" fill="#{GROUND}"/>')
    for row in range(rows):
        y = PAD + row * HEIGHT
        above = []  # what stands on the grounds of this row
        for column, (fg, bg, bold, reverse), chars in runs(screen.buffer[row], columns):
            text = "".join(chars)
            ink, paper = colour(fg, TEXT), colour(bg, GROUND)
            if reverse:
                ink, paper = paper, ink
            x = PAD + column * WIDTH
            if paper != GROUND:
                print(f'<rect x="{x:.1f}" y="{y}" width="{wcswidth(text) * WIDTH:.1f}" '
                      f'height="{HEIGHT}" fill="#{paper}"/>')
            shape = drawn(chars[0], len(chars), x, y, ink)
            if shape:
                above.append(shape)
                continue
            weight = ' font-weight="bold"' if bold else ""
            # Not every viewer keeps spaces as they are.
            for word in re.finditer(r"\S+( \S+)*", text):
                start = x + wcswidth(text[:word.start()]) * WIDTH
                above.append(
                    f'<text x="{start:.1f}" y="{y + 13}" fill="#{ink}"{weight} '
                    f'textLength="{wcswidth(word[0]) * WIDTH:.1f}">{escape(word[0])}</text>')
        print("\n".join(above))
    print("</svg>")


main(int(sys.argv[1]), int(sys.argv[2]))
