"""Fonts for figure texts with characters that matplotlib's default font lacks, such as Chinese ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN = "DejaVu Sans"
# Tried before all others, because each has thousands of characters.
LARGE = (
    *(f"Noto Sans CJK {place}" for place in ("SC", "TC", "JP", "KR", "HK")),
    *(
        "Noto Sans SC",
        "Noto Sans JP",
        "Noto Sans KR",
        "Source Han Sans SC",
        "Source Han Sans",
        "Microsoft YaHei",
    ),
    *("SimHei", "PingFang SC", "Hiragino Sans", "Hiragino Sans GB", "Yu Gothic", "MS Gothic", "IPAexGothic"),
    *("Malgun Gothic", "Apple SD Gothic Neo", "NanumGothic", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "Arial Unicode MS"),
)
NO_FONTS = ("Last Resort",)  # all their characters are boxes


class FontWarning(UserWarning):
    """A figure has characters that no installed font has."""


def lacking(texts: Iterable[str]) -> frozenset[str]:
    """The characters that matplotlib's default font lacks."""
    own = _characters(str(_own_file()))
    return frozenset(each for text in texts for each in text if each.isprintable() and ord(each) not in own)


def font_for(characters: frozenset[str]) -> tuple[str, Path] | None:
    """Family and file of an installed font with most of these characters, None if no font has any.

    Warns with a `FontWarning` of those that it lacks.
    """
    best, found = _best(characters)
    if len(found) < len(characters):
        missing = "".join(sorted(characters - found))
        warnings.warn(
            f"no installed font has the characters {missing[:20]}: they are drawn as boxes\n"
            "Install one, such as Noto Sans CJK (package fonts-noto-cjk), and draw the figure again",
            FontWarning,
            stacklevel=2,
        )
    return best


@contextmanager
def with_fonts(figure: Figure) -> Iterator[None]:
    """Give the figure's texts fonts with their characters; save the figure inside this context."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.get_xticklabels(), axes.get_yticklabels()  # creates their texts
    texts = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    characters = lacking(each.get_text() for each in texts)
    if characters and (font := font_for(characters)):
        for each in texts:
            if characters & set(each.get_text()):
                each.set_fontfamily([OWN, font[0]])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # warned already
        yield


def bold_file(texts: Iterable[str]) -> Path:
    """The file of one font with the characters of all the texts, bold if it is matplotlib's default."""
    characters = lacking(texts)
    font = font_for(characters) if characters else None
    return font[1] if font else _own_file().with_name("DejaVuSans-Bold.ttf")


def _own_file() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _best(characters: frozenset[str]) -> tuple[tuple[str, Path] | None, frozenset[str]]:
    best, most = None, frozenset[str]()
    for family, file in _families():
        found = frozenset(each for each in characters if ord(each) in _characters(file))
        if len(found) > len(most):
            best, most = (family, Path(file)), found
        if len(most) == len(characters):
            break
    return best, most


def _families() -> Iterator[tuple[str, str]]:
    """Family and file of the installed fonts, large ones first, then those not listed by matplotlib."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    def listed() -> list[tuple[str, str]]:
        fonts = {(each.name, each.fname) for each in fontManager.ttflist}
        place = {family: number for number, family in enumerate(LARGE)}
        usable = [each for each in fonts if not each[0].startswith(NO_FONTS)]
        return sorted(usable, key=lambda each: (place.get(each[0], len(LARGE)), each))

    before = listed()
    yield from before
    files = {file for _, file in before}
    for file in findSystemFonts():
        if file not in files:
            with suppress(OSError, RuntimeError, ValueError):
                fontManager.addfont(file)
    yield from (each for each in listed() if each not in before)


@lru_cache(maxsize=512)
def _characters(file: str) -> frozenset[int]:
    """The code points of a font file, none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
