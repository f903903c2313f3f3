"""How much of the spread of observed effects is between studies."""

from typing import Any

import numpy as np


def typical_variance(se: np.ndarray, design: np.ndarray | None = None, covariance: np.ndarray | None = None) -> float:
    """Return the typical within-study variance, of which I squared is made (Higgins and Thompson 2002, equation 9).

    Parameters
    ----------
    se
        Standard errors, shape (studies,); at least two.
    design
        Covariates, shape (studies, covariates), where there are any.
    covariance
        Sampling covariance, shape (studies, studies), where studies share people.

    Returns
    -------
    float
        ``(K - 1) sum(w) / (sum(w)^2 - sum(w^2))`` with ``w = 1/se^2``; with covariates ``(K - p) / tr(P)``, P being
        the weights projected off the design, which without covariates is the same. With a sampling covariance V
        the weights are its inverse (metafor's documentation, "I-squared for multilevel and multivariate models").
    """
    x = np.ones((len(se), 1)) if design is None else np.hstack([np.ones((len(se), 1)), design])
    variance, turn = np.asarray(se, float) ** 2, np.eye(len(se))
    if covariance is not None:
        variance, turn = np.linalg.eigh(covariance)
    w = 1 / variance
    basis, _ = np.linalg.qr(np.sqrt(w)[:, None] * (turn.T @ x))
    return float((len(w) - basis.shape[1]) / (w.sum() - w @ (basis**2).sum(axis=1)))


def i_squared(tau: Any, typical: float) -> Any:
    """Return the share of the variance of observed effects that is between studies, in percent.

    Parameters
    ----------
    tau
        Between-study standard deviation, any shape.
    typical
        As :func:`typical_variance` gives it.

    Returns
    -------
    same as ``tau``
        ``100 tau^2 / (tau^2 + typical)`` (Higgins and Thompson 2002).
    """
    return 100 * tau**2 / (tau**2 + typical)
