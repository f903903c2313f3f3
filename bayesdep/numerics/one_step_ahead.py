"""Normal (or t) vectors one element after another: each given those before it."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesdep.numerics.normal import log_standard_normal
from bayesdep.numerics.types import Draws


@dataclass(frozen=True)
class OneStepAhead:
    """The distribution of every element given those before it.

    Parameters
    ----------
    location, scale
        Of the distribution, shape (samples, units, elements).
    nu
        Degrees of freedom of a t, of the same shape; None where it is normal.
    log_density
        At the element itself, of the same shape; their sum over elements is the vector's log density.
    """

    location: Draws
    scale: Draws
    nu: Draws | None
    log_density: Draws

    @classmethod
    def of(cls, value: np.ndarray, mean: Draws, root: Draws, nu: np.ndarray | None = None) -> "OneStepAhead":
        """Predict every element from those before it.

        With the Cholesky factor L of the covariance and ``z = L^-1 (y - mean)``, element j given those before it is
        normal around ``y_j - L_jj z_j`` with sd L_jj. Of a multivariate t it is a t with nu + j degrees of freedom and
        ``sqrt((nu + q) / (nu + j))`` times that scale, q the sum of the squares of the j earlier z (Ding 2016,
        doi:10.1080/00031305.2016.1164756).

        Parameters
        ----------
        value
            The vectors, shape (units, elements).
        mean
            Shape (samples, units, elements).
        root
            Cholesky factor of the covariance or scale matrix, the same for all units: (samples, elements, elements).
        nu
            Degrees of freedom of a multivariate t, shape (samples,); None for a normal.

        Returns
        -------
        OneStepAhead
            All arrays of shape (samples, units, elements).

        Examples
        --------
        >>> root = np.linalg.cholesky(np.array([[[4.0, 2.0], [2.0, 4.0]]]))
        >>> found = OneStepAhead.of(np.array([[1.0, 0.0]]), np.zeros((1, 1, 2)), root)
        >>> found.location.round(3).tolist(), found.scale.round(3).tolist()
        ([[[0.0, 0.5]]], [[[2.0, 1.732]]])
        """
        z = np.swapaxes(np.linalg.solve(root, np.swapaxes(value - mean, 1, 2)), 1, 2)
        sd = np.diagonal(root, axis1=1, axis2=2)[:, None]
        location, scale = value - sd * z, np.broadcast_to(sd, z.shape)
        if nu is None:
            return cls(location, scale, None, log_standard_normal(z) - np.log(scale))
        squares = np.cumsum(z**2, axis=-1) - z**2
        nu = nu[:, None, None] + np.zeros_like(z)
        later = nu + np.arange(z.shape[-1])
        scale = scale * np.sqrt((nu + squares) / later)
        t = (value - location) / scale
        constant = special.gammaln((later + 1) / 2) - special.gammaln(later / 2) - np.log(later * np.pi) / 2
        return cls(location, scale, later, constant - (later + 1) / 2 * np.log1p(t**2 / later) - np.log(scale))

    @property
    def with_later(self) -> Draws:
        """Log density of every element and of those after it, given those before it."""
        return np.asarray(np.cumsum(self.log_density[..., ::-1], axis=-1)[..., ::-1])
