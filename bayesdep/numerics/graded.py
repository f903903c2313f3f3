r"""Scores of items under a graded response model, as one compiled operation with its slopes.

A row r has a score of each item m, from 0 to the item's highest, and larger is worse (Samejima 1969,
doi:10.1007/BF03372160). With severity theta, discrimination a, thresholds that rise, and further columns x whose
effects b differ between items::

    level_rm = a_m theta_r + sum_q x_rq b_qm        P(y_rm <= k) = F(threshold_mk - level_rm), F logistic

The log probability of a score is that of two "ends", ``log F(threshold_y - level)`` and ``log F(level -
threshold_{y-1})``, and ``log(1 - exp(-gap))`` of the distance of the two thresholds, which does not depend on the
level. With ``q = exp(level) exp(-threshold)`` the ends are ``1 / (1 + q)`` and ``q / (1 + q)``, so one exponential
serves a score, its slopes and its curvature. Of a level or threshold so large that a product of two odds is no finite
number, each end is computed on its own.
"""

import inspect
import sys
import zlib
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba.extending import register_jitable
from pytensor.gradient import grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from scipy import special

from bayesdep.numerics.types import Tensor

_FARTHEST = 150.0  # size of a level or threshold up to which a product of two odds is a finite number
_DIFFERENTIATED = 5  # of the operation's inputs, the first


@register_jitable
def _end(x: float) -> tuple[float, float]:
    """``log F(x)`` and F(x), of any size."""
    small = np.exp(-abs(x))
    share = (1.0 if x >= 0.0 else small) / (1.0 + small)
    return min(x, 0.0) - np.log1p(small), share


