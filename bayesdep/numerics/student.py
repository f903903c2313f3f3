"""Student-t residuals: a density where the value was detected, a normal of unknown precision where it was not.

A Student-t residual is a normal one with variance 1 / w, w ~ Gamma(nu / 2, rate nu / 2). Where a value lies beyond a
limit, keeping w as a parameter leaves a normal probability: the incomplete beta function, whose slope in nu costs more
than all the rest of a panel's density, is never needed. Detected values keep the closed form.
"""

from typing import Any

import numpy as np

from bayesdep.numerics.types import Tensor


def log_t_density(z: Tensor, nu: Tensor) -> Tensor:
    """Return the log of Student's t density.

    Parameters
    ----------
    z
        Tensor of standardised values.
    nu
        Degrees of freedom, a scalar tensor.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Elementwise.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> round(float(log_t_density(pt.constant(0.0), pt.constant(1.0)).eval()), 6)  # Cauchy: -log pi
    -1.14473
    """
    import pytensor.tensor as pt

    scale = pt.gammaln((nu + 1) / 2) - pt.gammaln(nu / 2) - pt.log(nu * np.pi) / 2
    return scale - (nu + 1) / 2 * pt.log1p(z**2 / nu)


def precisions(name: str, nu: Tensor, dims: str | tuple[str, ...]) -> Tensor:
    """Add to a PyMC model the precisions of normals that together are Student t.

    What is sampled is ``v = sqrt(nu / 2) log w``, whose spread hardly depends on nu: a standard normal as nu grows.
    With a = nu / 2 its log density is ``(a - 1/2) log a - log Gamma(a) + sqrt(a) v - a exp(v / sqrt(a))``.

    Parameters
    ----------
    name
        Name of v.
    nu
        Degrees of freedom.
    dims
        Dim of the values.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The square roots of the precisions w: what standardised values are multiplied by.
    """
    import pymc as pm
    import pytensor.tensor as pt

    def logp(value: Tensor, nu: Tensor) -> Tensor:
        a = nu / 2
        constant = (a - 0.5) * pt.log(a) - pt.gammaln(a)
        return constant + pt.sqrt(a) * value - a * pt.exp(value / pt.sqrt(a))

    def random(nu: Any, rng: Any = None, size: Any = None) -> Any:
        a = np.asarray(nu) / 2
        # the log of a Gamma draw, from one with a larger shape: with a small shape the draw itself may round to zero
        log_draw = np.log(rng.gamma(a + 1, 1.0, size)) + np.log(rng.random(size)) / a
        return np.sqrt(a) * (log_draw - np.log(a))

    latent = pm.CustomDist(name, nu, logp=logp, random=random, dims=dims)
    return pt.exp(latent / (2 * pt.sqrt(nu / 2)))
