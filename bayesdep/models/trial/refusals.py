"""Tables of a trial that answer another question than the one asked: refused before anything is sampled."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.grammar import shorten
from bayesdep.data.tables import Column
from bayesdep.models.parts.covariates import Covariates
from bayesdep.models.parts.formulas import read_formula

if TYPE_CHECKING:
    from bayesdep.models.trial.model import Trial

_MOST = 0.5  # share of outcomes below zero from which they are changes


def split_level(formula: str | None) -> tuple[str | None, str | None]:
    """Take a random effect ``(1 | column)`` out of a formula of covariates.

    Parameters
    ----------
    formula
        Such as ``"age + (1 | site)"``.

    Returns
    -------
    tuple
        The terms without it, in words (None where nothing is left), and the column (None where there is none).

    Raises
    ------
    BadInput
        When there is more than one, or one of another form.

    Examples
    --------
    >>> split_level("age + (1 | site)")
    ('age', 'site')
    """
    if formula is None or "|" not in formula:
        return formula, None
    read = read_formula(formula, f"covariates = '{shorten(formula)}'", levels=True)
    return read.covariates, read.level


def subject_as_covariate(subject: str, used: Sequence[str]) -> None:
    """Refuse the patients' column among the covariates.

    Parameters
    ----------
    subject
        The patients' column.
    used
        Columns of the covariates.
    """
    if subject in used:
        raise BadInput(
            f"covariates use column '{subject}', which is the subject: what patients have of their own is in the "
            "covariance of their visits already; leave it out"
        )


def visits_without_an_arm(
    y: np.ndarray, arm_of: np.ndarray, arms: Sequence[str], names: Sequence[str], place: str
) -> None:
    """Refuse a visit at which nobody of an arm was observed.

    Parameters
    ----------
    y
        Outcomes, shape (subjects, visits).
    arm_of
        The arm of every patient.
    arms, names
        Arms and visits.
    place
        The outcome's column, for messages.
    """
    for v, name in enumerate(names):
        for a, arm in enumerate(arms):
            if np.isnan(y[arm_of == a, v]).all():
                raise BadInput(
                    f"{place}: nobody in arm '{arm}' has one at visit {name}, so their difference there cannot be "
                    "known; leave that visit out"
                )


def constant_baseline(baseline: np.ndarray, column: Column) -> None:
    """Refuse a baseline that is the same in everybody.

    Parameters
    ----------
    baseline
        Shape (subjects,).
    column
        Its column.
    """
    if np.ptp(baseline) <= 1e-12 * np.abs(baseline).max():
        raise BadInput(
            f"column '{column.name}' ({column.what}) is {baseline[0]:g} in everybody, so it adjusts for nothing; "
            "leave it out with baseline = None (in a plan: baseline = false), or name the right column"
        )


def aliased_covariates(found: Covariates, arm_of: np.ndarray, baseline: np.ndarray | None, formula: str | None) -> None:
    """Refuse covariates that follow from the arms or the baseline: their effects cannot be told apart.

    Parameters
    ----------
    found
        The covariates.
    arm_of
        The arm of every patient.
    baseline
        Shape (subjects,), or None.
    formula
        Their formula, for messages.
    """
    design = np.eye(arm_of.max() + 1)[arm_of]
    if baseline is not None:
        design = np.column_stack([design, (baseline - baseline.mean()) / baseline.std()])
    for name, column in zip(found.names, found.values.T, strict=True):
        basis = np.linalg.svd(design, full_matrices=False)[0]
        rest = column - basis @ (basis.T @ column)
        if np.linalg.norm(rest) <= 1e-8 * np.linalg.norm(column):
            known = "the arm" if baseline is None else "the arm, the baseline"
            raise BadInput(
                f"covariates = '{formula}': '{name}' follows from {known} or the covariates before it, so their "
                "effects cannot be told apart; leave it out"
            )
        design = np.column_stack([design, column])


def levels_that_tell_nothing(of_patient: np.ndarray, level: str) -> None:
    """Refuse a random effect of one level, or of as many levels as there are patients.

    Parameters
    ----------
    of_patient
        The level of every patient.
    level
        Its column.
    """
    count = int(of_patient.max()) + 1
    if count == 1 or count == len(of_patient):
        how = "one level" if count == 1 else "a level of its own for every patient"
        raise BadInput(f"covariates: (1 | {level}) has {how}, which a random effect cannot tell apart; leave it out")


def refuse_other_outcomes(model: "Trial", data: xr.Dataset) -> None:
    """Refuse response or remission of scores that are changes, or of changes that are scores.

    Parameters
    ----------
    model
        The model.
    data
        As :func:`~bayesdep.models.trial.data.read_visits` returns it.
    """
    if (model.response is None and model.remission is None) or "baseline" not in data:
        return
    y = data["outcome"].values[np.isfinite(data["outcome"].values)]
    scores = bool((data["baseline"].values + data["baseline"].attrs["mean"] >= 0).all())
    if not model.change and scores and (y < 0).mean() > _MOST:
        raise BadInput(
            f"column '{model.outcome}': {(y < 0).mean():.0%} of the outcomes are below zero, though no baseline is, so "
            "they are changes from baseline; say so with change = true"
        )
    if model.change and (y > 0).all():
        raise BadInput(
            f"column '{model.outcome}': every outcome is above zero, so as changes they would all be for the worse; "
            "leave change out if they are scores"
        )


def refuse_times(model: "Trial", data: xr.Dataset) -> None:
    """Refuse time or days that the visits' names do not carry.

    Parameters
    ----------
    model
        The model.
    data
        As :func:`~bayesdep.models.trial.data.read_visits` returns it.
    """
    numbers, names = data["visit_number"].values, data["visit"].values
    if model.time == "weeks":
        if not np.isfinite(numbers).all():
            raise BadInput(
                f"column '{model.visit}': visits such as '{names[0]}' carry no time since baseline, in proportion to "
                "which effects would grow; name them by weeks (4, or 'week 4'), or use time = 'visits'"
            )
        if numbers[0] <= 0:
            raise BadInput(
                f"column '{model.visit}': visit {names[0]} is not after baseline, where effects that "
                "grow in proportion to time are zero; leave it out, or use time = 'visits'"
            )
    if model.covariance == "spatial-power" and len(names) > 1 and not data["day"].attrs["known"]:
        raise BadInput(
            f"covariance = 'spatial-power' counts days, but visits such as '{names[0]}' carry no time; name a column "
            "of days as day, or use covariance = 'ar1'"
        )
