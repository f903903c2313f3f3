"""Tables of a trial that cannot answer what is asked, or answer something else: refused before anything is sampled."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, truth
from bayesdep.data.tables import Column
from bayesdep.models.parts.covariates import Covariates
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.exact_fit import is_explained_exactly

_MOST_BELOW_ZERO = 0.5  # share of outcomes below zero from which they are changes
_FEWEST = 3  # patients for a correlation


def refuse_subject_as_covariate(subject: str, used: Sequence[str]) -> None:
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
            f"covariates use column '{subject}', which is the subject: differences between patients are in the "
            "covariance of their visits already; leave it out"
        )


def refuse_visits_without_an_arm(
    outcome: np.ndarray, arm_of: np.ndarray, arms: Sequence[str], visits: Sequence[str], place: str
) -> None:
    """Refuse a visit at which nobody of an arm was observed.

    Parameters
    ----------
    outcome
        Shape (subjects, visits), NaN where missing.
    arm_of
        The arm of every patient.
    arms, visits
        Their names.
    place
        The outcome's column, for messages.
    """
    for v, visit in enumerate(visits):
        for a, arm in enumerate(arms):
            if np.isnan(outcome[arm_of == a, v]).all():
                raise BadInput(
                    f"{place}: nobody in arm '{arm}' has one at visit {visit}, so their difference there cannot be "
                    "known; leave that visit out"
                )


def refuse_constant_baseline(baseline: np.ndarray, column: Column) -> None:
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


def refuse_aliased_covariates(
    covariates: Covariates, arm_of: np.ndarray, baseline: np.ndarray | None, formula: str | None
) -> None:
    """Refuse covariates that follow from the arms or the baseline: their effects cannot be told apart.

    Parameters
    ----------
    covariates
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
    for name, column in zip(covariates.names, covariates.values.T, strict=True):
        basis = np.linalg.svd(design, full_matrices=False)[0]
        residual = column - basis @ (basis.T @ column)
        if np.linalg.norm(residual) <= 1e-8 * np.linalg.norm(column):
            others = "the arm" if baseline is None else "the arm, the baseline"
            raise BadInput(
                f"covariates = '{formula}': '{name}' follows from {others} or the covariates before it, so their "
                "effects cannot be told apart; leave it out"
            )
        design = np.column_stack([design, column])


def refuse_no_residual(
    outcome: np.ndarray, arm_of: np.ndarray, baseline: np.ndarray | None, covariates: np.ndarray, place: str
) -> None:
    """Refuse outcomes that visit, arm, baseline and covariates explain exactly: their residual sd has no posterior.

    Parameters
    ----------
    outcome
        Shape (subjects, visits), NaN where missed.
    arm_of
        The arm of every patient.
    baseline
        Shape (subjects,), or None.
    covariates
        Shape (subjects, covariates).
    place
        The column, for messages.

    Raises
    ------
    BadInput
        Naming the column.
    """
    i, v = np.nonzero(~np.isnan(outcome))
    visits, arms = np.eye(outcome.shape[1])[v], np.eye(arm_of.max() + 1)[arm_of[i]]
    of_arms = (visits[:, :, None] * arms[:, None, :]).reshape(len(i), -1)
    of_baseline = [] if baseline is None else [visits * baseline[i][:, None]]
    if is_explained_exactly(outcome[i, v], np.hstack([of_arms, *of_baseline, covariates[i]])):
        by = [
            "visit",
            "arm",
            *(["baseline"] if baseline is not None else []),
            *(["covariates"] if covariates.size else []),
        ]
        raise BadInput(
            f"{place}: {', '.join(by[:-1])} and {by[-1]} explain every outcome exactly, so that no residual is left "
            "whose sd could be estimated; name the column of what was measured"
        )


def refuse_uninformative_levels(level_of: np.ndarray, column: str) -> None:
    """Refuse a random effect of one level, or of as many levels as there are patients.

    Parameters
    ----------
    level_of
        The level of every patient.
    column
        The column of levels.
    """
    count = int(level_of.max()) + 1
    if count == 1 or count == len(level_of):
        has = "one level" if count == 1 else "a level of its own for every patient"
        raise BadInput(f"covariates: (1 | {column}) has {has}, which a random effect cannot tell apart; leave it out")


