r"""Markers measured without error, such as the level of a drug in plasma: the outcome goes with the values themselves.

Of other markers the outcome goes with the latent deviation w(u), and a value is w(u) with an error. A marker that is
named in ``exact`` has no error: its latent deviation *is* the value less its arm's course. The same model describes it,

.. math:: v_i(t) = \log_2 z_i(t) - g_a(t) = w_i(u) + \epsilon_i(t), \quad \epsilon_i(t) \sim N(0, s^2)

but here epsilon is change from visit to visit that the outcome follows, and s, ``marker_residual_sd``, its sd. So v is
a normal process with covariance :math:`h(u)' \Omega h(u') + s^2 [t = t']`, with h powers of u and
:math:`\Omega` the covariance of w's coefficients. It is never singular at different times. Two values at one time would
make it so, and are refused.

At visits with a value v is known. Where an outcome was observed and the value was not, v is a parameter of the model,
with the process as its distribution given the patient's other values. So is v at the first time, where a link needs it:
the links are :math:`v(t)`, :math:`v(t) - v(t_0)` and :math:`v(t_0) u` (and, with ``baseline``, :math:`v(t_0)`). A rate
of change and a mean up to now would need v between visits, where nothing is known of epsilon.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.types import Draws, Tensor


def at_visits(settings: TrajectoriesSettings, data: xr.Dataset, weights: Sequence[Tensor], value: Tensor) -> Tensor:
    """Return what exact markers add to the outcome's mean, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    weights
        Associations by link, the last of them ``baseline_level`` where there is a baseline; each (subject, analyte),
        zero for markers that are not exact.
    value
        Values of markers less their means, known or parameters, shape (subject, analyte, marker_visit).

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, visit).
    """
    import pymc as pm
    import pytensor.tensor as pt

    slot = pm.Data("slot_of_visit", data["slot_of_visit"].values, dims=("subject", "visit"))
    person, over_time = pt.arange(slot.shape[0]), value.transpose(0, 2, 1)  # (subject, marker_visit, analyte)
    has = {"value": over_time[person[:, None], slot]}  # (subject, visit, analyte)
    if settings.needs_first:
        first = over_time[person, pm.Data("slot_of_first", data["slot_of_first"].values, dims="subject")][:, None, :]
        share = pm.Data("share_at_visits", data["deviation_columns"].values[:, :, 1])[:, :, None]  # links need slopes
        has |= {"change": has["value"] - first, "baseline": first * share, "level": first}
    names = [*settings.association, *(["level"] if "baseline" in settings.association else [])]
    return sum((weight[:, None, :] * has[name]).sum(axis=-1) for weight, name in zip(weights, names, strict=True))


def rows_of_links(association: Sequence[str], share: np.ndarray) -> np.ndarray:
    """Return what links have of an exact marker's values at the first time and at visits.

    Parameters
    ----------
    association
        Links; ``"baseline"`` has a last one beside it, for ``baseline_level``.
    share
        Of the follow-up, at each visit.

    Returns
    -------
    numpy.ndarray
        Shape (links, visits, 1 + visits), the first column the first time.

    Examples
    --------
    >>> rows_of_links(("change",), np.array([0.0, 0.5])).tolist()
    [[[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]]
    """
    now, first = np.eye(len(share), len(share) + 1, 1), np.eye(1, len(share) + 1) + np.zeros((len(share), 1))
    rows = {"value": now, "change": now - first, "baseline": first * share[:, None]}
    return np.stack([*(rows[link] for link in association), *([first] if "baseline" in association else [])])


def given_values(
    known: np.ndarray, value: Draws, at: np.ndarray, covariance: Draws, variance: Draws
) -> tuple[Draws, Draws]:
    """Return the distribution of an exact marker's deviation at some times, given its values.

    Parameters
    ----------
    known
        Times of values, as shares of the follow-up.
    value
        Values less their means, shape (samples, known).
    at
        Times that are asked for, as shares; any of them may be among ``known``.
    covariance
        Of w's coefficients of powers of time, shape (samples, powers, powers).
    variance
        Of what changes from visit to visit, shape (samples,).

    Returns
    -------
    tuple of numpy.ndarray
        Mean, shape (samples, at), and covariance, shape (samples, at, at): zero where a value is known.

    Examples
    --------
    >>> one = np.ones((1, 1, 1))
    >>> mean, covariance = given_values(np.array([0.5]), np.array([[4.0]]), np.array([0.5, 1.0]), one, one[0, 0])
    >>> mean.tolist(), covariance.tolist()
    ([[4.0, 2.0]], [[[0.0, 0.0], [0.0, 1.5]]])
    """
    powers = np.arange(covariance.shape[-1])

    def between(a: np.ndarray, b: np.ndarray) -> Draws:
        of_course = a[:, None] ** powers @ covariance @ (b[:, None] ** powers).T
        return np.asarray(of_course + variance[:, None, None] * np.equal.outer(a, b))

    across = between(known, at)
    gain = np.swapaxes(np.linalg.solve(between(known, known), across), -1, -2)
    return np.squeeze(gain @ value[..., None], -1), between(at, at) - gain @ across


def of_outcomes(
    association: Sequence[str],
    weights: Draws,
    share: np.ndarray,
    known: np.ndarray,
    value: Draws,
    covariance: Draws,
    variance: Draws,
) -> tuple[Draws, Draws]:
    """Return what one exact marker adds to a patient's outcomes, given its values.

    Parameters
    ----------
    association, share
        As :func:`rows_of_links` takes them.
    weights
        Associations by link, shape (samples, links).
    known, value, covariance, variance
        As :func:`given_values` takes them.

    Returns
    -------
    tuple of numpy.ndarray
        Mean, shape (samples, visits), and covariance, shape (samples, visits, visits).
    """
    rows = np.einsum("sl,lvp->svp", weights, rows_of_links(association, share))
    mean, within = given_values(known, value, np.concatenate([[0.0], share]), covariance, variance)
    return np.squeeze(rows @ mean[..., None], -1), rows @ within @ np.swapaxes(rows, -1, -2)
