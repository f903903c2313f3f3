r"""One factor that all markers share: patients' deviations from markers' courses have a part in common.

In patient i the deviation of marker m is :math:`w_{im}(u) = \lambda_m f_i(u) + own_{im}(u)`, each a polynomial in u
whose coefficients are normal: :math:`\Psi` is the covariance of f's, with 1 for the level, which gives the factor its
unit, and :math:`\Omega_m` that of the marker's own. The loading :math:`\lambda_m` of one named marker is above zero,
which gives the factor its direction. Given f markers are independent, so f given all values is normal
(:func:`bayesdep.numerics.random_effects.of_shared`), and the outcome goes with f as it does with a single marker.
"""

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.models.model import estimand
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trajectories.deviations import covariance_of_deviations
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.types import Draws, Tensor

FEWEST = 3  # markers: two have one correlation, which says nothing of two loadings
LOADING = "loading_by_marker"


def coords_of_factor(settings: TrajectoriesSettings, names: list[str]) -> dict[str, np.ndarray]:
    """Return the coords that a shared factor adds to the prepared data.

    Parameters
    ----------
    settings
        The model's settings.
    names
        The table's markers.

    Returns
    -------
    dict of numpy.ndarray
        ``factor``, of length one, and ``free_marker``: markers whose loadings may have either sign. Empty where no
        factor is shared.

    Raises
    ------
    BadInput
        When there are too few markers, or the one with a positive loading is not among them.
    """
    if not settings.shared_factor:
        return {}
    if len(names) < FEWEST:
        raise BadInput(
            f"column '{settings.analyte}' (marker) has {len(names)}, but a factor that they share needs {FEWEST} or "
            "more; leave shared_factor and positive_loading out"
        )
    if settings.positive_loading not in names:
        raise BadInput(
            f"positive_loading = '{settings.positive_loading}' is not a marker of the table; "
            f"{did_you_mean(str(settings.positive_loading), names)}"
        )
    free = [name for name in names if name != settings.positive_loading]
    return {"factor": np.array(["shared factor"]), "free_marker": np.array(free, dtype=str)}


def shared_deviations(settings: TrajectoriesSettings, data: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Add loadings and the factor's spreads to a PyMC model, inside its context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    tuple of pytensor.tensor.TensorVariable
        Loadings, shape (analyte,), and Psi, shape (power, power).
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior = priors_of(settings, data)
    place = list(data["analyte"].values).index(settings.positive_loading)
    free = prior["loading"].rv("loading", dims="free_marker")
    positive = prior["positive_loading"].rv("positive_loading", may_be_zero=True)
    together = pt.concatenate([free[:place], positive[None], free[place:]])
    loading = pm.Deterministic(LOADING, together, dims="analyte")
    return loading, covariance_of_deviations(settings, prior, "factor_")


def of_patient(
    design: np.ndarray, seen: np.ndarray, residual: Draws, loading: Draws, shared: Draws, own: Draws, variance: Draws
) -> tuple[Draws, Draws]:
    """Return mean and covariance of a patient's factor, given the values of all markers, written out as a normal.

    Parameters
    ----------
    design
        Powers of time, shape (times, powers).
    seen
        Which values there are, shape (analytes, times).
    residual
        Values less their means, shape (samples, analytes, times).
    loading, shared, own, variance
        Loadings (samples, analytes), Psi, Omega by analyte, and variances of the error (samples, analytes).

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (samples, powers) and (samples, powers, powers).

    Examples
    --------
    >>> one = np.ones((1, 1, 1))
    >>> arguments = np.ones((1, 1)), np.array([[True], [True]]), np.full((1, 2, 1), 6.0)
    >>> mean, covariance = of_patient(*arguments, np.ones((1, 2)), one, np.ones((1, 2, 1, 1)), np.ones((1, 2)))
    >>> mean.round(9).tolist(), covariance.tolist()  # each value is f plus 2 of variance: a mean of 6 with variance 1
    ([[3.0]], [[[0.5]]])
    """
    marker, time = np.nonzero(seen)
    rows = design[time]
    same = np.equal.outer(marker, marker)
    total = np.einsum("vr,svrt,wt->svw", rows, own[:, marker], rows) * same
    total = total + variance[:, marker, None] * np.eye(len(marker))
    along = loading[:, marker, None] * rows
    across = along @ shared
    total = total + across @ np.swapaxes(along, -1, -2)
    gain = np.swapaxes(np.linalg.solve(total, across), -1, -2)
    return np.squeeze(gain @ residual[:, marker, time][..., None], -1), shared - gain @ across


def estimands_of_factor(settings: TrajectoriesSettings, posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return loadings, how much of markers' variance is the factor's, and the factor's spreads and correlations.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.

    Returns
    -------
    dict of xarray.DataArray
        ``loading`` and ``factor_share`` (analyte); ``factor_slope_sd`` and the like, and ``factor_correlation`` (pair)
        where the factor has more than a level.
    """
    loading = posterior[LOADING]
    share = loading**2 / (loading**2 + posterior["marker_level_sd"] ** 2)
    found = {
        "loading": estimand(
            loading, "difference in a marker per sd of the shared factor", "doublings per sd of the factor"
        ),
        "factor_share": estimand(
            share, "share of a marker's variance between patients at the first time that is the factor's", "share",
            null=np.nan,
        ),
    }  # fmt: skip
    if len(settings.powers) > 1:
        for word in settings.powers[1:]:
            what = {"slope": "the change over the follow-up"}.get(word, word)
            found[f"factor_{word}_sd"] = estimand(
                posterior[f"factor_{word}_sd"],
                f"sd between patients of {what} of the shared factor",
                "sds of the factor",
                null=np.nan,
            )
        found["factor_correlation"] = estimand(
            posterior["factor_correlation_by_pair"], "correlation of the shared factor's deviations", "correlation"
        )
    return found
