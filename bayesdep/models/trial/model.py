"""Trial: a continuous outcome over visits, by arm, with a moderator measured at baseline."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trial import checks as trial_checks
from bayesdep.models.trial import completion, residuals
from bayesdep.models.trial import data as trial_data
from bayesdep.models.trial import estimands as trial_estimands
from bayesdep.models.trial.censored_moderator import is_latent, terms_in_model
from bayesdep.models.trial.means import effect_at_visits, expected, means_beside_control, sum_of_products
from bayesdep.models.trial.observations import observations
from bayesdep.models.trial.replicates import replicate
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.models.trial.tables import tables as printed_tables
from bayesdep.numerics.student import precisions
from bayesdep.numerics.types import Draws, Tensor

if TYPE_CHECKING:
    import pymc as pm

_FEW = 8  # covariates whose sum is written out: a long sum costs more to compile than a sum over an axis does


@dataclass(frozen=True, kw_only=True)
class Trial(TrialSettings):
    """A randomised trial: a continuous outcome at several visits, some missed; a mixed model for repeated measures.

    The generative model, for patient i and visit j, outcomes less their overall mean::

        y_i ~ MVN(mean_i, D R D)          D the residual sds, R their correlation; missed visits integrate out
        mean_ij = visit_mean_j + baseline_slope_j b_i + arm_effect_j a_i + x_i' covariate_effect + site_effect_s(i)
                  + sum_k (moderator_effect_kj + arm_by_moderator_kj a_i) m_ik
        effect_j = effect + departure_j, the departures of an effect summing to zero over visits
        site_effect_s ~ N(0, site_sd)     where covariates have (1 | site)

    b is the baseline less its mean, a the arm's indicator less the share of patients in the arm, m the terms of the
    moderator: the standardised moderator or its log l; l and its square; a restricted cubic spline of l, its terms
    uncorrelated and of sd 1; or whether it lies above a threshold, standardised. With ``time = "weeks"`` the effects of
    arm and moderator grow in proportion to the visit's number from nothing at zero, so each is one slope in time (its
    value at the last visit is the parameter); the visits' means and the slope on baseline stay free.

    *A moderator beyond its limits.* With ``moderator_model = "log-normal"`` some of its values may be known only to lie
    below, above or between limits (hs-CRP below the assay's)::

        log moderator_i = c + u x_i       x_i ~ N(moderator_mean + z_i' moderator_slope, moderator_sd)

    c the mean of its logs (limits for what lies beyond them), u their sd by maximum likelihood, z covariates if named
    in ``moderator_covariates``. A value beyond a limit is a parameter there, with the normal's density, not one cut at
    the limit: that it lies there is information on ``moderator_mean ~ N(0, 2.5)`` and ``moderator_sd ~ N+(2)`` too.
    Estimands that are means over patients use its draws; a score (leave-one-out) is the density of a patient's outcomes
    given the interval, by quadrature. A threshold, or a subgroup's limit, must not lie inside an interval. Where
    nothing lies beyond a limit, this is the model without it.

    R is unstructured (``LKJ(lkj)``), Toeplitz, compound symmetry, first-order autoregressive by visits (``"ar1"``) or
    by days (``"spatial-power"``, ``rho ** gap``). With ``by_arm`` each arm has D and R of its own. When ``robust`` the
    normal is a multivariate t: a patient's covariance is divided by ``precision_i ~ Gamma(nu / 2, nu / 2)``. Missed
    visits are integrated out as missing at random, not imputed. With one visit this is an analysis of covariance;
    without baseline (``baseline = None``) b is left out.

    Default priors are multiples of ``scale``, the sd of the outcome within arms at the first visit (s below), so they
    mean the same in points, metres or percent::

        visit_mean ~ N(0, 2 s)           around the mean of all outcomes
        arm_effect ~ N(0, 1.5 s)         mean over visits; its departures ~ N(0, 0.75 s)
        moderator_effect ~ N(0, 0.75 s)  per sd, mean over visits; departures half as wide
        arm_by_moderator ~ N(0, s)       per sd, mean over visits; departures half as wide
        baseline_slope ~ N(0, s)         per sd of the baseline, mean over visits; departures half as wide
        covariate_effect ~ N(0, 0.75 s)  per sd
        residual_sd ~ N+(1.5 s)          site_sd ~ N+(0.5 s)

    and ``rho ~ Beta(2, 2)``; Toeplitz partial autocorrelations are ``2 Beta(2, 2) - 1``; ``nu ~ Gamma(2, 0.1)``. A
    priori half of all differences between arms (mean over visits) lie within one within-arm sd and 95% within three;
    treatments of depression differ by 0.2 to 1. On a real trial (172 patients, four visits, change of HAM-D, ar1;
    restricted maximum likelihood has -2.70 (1.08) at the last visit) the answer depends little on the width:

    ============  ==================  ============  ==================
    widths        half                as they are   double
    ============  ==================  ============  ==================
    mean          -1.39 (0.73)        -1.51 (0.77)  -1.53 (0.77)
    last visit    -2.31 (1.00)        -2.60 (1.08)  -2.66 (1.08)
    ============  ==================  ============  ==================

    *Borrowed controls.* With ``control_prior`` the mean of the reference arm (of patients of mean baseline, covariates
    and moderator, in an average site) is a parameter ``control_mean`` with a stated prior, independent of the effects:
    at the last visit, and the other visits' means have the prior above; or on average over the visits, and departures
    from it, which sum to zero, have the sd of the prior above (:func:`bayesdep.as_prior` makes one of earlier trials).

    The prior is on the mean over visits, so it does not narrow with their number. With three or more arms, differences
    to the reference are normal and correlated 1/2, so which arm is the reference carries no information.

    Parameters
    ----------
    reference
        The arm the others are compared with.
    covariance
        Correlation of a patient's visits.
    heterogeneous
        Whether each visit has a residual sd of its own; an unstructured covariance always has.
    by_arm
        Whether each arm has residual sds and correlations of its own.
    robust
        Student-t residuals instead of normal ones.
    time
        Whether effects are every visit's own, or in proportion to the visits' numbers: ``"visits"`` or ``"weeks"``.
    moderator_form
        How the moderator enters: ``"linear"``, ``"log"``, ``"log-quadratic"``, ``"log-spline"`` or ``"threshold"``.
    threshold
        The value of the moderator above which it counts, for ``moderator_form = "threshold"``.
    knots
        Knots of the spline: 3, 4 or 5.
    moderator_model
        ``"log-normal"`` where values of the moderator may lie beyond limits, written as text (``"<0.2"``) or flagged;
        None where all are numbers.
    moderator_covariates
        Formula of covariates that the moderator's logs depend on, such as ``"bmi"``.
    flag_codes
        What codes of ``moderator_censored`` mean, such as ``{"1" = "left", "2" = "right"}``.
    at
        Values of the moderator at which differences are reported.
    subgroups
        Subgroups of the moderator in which differences are reported, such as ``["> 5", "<= 5"]``: means over their
        patients of what the model says, not models of their own.
    response, remission
        Share of the baseline score by which a responder's drops, such as 0.5; and the score up to which a patient is in
        remission, such as 7. Their rates are predicted for complete trajectories.
    response_when, remission_when
        When that is asked: at ``"any"`` visit, the ``"last"``, or one named by its label.
    change
        Whether the outcome is the change from baseline rather than the score.
    control_prior
        Where the reference arm's mean has a prior of its own, ``priors.control_mean``, such as one made of earlier
        trials: at the ``"last"`` visit, or its ``"mean"`` over visits; None where only visits' means have one.
    covariates
        Formula of patients' covariates, such as ``"age + sex"``; ``"age + (1 | site)"`` gives a column of many levels a
        random effect.
    better
        Whether ``"lower"`` or ``"higher"`` outcomes are better.
    margin
        Minimal important difference, in the outcome's units; None where none is named, and then the probability of a
        difference beyond it is not reported.
    units
        Units of the outcome.
    lkj
        Shape of the LKJ prior of an unstructured correlation; 1 is uniform.
    scale
        What default priors are multiples of, in the outcome's units; computed from the table unless it is stated.
    visit_order
        The visits in order, first one first, where their names ("week 4", numbers, dates) do not say it.
    priors
        Priors by parameter that replace the defaults, in the outcome's units.
    outcome, subject, arm, visit, baseline, day, moderator, moderator_censored, moderator_lod, moderator_uloq
        Names of the table's columns; those from ``day`` on may be left out, and ``baseline`` too (None, in a plan
        false).

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Trial(reference="placebo", covariance="ar1").priors["rho"]
    Beta(alpha=2, beta=2)
    """

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per patient and visit into patients by visits.

        Parameters
        ----------
        table
            A dataframe. A visit without a row, or with an empty outcome, was missed.

        Returns
        -------
        xarray.Dataset
            As :func:`bayesdep.models.trial.data.prepare` returns it.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        return trial_data.prepare(self, table)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With ``correlation_by_pair`` (unstructured), ``correlation_by_lag`` (Toeplitz) or ``rho``, and the observed
            ``outcome_by_visit`` (subject, visit).
        """
        import pymc as pm

        used = {"site": self.level is not None, "arm": self.by_arm, "term": self.moderator is not None}
        used |= dict.fromkeys(("non_detect", "moderator_covariate"), is_latent(data))
        dims = ["subject", "visit", "comparison", "covariate", *(dim for dim, is_used in used.items() if is_used)]
        coords = {dim: data[dim].values for dim in dims}
        if self.control_prior == "last":
            coords["earlier_visit"] = data["visit"].values[:-1]
        with pm.Model(coords=coords) as graph:
            mean = self._mean_outcome(data)
            self._observe_outcome(data, mean)
        return graph

    def _mean_outcome(self, data: xr.Dataset) -> Tensor:
        """mean_ij of the generative model, shape (subject, visit), inside the PyMC model's context."""
        import pymc as pm

        prior, comparisons = priors_of(self, data), data.sizes["comparison"]
        by_visit = partial(effect_at_visits, prior=prior, data=data)  # every visit has its own
        over_time = partial(by_visit, time=self.time)  # the same, or in proportion to time
        # visit_mean_j + arm_effect_j a_i
        if self.control_prior is None:
            visit_mean = prior["visit_mean"].rv("visit_mean", dims="visit")
            arm_effect = over_time("arm_effect", ("comparison",))
        else:
            arm_effect = over_time("arm_effect", ("comparison",))
            visit_mean = means_beside_control(self, arm_effect, prior=prior, data=data)
        a = pm.Data("arm_code", data["arm_code"].values, dims=("subject", "comparison"))
        mean = pm.Data("centre", float(data["centre"])) + visit_mean + sum_of_products(a, arm_effect, comparisons)
        if self.baseline is not None:  # + baseline_slope_j b_i
            baseline_slope = by_visit("baseline_slope", ())
            b = pm.Data("baseline", data["baseline"].values, dims="subject")
            mean = mean + b[:, None] * baseline_slope
        if self.moderator is not None:  # + sum_k (moderator_effect_kj + arm_by_moderator_kj a_i) m_ik
            moderator_effect = over_time("moderator_effect", ("term",))
            arm_by_moderator = over_time("arm_by_moderator", ("comparison", "term"))
            m = terms_in_model(self, data, prior)
            mean = mean + sum_of_products(m, moderator_effect, data.sizes["term"])
            for k in range(comparisons):
                mean = mean + a[:, k, None] * sum_of_products(m, arm_by_moderator[k], data.sizes["term"])
        if self.formula_of_covariates is not None:  # + x_i' covariate_effect
            covariate_effect = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
            x = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
            if data.sizes["covariate"] <= _FEW:
                mean = mean + sum_of_products(x, covariate_effect[:, None], data.sizes["covariate"])
            else:
                mean = mean + (x * covariate_effect).sum(axis=1)[:, None]
        if self.level is not None:  # + site_effect_s(i), with site_effect_s ~ N(0, site_sd), non-centred
            site_sd = prior["site_sd"].rv("site_sd")
            site_effect = pm.Deterministic("site_effect", site_sd * pm.Normal("site_latent", dims="site"), dims="site")
            mean = mean + site_effect[pm.Data("site_of", data["site_of"].values, dims="subject")][:, None]
        return mean

    def _observe_outcome(self, data: xr.Dataset, mean: Tensor) -> None:
        """y_i ~ MVN(mean_i, D R D), inside the PyMC model's context; missed visits integrate out."""
        import pymc as pm
        import pytensor.tensor as pt

        prior, visits = priors_of(self, data), data.sizes["visit"]
        # D; of a multivariate t, D over the root of precision_i ~ Gamma(nu / 2, nu / 2)
        sd = residuals.residual_sds_of_groups(
            prior["residual_sd"], data, by_arm=self.by_arm, heterogeneous=self.heterogeneous
        )
        root_precision = None
        if self.robust:
            root_precision = precisions("precision_latent", prior["nu"].rv("nu"), dims="subject")
            pm.Deterministic("precision", root_precision**2, dims="subject")
        # R
        if visits > 1 and self.covariance in ("unstructured", "toeplitz"):
            if self.covariance == "unstructured":
                correlation = residuals.unstructured_correlation(self.lkj, data, by_arm=self.by_arm)
            else:
                correlation = residuals.toeplitz_correlation(prior["partial_share"], data, by_arm=self.by_arm)
            residuals.observe_correlated(data, mean, sd, correlation, root_precision, by_arm=self.by_arm)
            return
        arm_of = pm.Data("arm_of", data["arm_of"].values, dims="subject") if self.by_arm else None
        sd = sd[0] if arm_of is None else sd[arm_of]
        outcomes = residuals.Outcomes.of(data, mean, sd if root_precision is None else sd / root_precision[:, None])
        if visits == 1:
            residuals.observe_exchangeable(outcomes, pt.zeros(()))  # one visit has nothing to correlate with
            return
        rho = prior["rho"].rv("rho", dims=("arm",) if self.by_arm else None)
        rho_of_patients = rho if arm_of is None else rho[arm_of]
        if self.covariance == "compound-symmetry":
            residuals.observe_exchangeable(outcomes, rho_of_patients)
        else:
            by_visit = np.broadcast_to(np.arange(visits), data["outcome"].shape)
            times = by_visit if self.covariance == "ar1" else data["day"].values
            residuals.observe_serial(outcomes, rho_of_patients, times)

    @property
    def without_costly_estimands(self) -> Self:
        """The same model without responses and remissions, which are simulated."""
        return dataclasses.replace(self, response=None, remission=None)

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the arms' difference at every visit, also as means of the observed."""
        return Forest(("difference",), None, None, trial_estimands.crude_differences)

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn outcomes in the place of the observed ones, missing where these are.

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
        return replicate(data, drawn)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what the trial asks; see :mod:`bayesdep.models.trial.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``difference`` (comparison, visit), ``mean_difference`` (comparison), ``standardised_difference``,
            ``beyond_margin`` (where a margin is set), ``residual_sd`` and (with two visits or more) ``correlation``;
            with covariates
            ``covariate_effect`` (covariate; per unit of the formula's column) and ``site_sd``; with a moderator also
            ``difference_at`` (comparison, moderator_value, visit), ``difference_along`` (comparison, grid; at the last
            visit), ``crossing`` and ``crosses`` (comparison, side) and ``no_crossing``; with subgroups
            ``difference_in`` (comparison, subgroup, visit) and ``standardised_difference_in``; where asked for,
            ``response_rate`` (arm, group), ``response_difference`` and ``response_nnt`` (comparison, group), and the
            same of remission.
        """
        return trial_estimands.estimands(self, posterior, data)

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
            As :func:`bayesdep.models.trial.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient ever observed by the multivariate normal (or t) density of the visits that were.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject).
        """
        return residuals.log_likelihood(self, posterior, data)

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
        return trial_estimands.own_prior(self, name, at, data)

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
            Mean and sd at the first and the last visit by arm, the correlations of neighbouring visits and of the first
            with the last, and the skewness and kurtosis of residuals, all among the visits that were observed.
        """
        return trial_checks.checks(self, data)

    def expected(self, posterior: xr.Dataset, data: xr.Dataset) -> Draws:
        """Return the mean outcome of every patient at every visit.

        Parameters
        ----------
        posterior
            Draws with dim ``sample``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        numpy.ndarray
            Shape (samples, subjects, visits).
        """
        return expected(self, posterior, data)

    def completed(
        self, posterior: xr.Dataset, data: xr.Dataset, own: Draws, assumed: Draws, dropped: np.ndarray
    ) -> tuple[Draws, Draws]:
        """Return mean and variance of every outcome given the observed ones of its patient.

        Parameters
        ----------
        posterior
            Draws with dim ``sample``.
        data
            As :meth:`prepare` returns it.
        own, assumed
            Means from which missed visits start, shape (samples, subjects, visits): those of the patients' own arms,
            and those assumed of visits that are marked in ``dropped``.
        dropped
            Visits missed after the last one observed, shape (subjects, visits).

        Returns
        -------
        tuple of numpy.ndarray
            Both of shape (samples, subjects, visits).
        """
        return completion.completed(self, posterior, data, own, assumed, dropped)

    def regressors(self, data: xr.Dataset) -> dict[str, np.ndarray]:
        """Return what the regression at one visit has beside arms.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of numpy.ndarray
            Columns (subjects, terms) by what they are; arms are compared at the moderator's mean.
        """
        return completion.regressors(self, data)