def graded_slopes(
    severity: np.ndarray,
    discrimination: np.ndarray,
    effects: np.ndarray,
    thresholds: np.ndarray,
    inside: np.ndarray,
    score: np.ndarray,
    columns: np.ndarray,
    highest: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Compute the log probability of all scores, and its derivatives.

    Parameters
    ----------
    severity
        theta, shape (rows,).
    discrimination
        a, shape (items,).
    effects
        b, shape (columns, items).
    thresholds
        Shape (items, T), of which an item's first ``highest`` are used.
    inside
        ``log(1 - exp(-gap))`` of neighbouring thresholds, shape (items, T): the first is of the first two.
    score
        Whole numbers, -1 where missing; shape (rows, items).
    columns
        x, shape (rows, columns).
    highest
        Each item's highest score, shape (items,).

    Returns
    -------
    tuple of numpy.ndarray
        The sum of log probabilities (), and its derivatives by the first five arguments, in their shapes.
    """
    rows, items = score.shape
    number = columns.shape[1]
    by_severity, by_discrimination = np.zeros(rows), np.zeros(items)
    by_effects, by_thresholds, by_inside = np.zeros(effects.shape), np.zeros(thresholds.shape), np.zeros(inside.shape)
    scale, is_far = np.empty(thresholds.shape), np.zeros(items, dtype=np.bool_)
    for m in range(items):
        for k in range(highest[m]):
            is_far[m] = is_far[m] or not abs(thresholds[m, k]) <= _FARTHEST
            scale[m, k] = 0.0 if is_far[m] else np.exp(-thresholds[m, k])
    total = 0.0
    for r in range(rows):
        for m in range(items):
            y = score[r, m]
            if y < 0:
                continue
            level = discrimination[m] * severity[r]
            for q in range(number):
                level += columns[r, q] * effects[q, m]
            slope = 0.0
            if is_far[m] or not abs(level) <= _FARTHEST:  # what is no number goes this way too
                if y < highest[m]:
                    log_end, share = _end(thresholds[m, y] - level)
                    total += log_end
                    slope = share - 1.0
                    by_thresholds[m, y] += 1.0 - share
                if y > 0:
                    log_end, share = _end(level - thresholds[m, y - 1])
                    total += log_end
                    slope += 1.0 - share
                    by_thresholds[m, y - 1] -= 1.0 - share
            else:
                odds, product = np.exp(level), 1.0
                if y < highest[m]:
                    above = 1.0 + odds * scale[m, y]
                    product = above
                    share = 1.0 / above
                    slope = share - 1.0
                    by_thresholds[m, y] += 1.0 - share
                if y > 0:
                    above = 1.0 + odds * scale[m, y - 1]
                    product *= above
                    share = 1.0 / above
                    slope += share
                    by_thresholds[m, y - 1] -= share
                    total += level - thresholds[m, y - 1]
                total -= np.log(product)
            if 0 < y < highest[m]:
                total += inside[m, y - 1]
                by_inside[m, y - 1] += 1.0
            by_severity[r] += slope * discrimination[m]
            by_discrimination[m] += slope * severity[r]
            for q in range(number):
                by_effects[q, m] += slope * columns[r, q]
    return np.array(total), by_severity, by_discrimination, by_effects, by_thresholds, by_inside


def levels_of(severity: Any, discrimination: Any, effects: Any, columns: np.ndarray) -> np.ndarray:
    """Return the level of every row and item.

    Parameters
    ----------
    severity, discrimination, effects
        As of :func:`graded_slopes`, with any leading dims.
    columns
        Shape (rows, columns).

    Returns
    -------
    numpy.ndarray
        Shape (..., rows, items).
    """
    level = np.asarray(severity)[..., :, None] * np.asarray(discrimination)[..., None, :]
    return np.asarray(level + np.asarray(columns) @ np.asarray(effects))


def graded_log_probabilities(
    level: np.ndarray, thresholds: np.ndarray, inside: np.ndarray, score: np.ndarray, highest: np.ndarray
) -> np.ndarray:
    """Return the log probability of every score, with arrays; 0 where it is missing.

    Parameters
    ----------
    level
        Shape (..., rows, items).
    thresholds, inside
        As of :func:`graded_slopes`, with any leading dims.
    score, highest
        As of :func:`graded_slopes`.

    Returns
    -------
    numpy.ndarray
        Shape (..., rows, items).

    Examples
    --------
    >>> thresholds = np.array([[-1.0, 1.0]])
    >>> inside = np.log1p(-np.exp(-np.array([[2.0, 0.0]]) - 1e-300))
    >>> level, score = np.zeros((3, 1)), np.array([[0], [1], [2]])
    >>> found = graded_log_probabilities(level, thresholds, inside, score, np.array([2]))
    >>> np.exp(found[:, 0]).round(3).tolist()
    [0.269, 0.462, 0.269]
    """
    items = np.arange(score.shape[1])
    upper, lower = np.minimum(score, highest - 1), np.maximum(score - 1, 0)
    is_top, is_bottom = score >= highest, score <= 0
    with np.errstate(all="ignore"):  # thresholds that an item does not have are not used
        found = np.where(is_top, 0.0, special.log_expit(thresholds[..., items, np.maximum(upper, 0)] - level))
        found = found + np.where(is_bottom, 0.0, special.log_expit(level - thresholds[..., items, lower]))
        found = found + np.where(is_top | is_bottom, 0.0, inside[..., items, lower])
    return np.where(score < 0, 0.0, found)


def ends(
    level: np.ndarray, thresholds: np.ndarray, score: np.ndarray, highest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much every score's two ends fall short of certainty.

    Parameters
    ----------
    level, thresholds, score, highest
        As of :func:`graded_log_probabilities`.

    Returns
    -------
    tuple of numpy.ndarray
        ``F(level - threshold_y)`` and ``F(threshold_{y-1} - level)``, 0 where a score has no such end; shape (...,
        rows, items). The second less the first is the derivative of the log probability by the level, and ``p (1 - p)``
        of both, added up, minus its second derivative.
    """
    items = np.arange(score.shape[1])
    upper, lower = np.clip(score, 0, highest - 1), np.clip(score - 1, 0, highest - 1)
    above = np.where((score >= 0) & (score < highest), special.expit(level - thresholds[..., items, upper]), 0.0)
    below = np.where(score > 0, special.expit(thresholds[..., items, lower] - level), 0.0)
    return above, below


def probabilities_above(level: np.ndarray, thresholds: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Return the probability of a score above each threshold, 0 for thresholds that an item does not have.

    Parameters
    ----------
    level
        Shape (..., items).
    thresholds
        Shape (..., items, T).
    highest
        Shape (items,).

    Returns
    -------
    numpy.ndarray
        P(y > k), shape (..., items, T); the expected score is its sum.
    """
    is_used = np.arange(thresholds.shape[-1]) < np.asarray(highest)[:, None]
    return np.where(is_used, special.expit(level[..., None] - np.where(is_used, thresholds, 0.0)), 0.0)


class _GradedScores(Op):  # type: ignore[misc]  # PyTensor is not typed
    """The log probability of all scores, with its slopes as further outputs: see :func:`graded_slopes`."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`graded_slopes`."""
        floats = ("float64",) * _DIFFERENTIATED + ("int64", "float64", "int64")
        arguments = [pt.as_tensor_variable(x).astype(dtype) for x, dtype in zip(inputs, floats, strict=True)]
        outputs = [pt.dscalar(), *(x.type() for x in arguments[:_DIFFERENTIATED])]
        return Apply(self, arguments, outputs)

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it in plain Python: where nothing is compiled, it is needed once."""
        for storage, value in zip(outputs, graded_slopes(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs."""
        return [(), *shapes[:_DIFFERENTIATED]]

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives; data have none, and slopes none of their own."""
        rest = enumerate(inputs[_DIFFERENTIATED:], start=_DIFFERENTIATED)
        slopes = [output_grads[0] * slope for slope in outputs[1:]]
        return slopes + [grad_undefined(self, i, x, "data") for i, x in rest]


@register_funcify_default_op_cache_key(_GradedScores)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    # the number tells PyTensor's cache on disk one version of the loop from another
    return numba_njit(graded_slopes), zlib.crc32(inspect.getsource(sys.modules[__name__]).encode())


_graded_scores = _GradedScores()


def graded_log_likelihood(
    severity: Tensor,
    discrimination: Tensor,
    effects: Tensor,
    thresholds: Tensor,
    inside: Tensor,
    score: Tensor,
    columns: Tensor,
    highest: Tensor,
) -> Tensor:
    """Return the log probability of all scores.

    Parameters
    ----------
    severity, discrimination, effects, thresholds, inside, score, columns, highest
        As of :func:`graded_slopes`; the last three are data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        A scalar.
    """
    return _graded_scores(severity, discrimination, effects, thresholds, inside, score, columns, highest)[0]
