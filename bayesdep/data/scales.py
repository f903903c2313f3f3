"""Conversion from one rating scale to another, with its uncertainty: HRSD-17 to MADRS.

A score that is converted by a regression line is not a measured score: the line is estimated, patients differ from it,
and so do the occasions of a patient. Here a conversion is a measurement model with a posterior, and conversion makes
several tables, each with its own draw of the line and of the errors (multiple imputation: Rubin 1987,
doi:10.1002/9780470316696).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, as_frame, read_columns

_RATIOS = np.concatenate([[0.0], np.geomspace(1e-3, 20, 1500)])  # sd between patients over sd within
_FEWEST = 3  # subjects


@dataclass(frozen=True)
class Conversion:
    """Draws of a line from one scale to another, and of the errors' standard deviations.

    ``to = intercept + slope given + subject + occasion``, both errors normal.

    Parameters
    ----------
    intercept, slope, sd_between, sd_within
        Draws, shape (draws,), in points of the scale converted to (the slope: per point of the one converted from).
    pairs, subjects
        Numbers of pairs and subjects in the fit.
    source
        Where the pairs are from.

    Examples
    --------
    >>> HRSD_17_TO_MADRS.sentence
    'score = 5.5... (1.3...) + 1.2... (0.06) x given; ...'
    """

    intercept: np.ndarray
    slope: np.ndarray
    sd_between: np.ndarray
    sd_within: np.ndarray
    pairs: int
    subjects: int
    source: str

    @property
    def sentence(self) -> str:
        """The conversion in one sentence."""
        line = [f"{x.mean():.2f} ({x.std(ddof=1):.2f})" for x in (self.intercept, self.slope)]
        spread = [f"{np.median(x):.1f}" for x in (self.sd_between, self.sd_within)]
        return (
            f"score = {line[0]} + {line[1]} x given; off by {spread[0]} points between patients and {spread[1]} within "
            f"(standard deviations), from {self.pairs} pairs of {self.subjects} people ({self.source})"
        )


def fit_conversion(
    table: Any, *, given: str, to: str, subject: str, source: str, draws: int = 2000, seed: int = 1
) -> Conversion:
    r"""Fit a line from one scale to another to people rated on both, several times each.

    The posterior of a linear mixed model, exactly: with flat priors on the line, ``1 / sd_within`` for that sd, and a
    half-Cauchy(1) for the ratio r of the sds between and within people, the line and ``sd_within`` are integrated out
    in closed form (with :math:`V_i = I + r^2 1 1'`)

    .. math:: p(r \mid y) \propto p(r)\, |X' V^{-1} X|^{-1/2} \prod_i (1 + n_i r^2)^{-1/2}\, RSS(r)^{-(N - 2) / 2}

    so r is drawn from a grid, and the others independently given it.

    Parameters
    ----------
    table
        One row per person and occasion; rows that lack either score are not used.
    given, to
        Columns of the score converted from, and of that converted to.
    subject
        Column of the person.
    source
        Where the data are from, for reports.
    draws, seed
        How many draws, and their seed.

    Returns
    -------
    Conversion
        Draws of its parameters.

    Raises
    ------
    BadInput
        When there are fewer than three people, or ``given`` does not vary.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> pairs = pd.DataFrame({"id": np.repeat(np.arange(40), 3), "hrsd": rng.uniform(5, 25, 120)})
    >>> pairs["madrs"] = 1 + 1.5 * pairs["hrsd"] + np.repeat(rng.normal(0, 2, 40), 3) + rng.normal(0, 1, 120)
    >>> found = fit_conversion(pairs, given="hrsd", to="madrs", subject="id", source="made up")
    >>> bool(abs(found.slope.mean() - 1.5) < 0.1)
    True
    """
    frame = as_frame(table)
    for name in (given, to, subject):
        if name not in frame.columns:
            read_columns(frame, {"score": Column(name, "number", "score")})  # refuses missing columns
    frame = frame.dropna(subset=[given, to])
    contracts = {"given": Column(given, "number", "score"), "to": Column(to, "number", "score converted to")}
    read = read_columns(frame, contracts | {"subject": Column(subject, "label", "person", "subject")})
    x, y = read["given"], read["to"]
    person, people = pd.factorize(read["subject"])
    if len(people) < _FEWEST or not np.ptp(x) > 0:
        raise BadInput(
            f"column '{given}': {len(x)} pairs of {len(people)} people do not make a conversion; at least {_FEWEST} "
            "people with different scores are needed"
        )
    design = np.column_stack([np.ones(len(x)), x])
    n = np.bincount(person).astype(float)
    sums = np.stack([np.bincount(person, c) for c in (*design.T, y)], axis=-1)
    augmented = np.column_stack([design, y])
    shrink = _RATIOS[:, None] ** 2 / (1 + n * _RATIOS[:, None] ** 2)
    products = augmented.T @ augmented - np.einsum("ri,ia,ib->rab", shrink, sums, sums)
    a, b = products[:, :2, :2], products[:, :2, 2]
    line = np.linalg.solve(a, b[..., None])[..., 0]
    residual_squares = products[:, 2, 2] - (b * line).sum(axis=-1)
    free = len(x) - 2
    log_p = -np.log1p(n * _RATIOS[:, None] ** 2).sum(axis=1) / 2 - np.linalg.slogdet(a)[1] / 2
    log_p += -free * np.log(residual_squares) / 2 - np.log1p(_RATIOS**2)
    width = np.gradient(_RATIOS)
    p = np.exp(log_p - log_p.max()) * width
    rng = np.random.default_rng(seed)
    cells = rng.choice(len(p), draws, p=p / p.sum())
    within = np.sqrt(residual_squares[cells] / rng.chisquare(free, draws))
    root = np.linalg.cholesky(np.linalg.inv(a[cells]))
    coefficients = line[cells] + within[:, None] * (root @ rng.standard_normal((draws, 2, 1)))[..., 0]
    return Conversion(
        coefficients[:, 0], coefficients[:, 1], _RATIOS[cells] * within, within, len(x), len(people), source
    )


def convert_trials(
    table: Any,
    conversion: Conversion,
    *,
    where: Any,
    given: Sequence[str],
    to: Sequence[str],
    improvement: str | None = None,
    subject: Sequence[str] = ("study", "subject"),
    sets: int = 10,
    seed: int = 1,
) -> list[pd.DataFrame]:
    """Return copies of a table in which scores of some trials are converted, each with its own line and errors.

    Parameters
    ----------
    table
        One row per patient and time.
    conversion
        The conversion.
    where
        Which rows to convert: True or False per row. Of a patient, all rows are converted or none.
    given, to
        Columns of the score at baseline and at the time of the row, as rated and as converted.
    improvement
        Column of the improvement in per cent of baseline, computed again where rows are converted.
    subject
        Columns that identify patients. A patient's error is the same at all times, and the error at baseline is the
        same in all rows.
    sets, seed
        How many tables, and the seed of their lines and errors.

    Returns
    -------
    list of pandas.DataFrame
        The tables.

    Raises
    ------
    BadInput
        When a row to be converted has no score, or no row is to be converted.

    Examples
    --------
    >>> from bayesdep.designs.register import simulate
    >>> trials = simulate("price2022", seed=1).table
    >>> tables = convert_trials(
    ...     trials, HRSD_17_TO_MADRS, where=trials["scale"] == "HRSD-17", given=("hrsd_baseline", "hrsd"),
    ...     to=("madrs_baseline", "madrs"), improvement="improvement", sets=3,
    ... )
    >>> len(tables), bool((tables[0]["madrs"] == trials["madrs"])[trials["scale"] == "MADRS"].all())
    (3, True)
    """
    frame = as_frame(table)
    converted_rows = np.asarray(where, dtype=bool)
    if not converted_rows.any():
        raise BadInput("where is false in every row, so nothing would be converted; correct the condition")
    for name in given:
        if frame.loc[converted_rows, name].isna().any():
            row = int(np.flatnonzero(converted_rows & frame[name].isna().to_numpy())[0]) + 1
            raise BadInput(f"column '{name}', row {row}: empty, but this row is to be converted; leave the row out")
    person = pd.MultiIndex.from_frame(frame.loc[converted_rows, list(subject)]).factorize()[0]
    people, rows = person.max() + 1, len(person)
    rng = np.random.default_rng(seed)
    copies = []
    for d in rng.choice(len(conversion.slope), sets, replace=sets > len(conversion.slope)):
        patient_error = conversion.sd_between[d] * rng.standard_normal(people)
        before = conversion.sd_within[d] * rng.standard_normal(people)
        after = conversion.sd_within[d] * rng.standard_normal(rows)
        copy = frame.copy()
        for name, target, error in zip(given, to, (before[person], after), strict=True):
            score = conversion.intercept[d] + conversion.slope[d] * frame.loc[converted_rows, name].to_numpy(
                dtype=float
            )
            copy.loc[converted_rows, target] = score + patient_error[person] + error
        if improvement is not None:
            base, score = (copy.loc[converted_rows, name].to_numpy() for name in to)
            copy.loc[converted_rows, improvement] = 100 * (1 - score / base)
        copy.attrs = dict(frame.attrs)
        copies.append(copy)
    return copies


def _from_moments(
    mean: Sequence[float], sd: Sequence[float], correlation: float, pairs: int, subjects: int, source: str
) -> Conversion:
    """Draws of a conversion from summaries of its posterior; the sds are independent gammas."""
    rng = np.random.default_rng(17)
    root = np.array([[sd[0], 0.0], [correlation * sd[1], np.sqrt(1 - correlation**2) * sd[1]]])
    line = np.array(mean[:2]) + rng.standard_normal((2000, 2)) @ root.T
    spreads = [rng.gamma((m / s) ** 2, s**2 / m, 2000) for m, s in zip(mean[2:], sd[2:], strict=True)]
    return Conversion(line[:, 0], line[:, 1], spreads[0], spreads[1], pairs, subjects, source)


HRSD_17_TO_MADRS = _from_moments(
    (5.56, 1.273, 2.16, 3.35), (1.33, 0.064, 0.46, 0.25), -0.931, 129, 35, "doi:10.18112/openneuro.ds005917.v1.0.1"
)
"""HRSD-17 to MADRS in patients with major depression or bipolar disorder, before and after ketamine or placebo.

The result of :func:`fit_conversion` for 129 pairs of 35 patients of the NIMH ketamine mechanism of action study (Evans,
Nugent and Zarate 2025, doi:10.18112/openneuro.ds005917.v1.0.1, CC0). With the 78 pairs of healthy volunteers there,
whose scores are all near zero on both scales, the line would be steeper, ``0.77 + 1.48 given`` from 207 pairs: right
for a table with such people, and wrong for one of patients.
"""
