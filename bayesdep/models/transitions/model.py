"""Transitions: the state of a patient given the state one step before, by arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, ExactPosterior, Forest, reads
from bayesdep.models.parts.contrasts import contrast_root, contrasts
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.pooling import non_centred_effects
from bayesdep.models.parts.replicates import put
from bayesdep.models.transitions import checks, estimands, exact, scores
from bayesdep.models.transitions.data import prepare
from bayesdep.models.transitions.observations import observations
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.models.transitions.tables import tables as printed_tables
from bayesdep.numerics.chains_of_states import log_powers, shifted_rows, with_absorbing_states
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Transitions(TransitionsSettings):
    """States of patients at several times: a first-order Markov chain over ordered states, by arm.

    The generative model, for patient i in arm a with covariates x, one step of time after another; the states are in
    order, the best one first, and F is the logistic distribution function::

        state_it | state_i,t-1 = s ~ Categorical(M_i[s, .])
        shared      P(state_it <= k | s) = F(threshold_sk - effect_a c_a - x_i' covariate_effect)
        by-state    the same with effect_as ~ N(effect_a, effect_sd): an arm's effect by state before
        free        M_i[s, .] = row_as: every arm and state before has probabilities of its own
        threshold_s = the thresholds under which an average patient has the probabilities row_s
        row_s ~ Dirichlet(alpha, ..., alpha)

    ``c_a`` is the arm's indicator less the share of patients in the arm and x is standardised, so ``row_s`` is what
    follows state s in an average patient. **Positive is worse** under every link. With ``link = "continuation"`` F is
    the probability to be in state k of those at k or worse, with ``"adjacent"`` the odds of two neighbouring states
    (:mod:`bayesdep.numerics.ordinal`). Absorbing states are never left. Without arms and covariates the model is free.

    Times between visits are whole numbers of steps. A visit that was missed is summed over: with g steps between two
    visits seen, the likelihood has ``(M_i^g)[before, after]``. The first state seen is given, not modelled. Patients
    who drop out are missing at random given their last state; ``delta`` assumes otherwise: after dropping out, patients
    of every arm but the reference have log odds of a worse state that are higher by delta at each step.

    Default priors: every row is flat, ``alpha = 1``, stated as the Beta(alpha, (states - 1) alpha) that each of its
    probabilities has (slot ``row``); ``effect ~ N(0, 1)`` (95% of odds ratios between 1/7 and 7), ``effect_sd ~
    N+(0.5)``, ``covariate_effect ~ N(0, 0.5)`` per standard deviation. With three or more arms, effects correlate 1/2,
    so which arm is the reference carries no information.

    With ``effects = "free"`` (or without arms and covariates) and no gaps the posterior is known: Dirichlet
    distributions, drawn independently. Published transitions are input as well: counts (``input = "counts"``), or
    shares with the number of people they are of (``input = "shares"``); states after that were not told apart are
    one row, ``"a | b"``.

    Occupancies and time in states from Markov models of ordinal outcomes are due to Harrell and colleagues
    (https://hbiostat.org/proj/covid19), whose state before enters as a covariate; here every state before has
    thresholds of its own.

    Parameters
    ----------
    states
        The states, the best one first.
    reference
        The arm the others are compared with; None for a cohort without arms, whose column is then not read.
    input
        What a row is: a patient's visit (``"patients"``), ``"counts"`` of people by state before and after, or
        ``"shares"``.
    effects
        How arms act: ``"shared"``, ``"by-state"`` or ``"free"``.
    link
        ``"cumulative"``, ``"continuation"`` or ``"adjacent"``.
    absorbing
        States that are never left.
    remission
        States that count as remission, by default the best one.
    start
        The state in which everybody begins, for occupancies; by default the states at the first visit (for counts, all
        states before) in their shares.
    step
        Length of a step, in the unit of the visits or intervals; by default the shortest time between two visits.
    horizon
        Time up to which occupancies are computed, for counts and shares; by default the longest interval.
    time_units
        Units of time, where the visits' names do not say them.
    covariates
        Formula of patients' covariates, such as ``"age + sex"``.
    delta
        Log odds of a worse state added at each step after dropping out, for every arm but the reference.
    visit_order
        The visits in order, first one first, where their names do not say it.
    priors
        Priors by parameter that replace the defaults.
    state, subject, arm, visit
        Names of the table's columns where a row is a visit.
    before, after, n, share, interval
        Names of the table's columns where a row is people: the states, their number (for shares, of those with that
        state before), their share (of 1 or of 100) and, if it differs, the time between.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Transitions(states=["remission", "response", "none"], reference="saline").priors["effect"]
    Normal(mu=0, sigma=1)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: more patients moved down than with the reference, or the transitions."""
        if self.reference is not None and self.input == "patients":
            return Forest(("improved_difference",), None, None, estimands.crude_differences)
        return Forest(("transition",), None, None, estimands.crude_transitions)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table into states of patients over visits, or counts of transitions.

        Parameters
        ----------
        table
            A dataframe. A visit without a row, or with an empty state, was missed.

        Returns
        -------
        xarray.Dataset
            As :func:`bayesdep.models.transitions.data.prepare` returns it.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        return prepare(self, table)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With ``row`` (before, after), with ``effects = "free"`` by arm too, the terms that are switched on, and the
            observed ``state_at_visit`` (subject, visit) or ``transition_count`` (cell, after).
        """
        import pymc as pm
        import pytensor.tensor as pt

        used = {
            "subject": self.input == "patients",
            "visit": self.input == "patients",
            "cell": self.input != "patients",
        }
        dims = ["arm", "comparison", "before", "after", "covariate", *(dim for dim, is_used in used.items() if is_used)]
        with pm.Model(coords={dim: data[dim].values for dim in dims}) as graph:
            one_step = self._one_step(data)  # by profile: arm after arm, the covariates of each
            most, states = int(data["gap"].max()), len(self.states)
            shape = (data.sizes["arm"] * data.sizes["profile"], most, states, states)
            powers = pt.specify_shape(pt.stack(log_powers(one_step, most), axis=1), shape)
            if self.input == "patients":
                self._observe_patients(data, powers)
            else:
                self._observe_counts(data, powers)
        return graph

    def _one_step(self, data: xr.Dataset) -> Tensor:
        """Logs of M_i, shape (profile, state, state), inside the PyMC model's context."""
        import pymc as pm
        import pytensor
        import pytensor.tensor as pt

        prior, states = self.priors, len(self.states)
        by_arm = self.has_own_rows and self.reference is not None
        alpha = pytensor.shared(np.full(states, self.concentration), name="row.alpha")
        row = pm.Dirichlet("row", a=alpha, dims=(*(("arm",) if by_arm else ()), "before", "after"))
        row = pt.specify_shape(row, (*(None,) * (row.ndim - 1), states))
        if self.has_own_rows:
            rows = pt.log(row) if by_arm else pt.log(row)[None]
            return with_absorbing_states(rows, left=self.left, states=states)
        shift = pt.zeros((data.sizes["arm"], data.sizes["profile"], len(self.left)))
        if self.reference is not None:  # effect_a c_a
            root = contrast_root(data.sizes["comparison"])
            effect = contrasts(prior["effect"], "effect", dims="comparison", roots=[root])[:, None]
            if self.effects == "by-state":
                spread = prior["effect_sd"].rv("effect_sd")
                pair = ("comparison", "before")
                correlated = root if len(root) > 1 else None
                effect = non_centred_effects("effect_by_state", effect, spread, dims=pair, root=correlated, axis=0)
            code = pm.Data("arm_code", data["arm_code"].values, dims=("arm", "comparison"))
            shift = shift + (code[:, :, None] * effect).sum(axis=1)[:, None, :]
        if self.covariates is not None:  # x_i' covariate_effect
            slope = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
            x = pm.Data("covariates", data["covariates"].values)
            shift = shift + (x * slope).sum(axis=1)[None, :, None]
        logs = with_absorbing_states(shifted_rows(row, shift, link=self.link), left=self.left, states=states)
        return logs.reshape((data.sizes["arm"] * data.sizes["profile"], states, states))

    def _observe_patients(self, data: xr.Dataset, powers: Tensor) -> None:
        """state_it | state_i,t-1, inside the PyMC model's context."""
        import pymc as pm

        from bayesdep.numerics.markov import StatesOverVisits

        profile = data["arm_of"].values * data.sizes["profile"] + data["profile_of"].values
        observed = pm.Data("seen", data["state_at_visit"].values, dims=("subject", "visit"))
        of_subject = [
            pm.Data("profile", profile, dims="subject"),
            pm.Data("first", data["first"].values, dims="subject"),
        ]
        by_visit = [pm.Data(name, data[name].values, dims=("subject", "visit")) for name in ("gap", "previous")]
        StatesOverVisits("state_at_visit", powers, *of_subject, *by_visit, observed=observed, dims=("subject", "visit"))

    def _observe_counts(self, data: xr.Dataset, powers: Tensor) -> None:
        """Counts by state before and after, inside the PyMC model's context."""
        import pymc as pm
        import pytensor.tensor as pt

        from bayesdep.numerics.markov import GroupedStates

        _, most, states, _ = powers.type.shape
        place = (data["arm_of"].values * most + data["gap"].values - 1) * states + data["before_of"].values
        of_cell = powers.reshape((-1, states))[pm.Data("place", place, dims="cell")]
        parameters = [
            pt.specify_shape(of_cell, (None, states)),
            pm.Data("people", data["people"].values, dims="cell"),
            pm.Data("group", data["group"].values, dims=("cell", "after")),
        ]
        observed = pm.Data("counted", data["transition_count"].values, dims=("cell", "after"))
        GroupedStates("transition_count", *parameters, observed=observed, dims=("cell", "after"))

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn states, or drawn numbers of transitions, in the place of the observed ones.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        drawn
            One draw of every variable of :meth:`build`.
        rng
            Not needed here.

        Returns
        -------
        xarray.Dataset
            Everything else as in ``data``.
        """
        name = "state_at_visit" if self.input == "patients" else "transition_count"
        return put(data, **{name: drawn[name].values})

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what is asked of states; see :mod:`bayesdep.models.transitions.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``transition`` (arm, before, after; one step), ``improves_next`` (arm, from_state; all but the best),
            ``improved`` and ``worsened`` (arm, time), ``occupancy`` (arm, time, state), ``time_in`` (arm, state),
            ``time_in_remission`` (arm); with arms ``improved_difference`` and ``improved_nnt`` (comparison, time),
            ``occupancy_difference`` (comparison, time, state), ``time_in_remission_difference`` (comparison), with a
            delta the same with it (``occupancy_with_delta``, ...), and last ``odds_ratio`` of a worse state; with
            covariates ``covariate_odds_ratio``.
        """
        return estimands.estimands(self, posterior, data)

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
        """Return the posterior of rows of their own where no step was missed: Dirichlet distributions.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior or None
            None where arms or covariates shift rows, steps were missed, or states were not told apart.
        """
        return exact.exact(self, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient, or every person counted, by the log probability of what followed the state before.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject) or (chain, draw, person).
        """
        return scores.log_likelihood(self, posterior, data)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Predict every state from the patient's state at the visit before.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.transitions.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def tables(self, data: xr.Dataset) -> Mapping[str, Layout]:
        """Declare the tables that a paper prints of its fits.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        mapping of Layout
            By name, the main one ``"main"``.
        """
        return printed_tables(self, data)

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the test quantities: what the Markov assumption and shared effects could get wrong.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Shares that improved and that are in the best state; whether staying before goes with staying after, beyond
            the state itself (second order); whether changes differ between early and late steps; and whether arms
            differ alike after all states.
        """
        return checks.checks(self, data)
