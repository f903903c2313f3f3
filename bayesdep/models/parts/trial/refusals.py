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
    from bayesdep.models.trial import Trial

_MANY_PER_PATIENT = 2  # times as many visits in the table as any patient has: each patient has times of their own


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


def actual_times(names: Sequence[str], person: np.ndarray, column: str) -> None:
    """Refuse a visit column in which patients have times of their own instead of planned visits.

    Parameters
    ----------
    names
        The table's visits.
    person
        The patient of every row.
    column
        The visit column.
    """
    most = int(np.bincount(person).max())
    if len(names) > 3 and len(names) > _MANY_PER_PATIENT * most:
        raise BadInput(
            f"column '{column}' has {len(names)} different values, but no patient has more than {most}, so these are "
            "actual times, not planned visits; put the planned visit (1, 2, 4, ...) of every row in a column of its "
            f"own, name that one as visit, and name '{column}' as day"
        )


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


def outcomes_that_say_nothing(
    y: np.ndarray, baseline: np.ndarray | None, names: Sequence[str], place: str, visit: str
) -> None:
    """Refuse outcomes that are the same in everybody at a visit, or the baseline itself.

    Parameters
    ----------
    y
        Outcomes, shape (subjects, visits).
    baseline
        Shape (subjects,), or None.
    names
        Visits.
    place, visit
        The outcome's column for messages, and the visits'.
    """
    if np.nanmax(y) - np.nanmin(y) <= 1e-12 * np.nanmax(np.abs(y)):
        raise BadInput(f"{place} is {np.nanmax(y):g} in everybody at every visit; name the right column")
    for v, name in enumerate(names):
        seen = ~np.isnan(y[:, v])
        at, others = y[seen, v], ", ".join(repr(str(n)) for n in names if n != name) or "..."
        remedy = (
            f"leave the rows of that visit out: in a plan with [data.keep] {visit} = [{others}], in Python with "
            f"table[table['{visit}'].astype(str) != '{name}']"
        )
        if baseline is not None and len(at) > 1 and np.array_equal(at, baseline[seen]):
            raise BadInput(
                f"{place} equals the baseline in everybody at visit {name}, so that visit is the baseline itself; "
                f"{remedy}"
            )
        if len(at) > 1 and np.ptp(at) <= 1e-12 * np.abs(at).max():
            zero = ", as a change from baseline is at baseline" if at[0] == 0 else ""
            raise BadInput(
                f"{place} is {at[0]:g} in everybody at visit {name}{zero}, so it has no spread there; {remedy}"
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


def refuse_times(story: "Trial", data: xr.Dataset) -> None:
    """Refuse time or days that the visits' names do not carry.

    Parameters
    ----------
    story
        The story.
    data
        As :func:`~bayesdep.models.parts.trial.visits.read_visits` returns it.
    """
    numbers, names = data["visit_number"].values, data["visit"].values
    if story.time == "weeks":
        if not np.isfinite(numbers).all():
            raise BadInput(
                f"column '{story.visit}': visits such as '{names[0]}' carry no time since baseline, in proportion to "
                "which effects would grow; name them by weeks (4, or 'week 4'), or use time = 'visits'"
            )
        if numbers[0] <= 0:
            raise BadInput(
                f"column '{story.visit}': visit {names[0]} is not after baseline, where effects that "
                "grow in proportion to time are zero; leave it out, or use time = 'visits'"
            )
    if story.covariance == "spatial-power" and len(names) > 1 and not data["day"].attrs["known"]:
        raise BadInput(
            f"covariance = 'spatial-power' counts days, but visits such as '{names[0]}' carry no time; name a column "
            "of days as day, or use covariance = 'ar1'"
        )
