"""Models of publication bias: selection by P value, or a shift that grows with the standard error.

Step-function selection (Vevea and Hedges 1995, doi:10.1007/BF02294384): a result whose one-sided P value lies beyond
the first j steps is published with a weight relative to one that lies below all of them; here the weight is a product
of shares, so that it never rises with P. PET and PEESE (Stanley and Doucouliagos 2014, doi:10.1002/jrsm.1095):
published effects are shifted in proportion to their standard error or its square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesdep.models.small_studies.settings import Kind
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.grid_posterior import Axis, GridPosterior, around
from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.normal_normal import NormalNormal
from bayesdep.numerics.spread_scale import scale_of


@dataclass(frozen=True)
class Published:
    """Published effects and what they were selected by.

    Parameters
    ----------
    y, se
        Effects and standard errors, shape (studies,).
    sign
        1 where positive effects are favoured, -1 where negative ones are.
    steps
        One-sided P values at which the probability of publication may drop, ascending.
    priors
        Priors of ``mu``, ``tau``, ``share``, ``pet`` and ``peese``, as far as needed.
    """

    y: np.ndarray
    se: np.ndarray
    sign: float
    steps: Sequence[float]
    priors: Mapping[str, Prior]

    def posterior(self, kind: Kind) -> GridPosterior:
        """Return the posterior under one kind of model.

        Parameters
        ----------
        kind
            What is present.

        Returns
        -------
        GridPosterior
            Of ``mu``, ``tau`` and ``share_1``, ``share_2``, ... or ``pet`` or ``peese``, as far as present.
        """
        typical = float(np.median(self.se))
        axes: dict[str, Axis] = {}
        if kind.effect:
            plain = NormalNormal(self.y, self.se, _normal_like(self.priors["mu"]), self.priors["tau"]).mu
            axes["mu"] = Axis(self.priors["mu"].scipy, around(plain.mean, plain.sd))
        if kind.spread:
            axes["tau"] = _positive(self.priors["tau"], typical)
        if kind.bias == "selection":
            share = self.priors["share"].scipy
            axes |= {f"share_{j + 1}": Axis(share, scale_of(0.0, 1.0, 1.0)) for j in range(len(self.steps))}
        elif kind.bias != "absent":
            axes[kind.bias] = _positive(self.priors[kind.bias], 1.0 if kind.bias == "pet" else 1 / typical)
        return GridPosterior(axes, self.log_likelihood)

    def log_likelihood(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log density of the published effects.

        Parameters
        ----------
        values
            Of the parameters, by name, that broadcast; those that are not named are zero (shares: one).

        Returns
        -------
        numpy.ndarray
            The shape they broadcast to.
        """
        shape = np.broadcast_shapes(*(np.shape(v) for v in values.values()))
        mu, tau, pet, peese = (values.get(name, np.zeros(())) for name in ("mu", "tau", "pet", "peese"))
        shares = [values[name] for name in sorted(values) if name.startswith("share_")]
        total = np.zeros(shape)
        drops = _drops(shares)
        for y, se in zip(self.y, self.se, strict=True):  # one study at a time: a grid times studies would not fit
            variance = se**2 + tau**2
            sd = np.sqrt(variance)
            mean = mu + self.sign * (pet * se + peese * se**2)
            total = total - ((y - mean) ** 2 / variance + np.log(variance) + LOG_2_PI) / 2
            if not shares:
                continue
            chance, weight = drops[-1], np.zeros(())
            for step, share, drop in zip(self.steps, shares, drops[:-1], strict=True):
                cut = special.ndtri(1 - step) * se
                chance = chance + drop * special.ndtr((self.sign * mean - cut) / sd)
                if self.sign * y <= cut:
                    weight = weight + np.log(share)
            total = total + weight - np.log(chance)
        return np.broadcast_to(total, shape)


def _drops(shares: Sequence[np.ndarray]) -> list[np.ndarray]:
    """By how much the relative probability of publication drops at each step, and what it is beyond the last."""
    weight: Any = np.ones(())
    drops = []
    for share in shares:
        drops.append(weight * (1 - share))
        weight = weight * share
    return [*drops, weight]


def _positive(prior: Prior, typical: float) -> Axis:
    """An axis for a parameter above zero, which ends where a parameter without an upper end is beyond all data."""
    lower, upper = prior.scipy.support()
    scale = scale_of(float(lower), float(upper), typical)
    low, high = scale.ends
    return Axis(prior.scipy, scale if high < 10 else type(scale)(scale.to_x, scale.to_u, scale.log_jacobian, (low, 12)))


def _normal_like(prior: Prior) -> Prior:
    """A normal prior as wide as another's middle: only to find where a grid should be fine."""
    if prior.dist == "Normal":
        return prior
    low, middle, high = prior.scipy.ppf([0.16, 0.5, 0.84])
    return Prior("Normal", mu=float(middle), sigma=float(high - low) / 2)
