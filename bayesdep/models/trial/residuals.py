"""How the visits of a patient scatter and correlate: what a trial's settings say of it, in all its forms.

The covariance is D R D, D the residual sds and R their correlation; both may belong to the arm. With Student-t
residuals a patient's covariance is divided by a precision w of the patient's own, ``w ~ Gamma(nu / 2, rate nu / 2)``,
which together make a multivariate t (Lange, Little and Taylor 1989, doi:10.1080/01621459.1989.10478852).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.priors import Slot
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trial.means import expected
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    import pymc as pm

    from bayesdep.models.trial.model import Trial

NAME = "outcome_by_visit"


def slots_of(model: "Trial") -> dict[str, Slot]:
    """Return the places for priors on residuals."""
    wide = Prior("HalfNormal", sigma=1.5, times_scale=True)
    found = {"residual_sd": Slot(wide, "positive", "the residual sd", model.units)}
    even = Prior("Beta", alpha=2, beta=2)
    if model.covariance in ("ar1", "spatial-power", "compound-symmetry"):
        found["rho"] = Slot(even, "unit", "the correlation", "correlation")
    if model.covariance == "toeplitz":
        found["partial_share"] = Slot(even, "unit", "a partial autocorrelation plus one, halved", "share")
    if model.robust:
        found["nu"] = Slot(Prior("Gamma", alpha=2, beta=0.1), "positive", "the degrees of freedom", "number")
    return found


def refuse_unknown_correlations(data: xr.Dataset, covariance: str, by_arm: bool) -> None:
    """Refuse more visits than the data can correlate.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.trial.data.read_visits` returns it.
    covariance
        The correlation asked for.
    by_arm
        Whether each arm has one of its own.

    Raises
    ------
    BadInput
        Naming two visits, or for Toeplitz a number of visits between, that fewer than three patients have both.
    """
    seen = (~np.isnan(data["outcome"].values)).astype(int)
    names = data["visit"].values
    groups = [(data["arm_of"].values == a, f" of arm '{arm}'") for a, arm in enumerate(data["arm"].values)]
    for rows, who in groups if by_arm else [(slice(None), "")]:
        together = seen[rows].T @ seen[rows]
        for j, k in zip(*np.tril_indices(len(names), -1), strict=True):
            if covariance == "unstructured" and together[j, k] < 3:
                raise BadInput(
                    f"visits {names[k]} and {names[j]} were both observed in {together[j, k]} patients{who}, too few "
                    "for a correlation of their own; use covariance = 'ar1', or leave out one of the visits"
                )
        for lag in range(1, len(names)) if covariance == "toeplitz" else ():
            both = int(np.diagonal(together, lag).sum())
            if both < 3:
                raise BadInput(
                    f"visits {lag} apart (such as {names[0]} and {names[lag]}) were both observed in {both} "
                    f"patients{who}, too few for a correlation of their own; use covariance = 'ar1', or leave out one "
                    "of the visits"
                )


def observe(model: "Trial", data: xr.Dataset, mean: Any) -> None:
    """Let the outcomes scatter around their means as the settings say, inside a PyMC model context.

    Parameters
    ----------
    model
        The model.
    data
        The prepared trial.
    mean
        Tensor of shape (subject, visit).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics import covariance
    from bayesdep.numerics.student import precisions

    graph = pm.modelcontext(None)
    visits, observed = data.sizes["visit"], ~np.isnan(data["outcome"].values)
    arm_dim = ("arm",) if model.by_arm else ()
    arm_of = pm.Data("arm_of", data["arm_of"].values, dims="subject") if model.by_arm else None

    def of_patients(by_arm: Any) -> Any:
        return by_arm if arm_of is None else by_arm[arm_of]

    sd_dims = (*arm_dim, *(("visit",) if model.heterogeneous else ()))
    prior = priors_of(model, data)
    sd = of_patients(prior["residual_sd"].rv("residual_sd", dims=sd_dims or None))
    sds = pt.broadcast_to(sd if model.heterogeneous else sd[..., None], (*sd.shape[: len(arm_dim)], visits))
    if model.robust:
        nu = prior["nu"].rv("nu")
        root_precision = precisions("precision_latent", nu, dims="subject")
        pm.Deterministic("precision", root_precision**2, dims="subject")
        sds = sds / root_precision[:, None]
    dims = ("subject", "visit")
    seen = pm.Data("seen", observed.astype(float), dims=dims)
    how = {
        "observed": pm.Data("outcome", np.where(observed, data["outcome"].values, 0.0), dims=dims),
        "dims": dims,
    }
    if visits == 1:
        covariance.Exchangeable(NAME, mean, sds, pt.zeros(()), seen, **how)  # one visit has nothing to correlate with
        return
    if model.covariance == "compound-symmetry":
        rho = of_patients(prior["rho"].rv("rho", dims=arm_dim or None))
        covariance.Exchangeable(NAME, mean, sds, rho, seen, **how)
        return
    if model.covariance in ("ar1", "spatial-power"):
        rho = of_patients(prior["rho"].rv("rho", dims=arm_dim or None))
        is_ar1 = model.covariance == "ar1"
        day = np.broadcast_to(np.arange(visits), observed.shape) if is_ar1 else data["day"].values
        place = np.where(observed, np.arange(visits), -1)
        previous = np.hstack([np.full((len(place), 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]])
        given = (pm.Data("previous", previous.astype(float), dims=dims), pm.Data("day", day.astype(float), dims=dims))
        covariance.Serial(NAME, mean, sds, rho, seen, *given, **how)
        return
    matrix = _correlation_matrix(model, graph, data, arm_dim)
    if not model.by_arm:
        matrix = matrix[None]
    # Patients who miss the same visits share a root. A missed visit that no observed one follows needs no leaving out.
    followed = np.maximum.accumulate(observed[:, ::-1], axis=1)[:, ::-1]
    arm = data["arm_of"].values if model.by_arm else np.zeros(len(observed), dtype=int)
    patterns, which = np.unique(np.column_stack([arm, observed | ~followed]), axis=0, return_inverse=True)
    kept = patterns[:, 1:].astype(float)
    own = matrix[pm.Data("arm_of_pattern", patterns[:, 0])]
    both, alone = (
        pm.Data("kept", kept[:, :, None] * kept[:, None, :]),
        pm.Data("left_out", np.eye(visits) * (1 - kept)[:, :, None]),
    )
    roots = pt.specify_shape(covariance.cholesky(own * both + alone, visits), (None, visits, visits))
    root = roots[pm.Data("pattern_of", which.ravel(), dims="subject")]
    whole = covariance.cholesky(matrix, visits)
    covariance.RegressionOnThePast(NAME, mean, sds, whole[arm_of if model.by_arm else 0], root, seen, **how)


def _correlation_matrix(model: "Trial", graph: "pm.Model", data: xr.Dataset, arm_dim: tuple[str, ...]) -> Any:
    """The correlation matrix, shape ([arm,] visit, visit)."""
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics import covariance

    visits = data.sizes["visit"]
    if model.covariance == "toeplitz":
        graph.add_coord("lag", [str(k) for k in range(1, visits)])
        share = model.priors["partial_share"].rv("partial_share", dims=(*arm_dim, "lag"))
        fixed = pt.specify_shape(2 * share - 1, (*(None for _ in arm_dim), visits - 1))
        by_lag = covariance.toeplitz_correlations(fixed)
        pm.Deterministic("correlation_by_lag", by_lag[..., 1:], dims=(*arm_dim, "lag"))
        return by_lag[..., apart(visits)]
    rows, columns = np.tril_indices(visits, -1)
    graph.add_coord("pair", pairs_of(data))
    shape = model.lkj + (visits - 2 - columns) / 2
    if arm_dim:
        shape = np.broadcast_to(shape, (data.sizes["arm"], len(shape)))
    share = pm.Beta("partial_share", shape, shape, dims=(*arm_dim, "pair"))
    blank = pt.zeros((*(data.sizes["arm"] for _ in arm_dim), visits, visits)) + pt.eye(visits)
    partial = pt.set_subtensor(blank[..., rows, columns], 2 * share - 1)
    root = covariance.vine_root(partial)
    matrix = (root[..., :, None, :] * root[..., None, :, :]).sum(axis=-1)
    pm.Deterministic("correlation_by_pair", matrix[..., rows, columns], dims=(*arm_dim, "pair"))
    return matrix


def pairs_of(data: xr.Dataset) -> list[str]:
    """Return the names of every two visits, in the order of a matrix's lower triangle."""
    names = data["visit"].values
    return [f"{names[k]} and {names[j]}" for j, k in zip(*np.tril_indices(len(names), -1), strict=True)]


def apart(visits: int) -> np.ndarray:
    """Return how many visits lie between every two, shape (visits, visits)."""
    return np.asarray(np.abs(np.subtract.outer(np.arange(visits), np.arange(visits))))


def residual_sds(posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the residual sds by arm and visit, also where the model has one for all; of a t, its scales.

    Parameters
    ----------
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, visits).
    """
    found = posterior["residual_sd"]
    for dim, at in (("arm", 0), ("visit", 1)):
        if dim not in found.dims:
            found = found.expand_dims({dim: data[dim].values}, axis=at)
    return np.asarray(found.transpose("sample", "arm", "visit").values)


def correlations(model: "Trial", posterior: xr.Dataset, days: np.ndarray, arm: int = 0) -> np.ndarray:
    """Return the correlation matrix of a patient's visits, draw by draw.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws with dim ``sample``.
    days
        When the patient's visits were, shape (visits,).
    arm
        The patient's arm.

    Returns
    -------
    numpy.ndarray
        Shape (samples, visits, visits).
    """
    visits = len(days)
    own = posterior.isel(arm=arm) if model.by_arm else posterior
    if visits == 1:
        return np.ones((posterior.sizes["sample"], 1, 1))
    if model.covariance == "unstructured":
        by_pair = own["correlation_by_pair"].transpose("sample", "pair").values
        found = np.tile(np.eye(visits), (len(by_pair), 1, 1))
        rows, columns = np.tril_indices(visits, -1)
        found[:, rows, columns] = found[:, columns, rows] = by_pair
        return found
    if model.covariance == "toeplitz":
        by_lag = own["correlation_by_lag"].transpose("sample", "lag").values
        return np.hstack([np.ones((len(by_lag), 1)), by_lag])[:, apart(visits)]
    rho = own["rho"].values[:, None, None]
    if model.covariance == "compound-symmetry":
        eye = np.eye(visits)
        return np.asarray(eye + rho * (1 - eye))
    when = np.arange(visits) if model.covariance == "ar1" else days
    return np.asarray(rho ** np.abs(np.subtract.outer(when, when)))


def log_likelihood(model: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient ever observed, directly: dense multivariate normal (or t) densities of those visits.

    Parameters
    ----------
    model
        The model.
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
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    rest = outcome - expected(model, flat, data)
    sd = residual_sds(flat, data)
    known: dict[Any, np.ndarray] = {}
    scored = np.zeros(rest.shape[:2])
    ever = (~np.isnan(outcome)).any(axis=1)  # of the others nothing can be predicted
    for i in np.flatnonzero(ever):
        seen = ~np.isnan(outcome[i])
        key = pattern_key(model, seen, days[i], arm_of[i])
        if key not in known:
            scale = sd[:, arm_of[i]]
            matrix = correlations(model, flat, days[i], arm_of[i]) * scale[:, :, None] * scale[:, None, :]
            known[key] = np.linalg.cholesky(matrix[:, seen][:, :, seen])
        root, n = known[key], seen.sum()
        squares = (np.linalg.solve(root, rest[:, i, seen][..., None])[..., 0] ** 2).sum(axis=1)
        log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        if model.robust:
            nu = flat["nu"].values
            constant = special.gammaln((nu + n) / 2) - special.gammaln(nu / 2) - n / 2 * np.log(nu * np.pi)
            scored[:, i] = constant - log_det - (nu + n) / 2 * np.log1p(squares / nu)
        else:
            scored[:, i] = -squares / 2 - log_det - n * np.log(2 * np.pi) / 2
    sample = {d: posterior[d] for d in ("chain", "draw")}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    coords = {**sample, "subject": data["subject"].values[ever]}
    return xr.DataArray(scored[:, ever].reshape(shape), coords, ("chain", "draw", "subject"))


def pattern_key(model: "Trial", seen: np.ndarray, days: np.ndarray, arm: int) -> tuple[Any, ...]:
    """Return what patients of one covariance matrix have in common: visits missed, and days and arm if they matter."""
    by_day = days.tobytes() if model.covariance == "spatial-power" else None
    return seen.tobytes(), by_day, int(arm) if model.by_arm else None
