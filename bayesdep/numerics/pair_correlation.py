"""The effect size of a moderator: how well it tells, between patients on either arm, who gains by the treatment.

Kraemer's (2013, doi:10.1002/sim.5734): of all pairs of a treated patient i and a control j, the rank correlation of the
moderator's mean ``(m_i + m_j) / 2`` with the difference in outcome ``y_i - y_j``. It is 0 where the moderator says
nothing about the treatment's effect, whatever it says about outcomes.
"""

import numpy as np
from scipy import stats

MOST = 500  # patients of an arm, drawn at random where there are more: 250,000 pairs
SEED = 2013  # one set of patients and weights for all analyses, so that two of them differ by what they say alone


def pair_correlation(score: np.ndarray, outcome: np.ndarray, treated: np.ndarray) -> float:
    """Return the rank correlation, over pairs of a treated patient and a control, of score and outcomes' difference.

    Parameters
    ----------
    score, outcome
        The moderator and the outcome, shape (patients,), none missing.
    treated
        Whether a patient had the treatment.

    Returns
    -------
    float
        Spearman's correlation, ties by mid-ranks; NaN where the score does not vary.

    Examples
    --------
    >>> score, treated = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0]), np.repeat([True, False], 3)
    >>> round(pair_correlation(score, np.where(treated, score, -score), treated), 6)
    1.0
    """
    chosen = _some(treated, np.random.default_rng(SEED))
    first, second = _ranks_of_pairs(score[chosen], outcome[chosen], treated[chosen])
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def pair_correlation_draws(score: np.ndarray, outcome: np.ndarray, treated: np.ndarray, draws: int) -> np.ndarray:
    """Return draws of what :func:`pair_correlation` is among all patients these are a sample of.

    The Bayesian bootstrap (Rubin 1981, doi:10.1214/aos/1176345338): patients weigh as a flat Dirichlet says, a pair as
    the product of its two. Ranks stay those of the sample: weights move the correlation of the ranks, whose own change
    with the weights matters little: standard deviations differ by a few per cent.

    Parameters
    ----------
    score, outcome, treated
        As in :func:`pair_correlation`.
    draws
        How many.

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN where the score does not vary.
    """
    rng = np.random.default_rng(SEED)
    chosen = _some(treated, rng)
    score, outcome, treated = score[chosen], outcome[chosen], treated[chosen]
    first, second = _ranks_of_pairs(score, outcome, treated)
    weight = rng.standard_exponential((draws, len(score)))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.full(draws, np.nan)
    one, other = (weight[:, treated == arm] for arm in (True, False))
    one, other = (w / w.sum(axis=1, keepdims=True) for w in (one, other))
    a, b = (x - x.mean() for x in (first, second))
    mean_a, mean_b, both, square_a, square_b = (((one @ x) * other).sum(axis=1) for x in (a, b, a * b, a**2, b**2))
    return np.asarray((both - mean_a * mean_b) / np.sqrt((square_a - mean_a**2) * (square_b - mean_b**2)))


def _ranks_of_pairs(score: np.ndarray, outcome: np.ndarray, treated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of pairs' summed scores and of their differences in outcome, shape (treated, controls), from 0 to 1."""
    treated = treated.astype(bool)
    sums = score[treated][:, None] + score[~treated]
    sums = np.round(sums, 12)  # equal sums of other summands are equal
    differences = outcome[treated][:, None] - outcome[~treated]
    return tuple(stats.rankdata(x).reshape(x.shape) / x.size for x in (sums, differences))


def _some(treated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which patients' pairs are looked at: all, or as many of an arm as can be."""
    arms = [np.flatnonzero(treated == arm) for arm in (True, False)]
    return np.sort(np.concatenate([a if len(a) <= MOST else rng.choice(a, MOST, replace=False) for a in arms]))
