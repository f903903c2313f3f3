"""Matrices of transitions between ordered states: their rows, their powers, and draws of states.

The state before is in the rows and the state after in the columns. Everything here takes NumPy's arrays, and what a
model's graph needs takes PyTensor's tensors as well.

A row is stated as its probabilities p without a shift. A shift delta then moves the log odds of a worse state, under
the links of :mod:`bayesdep.numerics.ordinal`; positive is worse. With logits this needs no thresholds. Let c_k be the
sum of p up to k and d_k that beyond k, and ``D_k = c_k + d_k exp(delta)``; then::

    cumulative     P(y <= k) = c_k / D_k,  so  P(y = k) = p_k exp(delta) / (D_k D_k-1),  D_-1 = exp(delta)
    continuation   P(y = k | y >= k) = p_k / E_k,  E_k = p_k + d_k exp(delta);  1 in the last state
    adjacent       P(y = k) proportional to p_k exp(k delta)

the first because ``c_k d_k-1 - c_k-1 d_k = c_k - c_k-1``. There is no difference of nearly equal numbers in these.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from bayesdep.numerics.ordinal import Link
from bayesdep.numerics.types import Tensor

NEVER = -1e4  # log of a probability that is zero; finite, so that slopes are too


def shifted_rows(row: Tensor, shift: Tensor, *, link: Link = "cumulative") -> Tensor:
    """Return the log probabilities of rows whose log odds of a worse state are shifted.

    Parameters
    ----------
    row
        Probabilities without a shift, above zero, shape (..., states), NumPy or PyTensor; the last dim static.
    shift
        Shape (...); positive is worse.
    link
        Which odds are shifted.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        Shape (..., states).

    Examples
    --------
    >>> shifted = np.exp(shifted_rows(np.array([0.5, 0.25, 0.25]), np.array(np.log(3.0))))
    >>> shifted.round(3).tolist()  # odds of 1 to 1 and 1 to 3 become 3 to 1 and 1 to 1
    [0.25, 0.25, 0.5]
    """
    maths: Any = _maths(row, shift)
    states = int(row.type.shape[-1] if hasattr(row, "type") else np.shape(row)[-1])
    delta, log_row = shift[..., None], maths.log(row)
    number = np.arange(states)
    if link == "adjacent":
        scores = log_row + number * delta
        return scores - maths.logsumexp(scores, axis=-1)[..., None]
    up_to = np.tri(states)  # [k, j]: whether j is at most k
    beyond = (row[..., None, :] * (1 - up_to)).sum(axis=-1)[..., :-1]
    if link == "continuation":
        passed = maths.log(beyond) + delta  # what is left after each state, before it is divided by E_k
        log_e = maths.log(row[..., :-1] + maths.exp(passed))
        stopped = (log_e[..., None, :] * up_to[:, :-1]).sum(axis=-1)
        return (
            (number < states - 1) * log_row
            + (passed[..., None, :] * np.tri(states, k=-1)[:, :-1]).sum(axis=-1)
            - stopped
        )
    log_d = maths.log((row[..., None, :] * up_to).sum(axis=-1)[..., :-1] + beyond * maths.exp(delta))
    # D_k is in the probabilities of k and of k + 1; D of the last state is 1, and D_-1 takes exp(delta) from the first
    in_both = np.eye(states)[:, :-1] + np.eye(states, k=-1)[:, :-1]
    return log_row + (number > 0) * delta - (log_d[..., None, :] * in_both).sum(axis=-1)


def with_absorbing_states(rows: Tensor, *, left: Sequence[int], states: int) -> Tensor:
    """Put the rows of states that can be left into whole matrices, whose other rows stay where they are.

    Parameters
    ----------
    rows
        Logs of probabilities, shape (..., left, states), NumPy or PyTensor.
    left
        The states that can be left, in order; all others are absorbing.
    states
        Number of states.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        Shape (..., states, states).

    Examples
    --------
    >>> np.exp(with_absorbing_states(np.log([[0.75, 0.25]]), left=[0], states=2)).tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """
    if len(left) == states:
        return rows
    stays = np.where(np.eye(states) > 0, 0.0, NEVER)
    every = [rows[..., left.index(s), :] if s in left else stays[s] + 0 * rows[..., 0, :] for s in range(states)]
    return _maths(rows).stack(every, axis=-2)


def log_powers(log_matrix: Tensor, most: int) -> list[Tensor]:
    """Return the logs of the first powers of matrices of transitions.

    Parameters
    ----------
    log_matrix
        Logs of probabilities, shape (..., states, states), NumPy or PyTensor.
    most
        The highest power.

    Returns
    -------
    list
        Logs of the first to the ``most``-th power, each of the shape of ``log_matrix``.

    Examples
    --------
    >>> matrix = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> np.exp(log_powers(np.log(matrix), 2)[1]).round(3).tolist()
    [[0.83, 0.17], [0.34, 0.66]]
    """
    if most == 1:
        return [log_matrix]
    maths = _maths(log_matrix)
    matrix = maths.exp(log_matrix)
    powers = [matrix]
    for _ in range(most - 1):
        powers.append((powers[-1][..., :, :, None] * matrix[..., None, :, :]).sum(axis=-2))
    return [log_matrix, *(maths.log(power + np.exp(NEVER)) for power in powers[1:])]


def draw_states(rng: np.random.Generator, log_probability: np.ndarray) -> np.ndarray:
    """Draw one state each.

    Parameters
    ----------
    rng
        Random numbers.
    log_probability
        Shape (..., states).

    Returns
    -------
    numpy.ndarray
        Shape (...): whole numbers.

    Examples
    --------
    >>> draw_states(np.random.default_rng(1), np.log([[1e-9, 1.0], [1.0, 1e-9]])).tolist()
    [1, 0]
    """
    reached = np.cumsum(np.exp(log_probability), axis=-1)
    return np.asarray((rng.random((*reached.shape[:-1], 1)) * reached[..., -1:] > reached[..., :-1]).sum(axis=-1))


class _OfArrays:
    """The functions of NumPy's arrays."""

    log, exp, stack, logsumexp = np.log, np.exp, np.stack, special.logsumexp


def _maths(*values: Any) -> Any:
    """The functions for arrays, or those for tensors if any of the values is one."""
    if any(hasattr(value, "owner") for value in values):
        import pytensor.tensor

        return pytensor.tensor
    return _OfArrays
