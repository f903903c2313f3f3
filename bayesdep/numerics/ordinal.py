r"""Log probabilities of ordered categories, for arrays and for tensors of a model, accurate in both tails.

Categories 0 to K - 1 are in order from the best to the worst. ``shift`` is a unit's linear predictor and ``threshold``
one of K - 1 numbers, ``z_k = threshold_k - shift``. **Positive is always worse**: a larger shift moves probability
towards later categories, under every link. F is the logistic or the normal distribution function::

    cumulative     P(y <= k) = F(z_k)                     thresholds rise (McCullagh 1980,
                                                          doi:10.1111/j.2517-6161.1980.tb01109.x)
    continuation   P(y = k | y >= k) = F(z_k)             thresholds are free (Tutz 1990,
                                                          doi:10.1111/j.2044-8317.1990.tb00925.x)
    adjacent       P(y = k) / P(y = k + 1) = exp(z_k)     thresholds are free, F is logistic (Agresti 2010,
                                                          Analysis of Ordinal Categorical Data, section 4.1)

Neighbouring thresholds of the cumulative link can be closer to each other than the last digit of either, so their
distances (``gaps``) are arguments of their own.
"""

from typing import Any, Literal

import numpy as np
from scipy import special, stats

from bayesdep.numerics.censoring import log_normal_cdf, log_normal_interval
from bayesdep.numerics.types import Tensor

