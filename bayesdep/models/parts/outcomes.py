"""Refusal of outcomes that are constant at a time, or equal to the baseline, before anything is sampled."""

from collections.abc import Sequence

import numpy as np

from bayesdep.data.errors import BadInput, in_words

_NEARLY_ALL = 0.9  # share of people whose outcome equals the baseline
_ROUNDING = 0.02  # of the baseline's sd: largest difference of a number from itself after rounding


def refuse_without_news(
    y: np.ndarray, baseline: np.ndarray | None, names: Sequence[str], place: str, column: str | None, word: str
) -> None:
    """Refuse outcomes that are the same in everybody at a time, or equal to the baseline.

    An outcome equals the baseline if nine in ten people have the same number in both, up to rounding.

    Parameters
    ----------
    y
        Outcomes, shape (rows, times), NaN where missing.
    baseline
        Shape (rows,), or None.
    names
        The times.
    place
        The outcome's column, for messages.
    column
        The column of times; None where there is none.
    word
        The word for a time, such as ``"visit"``.

    Raises
    ------
    BadInput
        Naming the time, and how to leave its rows out.

    Examples
    --------
    >>> refuse_without_news(np.array([[3.0], [3.0]]), None, ["1"], "column 'y'", "visit", "visit")
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: column 'y' is 3 in everybody at every visit; name the right column
    """
    if np.nanmax(y) - np.nanmin(y) <= 1e-12 * np.nanmax(np.abs(y)):
        raise BadInput(f"{place} is {np.nanmax(y):g} in everybody at every {word}; name the right column")
    for v, name in enumerate(names):
        observed = ~np.isnan(y[:, v])
        values = y[observed, v]
        if len(values) < 2:
            continue
        others = ", ".join(repr(str(n)) for n in names if n != name)
        how = in_words(
            toml=f"[data.keep] {column} = [{others}]", python=f"table[table['{column}'].astype(str) != '{name}']"
        )
        remedy = f"leave the rows of that {word} out with {how}" if others else "name the right column"
        if baseline is not None and (who := _same(values, baseline[observed])):
            raise BadInput(
                f"{place} equals the baseline in {who} at {word} {name}, so that {word} is the baseline itself; "
                f"{remedy}"
            )
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            zero = ", as a change from baseline is at baseline" if values[0] == 0 else ""
            raise BadInput(
                f"{place} is {values[0]:g} in everybody at {word} {name}{zero}, so it has no spread there; {remedy}"
            )


def _same(at: np.ndarray, baseline: np.ndarray) -> str:
    """Whose outcomes equal the baseline, in words, if nearly all do; otherwise empty."""
    apart = np.abs(at - baseline)
    if not apart.any():
        return "everybody"
    near = int((apart <= _ROUNDING * baseline.std()).sum())
    return f"{near} of {len(at)}, but for rounding," if near >= _NEARLY_ALL * len(at) else ""