def refuse_priors_by_reference(priors: Mapping[str, Prior], arms: int) -> None:
    """Refuse priors under which it would matter which of three or more arms is the reference.

    Parameters
    ----------
    priors
        By parameter.
    arms
        How many arms there are.
    """
    if arms < 3:
        return
    for name in ("arm_effect", "arm_by_moderator"):
        prior = priors.get(name)
        if prior is not None and prior.dist != "Normal":
            raise BadInput(
                f"priors.{name}: {prior}, but with {arms} arms only normal differences are exchangeable, "
                "so that it carries no information which arm is the reference; use Normal"
            )


def refuse_unknown_correlations(data: xr.Dataset, covariance: str, by_arm: bool) -> None:
    """Refuse correlations of which the data say nothing: two visits that fewer than three patients have both.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.trial.data.read_visits` returns it.
    covariance
        The correlation asked for; only an unstructured or Toeplitz one has parameters for every two visits.
    by_arm
        Whether each arm has one of its own.

    Raises
    ------
    BadInput
        Naming two visits, or for Toeplitz a number of visits between.
    """
    observed = (~np.isnan(data["outcome"].values)).astype(int)
    visits = data["visit"].values
    groups = [(data["arm_of"].values == a, f" of arm '{arm}'") for a, arm in enumerate(data["arm"].values)]
    for rows, who in groups if by_arm else [(slice(None), "")]:
        patients_with_both = observed[rows].T @ observed[rows]
        for j, k in zip(*np.tril_indices(len(visits), -1), strict=True):
            if covariance == "unstructured" and patients_with_both[j, k] < _FEWEST:
                raise BadInput(
                    f"visits {visits[k]} and {visits[j]} were both observed in {patients_with_both[j, k]} "
                    f"patients{who}, too few for a correlation of their own; use covariance = 'ar1', or leave out one "
                    "of the visits"
                )
        for lag in range(1, len(visits)) if covariance == "toeplitz" else ():
            pairs = int(np.diagonal(patients_with_both, lag).sum())
            if pairs < _FEWEST:
                raise BadInput(
                    f"visits {lag} apart (such as {visits[0]} and {visits[lag]}) were both observed in {pairs} "
                    f"patients{who}, too few for a correlation of their own; use covariance = 'ar1', or leave out one "
                    "of the visits"
                )


def refuse_visits_without_time(settings: TrialSettings, data: xr.Dataset) -> None:
    """Refuse effects in proportion to time, or a correlation by days, where visits' names carry no time.

    Parameters
    ----------
    settings
        The model's settings.
    data
        As :func:`~bayesdep.models.trial.data.read_visits` returns it.
    """
    numbers, visits = data["visit_number"].values, data["visit"].values
    if settings.time == "weeks":
        if not np.isfinite(numbers).all():
            raise BadInput(
                f"column '{settings.visit}': visits such as '{visits[0]}' carry no time since baseline, in proportion "
                "to which effects would grow; name them by weeks (4, or 'week 4'), or use time = 'visits'"
            )
        if numbers[0] <= 0:
            raise BadInput(
                f"column '{settings.visit}': visit {visits[0]} is not after baseline, where effects that "
                "grow in proportion to time are zero; leave it out, or use time = 'visits'"
            )
    if settings.covariance == "spatial-power" and len(visits) > 1 and not data["day"].attrs["known"]:
        raise BadInput(
            f"covariance = 'spatial-power' counts days, but visits such as '{visits[0]}' carry no time; name a column "
            "of days as day, or use covariance = 'ar1'"
        )


def refuse_scores_for_changes(settings: TrialSettings, data: xr.Dataset) -> None:
    """Refuse response or remission of scores that are said to be changes, or of changes that are said to be scores.

    Parameters
    ----------
    settings
        The model's settings.
    data
        As :func:`~bayesdep.models.trial.data.read_visits` returns it.
    """
    if (settings.response is None and settings.remission is None) or "baseline" not in data:
        return
    y = data["outcome"].values[np.isfinite(data["outcome"].values)]
    baseline_is_score = bool((data["baseline"].values + data["baseline"].attrs["mean"] >= 0).all())
    if not settings.change and baseline_is_score and (y < 0).mean() > _MOST_BELOW_ZERO:
        raise BadInput(
            f"column '{settings.outcome}': {(y < 0).mean():.0%} of the outcomes are below zero, though no baseline "
            f"is, so they are changes from baseline; say so with change = {truth(True)}"
        )
    if settings.change and (y > 0).all():
        raise BadInput(
            f"column '{settings.outcome}': every outcome is above zero, so as changes they would all be for the "
            "worse; leave change out if they are scores"
        )
