"""Trajectories: courses of an outcome over visits, alone or beside courses of censored markers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trajectories import checks as trajectory_checks
from bayesdep.models.trajectories import completion, paths, prediction, scores, separate
from bayesdep.models.trajectories import data as trajectory_data
from bayesdep.models.trajectories import estimands as trajectory_estimands
from bayesdep.models.trajectories.deviations import covariance_of_deviations
from bayesdep.models.trajectories.links import given_markers
from bayesdep.models.trajectories.markers import observe_markers
from bayesdep.models.trajectories.observations import observations
from bayesdep.models.trajectories.outcome import mean_outcome, observe_responses, observe_scores
from bayesdep.models.trajectories.replicates import replicate
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.models.trajectories.tables import tables as printed_tables
from bayesdep.numerics.types import Draws

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Trajectories(TrajectoriesSettings):
    """An outcome over visits and censored markers in the same patients, in one model; or a growth curve alone.

    The generative model, for patient i of arm a, with u time from 0 at the first time of the table to 1 at the last::

        y_i(t) = f_a(t) + x_i' covariate_effect + d_i(u) + sum_m sum_k association_kma k(w_im, t) + e_i(t)
        log2 z_im(t) = g_ma(t) + w_im(u) + eps_im(t)      a value beyond a limit: the probability of lying there
        d_i(u) = level_i + slope_i u (+ curvature_i u^2),  correlated normal;  e ~ N(0, residual_sd)
        w_im(u) = the same for every marker,  correlated normal;  eps_im ~ N(0, marker_residual_sd_m)

    f and g are courses over time by arm: a mean at every planned visit, a straight line, a parabola, a restricted cubic
    spline or a daily cycle (:mod:`bayesdep.models.trajectories.courses`). The residuals of a patient may correlate
    ``rho ** gap`` (spatial power). What was missed is integrated out, as missing at random.

    **Associations** are of the outcome with a marker's *latent deviation* w from its arm's course, in the outcome's
    units per doubling, one per link k, marker and arm: ``"value"`` w(u) itself; ``"change"`` w(u) - w(0); ``"slope"``
    its rate of change, in doublings per length of the follow-up; ``"area"`` its mean from the first time up to now;
    ``"baseline"`` w(0) u: the difference by a marker's first value in how the outcome changes, given that in its level
    at the first time (``baseline_level``, the same in all arms). They are associations: common causes and reverse
    causation enter them. ``difference_at_control_path`` is the arms' difference had the treated had the control arm's
    mean path of all markers, were all associations effects; it is no proof of mediation.

    With several markers (a column ``analyte``) associations are pooled over markers: normal around their mean, or
    Student t; their differences between arms likewise. With ``pooling = "none"`` each has a prior of its own. With
    ``value`` left out there are no markers: a growth curve. With ``kind = "response"`` y is yes or no, and the right
    side without e its log odds; with ``kind = "event"`` it is the log odds of the event in the interval that ends at t,
    given none before (:mod:`bayesdep.models.trajectories.events`), markers being taken at that time. With
    ``kind = "ordinal"`` y is one of ``categories``, from the best to the worst, by a cumulative logit::

        P(y_i(t) <= k) = logistic(threshold_k - level_i(t))      level: the right side without e and f's mean over time

    so positive is worse, and thresholds stand for the mean (:mod:`bayesdep.models.trajectories.ordered`).

    **Measured without error**: of a marker named in ``exact``, such as the level of a drug, the outcome goes with the
    values themselves, ``v_im(t) = log2 z_im(t) - g_ma(t) = w_im(u) + eps_im(t)`` in the place of w_im(u); eps is then
    change from visit to visit. Links are v(t), v(t) - v(t_0) and v(t_0) u. A value that an outcome needs and that was
    not measured is a parameter with this model (:mod:`bayesdep.models.trajectories.exact`).

    **Shared factor**: with ``shared_factor`` markers' deviations have a part in common, and the outcome goes with it in
    the place of single markers::

        w_im(u) = loading_m f_i(u) + own_im(u)       own_im as w_im above, independent of those of other markers
        f_i(u) = level_i + factor_slope_i u (+ ...),  correlated normal, the level with sd 1
        y_i(t) = ... + sum_k association_ka k(f_i, t)

    A loading is in doublings per sd of the factor's level, an association in the outcome's units per such sd. Loadings
    have either sign, but that of ``positive_loading`` is above zero, which gives the factor its direction. Given f
    markers are independent, so f is integrated out too (:mod:`bayesdep.models.trajectories.factor`). There is no
    difference at the control arm's path: f is what patients deviate by, and has the same mean in all arms.

    **Subgroups**: with c_ig one for members of subgroup g and zero for others, less the share of members, what is asked
    of patient i (associations where there are any, else the arms' differences, growing in proportion to time) is that
    of all patients plus ``sum_g c_ig delta_g``, with ``delta_g ~ N(0, subgroup_..._sd / q)`` or Student t: one
    hierarchical model of patients' modifiers, whose subgroup estimands are means over members
    (:mod:`bayesdep.models.trajectories.subgroups` has q). Outcomes of subgroups may also differ in level and slope, in
    all arms alike (``subgroup_course_sd``); markers' courses are compared between arms as randomised.

    Default priors are multiples of ``scale``, the sd of patients' first outcomes within arms (s; 1 for log odds)::

        course ~ N(0, 2 s)            around the mean of all outcomes; the first term is the course's mean over time
        arm_effect ~ N(0, 1.5 s)      the arms' difference, mean over time; arm_change ~ N(0, s) for each further term
        covariate_effect ~ N(0, 0.75 s)  per sd
        level_sd, slope_sd, residual_sd ~ N+(1.5 s)   slope: the change from the first time to the last
        association, association_difference ~ N(0, 0.5 s)  per doubling; pooled: their means, with spreads N+(0.25 s)
        subgroup_course_sd, subgroup_difference_sd ~ N+(0.5 s);  subgroup_association_sd, ..._difference_sd ~ N+(0.25 s)
        rho ~ Beta(2, 2)              at the median gap between a patient's visits;  correlations ~ LKJ(2)
        thresholds: those of category probabilities ~ Dirichlet(1) at level 0, all sets of them equally likely

    and for the log2 concentration of each marker, in doublings: ``marker_course ~ N(0, 2)`` around its centre,
    ``marker_arm_effect ~ N(0, 1)`` (95% of ratios between 1/4 and 4), ``marker_arm_change ~ N(0, 0.7)``,
    ``marker_level_sd ~ N+(1.5)``, ``marker_slope_sd`` and ``marker_residual_sd ~ N+(1)``;
    ``subgroup_marker_difference_sd ~ N+(0.35)``; with a shared factor ``loading ~ N(0, 1)``, ``positive_loading ~
    N+(1)``, ``factor_slope_sd ~ N+(1)`` in sds of its level, and associations as above per sd. With three or more arms,
    differences to the reference correlate 1/2, so which arm is the reference carries no information.

    Parameters
    ----------
    reference
        The arm the others are compared with; None where there are no arms.
    kind
        What the outcome is: a ``"score"`` (or a change), a yes-no ``"response"``, an ``"event"`` in intervals that
        are the same for all, with a row per interval at risk (0, or 1 where the event came; none after it), or
        ``"ordinal"``, one of ordered categories.
    categories
        Of an ordinal outcome, from the best to the worst, as the table has them; somebody has each.
    course, marker_course
        Course over time of the outcome and of the markers: ``"visits"``, ``"linear"``, ``"quadratic"``, ``"spline"`` or
        ``"cyclic"``.
    knots
        Knots of a spline: 3, 4 or 5.
    period
        Length of a cycle of ``course = "cyclic"``, in the table's unit of time.
    deviations
        What patients' own courses, of outcome and markers alike, deviate by: a ``"level"``, a level and a ``"slope"``,
        or these and a curvature (``"quadratic"``).
    equal_baseline
        Whether arms have the same mean at the first time, as randomised ones do before treatment.
    autocorrelation
        Whether residuals of a patient's outcomes correlate, less the longer the time between.
    association
        How the outcome goes with the markers: any of the links above; empty for separate models.
    exact
        Markers measured without error, by name (the name of the column ``value`` where there is no ``analyte``), beside
        scores with the links ``"value"``, ``"change"`` and ``"baseline"``. Their values are numbers above zero, one per
        time, without limits.
    shared_factor
        Whether markers share one factor that the outcome goes with: three markers or more, without ``exact`` and
        ``subgroups``.
    positive_loading
        The marker whose loading on the shared factor is above zero: one that surely rises with what the factor is meant
        to be, such as CRP with inflammation.
    pooling
        ``"partial"`` pooling of associations over markers, or ``"none"``.
    effects
        Distribution of associations over markers, and of subgroups' deviations: ``"normal"``, or ``"student"`` where a
        few may differ.
    covariates
        Formula of patients' covariates, such as ``"age + sex"``.
    subgroups
        Conditions on patients by the subgroup's name, such as ``{"BMI < 25": "bmi < 25"}``; they may overlap.
    at
        Times at which means and differences are reported; by default the planned ones, or five over the follow-up.
    units
        Units of the outcome.
    better
        Whether ``"lower"`` or ``"higher"`` scores are better.
    lkj
        Shape of the LKJ prior of deviations' correlations; 1 is uniform.
    scale
        What default priors are multiples of, in the outcome's units; computed from the table unless it is stated.
    beyond_limit
        What to do with an unflagged number beyond its own limit: ``"refuse"``, or ``"censor"`` it there.
    flag_codes
        What codes of the flag column mean, such as ``{"1" = "left", "2" = "right"}``.
    priors
        Priors by parameter that replace the defaults.
    outcome, subject, time, arm, value, analyte, plate, unit, censored, lod, lloq, uloq
        Names of the table's columns. ``arm`` may be left out (None, in a plan false), and all from ``value`` on.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> model = Trajectories(reference="saline", value="pg_ml", analyte="marker", association="value")
    >>> model.priors["association_mean"]
    Normal(mu=0, sigma=0.5) times scale
    """

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a long table into patients by visits, and patients by markers by times.

        Parameters
        ----------
        table
            A dataframe whose rows have an outcome, a measurement of a marker, or both.

        Returns
        -------
        xarray.Dataset
            ``outcome`` and ``time`` (subject, visit; NaN where missed), ``course_columns`` (subject, visit, term),
            ``arm_columns`` (subject, visit, change), ``deviation_columns`` (subject, visit, power), ``arm_of`` and
            ``arm_code`` (subject, comparison; the arm's indicator less the share of patients in it), ``covariates``,
            ``centre`` and ``scale``. With markers ``lower`` and ``upper`` (subject, analyte, marker_visit), the log2
            concentration or the ends of its interval, ``detection`` (0 detected, 1 below, 2 above, 3 between limits,
            -1 not measured), ``lod``, ``uloq``, ``marker_centre``, and columns over time as for the outcome. With
            exact markers ``is_exact`` (analyte), ``is_unmeasured`` (subject, analyte, marker_visit), 1 where a value
            that an outcome needs is missing, and the marker_visit of each outcome and of the first time,
            ``slot_of_visit`` (subject, visit) and ``slot_of_first``. With a shared factor the coords ``factor`` and
            ``free_marker``, of markers whose loadings have either sign.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        return trajectory_data.prepare(self, table)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With the observed ``outcome_over_time`` (subject, visit) and, with markers, ``log2_concentration`` (subject,
            analyte, marker_visit).
        """
        import pymc as pm

        of_markers = ("analyte", "marker_visit", "marker_term", "marker_change") if self.has_markers else ()
        dims = ("subject", "visit", "term", "change", "comparison", "covariate", "power", "arm", *of_markers)
        dims += ("subgroup",) if self.subgroups else ()
        dims += ("factor", "free_marker") if self.shared_factor else ()
        dims += ("category", "up_to") if self.kind == "ordinal" else ()
        coords = {dim: data[dim].values for dim in dims} | ({"link": self.association} if self.association else {})
        with pm.Model(coords=coords) as graph:
            # f_a(t) + x_i' covariate_effect, and the covariance of d_i
            mean = mean_outcome(self, data)
            shift, covariance = None, covariance_of_deviations(self, priors_of(self, data))
            if self.has_markers:  # log2 z_im(t); then d_i and the associations given the markers
                markers = observe_markers(self, data)
                if self.association:
                    shift, covariance, along = given_markers(self, data, covariance, markers)
                    mean = mean if along is None else mean + along
            # y_i(t)
            observe = observe_scores if self.kind == "score" else observe_responses
            observe(self, data, mean, shift, covariance)
        return graph

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: associations by marker and arm, or arms' differences, or means over time."""
        if self.association:
            return Forest(("association",), None, None, trajectory_estimands.no_crude(self, "association"))
        if self.arm is None:
            return Forest(("mean",), None, None, trajectory_estimands.no_crude(self, "mean"))
        return Forest(("difference",), None, None, trajectory_estimands.no_crude(self, "difference"))

    def without(self, data: xr.Dataset, label: str) -> xr.Dataset:
        """Leave a patient's outcomes out of prepared data; the markers stay, since outcomes are scored given them.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        label
            Of the patient.

        Returns
        -------
        xarray.Dataset
            Of all patients, one of whom has no outcome.
        """
        return data.assign(outcome=data["outcome"].where(data["subject"] != label).assign_attrs(data["outcome"].attrs))

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw outcomes and markers patient by patient.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        drawn
            One draw of every variable of :meth:`build`.
        rng
            Random numbers.

        Returns
        -------
        xarray.Dataset
            Everything else as in ``data``.
        """
        return replicate(self, data, drawn, rng)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what is asked for; see :mod:`bayesdep.models.trajectories.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``mean`` (arm, reported), with arms ``difference`` (comparison, reported), ``level_sd`` and the like,
            ``residual_sd``, ``correlation`` (pair); with a linear course ``slope`` by arm and ``slope_difference``, per
            unit of time; with markers ``marker_difference`` (doublings) and ``marker_ratio`` (analyte, comparison,
            marker_reported); with associations ``association`` (link, analyte, arm), ``association_difference`` (link,
            analyte, comparison), ``association_mean`` where pooled, and ``difference_at_control_path`` (comparison,
            reported); with a shared factor, ``factor`` in place of analyte there, ``loading`` and ``factor_share``
            (analyte); with subgroups ``..._in`` of each question (the association and its difference, else the arms'
            differences at the last reported time) with ``subgroup`` last, and ``..._from_overall``, less all patients;
            of events ``event_probability`` (arm, visit) and ``event_difference`` (comparison, visit); of categories
            ``at_or_better`` (arm, reported, up_to), ``category_probability`` (arm, reported, category) and
            ``at_or_better_difference`` (comparison, reported, up_to).
        """
        return trajectory_estimands.estimands(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient's outcomes given the patient's markers.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject): how well outcomes are predicted, with or without markers, which are not scored
            themselves.
        """
        return scores.log_likelihood(self, posterior, data)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Predict every outcome from the patient's earlier ones and the patient's markers.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.trajectories.observations.observations` returns it.
        """
        return observations(self, posterior, data)

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
        return trajectory_estimands.own_prior(self, name, at, data)

    def looked_at(self, estimands: xr.Dataset, data: xr.Dataset) -> str:
        """Say how many effects were looked at, in markers and subgroups, and how many exclude no effect.

        Parameters
        ----------
        estimands
            Of a fit.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        str
            Sentences for the report; empty where there are no markers and no subgroups.
        """
        return separate.looked_at(self, estimands, data)

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
            Means and sds of the outcome at the first and the last visit by arm, the correlation of these visits, and of
            markers the share below the limit, the correlation of the first value with the last, and, where outcomes are
            associated with several, how strongly these correlate with each other.
        """
        return trajectory_checks.checks(self, data)

    def expected(self, posterior: xr.Dataset, data: xr.Dataset) -> Draws:
        """Return the mean of every patient at every visit, the patient's own deviation and markers aside.

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
        return paths.mean_outcomes_of_patients(self, posterior, data)

    def completed(
        self, posterior: xr.Dataset, data: xr.Dataset, own: Draws, assumed: Draws, dropped: Any
    ) -> tuple[Draws, Draws]:
        """Return mean and variance of every outcome given the observed ones, and the markers, of its patient.

        Parameters
        ----------
        posterior
            Draws with dim ``sample``.
        data
            As :meth:`prepare` returns it.
        own, assumed
            Means from which missed visits start, as :meth:`expected` returns them: those of the patients' own arms, and
            those assumed of visits that are marked in ``dropped``.
        dropped
            Visits missed after the last one observed, shape (subjects, visits).

        Returns
        -------
        tuple of numpy.ndarray
            Both of shape (samples, subjects, visits).
        """
        return completion.completed(self, posterior, data, own, assumed, dropped)

    def regressors(self, data: xr.Dataset) -> dict[str, Any]:
        """Return what the regression at one visit has beside arms.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of numpy.ndarray
            Columns (subjects, terms): the outcome at the first time, where arms are equal there, and covariates.
        """
        return completion.regressors(self, data)

    def predict(
        self, posterior: xr.Dataset, data: xr.Dataset, patient: Any, *, at: Sequence[float], seed: int = 1
    ) -> pd.DataFrame:
        """Predict the course of a new patient's outcome, given what has been measured in the patient so far.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returned it for the patients that the model was fitted to.
        patient
            A table of one patient with the columns of the fitted table, and the rows known so far.
        at
            Times to predict.
        seed
            Of the draws.

        Returns
        -------
        pandas.DataFrame
            By time: ``mean``, ``sd``, ``lower`` and ``upper`` (95%) of what would be measured.
        """
        return prediction.predict(self, posterior, data, patient, at=at, seed=seed)
