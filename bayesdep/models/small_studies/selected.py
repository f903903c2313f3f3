"""Normal values whose probability of publication depends on their P value: step-function selection.

A class, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so models import
it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable
from scipy import special

from bayesdep.numerics.normal import LOG_2_PI


class _SelectedRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "selected"
    signature = "(),(),(j),(j),()->()"
    dtype = "floatX"
    _print_name = ("Selected", "\\operatorname{Selected}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, sd: Any, cut: Any, share: Any, sign: Any, size: Any = None) -> Any:
        """Draw the interval between cuts a value falls in, then the value there."""
        shapes = [np.shape(mean), np.shape(sd), np.shape(cut)[:-1], np.shape(share)[:-1], np.shape(sign)]
        batch = np.broadcast_shapes(*shapes) if size is None else tuple(size)
        mean, sd, sign = (np.broadcast_to(x, batch) for x in (mean, sd, sign))
        cut, share = (np.broadcast_to(x, (*batch, np.shape(x)[-1])) for x in (cut, share))
        below = special.ndtr((cut - (sign * mean)[..., None]) / sd[..., None])  # descending: the first cut is highest
        ends = np.concatenate([np.ones((*batch, 1)), below, np.zeros((*batch, 1))], axis=-1)
        level = np.concatenate([np.ones((*batch, 1)), np.cumprod(share, axis=-1)], axis=-1)
        mass = level * -np.diff(ends, axis=-1)
        place = rng.uniform(size=batch) * mass.sum(axis=-1)
        which = np.minimum((place[..., None] > np.cumsum(mass, axis=-1)).sum(axis=-1), mass.shape[-1] - 1)[..., None]
        low, high = (np.take_along_axis(e, which, axis=-1)[..., 0] for e in (ends[..., 1:], ends[..., :-1]))
        p = np.clip(low + rng.uniform(size=batch) * (high - low), 1e-300, 1 - 1e-16)
        return sign * (sign * mean + sd * special.ndtri(p))


class Selected(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Published effects: ``N(mean, sd)``, of which those below cut j are published a share as often as those above.

    Parameters are ``mean`` and ``sd``; ``cut`` (step) in units of the effect, descending, of the effect times ``sign``,
    which is 1 where positive effects are favoured and -1 where negative ones are; and ``share`` (step), of a length
    known when the model is built.
    """

    rv_type = _SelectedRV
    rv_op = _SelectedRV()

    @classmethod
    def dist(cls, mean: Any, sd: Any, cut: Any, share: Any, sign: Any, **kwargs: Any) -> Any:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mean, sd, cut, share, sign)], **kwargs)

    def support_point(rv: Any, size: Any, mean: Any, sd: Any, cut: Any, share: Any, sign: Any) -> Any:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        return mean + 0 * sd

    def logp(value: Any, mean: Any, sd: Any, cut: Any, share: Any, sign: Any) -> Any:
        """Return the density of a published effect."""
        log_density = -(((value - mean) / sd) ** 2 + LOG_2_PI) / 2 - pt.log(sd)
        level, chance = 1.0, 0.0
        for j in range(share.type.shape[-1]):
            above = pt.erfc((cut[..., j] - sign * mean) / (sd * np.sqrt(2))) / 2
            chance = chance + level * (1 - share[..., j]) * above
            level = level * share[..., j]
            log_density = log_density + pt.switch(sign * value <= cut[..., j], pt.log(share[..., j]), 0.0)
        return log_density - pt.log(chance + level)
