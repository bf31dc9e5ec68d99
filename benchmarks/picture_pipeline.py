"""The README's picture of the pipeline: six boxes, from a question to a verdict, as an SVG.

The question and the descriptors are read from the shipped template and version. Boxes have their own
background, so the text is readable on a light page and on a dark one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape

from dfer_prompts import load
from dfer_prompts.classes import load_class_set
from dfer_prompts.templates import load_template
from dfer_prompts.workspace import Workspace

CLASS = "happiness"
BOX, TALL, GAP, MARGIN = 292, 164, 36, 4  # pixels of the drawing, which is shown as wide or narrower
WIDTH, HEIGHT = 2 * BOX + GAP + 2 * MARGIN, 3 * TALL + 2 * GAP + 2 * MARGIN
LETTERS = 31  # of a line within a box, in the widest of the usual fonts
STYLE = """
text { font: 17px system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; fill: #1c2328; }
.head { font-size: 20px; font-weight: 700; }
.soft { fill: #5a636b; }
.code { font: 15.5px ui-monospace, "Liberation Mono", Consolas, monospace; }
.box { fill: #f7f9fa; stroke: #2f6f8e; stroke-width: 2; }
.flow { fill: none; stroke: #7d858c; stroke-width: 4; }
.tip { fill: #7d858c; }
.line { fill: none; stroke: #2f6f8e; stroke-width: 2.5; stroke-linecap: round; }
.dot { fill: #2f6f8e; }
.control { stroke: #7d858c; fill: #7d858c; }
"""
ANSWERS = (
    "from a language model, or",
    "from FACS; several per class,",
    "each stored when it arrives",
)
FILES = ("descriptors.jsonl", "responses.jsonl", "manifest.yaml")
TITLE = "The pipeline of dfer-prompts"
TOLD = (
    "A question to a language model, its answers, ranked descriptors, a version of a description set, "
    "DFER-CLIP trained with it on clips, and a comparison with controls and a verdict."
)


def question() -> str:
    """The paper's question as the shipped template asks it."""
    classes = load_class_set("mafw")
    asked = next(each for each in classes.classes if each.name == CLASS)
    (message,) = load_template("paper", Workspace(Path(__file__).parent)).messages(asked, classes)
    return message["content"].splitlines()[0].removeprefix("Q: ")


def text(x: float, y: float, line: str, kind: str = "") -> str:
    """A line of text that starts at (x, y)."""
    return f'<text x="{x:g}" y="{y:g}"{_class(kind)}>{escape(line)}</text>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def box(number: int, heading: str, lines: Sequence[str], kind: str = "") -> str:
    """The box `number`, from 1, with its lines below its heading; the second row runs from right to left."""
    x, y = corner(number)
    drawn = [
        f'<rect class="box" x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="10"/>',
        text(x + 14, y + 30, f"{number}  {heading}", "head"),
    ]
    drawn += [text(x + 14, y + 60 + 25 * place, line, kind) for place, line in enumerate(lines)]
    return "\n".join(drawn)


def corner(number: int) -> tuple[int, int]:
    """The upper left corner of the box `number`."""
    row, place = divmod(number - 1, 2)
    column = place if row % 2 == 0 else 1 - place
    return MARGIN + column * (BOX + GAP), MARGIN + row * (TALL + GAP)


def arrow(number: int) -> str:
    """From the box `number` to the next."""
    (x, y), (to_x, to_y) = corner(number), corner(number + 1)
    if x == to_x:
        middle, end = x + BOX / 2, to_y - 3
        tip = f"M{middle - 8:g} {end - 13:g}h16l-8 13z"
        line = f"M{middle:g} {y + TALL + 3}V{end - 12:g}"
    else:
        way = 1 if to_x > x else -1
        begin, end = (x + BOX + 3, to_x - 3) if way > 0 else (x - 3, to_x + BOX + 3)
        middle = y + TALL / 2
        tip = f"M{end - 13 * way:g} {middle - 8:g}v16l{13 * way} -8z"
        line = f"M{begin} {middle:g}H{end - 12 * way:g}"
    return f'<path class="flow" d="{line}"/><path class="tip" d="{tip}"/>'


def faces(number: int) -> str:
    """Frames of a clip in the box `number`: a face that begins to smile."""
    x, y = corner(number)
    drawn = []
    for place in range(6):
        left, top, smile = x + 16 + 44 * place, y + TALL - 54, 2.4 * place
        drawn.append(f'<rect class="line" x="{left}" y="{top}" width="38" height="38" rx="3"/>')
        drawn.append(f'<circle class="dot" cx="{left + 12}" cy="{top + 14}" r="2.5"/>')
        drawn.append(f'<circle class="dot" cx="{left + 26}" cy="{top + 14}" r="2.5"/>')
        drawn.append(f'<path class="line" d="M{left + 10} {top + 25}q9 {smile:g} 18 0"/>')
    return "\n".join(drawn)


def marks(number: int) -> str:
    """Three example figures with intervals in the box `number`: two sets and a control, not measured."""
    x, y = corner(number)
    drawn = []
    for place, (name, middle) in enumerate((("v2", 222), ("v1", 208), ("control", 176))):
        line, kind = y + 53 + 22 * place, " control" if name == "control" else ""
        drawn.append(text(x + 14, line + 5, name, "soft"))
        drawn.append(f'<path class="line{kind}" d="M{x + middle - 34} {line}h68"/>')
        drawn.append(f'<circle class="dot{kind}" cx="{x + middle}" cy="{line}" r="6"/>')
    return "\n".join(drawn)


def pipeline() -> str:
    """The whole drawing as the text of an SVG file."""
    ranked = load("v1@4").members[CLASS][0]
    asked = wrap(f"“{question()}”", LETTERS)
    parts = [
        box(1, "Question", [*asked, "for each class"]),
        box(2, "Answers", ANSWERS),
        box(3, "Descriptors, ranked", [each.text for each in ranked]),
        box(4, "A version", ["descriptions/v2/", *(f"\u00a0\u00a0{name}" for name in FILES)], "code"),
        box(5, "DFER-CLIP", ["a clip’s frames beside the", "text of each class, trained"]),
        faces(5),
        box(6, "Comparison", []),
        marks(6),
    ]
    x, y = corner(6)
    parts += [
        text(x + 14, y + 127, "better, worse, or"),
        text(x + 14, y + 151, "indistinguishable: a verdict"),
        *(arrow(number) for number in range(1, 6)),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title told">'
    )
    named = f'<title id="title">{TITLE}</title>\n<desc id="told">{TOLD}</desc>\n<style>{STYLE}</style>'
    return "\n".join([head, named, *parts, "</svg>\n"])


def draw(path: Path) -> None:
    """Write the drawing to `path`."""
    path.write_text(pipeline(), encoding="utf-8")
