"""What a trial over visits is asked for: differences between arms, along a moderator, and how patients score."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.moderator import crossover, terms_of
from bayesdep.models.story import Check, estimand

if TYPE_CHECKING:
    from bayesdep.models.trial import Trial

_NAME = "outcome_by_visit"


def refuse_unknown_correlations(data: xr.Dataset, covariance: str) -> None:
    """Refuse more visits than the data can correlate.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.parts.visits.read_visits` returns it.
    covariance
        The correlation asked for.

    Raises
    ------
    BadInput
        Naming two visits that fewer than three patients have both.
    """
    seen = (~np.isnan(data["outcome"].values)).astype(int)
    together = seen.T @ seen
    names = data["visit"].values
    for j, k in zip(*np.tril_indices(len(names), -1), strict=True):
        if covariance == "unstructured" and together[j, k] < 3:
            raise BadInput(
                f"visits {names[k]} and {names[j]} were both observed in {together[j, k]} patients, too few for a "
                "correlation of their own; use covariance = 'ar1', or leave out one of the visits"
            )


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of observed means, without baseline, and their standard errors.

    Parameters
    ----------
    data
        The prepared trial.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (comparison x visit,).
    """
    outcome, arm = data["outcome"].values, data["arm_of"].values
    found = []
    for k in range(1, data.sizes["arm"]):
        one, other = outcome[arm == k], outcome[arm == 0]
        counts = [(~np.isnan(x)).sum(axis=0) for x in (one, other)]
        variance = [np.nanvar(x, axis=0, ddof=1) / n if n.min() > 1 else np.full(len(n), np.nan)
                    for x, n in zip((one, other), counts, strict=True)]  # fmt: skip
        found.append((np.nanmean(one, axis=0) - np.nanmean(other, axis=0), np.sqrt(sum(variance))))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def estimands(story: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.trial.Trial`.

    With a moderator, ``difference`` is the mean over the patients at hand of the difference at their own values, and
    is linear in the coefficients, so it is exact. ``standardised_difference`` is over the residual sd, what remains
    between patients of one baseline value, arm and moderator.

    Parameters
    ----------
    story
        The story.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    against = f"less {story.reference}"
    dims = ("chain", "draw", "comparison", "visit")
    difference = posterior["arm_effect"]
    if story.moderator is not None:
        mean_terms = data["moderator_terms"].mean("subject")
        difference = difference + xr.dot(posterior["arm_by_moderator"], mean_terms, dim="term")
    difference = difference.transpose(*dims)
    sd = posterior["residual_sd"]
    if "visit" not in sd.dims:
        sd = sd.expand_dims(visit=data["visit"].values, axis=-1)
    sign = -1.0 if story.better == "lower" else 1.0
    found = {
        "difference": estimand(difference, f"difference in means, {against}", story.units),
        "mean_difference": estimand(
            difference.mean("visit"), f"difference in means, {against}, mean over visits", story.units
        ),
        "standardised_difference": estimand(
            (difference / sd).transpose(*dims), f"difference in residual standard deviations, {against}", "sd"
        ),
        "beyond_margin": estimand(
            (sign * difference >= story.margin).astype(float),
            f"better than {story.reference} by {story.margin:g} {story.units} or more",
            "probability",
            null=np.nan,
        ),
        "residual_sd": estimand(sd.transpose("chain", "draw", "visit"), "residual sd", story.units, null=np.nan),
    }
    name, where = {
        "unstructured": ("correlation_by_pair", ""),
        "toeplitz": ("correlation_by_lag", " as many visits apart"),
        "ar1": ("rho", " a visit apart"),
        "spatial-power": ("rho", " a day apart"),
    }.get(story.covariance, ("rho", ""))
    found["correlation"] = estimand(posterior[name], f"correlation of two visits{where}", "correlation")
    if story.moderator is not None:
        found |= _along_moderator(story, posterior, data, sign, against)
    return xr.Dataset(found)


