"""The normal-normal hierarchy without sampling: one-dimensional quadrature over tau.

Given tau everything is normal, so the posterior of the pooled effect, of each study's effect and of a new
study's effect is a mixture of normals over the posterior of tau, which has one dimension and is integrated
on a grid (Roever 2020, doi:10.18637/jss.v093.i06, section 2).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from bayesdep.models.parts.marginals import Gridded, NormalMixture
from bayesdep.models.parts.priors import Prior

_GRID = 401
_NEGLIGIBLE = 36.0  # nats below the peak of the density: 2e-16 of it


@dataclass(frozen=True)
class NormalNormal:
    r"""Posterior of ``y_k ~ N(theta_k, se_k)``, ``theta_k ~ N(mu, tau)``, ``mu ~ N(m0, s0)``, any prior on tau.

    With :math:`w_k = 1/(se_k^2 + \tau^2)`: :math:`\mu \mid \tau` is normal with precision
    :math:`1/s_0^2 + \sum w_k` and mean :math:`(m_0/s_0^2 + \sum w_k y_k)` over it;
    :math:`\theta_k \mid \mu, \tau` is normal with mean :math:`B_k y_k + (1 - B_k)\mu` and variance
    :math:`B_k se_k^2`, where :math:`B_k = \tau^2 w_k`.

    Parameters
    ----------
    y, se
        Effects and their standard errors, shape (studies,).
    mu_prior
        A Normal prior on the pooled effect.
    tau_prior
        A prior on the between-study standard deviation.
    """

    y: np.ndarray
    se: np.ndarray
    mu_prior: Prior
    tau_prior: Prior

    def _conditional(self, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and sd of ``mu | tau`` and the log density of ``y | tau``, each of the shape of ``tau``."""
        m0, s0 = self.mu_prior["mu"], self.mu_prior["sigma"]
        w = 1 / (self.se**2 + tau[:, None] ** 2)
        precision = 1 / s0**2 + w.sum(1)
        residual = self.y - m0
        shift = (w @ residual) / precision
        log_density = 0.5 * (
            np.log(w / (2 * np.pi)).sum(1) - np.log(s0**2 * precision) - w @ residual**2 + precision * shift**2
        )
        return m0 + shift, 1 / np.sqrt(precision), log_density

    @cached_property
    def tau(self) -> Gridded:
        """Posterior of tau: gridded on the log scale, or on the logit scale where its prior has an upper end."""
        lower, upper = (float(end) for end in self.tau_prior.scipy.support())
        scale = float(np.median(self.se))
        if np.isfinite(upper):
            width = upper - lower

            def to_x(u: np.ndarray) -> np.ndarray:
                return lower + width * special.expit(u)

            def to_u(x: np.ndarray) -> np.ndarray:
                return special.logit((x - lower) / width)

            def log_jacobian(u: np.ndarray) -> np.ndarray:
                return special.log_expit(u) + special.log_expit(-u) + np.log(width)
        else:

            def to_x(u: np.ndarray) -> np.ndarray:
                return scale * np.exp(u)

            def to_u(x: np.ndarray) -> np.ndarray:
                with np.errstate(divide="ignore"):  # zero is where the range begins, at minus infinity
                    return np.log(x / scale)

            def log_jacobian(u: np.ndarray) -> np.ndarray:
                return u + np.log(scale)

        def log_density(u: np.ndarray) -> np.ndarray:
            tau = to_x(u)
            return self._conditional(tau)[2] + self.tau_prior.scipy.logpdf(tau) + log_jacobian(u)

        wide = np.linspace(-45.0, 45.0, _GRID)
        height = log_density(wide)
        inside = np.flatnonzero(height > height.max() - _NEGLIGIBLE)
        u = np.linspace(wide[max(inside[0] - 1, 0)], wide[min(inside[-1] + 1, _GRID - 1)], _GRID)
        height = log_density(u)
        return Gridded(u, np.exp(height - height.max()), to_x, to_u)

    @cached_property
    def _mixture(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Weights and values of tau on its grid, and mean and sd of ``mu`` there; weightless points dropped."""
        keep = self.tau.weights > 1e-15 * self.tau.weights.max()
        tau = self.tau.to_x(self.tau.u[keep])
        mean, sd, _ = self._conditional(tau)
        weights = self.tau.weights[keep]
        return weights / weights.sum(), tau, mean, sd

    @property
    def mu(self) -> NormalMixture:
        """Posterior of the pooled effect."""
        weights, _, mean, sd = self._mixture
        return NormalMixture(weights, mean, sd)

    @property
    def theta_new(self) -> NormalMixture:
        """Posterior of the effect in a new study."""
        weights, tau, mean, sd = self._mixture
        return NormalMixture(weights, mean, np.hypot(sd, tau))

    @property
    def theta(self) -> list[NormalMixture]:
        """Posterior of each study's own effect, in the order of ``y``."""
        weights, tau, mean, sd = self._mixture
        mixtures = []
        for y, se in zip(self.y, self.se, strict=True):
            shrink = tau**2 / (tau**2 + se**2)
            mixtures.append(
                NormalMixture(
                    weights,
                    shrink * y + (1 - shrink) * mean,
                    np.sqrt(shrink * se**2 + ((1 - shrink) * sd) ** 2),
                )
            )
        return mixtures

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Independent draws of ``mu`` and ``tau`` from their joint posterior, shape (n,) each."""
        tau = self.tau.quantile(rng.uniform(size=n))
        mean, sd, _ = self._conditional(tau)
        return {"mu": rng.normal(mean, sd), "tau": tau}


def typical_variance(se: np.ndarray) -> float:
    """The typical within-study variance behind I-squared (Higgins and Thompson 2002, equation 9).

    Parameters
    ----------
    se
        Standard errors, shape (studies,); at least two.

    Returns
    -------
    float
        ``(K - 1) sum(w) / (sum(w)^2 - sum(w^2))`` with ``w = 1/se^2``.
    """
    w = 1 / np.asarray(se, float) ** 2
    return float((len(w) - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum()))


def i_squared(tau: Any, typical: float) -> Any:
    """Share of the variance of observed effects that is between studies, in percent.

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
