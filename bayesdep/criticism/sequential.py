"""Moderators one at a time: one fit each, and one table of what they say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.inference.fit import Fit
from bayesdep.inference.sample import fit
from bayesdep.models.model import TakesModerators
from bayesdep.numerics.pair_correlation import pair_correlation

LEVEL = 0.95


def fit_each_moderator(
    model: TakesModerators,
    table: Any,
    moderators: Sequence[str],
    *,
    draws: int = 500,
    tune: int = 500,
    chains: int = 4,
    seed: int = 1,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Fit the model with each of several moderators in turn, as the only one, and tabulate their interactions.

    Alone in the model, a moderator's interaction includes that of every moderator it is correlated with: a fit of
    :class:`~bayesdep.PatientMeta` with all of these at once has other interactions. Nothing here corrects for how
    many are looked at; a shrunken joint fit does. Each fit uses the patients who have its moderator, which the table
    counts. Fits whose moderators are known in as many studies share one compiled model.

    Parameters
    ----------
    model
        The settings of every fit; its own moderators, their pooling, imputation and combined moderator are not used.
        With ``split = False`` there is one interaction per moderator and time, as in most papers; else a moderator of
        patients has one within and one between studies.
    table
        The patients, as :meth:`~bayesdep.models.patient_meta.model.PatientMeta.prepare` takes them.
    moderators
        Columns, each tested on its own.
    draws, tune, chains, seed, progress
        As in :func:`~bayesdep.inference.sample.fit`.

    Returns
    -------
    pandas.DataFrame
        One row per moderator, part and time: ``moderator``, ``level`` (within studies, between studies, or whole),
        ``time``, ``estimate`` (posterior mean of the interaction), ``sd``, ``lower``, ``upper`` (95%), ``prob_gt_0``,
        ``prob_in_rope`` (smaller than the model's margin), ``slope_control`` and ``slope_treated`` (the moderator's
        slope in either arm; NaN between studies where ``study_levels = "free"``), ``r`` (its effect size in these
        patients, as :func:`~bayesdep.numerics.pair_correlation.pair_correlation` defines it), ``patients`` and
        ``studies`` (used, with an outcome at that time), ``units``, ``gate_passed`` and ``gate``.
        ``attrs["gate_passed"]`` says whether all passed and ``attrs["synthetic"]`` whether the data were simulated.

    Raises
    ------
    BadInput
        When there is no moderator, or one of them cannot be used, naming it.

    Examples
    --------
    >>> import bayesdep as bd
    >>> patients = bd.simulate("price2022", seed=1).table  # synthetic
    >>> columns = {"outcome": "improvement", "baseline": "madrs_baseline", "units": "% improvement"}
    >>> model = bd.PatientMeta(reference="control", times=["rapid"], **columns)
    >>> table = bd.fit_each_moderator(model, patients, ["age", "female"])  # doctest: +SKIP
    """
    names = list(moderators)
    if not names:
        raise BadInput("moderators is empty; name at least one column")
    if not isinstance(model, TakesModerators):
        raise BadInput(
            f"the model is a {type(model).__name__}, which takes no moderators one at a time; give a bd.PatientMeta"
        )
    frame, rows = as_frame(table), []
    for name in names:
        alone = model.with_moderator(name)
        done = fit(alone, frame, draws=draws, tune=tune, chains=chains, seed=seed, progress=progress)
        rows += _rows(name, done)
    found = pd.DataFrame(rows)
    found.attrs = {"gate_passed": bool(found["gate_passed"].all()), "synthetic": done.synthetic}
    return found


def _slopes(found: xr.Dataset, part: str, time: str) -> np.ndarray:
    """Mean slopes in either arm; NaN where studies' levels are free and hold the main effect."""
    slope = found.get("slope_in")
    dim = "part" if slope is not None and "part" in slope.dims else "within_part"
    if slope is None or part not in slope[dim].values:
        return np.full(2, np.nan)
    return np.asarray(slope.sel({dim: part, "time": time}).mean(("chain", "draw")).values)


def _rows(name: str, done: Fit) -> list[dict[str, Any]]:
    """One row for every part and time."""
    model, data = done.model, done.data
    assert isinstance(model, TakesModerators)
    found: xr.Dataset = done.estimands
    gate = done.gate
    seen = ~np.isnan(data["outcome"].values)
    treated = data["arm_of"].values.astype(bool)
    tail = (1 - LEVEL) / 2
    rows = []
    for p, part in enumerate(data["part"].values):
        for t, time in enumerate(data["time"].values):
            draws = found["interaction"].sel(part=part, time=time).values
            lower, upper = np.quantile(draws, [tail, 1 - tail])
            slope = _slopes(found, str(part), str(time))
            here = seen[:, t]
            score, y = data["parts"].values[here, p], data["outcome"].values[here, t]
            rows.append(
                {
                    "moderator": name,
                    "level": str(data["level"].values[p]),
                    "time": str(time),
                    "estimate": float(draws.mean()),
                    "sd": float(draws.std(ddof=1)),
                    "lower": float(lower),
                    "upper": float(upper),
                    "prob_gt_0": float((draws > 0).mean()),
                    "prob_in_rope": float((np.abs(draws) <= model.margin).mean()),
                    "slope_control": float(slope[0]),
                    "slope_treated": float(slope[1]),
                    "r": pair_correlation(score, y, treated[here]),
                    "patients": int(here.sum()),
                    "studies": len(np.unique(data["study_of"].values[here])),
                    "units": str(found["interaction"].attrs["units"]),
                    "gate_passed": gate.passed,
                    "gate": gate.sentence,
                }
            )
    return rows