def pairs_of(data: xr.Dataset) -> list[str]:
    """Return the names of every two visits, in the order of a matrix's lower triangle."""
    names = data["visit"].values
    return [f"{names[k]} and {names[j]}" for j, k in zip(*np.tril_indices(len(names), -1), strict=True)]


def apart(visits: int) -> np.ndarray:
    """Return how many visits lie between every two, shape (visits, visits)."""
    return np.asarray(np.abs(np.subtract.outer(np.arange(visits), np.arange(visits))))


def _along_moderator(
    story: "Trial", posterior: xr.Dataset, data: xr.Dataset, sign: float, against: str
) -> dict[str, xr.DataArray]:
    attrs = data["moderator_terms"].attrs
    form, centre, scale = story.moderator_form, attrs["centre"], attrs["scale"]
    effect, both = posterior["arm_effect"], posterior["arm_by_moderator"]

    def at(values: np.ndarray, dim: str, labels: Sequence[str]) -> xr.DataArray:
        terms = xr.DataArray(terms_of(values, form, centre, scale), {dim: list(labels)}, (dim, "term"))
        return effect + xr.dot(both, terms.assign_coords(term=data["term"]), dim="term")

    found = {}
    if story.at:
        labels = [f"{x:g}" for x in story.at]
        order = ("chain", "draw", "comparison", "moderator_value", "visit")
        values = at(np.array(story.at), "moderator_value", labels).transpose(*order)
        found["difference_at"] = estimand(values, f"difference at a value of the moderator, {against}", story.units)
    last = {"visit": -1}
    along = at(data["grid_value"].values, "grid", list(data["grid"].values)).isel(last, drop=True)
    found["difference_along"] = estimand(
        along.transpose("chain", "draw", "comparison", "grid"),
        f"difference along the moderator at the last visit, {against}",
        story.units,
    )
    ends = terms_of(np.array([data["moderator"].values.min(), data["moderator"].values.max()]), form, centre, scale)
    constant = sign * effect.isel(last, drop=True)
    slopes = (sign * both.isel(last, drop=True)).transpose(..., "term")
    square = slopes.values[..., 1] if slopes.sizes["term"] > 1 else np.zeros(constant.shape)
    place, inside = crossover(constant.values, slopes.values[..., 0], square, *ends[:, 0])
    raw = place * scale + centre
    found["crossover"] = estimand(
        constant.copy(data=raw if form == "linear" else np.exp(raw)),
        f"value of the moderator above which it is better at the last visit, {against}; the end of the observed range "
        "where the arms do not change places inside it",
        "the moderator's unit",
        null=np.nan,
    )
    found["crosses"] = estimand(
        constant.copy(data=inside.astype(float)),
        "the arms change places inside the observed range at the last visit, the reference better below",
        "probability",
        null=np.nan,
    )
    return found


