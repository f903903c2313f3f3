"""Missed visits given those that were observed: what assumptions on dropouts start from."""

import numpy as np

from bayesdep.numerics.types import Draws


def fill_missed(
    outcome: np.ndarray, covariance: Draws, means: Draws, assumed: Draws, dropped: np.ndarray
) -> tuple[Draws, Draws]:
    """Return mean and variance of missed visits given the observed ones, of patients who were seen at the same visits.

    Visits are analysed one by one, so covariances between missed visits are not needed.

    Parameters
    ----------
    outcome
        Shape (patients, visits), NaN where missed.
    covariance
        Of a patient's visits, shape (samples, visits, visits).
    means, assumed
        Means of all visits, shape (samples, patients, visits): those of the patients' own arms, and those assumed of
        visits that are marked in ``dropped``.
    dropped
        Visits missed after the last one observed, shape (patients, visits). A gap before it is filled from the
        patient's own arm.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (samples, patients, missed) and (samples, missed).

    Examples
    --------
    >>> half = np.array([[[1.0, 0.5], [0.5, 1.0]]])  # two visits that correlate 1/2
    >>> mean, variance = fill_missed(
    ...     np.array([[2.0, np.nan]]), half, np.zeros((1, 1, 2)), np.ones((1, 1, 2)), np.array([[False, True]])
    ... )
    >>> mean.item(), variance.item()
    (1.5, 0.75)
    """
    is_missed = np.isnan(outcome[0])
    observed, missed = np.flatnonzero(~is_missed), np.flatnonzero(is_missed)
    across = covariance[:, observed][:, :, missed]
    slopes = np.linalg.solve(covariance[:, observed][:, :, observed], across)
    variance = np.diagonal(covariance, axis1=1, axis2=2)[:, missed] - (slopes * across).sum(axis=1)
    by_start = [
        start[:, :, missed] + (outcome[:, observed] - start[:, :, observed]) @ slopes for start in (assumed, means)
    ]
    return np.where(dropped[:, missed], *by_start), variance
