"""The decimal mark of numbers written as text: found where it is certain, refused where it is not."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from bayesdep.data.errors import BadInput, setting
from bayesdep.data.labels import clean_label
from bayesdep.data.readers.grids import Odd

type Mark = Literal[".", ","]

_SPACES = str.maketrans("", "", "'\u2019\u00a0\u202f\u2009")  # thousands in Swiss and French sheets
_TOKEN = re.compile(r"(?:[0-9]{1,3}(?: [0-9]{3})+(?:[.,][0-9]+)?|[0-9.,]*[0-9][0-9.,]*)")
_COULD_BE_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_GROUPED = {mark: re.compile(rf"[1-9][0-9]{{0,2}}(?:\{mark}[0-9]{{3}}){{2,}}") for mark in ".,"}


def find_mark(cells: Sequence[Any], place_of: Callable[[int], str], stated: Mark | None = None) -> tuple[Mark, bool]:
    """Find the decimal mark of the numbers that are written as text.

    Parameters
    ----------
    cells
        All cells of measurements; those that are no text have no mark.
    place_of
        From a cell's position in the sequence to where it is, for messages.
    stated
        The mark as the user gives it.

    Returns
    -------
    mark : str
        ``"."`` or ``","``.
    has_any : bool
        Whether any number shows a mark.

    Raises
    ------
    BadInput
        When it is ambiguous, such as in a file whose only mark is that of "1,234", or both marks are used.

    Examples
    --------
    >>> find_mark(["0,52", "<0,64", "1.234,5"], "cell A{}".format)
    (',', True)
    >>> find_mark(["1,234"], "cell B{}".format)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: cell B0: '1,234' could have a decimal comma or thousands; state decimal = ',' ...
    """
    if stated is not None:
        if stated not in (".", ","):
            raise BadInput(f"{setting('decimal', stated)} is not understood; write '.' or ','")
        return stated, True
    certain: dict[Mark, tuple[int, str]] = {}
    unclear: dict[Mark, tuple[int, str]] = {}
    for at, cell in enumerate(cells):
        if not isinstance(cell, str) or ("." not in cell and "," not in cell):
            continue
        for token in _TOKEN.findall(_without_power(cell)):
            mark, is_certain = _mark_of(token)
            if mark is not None:
                (certain if is_certain else unclear).setdefault(mark, (at, clean_label(cell)))
    if len(certain) > 1:
        (one, a), (other, b) = certain["."], certain[","]
        raise BadInput(
            f"{place_of(one)}: '{a}' has a decimal point, and {place_of(other)}: '{b}' a decimal comma; write all "
            "numbers with one of them"
        )
    known = next(iter(certain), None)
    doubtful = unclear.get("." if known == "," else ",")
    if doubtful is None:
        return known or ".", bool(certain or unclear)
    where, text = doubtful
    beside = "" if known is None else f", beside '{certain[known][1]}' ({place_of(certain[known][0])})"
    advised: Mark = known or ","
    raise BadInput(
        f"{place_of(where)}: '{text}' could have a decimal {'point' if known == ',' else 'comma'} or thousands{beside}"
        f"; state {setting('decimal', advised)} to read it as {with_point(text, advised)}"
        + ("" if known else f", or {setting('decimal', '.')} to read it as {with_point(text, '.')}")
    )


def _without_power(text: str) -> str:
    return re.sub(r"(?<=[0-9])[eE][+-]?[0-9]+", "", text.translate(_SPACES))


def _mark_of(token: str) -> tuple[Mark | None, bool]:
    """The decimal mark of one number, and whether it is certain; None where it has none."""
    token = token.replace(" ", "")
    marks: list[Mark] = ["." if character == "." else "," for character in token if character in ".,"]
    if not marks:
        return None, True
    if len(set(marks)) == 2:
        return marks[-1], True
    if len(marks) > 1:  # 1.234.567
        return ("," if marks[0] == "." else "."), bool(_GROUPED[marks[0]].fullmatch(token))
    return marks[0], not _COULD_BE_THOUSANDS.fullmatch(token)


def with_point(cell: Any, mark: Mark) -> Any:
    """Return a cell with a decimal point and without thousands separators; what is no text is returned as it is.

    Parameters
    ----------
    cell
        A number, or text such as ``"< 1.234,5"``.
    mark
        Its decimal mark.

    Examples
    --------
    >>> with_point("< 1.234,5", ","), with_point("OOR <", ","), with_point("1 234,5", ","), with_point(2.5, ",")
    ('< 1234.5', 'OOR <', '1234.5', 2.5)
    """
    if not isinstance(cell, str) or isinstance(cell, Odd):
        return cell
    other = "," if mark == "." else "."

    def rewrite(found: re.Match[str]) -> str:
        return found[0].replace(" ", "").replace(other, "").replace(mark, ".")

    return _TOKEN.sub(rewrite, clean_label(cell).translate(_SPACES))
