"""A pooled analysis over several conversions of a scale: what the conversion does not know, in every interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.sample import fit
from bayesdep.models.story import Story

LEVEL = 0.95


def over_conversions(
    story: Story,
    tables: Sequence[Any],
    estimands: Sequence[str] = ("effect", "effect_in_units"),
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 1,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Fit one story to several tables that differ in how a scale was converted, and put their posteriors together.

    The posterior given what was rated is the mean of those given each converted table (Zhou and Reiter 2010,
    doi:10.1198/tast.2010.09109): its draws are all of theirs. Ten tables show what the conversion adds; for the ends of
    intervals take more.

    Parameters
    ----------
    story
        The settings of every fit.
    tables
        As :func:`~bayesdep.data.scales.convert_trials` makes them.
    estimands
        Names of the estimands wanted.
    draws, tune, chains, seed, progress
        As in :func:`~bayesdep.inference.sample.fit`.

    Returns
    -------
    pandas.DataFrame
        One row per estimand and coordinate: ``estimand``, a column for each dim, ``mean``, ``sd``, ``lower`` and
        ``upper`` (95%) of all draws together, ``sd_within`` (typical sd of one fit), ``sd_conversion`` (between the
        fits' means, less what sampling adds) and ``units``. ``attrs["gate_passed"]`` says whether all fits passed.

    Raises
    ------
    BadInput
        When there are fewer than two tables, or an estimand is unknown.
    """
    if len(tables) < 2:
        raise BadInput(f"tables holds {len(tables)}, and it takes two at least to see what the conversion adds")
    passed, kept = True, []
    for k, table in enumerate(tables):
        done = fit(story, table, draws=draws, tune=tune, chains=chains, seed=seed + k, progress=progress)
        passed = passed and done.gate.passed
        if unknown := [name for name in estimands if name not in done.estimands]:
            raise BadInput(f"estimands: there is no '{unknown[0]}'; known: {', '.join(map(str, done.estimands))}")
        kept.append(done.estimands[list(estimands)])
    tail, rows = (1 - LEVEL) / 2, []
    for name in estimands:
        values = [_flat(x[name]) for x in kept]
        dims = [str(d) for d in values[0].dims[1:]]
        for index in np.ndindex(values[0].shape[1:]):
            each = np.stack([v.values[(slice(None), *index)] for v in values])  # table, draw
            lower, upper = np.quantile(each, [tail, 1 - tail])
            within = float(each.var(axis=1, ddof=1).mean())
            between = float(each.mean(axis=1).var(ddof=1))
            where = {d: values[0][d].values[i] for d, i in zip(dims, index, strict=True)}
            rows.append(
                {
                    "estimand": name,
                    **where,
                    "mean": float(each.mean()),
                    "sd": float(each.std(ddof=1)),
                    "lower": float(lower),
                    "upper": float(upper),
                    "sd_within": within**0.5,
                    # a mean of draws that are worth some 400 independent ones, as the gate asks
                    "sd_conversion": max(between - within / 400, 0.0) ** 0.5,
                    "units": str(values[0].attrs["units"]),
                }
            )
    found = pd.DataFrame(rows)
    found.attrs = {"gate_passed": passed, "tables": len(tables)}
    return found


def _flat(draws: xr.DataArray) -> xr.DataArray:
    return draws.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)  # noqa: PD013  (xarray's)