def expected(story: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the mean outcome of every patient at every visit.

    Parameters
    ----------
    story
        The story.
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, visits).
    """

    def draws(name: str, *dims: str) -> np.ndarray:
        return np.asarray(posterior[name].transpose("sample", *dims).values)

    arm, baseline = data["arm_code"].values, data["baseline"].values
    mean = float(data["centre"]) + draws("visit_mean", "visit")[:, None, :]
    mean = mean + baseline[:, None] * draws("baseline_slope", "visit")[:, None, :]
    mean = mean + np.einsum("ik,skj->sij", arm, draws("arm_effect", "comparison", "visit"))
    if story.moderator is not None:
        terms = data["moderator_terms"].values
        mean = mean + np.einsum("im,smj->sij", terms, draws("moderator_effect", "term", "visit"))
        both = draws("arm_by_moderator", "comparison", "term", "visit")
        mean = mean + np.einsum("ik,im,skmj->sij", arm, terms, both)
    if story.covariates is not None:
        mean = mean + (draws("covariate_effect", "covariate") @ data["covariates"].values.T)[:, :, None]
    return np.asarray(mean)


def correlations(story: "Trial", posterior: xr.Dataset, days: np.ndarray) -> np.ndarray:
    """Return the correlation matrix of a patient's visits, draw by draw.

    Parameters
    ----------
    story
        The story.
    posterior
        Draws with dim ``sample``.
    days
        When the patient's visits were, shape (visits,).

    Returns
    -------
    numpy.ndarray
        Shape (samples, visits, visits).
    """
    visits = len(days)
    if story.covariance == "unstructured":
        by_pair = posterior["correlation_by_pair"].transpose("sample", "pair").values
        found = np.tile(np.eye(visits), (len(by_pair), 1, 1))
        rows, columns = np.tril_indices(visits, -1)
        found[:, rows, columns] = found[:, columns, rows] = by_pair
        return found
    if story.covariance == "toeplitz":
        by_lag = posterior["correlation_by_lag"].transpose("sample", "lag").values
        return np.hstack([np.ones((len(by_lag), 1)), by_lag])[:, apart(visits)]
    rho = posterior["rho"].values[:, None, None]
    if story.covariance == "compound-symmetry":
        own = np.eye(visits)
        return np.asarray(own + rho * (1 - own))
    when = np.arange(visits) if story.covariance == "ar1" else days
    return np.asarray(rho ** np.abs(np.subtract.outer(when, when)))


def log_likelihood(story: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient directly: dense multivariate normal densities of the visits observed.

    Parameters
    ----------
    story
        The story.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    outcome, days = data["outcome"].values, data["day"].values
    rest = outcome - expected(story, flat, data)
    sd = flat["residual_sd"].values.reshape(rest.shape[0], -1) * np.ones(outcome.shape[1])
    scored = np.zeros(rest.shape[:2])
    by_day = story.covariance == "spatial-power"
    known: dict[Any, np.ndarray] = {}
    for i, seen in enumerate(~np.isnan(outcome)):
        if not seen.any():
            continue
        key = (seen.tobytes(), days[i].tobytes() if by_day else None)
        if key not in known:
            matrix = correlations(story, flat, days[i]) * sd[:, :, None] * sd[:, None, :]
            known[key] = np.linalg.cholesky(matrix[:, seen][:, :, seen])
        root = known[key]
        z = np.linalg.solve(root, rest[:, i, seen][..., None])[..., 0]
        log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        scored[:, i] = -(z**2).sum(axis=1) / 2 - log_det - seen.sum() * np.log(2 * np.pi) / 2
    sample = {d: posterior[d] for d in ("chain", "draw")}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    return xr.DataArray(scored.reshape(shape), {**sample, "subject": data["subject"]}, ("chain", "draw", "subject"))


def checks(story: "Trial", data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks of a trial; replicates miss the visits that the data miss.

    Parameters
    ----------
    story
        The story.
    data
        The prepared trial.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.trial.Trial.checks`.
    """
    seen, arm, names = ~np.isnan(data["outcome"].values), data["arm_of"].values, data["visit"].values
    found = []
    for j in (0, -1):
        for k, label in enumerate(data["arm"].values):
            rows = np.flatnonzero(seen[:, j] & (arm == k))
            at = f"visit {names[j]}, {label}"
            found.append(Check(f"mean at {at}", _NAME, partial(_mean, rows=rows, j=j), story.units))
            if len(rows) > 1:
                found.append(Check(f"sd at {at}", _NAME, partial(_sd, rows=rows, j=j), story.units))
    for j, k in dict.fromkeys([*((j, j + 1) for j in range(len(names) - 1)), (0, len(names) - 1)]):
        rows = np.flatnonzero(seen[:, j] & seen[:, k])
        if len(rows) > 2:
            name = f"correlation of visits {names[j]} and {names[k]}"
            found.append(Check(name, _NAME, partial(_pearson, rows=rows, j=j, k=k), "correlation"))
    return found


def _mean(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].mean(-1))


def _sd(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].std(-1, ddof=1))


def _pearson(y: np.ndarray, rows: np.ndarray, j: int, k: int) -> np.ndarray:
    a, b = (y[..., rows, v] - y[..., rows, v].mean(-1, keepdims=True) for v in (j, k))
    return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))
