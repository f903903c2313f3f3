"""The joint density of effects that share sampling errors, or the deviation of a cluster.

A class, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so models import
it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable


class _JointEffectsRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "joint_effects"
    signature = "(n),(n),(n,n),(),(n,c)->(n)"
    dtype = "floatX"
    _print_name = ("JointEffects", "\\operatorname{JointEffects}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, sd: Any, turn: Any, between: Any, shared: Any, size: Any = None) -> Any:
        """Draw errors in the directions in which they are independent, and deviations of clusters."""
        shapes = [np.shape(mean)[:-1], np.shape(sd)[:-1], np.shape(between)]
        batch = np.broadcast_shapes(*shapes) if size is None else tuple(size)
        n, c = np.shape(shared)[-2:]
        deviations = np.asarray(between)[..., None] * rng.standard_normal((*batch, c))
        along = sd * rng.standard_normal((*batch, n)) + _times_transposed(deviations, shared)
        return mean + _times_transposed(along, turn)


def _times_transposed(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply many vectors, shape (..., n), by the transpose of a matrix (m, n): one product where it is the same."""
    if all(length == 1 for length in matrix.shape[:-2]):
        return np.asarray(vectors @ matrix.reshape(matrix.shape[-2:]).T)
    return np.asarray(np.matmul(matrix, vectors[..., None])[..., 0])


class JointEffects(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """A normal vector with covariance ``turn (diag(sd^2) + between^2 shared shared') turn'``.

    Parameters are ``mean`` and ``sd`` (rows), the orthogonal ``turn`` (rows, rows), each column of which is of one
    cluster, ``between``, and ``shared`` (rows, clusters): ``turn'`` times the indicator of the rows of each cluster.
    """

    rv_type = _JointEffectsRV
    rv_op = _JointEffectsRV()

    @classmethod
    def dist(cls, mean: Any, sd: Any, turn: Any, between: Any, shared: Any, **kwargs: Any) -> Any:
        """Return the random variable."""
        parameters = [pt.as_tensor_variable(p) for p in (mean, sd, turn, between, shared)]
        return super().dist(parameters, **kwargs)

    def support_point(rv: Any, size: Any, mean: Any, sd: Any, turn: Any, between: Any, shared: Any) -> Any:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        return mean

    def logp(value: Any, mean: Any, sd: Any, turn: Any, between: Any, shared: Any) -> Any:
        """Return the density of the vector, by Woodbury's identity cluster by cluster."""
        w = sd**-2
        residual = (value - mean) @ turn
        ratio = between**2 * (w @ shared**2)
        pull = (w * residual) @ shared
        alone = -(w * residual**2 + np.log(2 * np.pi)) / 2 - pt.log(sd)
        joint = between**2 / (1 + ratio) * pull**2 - pt.log1p(ratio)
        return alone.sum(axis=-1) + joint.sum(axis=-1) / 2
