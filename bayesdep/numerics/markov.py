"""Markov chains over a few ordered states: matrices of one step, of several, and the distributions of what was seen.

A matrix of transitions has the state before in its rows and the state after in its columns. Between two times at which
a patient was seen lie one or several steps; the states in between were not seen and are summed over, which the matrix's
power does::

    P(state after g steps | state before) = (M^g)[before, after]

Powers are computed from logarithms, so that probabilities of any size keep their digits. The distributions are classes,
not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so models import it when
they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable

from bayesdep.numerics.chains_of_states import NEVER, draw_states
from bayesdep.numerics.types import Tensor


class _StatesOverVisitsRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "states_over_visits"
    signature = "(p,g,k,k),(),(),(t),(t)->(t)"
    dtype = "int64"
    _print_name = ("StatesOverVisits", "\\operatorname{StatesOverVisits}")

    @classmethod
    def rng_fn(cls, rng: Any, *parameters: Any) -> Any:
        log_matrices, profile, first, gap, previous, size = parameters
        shapes = (log_matrices.shape[:-4], profile.shape, first.shape, gap.shape[:-1], previous.shape[:-1])
        batch = np.broadcast_shapes(*shapes) if size is None else tuple(size)
        # matrices vary over draws only, the leading dims; patients are the last one
        matrices = np.broadcast_to(log_matrices, (*batch[:-1], 1, *log_matrices.shape[-4:]))[..., 0, :, :, :, :]
        draw = np.ix_(*(np.arange(n) for n in batch))[:-1]
        profile, first = (np.broadcast_to(x, batch).astype(int) for x in (profile, first))
        gap, previous = (np.broadcast_to(x, (*batch, x.shape[-1])).astype(int) for x in (gap, previous))
        states = np.full(gap.shape, -1)
        for t in range(gap.shape[-1]):
            seen_before = np.take_along_axis(states, np.maximum(previous[..., t : t + 1], 0), axis=-1)[..., 0]
            before = np.where(previous[..., t] < 0, first, seen_before)
            row = matrices[(*draw, profile, np.maximum(gap[..., t] - 1, 0), np.maximum(before, 0))]
            drawn = np.where(gap[..., t] > 0, draw_states(rng, row), first)
            states[..., t] = np.where(gap[..., t] < 0, -1, drawn)
        return states


class StatesOverVisits(pm.Discrete):  # type: ignore[misc]  # PyMC is not typed
    """States of a patient at the visits at which the patient was seen, given the first of them.

    Parameters are ``log_matrices`` (profile, power, state, state: logs of the powers of each profile's matrix, the
    first power first), and of the patient ``profile`` (whole number), ``first`` (the state at the first visit seen) and
    by visit ``gap`` (steps since the previous visit seen; 0 at the first one, -1 where the patient was not seen) and
    ``previous`` (place of that visit; -1 at the first and where not seen). A visit that was missed has the state -1.
    """

    rv_type = _StatesOverVisitsRV
    rv_op = _StatesOverVisitsRV()

    @classmethod
    def dist(
        cls, log_matrices: Tensor, profile: Tensor, first: Tensor, gap: Tensor, previous: Tensor, **kwargs: Any
    ) -> Tensor:
        """Return the random variable."""
        parameters = (log_matrices, profile, first, gap, previous)
        return super().dist([pt.as_tensor_variable(p) for p in parameters], **kwargs)

    def support_point(rv: Tensor, size: Any, *parameters: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's signature)
        """Return the first state throughout."""
        _, _, first, gap, _ = parameters
        return pt.switch(gap < 0, -1, first[..., None])

    def logp(
        value: Tensor, log_matrices: Tensor, profile: Tensor, first: Tensor, gap: Tensor, previous: Tensor
    ) -> Tensor:
        """Return the log probability of a patient's states after the first one."""
        _, powers, states, _ = log_matrices.type.shape[-4:]  # known when the model is built, unlike the data's
        patient = pt.arange(value.shape[0])[:, None]
        place = patient * value.shape[1] + pt.maximum(previous, 0)
        seen_before = value.flatten()[place.flatten()].reshape(value.shape)
        before = pt.switch(previous < 0, first[:, None], seen_before)
        cell = (profile[:, None] * powers + pt.maximum(gap - 1, 0)) * states + pt.maximum(before, 0)
        index = cell * states + pt.maximum(value, 0)
        log_probability = log_matrices.flatten()[index.flatten()].reshape(value.shape)
        return pt.sum(pt.switch(gap > 0, log_probability, 0.0), axis=-1)


class _GroupedStatesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "grouped_states"
    signature = "(k),(),(k)->(k)"
    dtype = "int64"
    _print_name = ("GroupedStates", "\\operatorname{GroupedStates}")

    @classmethod
    def rng_fn(cls, rng: Any, *parameters: Any) -> Any:
        log_probability, n, group, size = parameters
        states = log_probability.shape[-1]
        shapes = (log_probability.shape[:-1], n.shape, group.shape[:-1])
        batch = np.broadcast_shapes(*shapes) if size is None else tuple(size)
        p = np.exp(np.broadcast_to(log_probability, (*batch, states)))
        belongs = np.broadcast_to(group, (*batch, states))[..., None, :] == np.arange(states)[:, None]
        of_groups = (belongs * p[..., None, :]).sum(axis=-1)
        return rng.multinomial(np.broadcast_to(n, batch).astype(int), of_groups / of_groups.sum(axis=-1, keepdims=True))


class GroupedStates(pm.Discrete):  # type: ignore[misc]  # PyMC is not typed
    """How many of some people had each state, where some states may not be told apart.

    Parameters are ``log_probability`` (state), ``n`` (people) and ``group`` (state: the first of the states that it is
    not told apart from, itself where there are none). Counts stand at the first state of each group, others are zero.
    """

    rv_type = _GroupedStatesRV
    rv_op = _GroupedStatesRV()

    @classmethod
    def dist(cls, log_probability: Tensor, n: Tensor, group: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (log_probability, n, group)], **kwargs)

    def support_point(rv: Tensor, size: Any, log_probability: Tensor, n: Tensor, group: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return everybody in the first group."""
        return pt.switch(pt.eq(pt.arange(group.shape[-1]), group[..., :1]), n[..., None], 0)

    def logp(value: Tensor, log_probability: Tensor, n: Tensor, group: Tensor) -> Tensor:
        """Return the multinomial log probability of the groups' counts."""
        states = log_probability.type.shape[-1]
        belongs = pt.eq(group[..., None, :], np.arange(states)[:, None])  # by group and state
        of_groups = pt.logsumexp(pt.switch(belongs, log_probability[..., None, :], NEVER), axis=-1)
        arrangements = pt.gammaln(n + 1) - pt.gammaln(value + 1).sum(axis=-1)
        return arrangements + pt.sum(pt.switch(value > 0, value * of_groups, 0.0), axis=-1)
