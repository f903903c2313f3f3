"""Changes of variables that let a standard deviation be integrated on an even grid."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Scale:
    """A change of variables after which the density of a spread vanishes at both ends of an even grid.

    Parameters
    ----------
    to_x, to_u
        From the grid's scale to the spread's own, and back.
    log_jacobian
        Log of the derivative of ``to_x``.
    ends
        Ends of the first grid, before it is narrowed.
    """

    to_x: Callable[[np.ndarray], np.ndarray]
    to_u: Callable[[np.ndarray], np.ndarray]
    log_jacobian: Callable[[np.ndarray], np.ndarray]
    ends: tuple[float, float]


def scale_of(lower: float, upper: float, typical: float) -> Scale:
    """Choose the scale for a spread.

    The trapezoidal rule on it converges exponentially (Takahasi and Mori 1974, doi:10.2977/prims/1195192451):
    ``x = typical exp(u - exp(-u))`` for a spread without an upper end, which near zero dies out doubly exponentially
    and far out follows the likelihood, and ``x = lower + width expit(pi sinh u)`` for one with.

    Parameters
    ----------
    lower, upper
        Ends of the spread's support; an upper end may be infinite.
    typical
        A rough guess of the spread.

    Returns
    -------
    Scale
        The change of variables.

    Examples
    --------
    >>> scale = scale_of(0.0, np.inf, 0.3)
    >>> scale.to_x(scale.to_u(np.array([0.01, 0.3, 5.0]))).round(12).tolist()
    [0.01, 0.3, 5.0]
    """
    if np.isfinite(upper):
        width = upper - lower
        return Scale(
            lambda u: lower + width * special.expit(np.pi * np.sinh(u)),
            lambda x: np.arcsinh(special.logit((x - lower) / width) / np.pi),
            lambda u: (
                np.log(width * np.pi * np.cosh(u))
                + special.log_expit(np.pi * np.sinh(u))
                + special.log_expit(-np.pi * np.sinh(u))
            ),
            (-3.5, 3.5),  # pi sinh(3.5) = 52 log odds from the middle
        )

    def to_u(x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):  # zero becomes minus infinity
            log = np.log(np.asarray(x, float) / typical)
            return np.where(np.isfinite(log), log + special.wrightomega(-log), log)

    return Scale(
        lambda u: typical * np.exp(u - np.exp(-u)),
        to_u,
        lambda u: np.log(typical) + u - np.exp(-u) + np.log1p(np.exp(-u)),
        (-5.0, 45.0),  # exp(-5 - exp(5)) = 1e-67 times what is typical
    )
