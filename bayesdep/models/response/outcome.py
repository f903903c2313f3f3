"""A column with two values becomes zeros and ones."""

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean, in_words
from bayesdep.data.tables import Column, read_columns

_YES, _NO = ("1", "1.0", "true"), ("0", "0.0", "false")


def read_outcome(frame: pd.DataFrame, name: str, what: str, event: str | None) -> np.ndarray:
    """Read a binary outcome.

    Parameters
    ----------
    frame
        One row per person.
    name, what
        The column, and what it holds, for messages.
    event
        The label that counts as 1; None where the column holds 0 and 1, or true and false.

    Returns
    -------
    numpy.ndarray
        Zeros and ones, shape (rows,), not all the same.

    Raises
    ------
    BadInput
        When cells are empty, there are not two values, or it is not clear which one is the event.

    Examples
    --------
    >>> frame = pd.DataFrame({"response": ["yes", "no", "yes"]})
    >>> read_outcome(frame, "response", "outcome", "yes")
    array([1, 0, 1])
    """
    labels = read_columns(frame, {"outcome": Column(name, "label", what)})["outcome"]
    levels = sorted(set(labels))
    if event is None:
        lowered = np.array([label.lower() for label in labels])
        other = np.flatnonzero(~np.isin(lowered, _YES + _NO))
        if len(other):
            raise BadInput(
                f"column '{name}' ({what}): row {frame.index[other[0]] + 1} is {labels[other[0]]!r}, where 0 or 1 is "
                "needed; correct it, or name the label that counts as the event with event"
            )
        yes = np.isin(lowered, _YES)
    else:
        yes = labels == event
        if not yes.any():
            raise BadInput(f"event = '{event}' is no label in column '{name}'; {did_you_mean(event, levels)}")
        if len(levels) > 2:
            raise BadInput(
                f"column '{name}' ({what}) has {len(levels)} labels ({', '.join(levels[:5])}), where two are needed; "
                f"keep two ({in_words(toml='[data.keep]', python='bd.read_table(table, keep=...)')}) or join some"
            )
    if yes.all() or not yes.any():
        raise BadInput(
            f"column '{name}' ({what}) is {levels[0]!r} in everybody, so nothing can predict it; "
            "check which rows are kept"
        )
    return yes.astype("int64")
