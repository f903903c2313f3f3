"""Random variables of measurements, some of which are known only to lie within an interval.

These are classes, not ``pm.CustomDist``: a custom distribution is a new type in every model, and then no compiled model
could serve a second data set. The module imports PyMC, so models import it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform
from pytensor.tensor.random.op import RandomVariable
from scipy import special

from bayesdep.numerics.censoring import log_normal_cdf, log_normal_interval
from bayesdep.numerics.normal import log_normal
from bayesdep.numerics.types import Tensor


class _DetectedRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "detected_normal"
    signature = "(),(),()->()"
    dtype = "floatX"
    _print_name = ("DetectedNormal", "\\operatorname{DetectedNormal}")

    @classmethod
    def rng_fn(cls, rng: Any, mu: Any, sigma: Any, counted: Any, size: Any = None) -> Any:
        return rng.normal(mu + 0 * counted, sigma, size)


class DetectedNormal(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Normal values of which only some are scored: the others are latent elsewhere in the model.

    Parameters are ``mu``, ``sigma`` and ``counted`` (1 where scored, 0 where not). Draws are of all of them.
    """

    rv_type = _DetectedRV
    rv_op = _DetectedRV()

    @classmethod
    def dist(cls, mu: Tensor, sigma: Tensor, counted: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mu, sigma, counted)], **kwargs)

    def support_point(rv: Tensor, size: Any, mu: Tensor, sigma: Tensor, counted: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        return mu + 0 * counted

    def logp(value: Tensor, mu: Tensor, sigma: Tensor, counted: Tensor) -> Tensor:
        """Return the density where counted, else nothing."""
        return counted * log_normal(value, mu, sigma)


class _CensoredRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "censored_normal"
    signature = "(),(),(),()->()"
    dtype = "floatX"
    _print_name = ("CensoredNormal", "\\operatorname{CensoredNormal}")

    @classmethod
    def rng_fn(cls, rng: Any, mu: Any, sigma: Any, kind: Any, half_width: Any, size: Any = None) -> Any:
        return rng.normal(mu + 0 * kind + 0 * half_width, sigma, size)


class CensoredNormal(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Normal values of which some are known only to lie below, above or between limits.

    Parameters are ``mu``, ``sigma``, ``kind`` (0 detected, 1 below the value, 2 above it, 3 within ``half_width`` of
    it) and ``half_width``. Draws are uncensored.
    """

    rv_type = _CensoredRV
    rv_op = _CensoredRV()

    @classmethod
    def dist(cls, mu: Tensor, sigma: Tensor, kind: Tensor, half_width: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mu, sigma, kind, half_width)], **kwargs)

    def support_point(rv: Tensor, size: Any, mu: Tensor, sigma: Tensor, kind: Tensor, half_width: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        return mu + 0 * kind

    def logp(value: Tensor, mu: Tensor, sigma: Tensor, kind: Tensor, half_width: Tensor) -> Tensor:
        """Return the density where detected, else the log probability of the interval."""
        z = (value - mu) / sigma
        side = pt.switch(pt.eq(kind, 2), -1.0, 1.0)
        half = pt.switch(pt.eq(kind, 3), half_width, 1.0) / sigma
        mass = pt.switch(pt.eq(kind, 3), log_normal_interval(z, half), log_normal_cdf(side * z))
        return pt.switch(pt.eq(kind, 0), log_normal(value, mu, sigma), mass)


class _InsideRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "normal_inside"
    signature = "(),(),(),()->()"
    dtype = "floatX"
    _print_name = ("NormalInside", "\\operatorname{NormalInside}")

    @classmethod
    def rng_fn(cls, rng: Any, mu: Any, sigma: Any, lower: Any, upper: Any, size: Any = None) -> Any:
        # by the distribution function, on the side of the mean where it does not cancel
        a, b = (lower - mu) / sigma, (upper - mu) / sigma
        flip = np.where(a > 0, -1.0, 1.0)
        a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
        from_a, to_b = special.log_ndtr(a), special.log_ndtr(b)
        u = rng.uniform(size=np.broadcast_shapes(np.shape(a), np.shape(b)) if size is None else size)
        log_p = to_b + np.log(u + (1 - u) * np.exp(from_a - to_b))
        return mu + sigma * flip * special.ndtri_exp(np.minimum(log_p, -1e-300))


class NormalInside(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """The value of a measurement known to lie between ``lower`` and ``upper``, either of which may be infinite.

    Its density is that of Normal(mu, sigma) and is not divided by the interval's probability: it is the joint density
    of the value and of its lying there. Dividing, as a truncated normal does, would ignore that these values are
    censored: mu and sigma would be estimated from the detected values alone, biased away from the limit, and their
    intervals would not cover.
    """

    rv_type = _InsideRV
    rv_op = _InsideRV()

    @classmethod
    def dist(cls, mu: Tensor, sigma: Tensor, lower: Tensor, upper: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mu, sigma, lower, upper)], **kwargs)

    def support_point(rv: Tensor, size: Any, mu: Tensor, sigma: Tensor, lower: Tensor, upper: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return a value within the interval."""
        return INSIDE.backward(pt.zeros_like(lower + mu), mu, sigma, lower, upper)

    def logp(value: Tensor, mu: Tensor, sigma: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """Return the joint density of the value and of its being in the interval."""
        return pt.switch((value >= lower) & (value <= upper), log_normal(value, mu, sigma), -np.inf)


class _Inside(Transform):  # type: ignore[misc]  # PyMC is not typed
    """From the real line into the interval: in steps of sigma from a single limit, linear far from it."""

    name = "inside"

    def backward(self, value: Tensor, *inputs: Tensor) -> Tensor:
        sigma, lower, upper = inputs[-3:]
        no_lower, no_upper, low, high = _ends(lower, upper)
        step = sigma * pt.softplus(value)
        between = low + (high - low) * pt.sigmoid(value)
        return pt.switch(no_lower, high - step, pt.switch(no_upper, low + step, between))

    def forward(self, value: Tensor, *inputs: Tensor) -> Tensor:
        sigma, lower, upper = inputs[-3:]
        no_lower, no_upper, low, high = _ends(lower, upper)
        away = pt.switch(no_lower, high - value, value - low) / sigma
        one_sided = away + pt.log(-pt.expm1(-pt.switch(no_lower | no_upper, away, 1.0)))
        share = pt.switch(no_lower | no_upper, 0.5, (value - low) / (high - low))
        return pt.switch(no_lower | no_upper, one_sided, pt.log(share) - pt.log1p(-share))

    def log_jac_det(self, value: Tensor, *inputs: Tensor) -> Tensor:
        sigma, lower, upper = inputs[-3:]
        no_lower, no_upper, low, high = _ends(lower, upper)
        one_sided = pt.log(sigma) - pt.softplus(-value)
        return pt.switch(no_lower | no_upper, one_sided, pt.log(high - low) - pt.softplus(value) - pt.softplus(-value))


def _ends(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which ends are open, and both ends with harmless numbers for the open ones."""
    no_lower, no_upper = pt.isinf(lower), pt.isinf(upper)
    low = pt.switch(no_lower, pt.switch(no_upper, 0.0, upper) - 1.0, lower)
    return no_lower, no_upper, low, pt.switch(no_upper, low + 1.0, upper)


INSIDE = _Inside()