type Link = Literal["cumulative", "continuation", "adjacent"]
type Distribution = Literal["logit", "probit"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_NARROW = 0.5  # half-width times distance up to which an interval is integrated, as in numerics/censoring.py
_SMALL_SHARE = 1e-4  # of the smaller tail, up to which a gap is a probability over a density


def log_probabilities(
    thresholds: Tensor,
    gaps: Tensor,
    shift: Tensor,
    *,
    link: Link = "cumulative",
    distribution: Distribution = "logit",
) -> Tensor:
    """Return the log probability of every category.

    Parameters
    ----------
    thresholds
        Shape (..., K - 1), NumPy or PyTensor; its last dim must have a static size.
    gaps
        Distances between neighbouring thresholds, shape (..., K - 2); None where the link is not cumulative.
    shift
        Linear predictors, shape (...); positive is worse.
    link
        ``"cumulative"``, ``"continuation"`` or ``"adjacent"``.
    distribution
        F: ``"logit"`` or ``"probit"``; the adjacent link has the logistic only.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        Shape (..., K): tensors if any argument is one.

    Examples
    --------
    >>> thresholds = np.array([-1.0, 1.0])
    >>> np.exp(log_probabilities(thresholds, np.array([2.0]), np.array(0.0))).round(3).tolist()
    [0.269, 0.462, 0.269]
    >>> np.exp(log_probabilities(thresholds, None, np.array(0.0), link="adjacent")).round(3).tolist()
    [0.212, 0.576, 0.212]
    """
    maths = _maths(thresholds, gaps, shift)
    z = thresholds - shift[..., None]
    if link == "adjacent":
        return maths.log_softmax(_scores(z, maths))
    below, above = maths.log_cdf(z, distribution), maths.log_cdf(-z, distribution)
    first, last = below[..., :1], above[..., -1:]
    if link == "continuation":
        passed = maths.cumsum(above)
        return maths.concatenate([first, passed[..., :-1] + below[..., 1:], passed[..., -1:]])
    if _categories(thresholds) == 2:
        return maths.concatenate([first, last])
    if distribution == "probit":
        between = maths.log_normal_interval(z[..., :-1] + gaps / 2, maths.like(gaps, z[..., 1:]) / 2)
    else:
        between = below[..., 1:] + above[..., :-1] + maths.log1mexp(-gaps)
    return maths.concatenate([first, between, last])


def log_probability_of(
    category: Tensor,
    thresholds: Tensor,
    gaps: Tensor,
    shift: Tensor,
    *,
    link: Link = "cumulative",
    distribution: Distribution = "logit",
) -> Tensor:
    """Return the log probability of the category that each unit had: what :func:`log_probabilities` has there.

    Parameters
    ----------
    category
        Whole numbers from 0 to K - 1, shape (units,), NumPy or PyTensor.
    thresholds, gaps
        Shape (K - 1,) and (K - 2,), the same for all units; or with the units first. Gaps as of
        :func:`log_probabilities`.
    shift
        Shape (..., units); with thresholds of units' own, (units,).
    link, distribution
        As of :func:`log_probabilities`.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        The shape of ``shift``.

    Examples
    --------
    >>> log_probability_of(np.array([2]), np.array([-1.0, 1.0]), np.array([2.0]), np.array([0.0])).round(6).tolist()
    [-1.313262]
    """
    maths = _maths(category, thresholds, gaps, shift)
    categories = _categories(thresholds)
    if link != "cumulative":
        z = thresholds - shift[..., None]
        number = np.arange(categories - 1)
        if link == "continuation":  # thresholds before the category were passed, its own was not
            sign = maths.where(category[:, None] > number, 1.0, -1.0)
            used = category[:, None] >= number
            return maths.where(used, maths.log_cdf(maths.where(used, -sign * z, 0.0), distribution), 0.0).sum(axis=-1)
        return maths.log_softmax_at(_scores(z, maths), category)
    is_first, is_last = category < 1, category > categories - 2
    upper = _at(thresholds, maths.clip(category, 0, categories - 2)) - shift
    lower = _at(thresholds, maths.clip(category - 1, 0, categories - 2)) - shift
    if distribution == "probit":
        outside = maths.log_cdf(maths.where(is_last, -lower, upper), distribution)
        if categories == 2:
            return outside
        gap = _at(gaps, maths.clip(category - 1, 0, categories - 3))
        at_end = is_first | is_last
        middle = maths.where(at_end, 0.0, lower + gap / 2)
        return maths.where(at_end, outside, maths.log_normal_interval(middle, maths.like(gap, middle) / 2))
    total = maths.where(is_last, 0.0, maths.log_cdf(upper, distribution))
    total = total + maths.where(is_first, 0.0, maths.log_cdf(-lower, distribution))
    if categories == 2:
        return total
    gap = _at(gaps, maths.clip(category - 1, 0, categories - 3))
    return total + maths.where(is_first | is_last, 0.0, maths.log1mexp(-gap))


def probabilities_up_to(
    thresholds: np.ndarray,
    shift: np.ndarray,
    *,
    link: Link = "cumulative",
    distribution: Distribution = "logit",
) -> np.ndarray:
    """Return the probability of every category or better, for means over many units and draws.

    Parameters
    ----------
    thresholds
        Shape (..., K - 1).
    shift
        Linear predictors, shape (...); positive is worse.
    link, distribution
        As of :func:`log_probabilities`, of which this is the cumulative sum, to the last digits of 1.

    Returns
    -------
    numpy.ndarray
        P(y <= k) of all categories but the last, shape (..., K - 1).

    Examples
    --------
    >>> probabilities_up_to(np.array([-1.0, 1.0]), np.array(0.0)).round(3).tolist()
    [0.269, 0.731]
    """
    z = thresholds - shift[..., None]
    if link == "adjacent":
        scores = np.concatenate([np.zeros_like(z[..., :1]), -np.cumsum(z, axis=-1)], axis=-1)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(np.cumsum(shares[..., :-1], axis=-1) / shares.sum(axis=-1, keepdims=True))
    cdf = special.expit if distribution == "logit" else special.ndtr
    if link == "continuation":
        return np.asarray(1 - np.cumprod(cdf(-z), axis=-1))
    return np.asarray(cdf(z))


def thresholds_of(
    probabilities: Tensor, *, link: Link = "cumulative", distribution: Distribution = "logit"
) -> tuple[Tensor, Tensor]:
    """Return the thresholds under which a unit without a shift has the given probabilities of categories.

    So a prior on thresholds can be stated as one on probabilities: a Dirichlet distribution is the one of which
    Betancourt's induced prior is the image (https://betanalpha.github.io/assets/case_studies/ordinal_regression.html).

    Parameters
    ----------
    probabilities
        Above zero, summing to 1, shape (..., K), NumPy or PyTensor; its last dim must have a static size.
    link, distribution
        As of :func:`log_probabilities`.

    Returns
    -------
    thresholds
        Shape (..., K - 1).
    gaps
        Shape (..., K - 2), right also where they are far smaller than the thresholds; None where the link has none.

    Examples
    --------
    >>> thresholds, gaps = thresholds_of(np.array([0.2, 0.3, 0.5]))
    >>> thresholds.round(4).tolist(), gaps.round(4).tolist()
    ([-1.3863, 0.0], [1.3863])
    """
    maths = _maths(probabilities)
    p = probabilities
    if link == "adjacent":
        return maths.log(p[..., :-1]) - maths.log(p[..., 1:]), None
    from_above = maths.cumsum(p[..., ::-1])[..., ::-1]  # P(y >= k)
    worse = from_above[..., 1:]  # P(y > k)
    if link == "continuation":
        return maths.quantile(p[..., :-1] / from_above[..., :-1], worse / from_above[..., :-1], distribution), None
    up_to = maths.cumsum(p)[..., :-1]
    thresholds = maths.quantile(up_to, worse, distribution)
    inner, before, after = p[..., 1:-1], up_to[..., :-1], worse[..., 1:]
    if distribution == "logit":
        return thresholds, maths.log1p(inner / (before * after))
    share = inner / maths.minimum(before, after)
    middle = maths.quantile(before + inner / 2, after + inner / 2, distribution)
    narrow = inner * np.sqrt(2 * np.pi) * maths.exp(middle**2 / 2)
    return thresholds, maths.where(share < _SMALL_SHARE, narrow, thresholds[..., 1:] - thresholds[..., :-1])


def _categories(thresholds: Tensor) -> int:
    """How many categories there are."""
    shape = thresholds.type.shape if hasattr(thresholds, "type") else np.shape(thresholds)
    return int(shape[-1]) + 1


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Each unit's own of the thresholds or gaps that all units share, or that each has of its own."""
    if values.ndim == 1:
        return values[index]
    return values[_maths(index).arange(index), index]


def _scores(z: Tensor, maths: Any) -> Tensor:
    """Log probabilities of the adjacent link but for a constant: 0 for the first category."""
    return maths.concatenate([maths.zeros_like(z[..., :1]), -maths.cumsum(z)])


# The same mathematics of NumPy's arrays and of PyTensor's tensors


def _maths(*values: Any) -> Any:
    return _OfTensors if any(hasattr(value, "owner") for value in values) else _OfArrays


class _OfArrays:
    """Of NumPy's arrays."""

    where, exp, log, log1p, minimum, clip = np.where, np.exp, np.log, np.log1p, np.minimum, np.clip
    zeros_like = np.zeros_like

    @staticmethod
    def arange(values: np.ndarray) -> np.ndarray:
        return np.arange(len(values))

    @staticmethod
    def like(values: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, np.shape(other))

    @staticmethod
    def cumsum(values: np.ndarray) -> np.ndarray:
        return np.cumsum(values, axis=-1)

    @staticmethod
    def concatenate(parts: list[np.ndarray]) -> np.ndarray:
        rows = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(part, (*rows, part.shape[-1])) for part in parts], axis=-1)

    @staticmethod
    def log_cdf(z: np.ndarray, distribution: Distribution) -> np.ndarray:
        return np.asarray(-np.logaddexp(0.0, -z) if distribution == "logit" else special.log_ndtr(z))

    @staticmethod
    def log1mexp(x: np.ndarray) -> np.ndarray:
        """``log(1 - exp(x))`` of numbers below zero (Maechler 2012, CRAN's vignette of Rmpfr)."""
        with np.errstate(divide="ignore"):
            return np.where(x < -np.log(2), np.log1p(-np.exp(x)), np.log(-np.expm1(x)))

    @staticmethod
    def log_softmax(scores: np.ndarray) -> np.ndarray:
        categories = np.arange(scores.shape[-1])
        every = [_OfArrays.log_softmax_at(scores, np.broadcast_to(k, scores.shape[:-1])) for k in categories]
        return np.stack(every, axis=-1)

    @staticmethod
    def log_softmax_at(scores: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Of one category a row: minus the log of 1 and the others' odds, which loses nothing where these are small."""
        index = np.broadcast_to(category, scores.shape[:-1])[..., None]
        own = np.take_along_axis(scores, index, axis=-1)
        others = np.where(np.arange(scores.shape[-1]) == index, -np.inf, scores - own)
        return np.asarray(-np.logaddexp(0.0, special.logsumexp(others, axis=-1)))

    @staticmethod
    def quantile(below: np.ndarray, above: np.ndarray, distribution: Distribution) -> np.ndarray:
        """Where the distribution function has this probability, and the rest above it."""
        if distribution == "logit":
            return np.asarray(np.log(below) - np.log(above))
        return np.where(below < above, stats.norm.ppf(below), stats.norm.isf(above))

    @staticmethod
    def log_normal_interval(middle: np.ndarray, half_width: np.ndarray) -> np.ndarray:
        """As :func:`~bayesdep.numerics.censoring.log_normal_interval`, of arrays."""
        distance = np.abs(middle)
        is_narrow = half_width * np.maximum(distance, 1.0) < _NARROW
        upper = special.log_ndtr(half_width - distance)
        wide = upper + _OfArrays.log1mexp(np.minimum(special.log_ndtr(-half_width - distance) - upper, -1e-300))
        half, centre = np.where(is_narrow, half_width, 0.1), np.where(is_narrow, distance, 0.0)
        moved = half[..., None] * _NODES
        total = (_WEIGHTS * np.exp(-moved * (2 * centre[..., None] + moved) / 2)).sum(axis=-1)
        at_centre = -(centre**2) / 2 - np.log(2 * np.pi) / 2
        return np.where(is_narrow, at_centre + np.log(half) + np.log(total), wide)


class _OfTensors:
    """Of PyTensor's tensors."""

    @staticmethod
    def where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.switch(condition, yes, no)

    @staticmethod
    def minimum(one: Tensor, other: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.minimum(one, other)

    @staticmethod
    def clip(x: Tensor, low: int, high: int) -> Tensor:
        import pytensor.tensor as pt

        return pt.clip(x, low, high)

    @staticmethod
    def arange(values: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.arange(values.shape[0])

    @staticmethod
    def exp(x: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.exp(x)

    @staticmethod
    def log(x: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.log(x)

    @staticmethod
    def log1p(x: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.log1p(x)

    @staticmethod
    def zeros_like(x: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.zeros_like(x)

    @staticmethod
    def like(values: Tensor, other: Tensor) -> Tensor:
        return values + 0 * other

    @staticmethod
    def cumsum(values: Tensor) -> Tensor:
        """Written out: the last dim is short, and numba takes long to compile a cumulative sum and its gradient."""
        import pytensor.tensor as pt

        sums = [values[..., 0]]
        for k in range(1, values.type.shape[-1]):
            sums.append(sums[-1] + values[..., k])
        return pt.stack(sums, axis=-1)

    @staticmethod
    def concatenate(parts: list[Tensor]) -> Tensor:
        import pytensor.tensor as pt

        most = max(part.ndim for part in parts)
        parts = [pt.shape_padleft(part, most - part.ndim) for part in parts]
        return pt.concatenate(parts, axis=-1)

    @staticmethod
    def log_cdf(z: Tensor, distribution: Distribution) -> Tensor:
        import pytensor.tensor as pt

        return -pt.softplus(-z) if distribution == "logit" else log_normal_cdf(z)

    @staticmethod
    def log1mexp(x: Tensor) -> Tensor:
        import pytensor.tensor as pt

        return pt.log1mexp(x)

    @staticmethod
    def log_softmax(scores: Tensor) -> Tensor:
        import pytensor.tensor as pt

        categories = range(scores.type.shape[-1])
        return pt.stack([_OfTensors._log_share(scores, k, categories) for k in categories], axis=-1)

    @staticmethod
    def _log_share(scores: Tensor, k: int, categories: range) -> Tensor:
        import pytensor.tensor as pt

        others = pt.stack([scores[..., j] - scores[..., k] for j in categories if j != k], axis=-1)
        return -pt.softplus(pt.logsumexp(others, axis=-1))

    @staticmethod
    def log_softmax_at(scores: Tensor, category: np.ndarray) -> Tensor:
        import pytensor.tensor as pt

        own = pt.eq(pt.as_tensor_variable(category)[..., None], np.arange(scores.type.shape[-1]))
        difference = scores - (scores * own).sum(axis=-1)[..., None]
        return -pt.softplus(pt.logsumexp(pt.switch(own, -np.inf, difference), axis=-1))

    @staticmethod
    def quantile(below: Tensor, above: Tensor, distribution: Distribution) -> Tensor:
        import pytensor.tensor as pt

        if distribution == "logit":
            return pt.log(below) - pt.log(above)
        is_low = below < above
        return pt.switch(is_low, -1.0, 1.0) * np.sqrt(2) * pt.erfcinv(2 * pt.switch(is_low, below, above))

    @staticmethod
    def log_normal_interval(middle: Tensor, half_width: Tensor) -> Tensor:
        return log_normal_interval(middle, half_width)
