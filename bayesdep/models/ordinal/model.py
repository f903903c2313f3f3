"""Ordinal: ordered categories by arm and visit, of patients or as counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, Forest, reads
from bayesdep.models.ordinal import checks as ordinal_checks
from bayesdep.models.ordinal import data as ordinal_data
from bayesdep.models.ordinal import estimands as ordinal_estimands
from bayesdep.models.ordinal import scores
from bayesdep.models.ordinal.likelihood import observe_categories, observe_counts
from bayesdep.models.ordinal.observations import observations
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.ordinal.tables import tables as printed_tables
from bayesdep.models.ordinal.terms import row_levels, row_thresholds
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.replicates import put

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Ordinal(OrdinalSettings):
    """Ordered categories, such as remission, response and neither, by arm and visit.

    The generative model, for patient i at visit j and category k of 1 to K, the first the best::

        cumulative     P(y_ij <= k) = F(threshold_k - level_ij)
        continuation   P(y_ij = k | y_ij >= k) = F(threshold_k - level_ij)
        adjacent       P(y_ij = k) / P(y_ij = k + 1) = exp(threshold_k - level_ij)

        level_ij = visit_effect_j + arm_effect_j a_i + baseline_effect mo(b_i) + x_i' covariate_effect
                   + sum_t monotone_effect_t mo(z_it) + (moderator_effect + arm_by_moderator a_i) m_i + patient_i
        patient_i ~ N(0, patient_sd)

    F is the logistic distribution function, or with ``distribution = "probit"`` the normal. **Positive is always
    worse**, under every link: a larger level moves probability to later categories, which are worse, so an odds ratio
    above 1 is one of worse outcomes. Differences of probabilities are the other way round, as readers expect: they are
    of a category *or better*, above 0 where the treated do better, and their inverse is the number needed to
    treat.

    a is the arm's place among all arms, so level 0 is midway between them. ``mo(x)`` is monotone: the sum of increments
    up to level x, from 0 at the lowest to 1 at the highest, less its mean; so an effect is that from the lowest level
    to the highest, and its increments, ``Dirichlet(1)``, are what share of it each step has. A main effect and its
    interactions share the increments. m is the moderator, standardised, or ``mo`` of its levels.

    With ``by_threshold`` the effects of some terms differ between thresholds (partial proportional odds). Where the
    link is not cumulative such a term has an effect of its own at every threshold, ``effect + threshold_effect_k``,
    these summing to zero. Cumulative thresholds must stay in order for everybody, so there a term changes the log
    distance of neighbouring thresholds, around their mean (Pudney and Shields 2000,
    doi:10.1002/1099-1255(200007/08)15:4<367:: AID-JAE563>3.0.CO;2-I); for arms that is as general as an odds ratio of
    their own at every threshold.

    Thresholds are those of the category probabilities of somebody typical (level 0), which are
    ``Dirichlet(concentration)``: by default all sets of probabilities are equally likely, whatever the number of
    categories. Other default priors, on the log odds::

        arm_effect ~ N(0, 1.5)        95% of odds ratios between 1/19 and 19; at two visits correlated 0.8
        visit_effect ~ N(0, 1.5)      summing to zero over visits
        baseline_effect ~ N(0, 3)     from the best category to the worst
        covariate_effect ~ N(0, 1)    per sd;  monotone_effect ~ N(0, 2) from the lowest level to the highest
        moderator_effect, arm_by_moderator ~ N(0, 1)    per sd, or from the lowest level to the highest
        patient_sd ~ N+(2)

    On a probit they are 1.81 times narrower, as the normal distribution is; effects of the adjacent link add up over
    thresholds, and theirs are ``2 / (K - 1)`` as wide from four categories on. With three or more arms, effects are
    correlated 1/2, so which arm is the reference carries no information.

    Patients' own levels are integrated out by the trapezoidal rule on an even grid around each patient's mode, whose
    error is bounded (2e-7 of a patient's log likelihood; :mod:`bayesdep.numerics.patient_integrals`), or sampled; with
    one row a patient, or counts of people, there are none. Missed visits are left out, as missing at random.

    Parameters
    ----------
    categories
        The outcome's categories, from the best to the worst.
    reference
        The arm that others are compared with; None where there are no arms.
    link
        ``"cumulative"`` (proportional odds), ``"continuation"`` (steps of a sequence, such as remission at step 1, 2,
        ...) or ``"adjacent"``.
    distribution
        ``"logit"`` or ``"probit"``; the adjacent link has the logit only.
    patient_effects
        Whether patients' own levels are ``"integrated"`` out or ``"sampled"``; ``"none"`` treats visits as those of
        different people.
    moderator_form
        Whether the moderator enters as a number, ``"linear"``, or by steps between its levels, ``"monotone"``.
    at
        Values of a linear moderator at which differences are reported; a monotone one has them at all its levels.
    covariates
        Formula of covariates, such as ``"age + mo(stage)"``; ``mo()`` is a monotone effect.
    level_order
        The order of an ordered predictor's levels where they are text, lowest first: ``{"stage": "I < II < III"}``.
    by_threshold
        Terms whose effects differ between thresholds: ``"arm"``, ``"visit"`` or covariates by name.
    concentration
        Of the Dirichlet prior of a typical person's category probabilities; 1 is uniform.
    visit_order
        The visits in order, first one first, where their names do not say it.
    priors
        Priors by parameter that replace the defaults.
    outcome, count, subject, arm, visit, baseline, moderator
        Names of the table's columns; all but ``outcome`` may be left out. ``count`` says how many people a row is.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Ordinal(categories=["remission", "response", "neither"], reference="placebo").priors["arm_effect"]
    Normal(mu=0, sigma=1.5)
    """

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table of patients' categories, or of counts, into units and rows.

        Parameters
        ----------
        table
            A dataframe. A visit without a row, or with an empty outcome, was missed.

        Returns
        -------
        xarray.Dataset
            As :func:`bayesdep.models.ordinal.data.prepare` returns it.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        return ordinal_data.prepare(self, table)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With ``threshold`` (up_to), and the observed ``category_counts`` (row, category) or ``category_at_visit``
            (row).
        """
        import pymc as pm

        dims = ("unit", "row", "category", "up_to", "between", "arm", "comparison", "visit", "covariate", "step")
        with pm.Model(coords={dim: data[dim].values for dim in (*dims, "slope", "term")}) as graph:
            level = row_levels(self, data)
            thresholds, gaps = row_thresholds(self, data)
            if self.has_patient_effects:
                patient_sd = self.priors["patient_sd"].rv("patient_sd")
                observe_categories(self, data, level, thresholds, gaps, patient_sd)
            else:
                observe_counts(self, data, level, thresholds, gaps)
        return graph

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: differences between arms at every visit, also as counted; or shares."""
        if self.reference is None:
            return Forest(("at_or_better",), None, None, ordinal_estimands.crude_shares)
        return Forest(("difference",), None, None, ordinal_estimands.crude_differences)

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn categories in the place of the observed ones.

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
        if self.has_patient_effects:
            return put(data, category_of=drawn["category_at_visit"].values)
        return put(data, counts=drawn["category_counts"].values)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what is asked; see :mod:`bayesdep.models.ordinal.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``probability`` (arm, visit, category) and ``at_or_better`` (arm, visit, up_to); with arms ``difference``
            and ``number_needed_to_treat`` (comparison, visit, up_to); where categories are numbers ``mean_score`` (arm,
            visit) and ``mean_score_difference``; with a moderator ``difference_at`` (comparison, moderator_value,
            up_to); ``increment`` (step) of monotone effects; ``patient_sd``; and odds ratios, or differences in
            probits.
        """
        return ordinal_estimands.estimands(self, posterior, data)

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
            As :func:`bayesdep.models.ordinal.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every person by the log probability of their category, or of a patient's at all visits.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, unit that is left out).
        """
        return scores.log_likelihood(self, posterior, data)

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
        """Name the test quantities of the posterior predictive checks.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            The share with each category or better by arm, at the first and the last visit; whether the arms' odds
            ratio differs between the first and the last threshold (proportional odds); and how often a patient stays in
            a category.
        """
        return ordinal_checks.checks(self, data)
