r"""Spreads of effects that differ between units, so that a few effects may lie far from the others.

An effect is ``N(centre, spread_k)``. With one spread for all units, a few that differ are shrunk towards the many that
do not. Student's t and the regularised horseshoe are normals whose spread varies by unit, so that parametrisations made
for normal effects serve all three (:func:`~bayesdep.models.parts.adaptive_effects.adaptive_effects` and
:func:`~bayesdep.models.parts.pooling.non_centred_effects`).
"""

from typing import Any

import numpy as np
from scipy import stats

from bayesdep.numerics.distributions import Prior, softplus
from bayesdep.numerics.student import precisions
from bayesdep.numerics.types import Tensor

# Multiple of the scale that belongs to the stated number of effects that matter: 95% between 0.38 and 2.7. A dozen or
# two effects say little of how many matter, and a half-Cauchy prior, most of whose mass is near zero, would overrule
# the statement.
GLOBAL_SCALE = Prior("LogNormal", mu=0, sigma=0.5)
LEAST_NU = 2.0  # below it Student's t has no variance, and a spread over units means nothing
_NU = stats.gamma(2, scale=10)


def tail_weight(name: str) -> Tensor:
    """Return degrees of freedom above 2, ``Gamma(2, 0.1)`` cut off there, inside a PyMC model context.

    After Juarez and Steel (2010, doi:10.1198/jbes.2009.07145).

    Parameters
    ----------
    name
        Of the degrees of freedom; their excess over 2 is sampled as ``name_above``.

    Returns
    -------
    pytensor.tensor.TensorVariable
        A scalar, registered under its name.
    """
    import pymc as pm
    import pytensor.tensor as pt

    kept = float(_NU.sf(LEAST_NU))
    constant = 2 * np.log(0.1) - np.log(kept)

    def logp(value: Tensor, least: Tensor) -> Tensor:
        nu = value + least
        return pt.switch(pt.ge(value, 0), pt.log(nu) - 0.1 * nu + constant, -np.inf)

    def random(least: Any, rng: Any = None, size: Any = None) -> Any:
        return _NU.isf(kept * rng.random(size)) - least

    def support_point(rv: Any, size: Any, least: Any) -> Any:  # noqa: ARG001  (PyMC's signature)
        return pt.as_tensor(10.0)  # where chains start: zero, PyMC's own choice, has no logarithm

    above = pm.CustomDist(
        f"{name}_above",
        LEAST_NU,
        logp=logp,
        random=random,
        support_point=support_point,
        default_transform=softplus(),
    )
    return pm.Deterministic(name, above + LEAST_NU)


def student_spreads(name: str, spread: Tensor, *, dims: str | tuple[str, ...]) -> Tensor:
    """Return spreads with which normal effects are Student t with scale ``spread``, inside a PyMC model context.

    Parameters
    ----------
    name
        What the names of the degrees of freedom (``name_nu``) and precisions (``name_precision``) begin with.
    spread
        Scale of the effects, a scalar tensor.
    dims
        Dims of the effects that have a spread of their own.

    Returns
    -------
    pytensor.tensor.TensorVariable
        With the shape of ``dims``.
    """
    return spread / precisions(f"{name}_precision", tail_weight(f"{name}_nu"), dims=dims)


def horseshoe_spreads(
    name: str, error: np.ndarray, expected: float, *, dims: str | tuple[str, ...], slab: float
) -> Tensor:
    r"""Return spreads with which normal effects have a regularised horseshoe prior, inside a PyMC model context.

    With :math:`s_k` the unit's standard error by design, :math:`p_0` of p effects expected to differ and slab width c
    (Piironen and Vehtari 2017, doi:10.1214/17-EJS1337SI)::

        spread_k = c t_k / sqrt(c^2 + t_k^2)      t_k = tau s_k lambda_k
        lambda_k ~ C+(0, 1)                       tau ~ C+(0, p0 / (p - p0))

    Parameters
    ----------
    name
        What the names of tau (``name_global``) and lambda (``name_local``) begin with.
    error
        Standard error of each effect from the design alone, shape of ``dims``.
    expected
        How many of the effects are expected to differ.
    dims
        Dims of the effects.
    slab
        Standard deviation of effects that differ.

    Returns
    -------
    pytensor.tensor.TensorVariable
        With the shape of ``dims``.
    """
    import pymc as pm
    import pytensor.tensor as pt

    error = np.asarray(error, dtype=float)
    scale = expected / (error.size - expected)
    overall = Prior("HalfCauchy", beta=scale).rv(f"{name}_global", logarithmic=True)
    local = Prior("HalfCauchy", beta=1.0).rv(f"{name}_local", dims=dims, logarithmic=True)
    t = overall * local * pm.Data(f"{name}_design_error", error, dims=dims)
    return slab * t / pt.sqrt(slab**2 + t**2)
