"""Priors sampled in coordinates of size near one, whatever the units of the data are.

The module imports PyMC, so models import it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.distributions.shape_utils import rv_size_is_none
from pymc.distributions.transforms import Transform

from bayesdep.numerics.distributions import Prior, draw_mixture, log_mixture, mean_of_mixture
from bayesdep.numerics.types import Tensor

_LIMITED = ("Uniform", "Beta")  # their own limits are their unit


class Scaled(Transform):  # type: ignore[misc]  # PyMC is not typed
    """A variable on the real line in multiples of a unit, which is its distribution's last parameter."""

    name = "scaled"

    def forward(self, value: Tensor, *inputs: Tensor) -> Tensor:
        """Return the coordinate of a value."""
        return value / inputs[-1]

    def backward(self, value: Tensor, *inputs: Tensor) -> Tensor:
        """Return the value at a coordinate."""
        return inputs[-1] * value

    def log_jac_det(self, value: Tensor, *inputs: Tensor) -> Tensor:
        """Return the log of the derivative of :meth:`backward`."""
        return pt.log(inputs[-1]) + pt.zeros_like(value)


class Softplus(Transform):  # type: ignore[misc]  # PyMC is not typed
    """A variable above zero as ``log(exp(x / unit) - 1)``: logarithmic below the unit, linear above it.

    The unit is its distribution's last parameter.
    """

    name = "softplus"

    def forward(self, value: Tensor, *inputs: Tensor) -> Tensor:
        """Return the coordinate of a value."""
        x = value / inputs[-1]
        return x + pt.log1mexp(-x)

    def backward(self, value: Tensor, *inputs: Tensor) -> Tensor:
        """Return the value at a coordinate."""
        return inputs[-1] * pt.softplus(value)

    def log_jac_det(self, value: Tensor, *inputs: Tensor) -> Tensor:
        """Return the log of the derivative of :meth:`backward`."""
        return pt.log(inputs[-1]) - pt.softplus(-value)


def in_multiples(prior: Prior, name: str, unit: Tensor, *, dims: str | None = None) -> Tensor:
    """Return the random variable of a prior, sampled in multiples of a unit, inside a PyMC model context.

    Its density is the prior's, whatever the unit; only a sampler's steps, start and adaptation are in multiples of it.

    Parameters
    ----------
    prior
        The prior.
    name
        The variable's name.
    unit
        A shared variable, so that one compiled model serves other data.
    dims
        Named dim for independent copies.

    Returns
    -------
    pytensor.tensor.TensorVariable
        A random variable whose hyperparameters are shared variables called ``name.parameter``.
    """
    if prior.dist in _LIMITED:
        return prior.rv(name, dims=dims)
    if prior.dist == "NormalMixture":
        return _mixture_in_multiples(prior, name, unit, dims)
    names = [parameter for parameter, _ in prior.parameters]
    shared = [pytensor.shared(np.array(v, dtype=float), name=f"{name}.{k}") for k, v in prior.parameters]
    real = bool(np.isneginf(prior.scipy.support()[0]))

    def logp(value: Tensor, *parameters: Tensor) -> Tensor:
        of = dict(zip(names, parameters[:-1], strict=True))
        if prior.dist == "LogStudentT":
            return pm.logp(pm.StudentT.dist(**of), pt.log(value)) - pt.log(value)
        return pm.logp(getattr(pm, prior.dist).dist(**of), value)

    def random(*parameters: Any, rng: Any = None, size: Any = None) -> Any:
        of: dict[str, Any] = {k: float(np.ravel(v)[0]) for k, v in zip(names, parameters[:-1], strict=True)}
        return Prior(prior.dist, **of).scipy.rvs(size=size, random_state=rng)

    def start(rv: Tensor, size: Any, *parameters: Tensor) -> Tensor:  # noqa: ARG001  (PyMC's)
        """The location of the prior, or one unit above zero; not through the variable, which every model has anew."""
        of = dict(zip(names, parameters[:-1], strict=True))
        place = of.get("mu", of.get("alpha")) if real else parameters[-1]
        return place if rv_size_is_none(size) else pt.full(size, place)

    return pm.CustomDist(
        name, *shared, unit, logp=logp, random=random, support_point=start,
        default_transform=Scaled() if real else Softplus(), dims=dims,
    )  # fmt: skip


def _mixture_in_multiples(prior: Prior, name: str, unit: Tensor, dims: str | None) -> Tensor:
    def logp(value: Tensor, *parameters: Tensor) -> Tensor:
        return log_mixture(value, *parameters[:-1])

    def random(weights: Any, mu: Any, sigma: Any, *unit: Any, rng: Any = None, size: Any = None) -> Any:  # noqa: ARG001  (PyMC's)
        return draw_mixture(weights, mu, sigma, rng=rng, size=size)

    def start(rv: Tensor, size: Any, *parameters: Tensor) -> Tensor:
        return mean_of_mixture(rv, size, *parameters[:-1])

    shared = [pytensor.shared(np.array(v, dtype=float), name=f"{name}.{k}") for k, v in prior.parameters]
    return pm.CustomDist(
        name, *shared, unit, logp=logp, random=random, support_point=start, signature="(k),(k),(k),()->()",
        default_transform=Scaled(), dims=dims,
    )  # fmt: skip
