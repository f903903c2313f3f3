"""Predictive checks of a crossover trial."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.model import Check

OUTCOME = "outcome_by_period"  # the observed variable


def checks(settings: CrossoverSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks of a crossover trial; replicates miss what the data miss.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared trial.

    Returns
    -------
    list of Check
        See :meth:`bayesdep.Crossover.checks`.
    """
    seen, had = ~np.isnan(data["outcome"].values), data["treatment_of"].values
    days, periods, treatments = (data[d].values for d in ("day", "period", "treatment"))
    found = []
    for j in sorted({0, len(days) - 1}):
        on = "" if len(days) == 1 else f", day {days[j]}"
        for at, treatment in enumerate(treatments):
            for p, period in enumerate(periods):
                rows = np.flatnonzero(seen[:, p, j] & (had[:, p] == at))
                where = f"{treatment}, period {period}{on}"
                if len(rows):
                    found.append(_check(f"mean: {where}", _mean, settings.units, rows=rows, p=p, j=j))
                if len(rows) > 1:
                    found.append(_check(f"sd: {where}", _sd, settings.units, rows=rows, p=p, j=j))
        for q, p in itertools.combinations(range(len(periods)), 2):
            both = np.flatnonzero(seen[:, p, j] & seen[:, q, j])
            where = f"periods {periods[q]} and {periods[p]}{on}"
            if len(both) > 2:
                found.append(_check(f"correlation of {where}", _pearson, "correlation", rows=both, p=p, q=q, j=j))
        for p in range(1, len(periods)):
            first, later = (np.flatnonzero(seen[:, k, j]) for k in (0, p))
            name = f"mean of period {periods[p]} less period {periods[0]}{on}"
            found.append(_check(name, _change, settings.units, first=first, later=later, p=p, j=j))
    return found


def _check(name: str, statistic: Callable[..., np.ndarray], units: str, **where: Any) -> Check:
    return Check(name, OUTCOME, partial(statistic, **where), units)


def _mean(y: np.ndarray, rows: np.ndarray, p: int, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, p, j].mean(-1))


def _sd(y: np.ndarray, rows: np.ndarray, p: int, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, p, j].std(-1, ddof=1))


def _change(y: np.ndarray, first: np.ndarray, later: np.ndarray, p: int, j: int) -> np.ndarray:
    return np.asarray(y[..., later, p, j].mean(-1) - y[..., first, 0, j].mean(-1))


def _pearson(y: np.ndarray, rows: np.ndarray, p: int, q: int, j: int) -> np.ndarray:
    a, b = (y[..., rows, k, j] - y[..., rows, k, j].mean(-1, keepdims=True) for k in (p, q))
    return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))
