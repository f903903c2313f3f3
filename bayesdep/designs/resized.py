"""A table of another number of patients on the same design: who was seen when, what was missed, limits."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput


def resized(
    table: pd.DataFrame, n: int, rng: np.random.Generator, *, unit: Sequence[str], strata: Sequence[str] = ()
) -> pd.DataFrame:
    """Return a table of n patients, each a copy of one of the table's, in the table's shares of arms and studies.

    Every patient is copied equally often, but for a remainder that is drawn at random within arms.

    Parameters
    ----------
    table
        One or several rows a patient.
    n
        How many patients.
    rng
        Random numbers.
    unit
        Columns that name a patient together; the last one gets new names. Empty where every row is one.
    strata
        Columns whose shares are kept, as far as they do not vary within patients.

    Returns
    -------
    pandas.DataFrame
        Rows patient by patient.

    Raises
    ------
    BadInput
        When there are too few patients for every stratum to have one.

    Examples
    --------
    >>> frame = pd.DataFrame({"subject": ["a", "b", "c"], "arm": ["p", "d", "d"]})
    >>> made = resized(frame, 6, np.random.default_rng(1), unit=["subject"], strata=["arm"])
    >>> made["subject"].nunique(), made["arm"].value_counts().to_dict()
    (6, {'d': 4, 'p': 2})
    """
    frame = table.reset_index(drop=True)
    of = frame.groupby(list(unit), sort=False, dropna=False).ngroup().to_numpy() if unit else np.arange(len(frame))
    rows = pd.Series(np.arange(len(frame))).groupby(of).apply(np.asarray).tolist()
    constant = [name for name in strata if (frame.groupby(of)[name].nunique(dropna=False) == 1).all()]
    first = frame.loc[[r[0] for r in rows]]
    stratum = (
        first.groupby(constant, sort=False, dropna=False).ngroup().to_numpy() if constant else np.zeros(len(rows), int)
    )
    sizes = np.bincount(stratum)
    wanted = _shares(sizes, n)
    if (wanted == 0).any():
        among = " and ".join(f"'{name}'" for name in constant)
        raise BadInput(f"n = {n} leaves a group of column {among} without patients; give a larger n")
    chosen = []
    for k, (size, count) in enumerate(zip(sizes, wanted, strict=True)):
        members = np.flatnonzero(stratum == k)
        whole, rest = divmod(int(count), int(size))
        chosen.append(np.concatenate([np.repeat(members, whole), rng.choice(members, rest, replace=False)]))
    people = np.sort(np.concatenate(chosen), kind="stable")
    made = frame.iloc[np.concatenate([rows[i] for i in people])].reset_index(drop=True)
    if unit:
        lengths = [len(rows[i]) for i in people]
        made[unit[-1]] = np.repeat([f"P{k + 1:0{len(str(n))}d}" for k in range(len(people))], lengths)
    made.attrs = table.attrs
    return made


def _shares(sizes: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers that sum to n, in proportion to sizes: those with the largest remainders get one more."""
    exact = n * sizes / sizes.sum()
    found = np.floor(exact).astype(int)
    more = np.argsort(-(exact - found), kind="stable")[: n - found.sum()]
    found[more] += 1
    return found
