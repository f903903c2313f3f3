"""Mixtures of a few normals fitted to draws, and how many patients such a prior is worth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from bayesdep.numerics.marginals import NormalMixture

MOST = 4  # components
_GROUPS = 600  # of neighbouring draws
_HOW = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-10, "gtol": 1e-7}
_NARROWEST = 0.02  # least sd of a component, in sds of the draws: a narrower one would be of few draws
_LEGENDRE = np.polynomial.legendre.leggauss(24)
_REACHES = np.array([0.0, 0.5, 1, 1.5, 2, 3, 4, 6, 9])  # panels' ends in sds of each component, to both sides


@dataclass(frozen=True)
class Fitted:
    """A mixture of normals in the place of draws.

    Parameters
    ----------
    mixture
        The mixture, its weightiest component first.
    log_density
        Its mean log density at the draws.
    """

    mixture: NormalMixture
    log_density: float


def fit_mixture(draws: np.ndarray, effective: float, most: int = MOST) -> Fitted:
    """Fit a mixture of normals by maximum likelihood, adding components as long as Akaike's criterion improves.

    The log likelihood is that of ``effective`` draws: ``effective`` times the mean log density. A component has three
    parameters, so one more is taken where it adds more than three to that.

    Parameters
    ----------
    draws
        Shape (draws,).
    effective
        Their effective number.
    most
        The largest number of components.

    Returns
    -------
    Fitted
        From two starts: draws cut into parts of equal number, and normals of one mean and several widths.

    Examples
    --------
    >>> from scipy import stats
    >>> even = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    >>> found = fit_mixture(3 + 2 * even, 2000).mixture
    >>> len(found.weights), round(found.mean, 6), round(found.sd, 2)
    (1, 3.0, 2.0)
    """
    centre, spread = float(draws.mean()), float(draws.std())
    z, share = _grouped(np.sort((draws - centre) / spread))
    best: Fitted | None = None
    score = -np.inf
    for count in range(1, most + 1):
        found = max((_climb(z, share, *start) for start in _starts(z, share, count)), key=lambda one: one.log_density)
        if effective * found.log_density - 3 * count <= score:
            break
        best, score = found, effective * found.log_density - 3 * count
    assert best is not None
    of = best.mixture
    order = np.argsort(-of.weights, kind="stable")
    scaled = NormalMixture(of.weights[order], centre + spread * of.means[order], spread * of.sds[order])
    return Fitted(scaled, best.log_density - float(np.log(spread)))


def _grouped(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and shares of groups of neighbouring draws, small ones in the tails: the fit takes a tenth of the time."""
    count = len(z)
    reach = np.log(2 * count)
    edges = np.unique(np.round(count * special.expit(np.linspace(-reach, reach, _GROUPS + 1))).astype(int))
    edges[0], edges[-1] = 0, count
    size = np.diff(edges)
    return np.add.reduceat(z, edges[:-1]) / size, size / count


def _starts(z: np.ndarray, share: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    even = np.full(count, 1 / count)
    part = np.minimum((np.cumsum(share) - share / 2) * count, count - 1).astype(int)
    means = [np.average(z[part == k], weights=share[part == k]) for k in range(count)]
    cut = (even, np.array(means), np.array([max(z[part == k].std(), _NARROWEST) for k in range(count)]))
    return [cut] if count == 1 else [cut, (even, np.zeros(count), 1.8 ** (np.arange(count) - (count - 1) / 2))]


def _climb(z: np.ndarray, share: np.ndarray, weights: np.ndarray, means: np.ndarray, sds: np.ndarray) -> Fitted:
    """The maximum of the mean log density that is uphill, by a quasi-Newton method: EM takes thousands of steps."""
    count = len(weights)

    def unpacked(at: np.ndarray) -> NormalMixture:
        return NormalMixture(special.softmax(at[:count]), at[count : 2 * count], np.exp(at[2 * count :]))

    def downhill(at: np.ndarray) -> tuple[float, np.ndarray]:
        of = unpacked(at)
        x = (z[:, None] - of.means) / of.sds
        terms = np.log(of.weights) - at[2 * count :] - x**2 / 2
        total = special.logsumexp(terms, axis=1)
        each = share[:, None] * np.exp(terms - total[:, None])
        slope = [each.sum(axis=0) - of.weights, (each * x).sum(axis=0) / of.sds, (each * (x**2 - 1)).sum(axis=0)]
        return -float(share @ total), -np.concatenate(slope)

    # weights stay above exp(-20) and widths within reach of the draws', so that no component is lost on the way
    bounds = [(-10.0, 10.0)] * count + [(z[0], z[-1])] * count + [(np.log(_NARROWEST), np.log(10.0))] * count
    start = np.concatenate([np.log(weights), means, np.log(sds)])
    found = optimize.minimize(downhill, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_HOW)
    return Fitted(unpacked(found.x), -float(found.fun) - np.log(2 * np.pi) / 2)


def difference_of_cdf(mixture: NormalMixture, draws: np.ndarray) -> float:
    """Return the largest difference between a mixture's distribution function and that of draws, shape (draws,)."""
    x = np.sort(draws)
    below = mixture.cdf(x)
    steps = np.arange(len(x) + 1) / len(x)
    return float(max(np.abs(below - steps[1:]).max(), np.abs(below - steps[:-1]).max()))


def effective_patients(mixture: NormalMixture, information: Callable[[np.ndarray], np.ndarray]) -> float:
    r"""Return how many patients a prior is worth: the expected local information ratio.

    .. math:: \int p(\theta) \frac{- \mathrm{d}^2 \log p(\theta) / \mathrm{d}\theta^2}{i(\theta)} \, \mathrm{d}\theta

    with i the Fisher information of one patient (Neuenschwander, Weber, Schmidli and O'Hagan 2020,
    doi:10.1111/biom.13252): after n patients its expectation is n more than before. By Gauss-Legendre panels that part
    at each component's mean and sds.

    Parameters
    ----------
    mixture
        The prior.
    information
        Of one patient, at values of the parameter; for a mean of outcomes of sd s it is ``1 / s**2`` everywhere.

    Returns
    -------
    float
        A number of patients.

    Examples
    --------
    >>> one = NormalMixture(np.ones(1), np.zeros(1), np.full(1, 0.5))
    >>> round(effective_patients(one, lambda x: 0 * x + 1 / 10**2), 6)
    400.0
    """
    reaches = np.concatenate([-_REACHES[:0:-1], _REACHES])
    ends = np.unique(mixture.means[:, None] + mixture.sds[:, None] * reaches)
    half = np.diff(ends)[:, None] / 2
    nodes, weights = _LEGENDRE
    x = (ends[:-1, None] + half * (1 + nodes)).ravel()
    z = (x[:, None] - mixture.means) / mixture.sds
    each = mixture.weights * np.exp(-(z**2) / 2) / (mixture.sds * np.sqrt(2 * np.pi))
    density = each.sum(axis=1)
    slope = -(each * z / mixture.sds).sum(axis=1)
    bend = (each * (z**2 - 1) / mixture.sds**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # no density left far out
        curvature = np.where(density > 0, slope**2 / density - bend, 0.0)  # -p (log p)''
    return float((curvature / information(x)) @ (half * weights).ravel())
