"""Counts: responders by arm and subgroup, partially pooled over subgroups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.counts import checks, estimands, exact, scores
from bayesdep.models.counts.data import prepare
from bayesdep.models.counts.observations import observations
from bayesdep.models.counts.settings import CountsSettings
from bayesdep.models.counts.tables import tables as printed_tables
from bayesdep.models.model import Check, ExactPosterior, Forest, OwnPrior, reads
from bayesdep.models.parts.contrasts import arm_codes, contrast_root, contrasts
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.pooling import non_centred_effects
from bayesdep.models.parts.replicates import put

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Counts(CountsSettings):
    """Events by arm and subgroup, with the treatment effect partially pooled over subgroups.

    The generative model, for subgroup g and arm j (arm 0 the control)::

        events_gj ~ Binomial(n_gj, risk_gj)
        partial    logit(risk_gj) = baseline_g + effect_gj - mean_j(effect_gj),   effect_g0 = 0
                   baseline_g ~ N(baseline_mean, baseline_sd),  effect_gj ~ N(effect_mean_j, effect_sd)
        complete   the same with effect_sd = 0: one effect for all subgroups
        none       risk_gj ~ Beta(1/2, 1/2): every cell on its own, and the posterior known exactly

    ``baseline_g`` is the mean of the arms' log odds: with two arms these are ``baseline_g -/+ effect_g / 2``, so that
    exchanging treated and control changes the effect's sign and nothing else. With three or more arms, contrasts to
    the control correlate 1/2, a priori and between subgroups: so no arm is known better than another.

    Default priors, on the log odds: ``baseline_mean ~ N(0, 1.5)`` (95% of typical risks between 5% and 95%),
    ``effect_mean ~ N(0, 1.5)`` (95% of odds ratios between 1/19 and 19), ``baseline_sd`` and
    ``effect_sd ~ N+(0.5)`` (at its 95% point, 1, a subgroup's odds ratio is within a factor 7 of the mean's). The
    Beta(1/2, 1/2) is Jeffreys', worth one person in each cell.

    With ``pooling = "none"`` intervals of a risk are Jeffreys' as Brown, Cai and DasGupta (2001,
    doi:10.1214/ss/1009213286) use them: the equal-tailed posterior interval, but from 0 where nobody has the event and
    up to 1 where everybody has it; a ratio to a control without events has no upper end either. The summary sets the
    exact (Clopper-Pearson) interval of each risk beside it. docs/evidence/counts_coverage.md has the coverage of both.

    Parameters
    ----------
    control
        Label of the control arm.
    pooling
        ``"partial"``, ``"none"`` or ``"complete"`` pooling of the treatment effect over subgroups.
    priors
        Priors by parameter that replace the defaults.
    subgroup, arm, events, n
        Names of the table's columns; ``subgroup = None`` when there are none (then ``pooling`` is ``"none"``).

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Counts(control="placebo", events="responders").priors["effect_sd"]
    HalfNormal(sigma=0.5)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the risk difference of each subgroup, crude and modelled, and overall."""
        return Forest(("risk_difference",), "risk_difference_overall", None, estimands.crude_differences)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per subgroup and arm into counts.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            ``events`` and ``n`` with dims ``subgroup`` and ``arm``, control first, and dim ``treatment`` (the
            other arms).

        Raises
        ------
        BadInput
            Naming the column and row, or the missing cell.
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
            With ``risk`` (subgroup, arm) and, when pooled, ``baseline`` (subgroup) and ``effect`` (subgroup,
            treatment) on the log-odds scale.
        """
        import pymc as pm

        prior = self.priors
        coords = {d: data[d].values for d in ("subgroup", "arm", "treatment")}
        with pm.Model(coords=coords) as model:
            events, n = (pm.Data(f"{w}_data", data[w].values, dims=("subgroup", "arm")) for w in ("events", "n"))
            if self.pooling == "none":
                risk = prior["risk"].rv("risk", dims=("subgroup", "arm"))
                pm.Binomial("events", n=n, p=risk, observed=events, dims=("subgroup", "arm"))
                return model
            root = contrast_root(data.sizes["treatment"])
            # each contrast's share in each arm, so that log odds are baseline_g + effect_gj - mean_j(effect_gj)
            code = pm.Data("arm_code", arm_codes(data.sizes["arm"]), dims=("treatment", "arm"))
            baseline = non_centred_effects(
                "baseline",
                prior["baseline_mean"].rv("baseline_mean"),
                prior["baseline_sd"].rv("baseline_sd"),
                dims="subgroup",
            )
            effect_mean = contrasts(prior["effect_mean"], "effect_mean", dims="treatment", roots=[root])
            if self.pooling == "partial":
                effect = non_centred_effects(
                    "effect",
                    effect_mean,
                    prior["effect_sd"].rv("effect_sd"),
                    dims=("subgroup", "treatment"),
                    root=root if len(root) > 1 else None,
                )
            else:
                effect = effect_mean[None, :]
            log_odds = baseline[:, None] + (effect[:, :, None] * code).sum(axis=1)
            pm.Deterministic("risk", pm.math.invlogit(log_odds), dims=("subgroup", "arm"))
            pm.Binomial("events", n=n, logit_p=log_odds, observed=events, dims=("subgroup", "arm"))
        return model

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn numbers of events in the place of those counted.

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
        return put(data, events=drawn["events"].values)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive risks and their contrasts against control, by subgroup and over all patients.

        Parameters
        ----------
        posterior
            Draws of ``risk``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``risk`` (subgroup, arm); ``risk_difference``, ``risk_ratio``, ``odds_ratio`` and ``nnt`` (subgroup,
            treatment); ``risk_difference_overall`` and ``nnt_overall``, standardised to the table's mix of
            subgroups; and ``effect_sd`` where the effect is partially pooled. ``nnt`` is one over the risk
            difference: above zero a number needed to treat, below zero a number needed to harm.
        """
        return estimands.estimands(self, posterior, data)

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
        """Return the posterior of independent cells: Betas, and integrals over pairs of them.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior or None
            None when anything is pooled. Contrasts over all subgroups have no marginal and come from the draws.
        """
        return exact.exact(self, data)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Give the distribution of every single observation given the parameters and its unit's earlier ones.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.counts.observations.observations` returns it.
        """
        return observations(posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
        """Return the log probability of the outcome that each subject had.

        Parameters
        ----------
        posterior
            Draws of ``risk``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject); subjects with the event come first within each cell.
        """
        return scores.log_likelihood(posterior, data)

    def own_prior(self, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
        """Return the prior of an estimand that is a parameter of its own, or why there is none.

        Parameters
        ----------
        name, at
            The estimand and its coordinates.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        OwnPrior or str
            A clause where there is none.
        """
        return estimands.own_prior(self, name, at, data)

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
        """Name the test quantities: what the pooling could get wrong.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Overall share of events, highest and lowest risk difference, and their range over subgroups.
        """
        return checks.checks(data)
