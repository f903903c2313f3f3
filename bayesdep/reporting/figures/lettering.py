"""User-defined names in figures, shown exactly as they are written, whatever characters they have.

Matplotlib reads ``$`` as the beginning of a formula, leaves labels that begin with ``_`` out of legends, and draws an
empty box, with a warning each, for a character that its font lacks. Here no text is read as a formula, and characters
that no installed font has are written as their code points in angle brackets, so that different names stay different.
"""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from matplotlib import get_data_path
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

_PLAIN = "DejaVu Sans"  # comes with matplotlib
_WIDER = (  # fonts with more characters, in this order, where they are installed
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "Source Han Sans JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAGothic", "IPAexGothic",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "SimHei",
    "Arial Unicode MS",
)  # fmt: skip
_LAST_RESORTS = ("Last Resort", "LastResort", ".LastResort", "Adobe Blank")  # fonts that show a box for every character
_LEFT, _RIGHT = "\N{MATHEMATICAL LEFT ANGLE BRACKET}", "\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
_UNSEEN = "\u200b"  # zero-width space


further_fonts: list[str] = []  # further installed fonts, each with a needed character that the others lack


def families() -> tuple[str, ...]:
    """Return the fonts to use, in order of preference.

    Returns
    -------
    tuple of str
        Matplotlib's own, then installed ones that have more characters, last those found by :func:`readable`.
    """
    return (*_usual(), *further_fonts)


@lru_cache(maxsize=1)
def _usual() -> tuple[str, ...]:
    installed = {font.name for font in fontManager.ttflist}
    return (_PLAIN, *(name for name in _WIDER if name in installed))


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    return frozenset().union(*(FT2Font(findfont(name)).get_charmap() for name in _usual()))


@cache
def _charmap(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # a font that cannot be read has no characters
        return frozenset()


@cache
def _has_glyph(character: str) -> bool:
    """Whether an installed font has a character; if not a usual one, the font is added to the families."""
    if ord(character) in _characters():
        return True
    if unicodedata.category(character) == "Co":  # of private use: it differs from font to font
        return False
    matplotlib_fonts = (
        get_data_path()
    )  # matplotlib's other fonts are for formulas; some have other letters at a code point
    for font in sorted(fontManager.ttflist, key=lambda font: font.name not in further_fonts):
        if font.style != "normal" or font.name in _LAST_RESORTS or font.fname.startswith(matplotlib_fonts):
            continue
        if ord(character) in _charmap(font.fname):
            if font.name not in further_fonts:
                further_fonts.append(font.name)
            return True
    return False


def style() -> dict[str, Any]:
    """Return matplotlib settings under which no text is read as a formula.

    Returns
    -------
    dict
        For ``matplotlib.rc_context``.
    """
    return {"text.parse_math": False, "text.usetex": False, "font.family": list(families())}


def readable(text: str) -> str:
    r"""Write characters that no font has as their code points.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        Unchanged if every character can be drawn.

    Examples
    --------
    >>> readable("IL-6 $ {x} %"), readable("a\tb")
    ('IL-6 $ {x} %', 'a b')
    """
    text = re.sub(r"[\t\r\f\v]", " ", text)
    lacking = [c for c in dict.fromkeys(text) if c != "\n" and not _has_glyph(c)]
    if not lacking:
        return text
    runs = re.compile(f"[{re.escape(''.join(lacking))}]+")
    return runs.sub(lambda run: f"{_LEFT}{' '.join(f'{ord(c):04X}' for c in run[0])}{_RIGHT}", text)


def legend_word(text: str) -> str:
    """Return a label for a legend, which may begin with an underscore.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        With the same appearance.

    Examples
    --------
    >>> legend_word("drug"), legend_word("_drug").startswith("_")
    ('drug', False)
    """
    return _UNSEEN + text if text.startswith("_") else text


def make_readable(figure: Figure) -> bool:
    """Rewrite every text of a figure with characters that cannot be drawn.

    Parameters
    ----------
    figure
        A finished figure.

    Returns
    -------
    bool
        Whether characters were written as their code points.
    """
    rewritten = [_rewrite_ticks(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        shown = readable(text.get_text())
        if shown != text.get_text():
            rewritten.append(_LEFT in shown)
            text.set_text(shown)
        if further_fonts and not shown.isascii():
            text.set_fontfamily(list(families()))
    return any(rewritten)


def _rewrite_ticks(axis: Axis) -> bool:
    labels = [label.get_text() for label in axis.get_majorticklabels()]
    shown = [readable(label) for label in labels]
    if shown == labels:
        return False
    axis.set_ticks(axis.get_majorticklocs(), shown)
    return any(_LEFT in s and s != label for s, label in zip(shown, labels, strict=True))
