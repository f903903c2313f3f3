"""Trial: a continuous outcome over visits, by arm, with a moderator measured at baseline."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame, provenance
from bayesdep.models.model import Check, Forest
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.scale import check_scale, scale_of
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.models.trial import checks as trial_checks
from bayesdep.models.trial import completion, residuals
from bayesdep.models.trial import estimands as trial_estimands
from bayesdep.models.trial import means as trial_means
from bayesdep.models.trial.data import read_visits
from bayesdep.models.trial.moderator import Form, is_log, parse_subgroup, read_moderator, read_subgroups
from bayesdep.models.trial.refusals import refuse_other_outcomes, refuse_times, split_level
from bayesdep.models.trial.response import visit_of

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A randomised trial: a continuous outcome at several visits, some missed; a mixed model for repeated measures.

    The generative model, for patient i and visit j, outcomes less their overall mean::

        y_i ~ MVN(mean_i, D R D)          D the residual sds, R their correlation; missed visits integrate out
        mean_ij = visit_mean_j + baseline_slope_j b_i + arm_effect_j a_i + x_i' covariate_effect + site_effect_s(i)
                  + sum_k (moderator_effect_kj + arm_by_moderator_kj a_i) m_ik
        effect_j = effect + departure_j, the departures of an effect summing to zero over visits
        site_effect_s ~ N(0, site_sd)     where covariates have (1 | site)

    b is the baseline less its mean, a the arm's indicator less the share of patients in the arm, m the terms of the
    moderator: the standardised moderator or its log l; l and its square; a restricted cubic spline of l, its terms
    uncorrelated and of one sd; or whether it lies above a threshold, standardised. With ``time = "weeks"`` the effects
    of arm and moderator grow in proportion to the visit's number from nothing at zero, so each is one slope in time
    (its value at the last visit is the parameter); means over visits and the slope on baseline stay free, since a
    straight line through them is no part of the question. R is unstructured (``LKJ(lkj)``), Toeplitz, compound
    symmetry, first-order autoregressive by visits (``"ar1"``) or by days (``"spatial-power"``, ``rho ** gap``). With
    ``by_arm`` each arm has D and R of its own. When ``robust`` the normal is a multivariate t: a patient's covariance
    is divided by ``precision_i ~ Gamma(nu / 2, nu / 2)``. A visit that is missing at random is never imputed to fit.
    With one visit this is an analysis of covariance; without baseline (``baseline = None``) b is left out.

    Default priors are multiples of ``scale``, the sd of the outcome within arms at the first visit (s below), so they
    mean the same in points, metres or percent::

        visit_mean ~ N(0, 2 s)           around the mean of all outcomes
        arm_effect ~ N(0, 1.5 s)         mean over visits; its departures ~ N(0, 0.75 s)
        moderator_effect ~ N(0, 0.75 s)  per sd, mean over visits; departures half as wide
        arm_by_moderator ~ N(0, s)       per sd, mean over visits; departures half as wide
        baseline_slope ~ N(0, s)         per sd of the baseline, mean over visits; departures half as wide
        covariate_effect ~ N(0, 0.75 s)  per sd
        residual_sd ~ N+(1.5 s)          site_sd ~ N+(0.5 s)

    and ``rho ~ Beta(2, 2)``; Toeplitz partial autocorrelations are ``2 Beta(2, 2) - 1``; ``nu ~ Gamma(2, 0.1)``. Before
    the data, half of all differences between arms (mean over visits) lie within one within-arm sd and 95% within three;
    treatments of depression differ by 0.2 to 1. On a real trial (172 patients, four visits, change of HAM-D, ar1;
    restricted maximum likelihood has -2.70 (1.08) at the last visit) the answer depends little on the width:

    ============  ==================  ============  ==================
    widths        half                as they are   double
    ============  ==================  ============  ==================
    mean          -1.39 (0.73)        -1.51 (0.77)  -1.53 (0.77)
    last visit    -2.31 (1.00)        -2.60 (1.08)  -2.66 (1.08)
    ============  ==================  ============  ==================

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
    covariates
        Formula of patients' covariates, such as ``"age + sex"``; ``"age + (1 | site)"`` gives a column of many levels a
        random effect.
    better
        Whether ``"lower"`` or ``"higher"`` outcomes are better.
    margin
        Smallest difference that matters to patients, in the outcome's units; None where none is named, and then the
        probability of a difference beyond it is not reported.
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
    outcome, subject, arm, visit, baseline, day, moderator
        Names of the table's columns; ``day`` and ``moderator`` may be left out, and ``baseline`` too (None, in a plan
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

    family: ClassVar[str] = "trial"
    figures: ClassVar[tuple[str, ...]] = (
        "trajectories", "difference_along", "subgroups", "covariance", "residuals", "dropout_by_arm", "dropout",
    )  # fmt: skip
    adaptation: ClassVar[Literal["low_rank"]] = "low_rank"
    left_out: ClassVar[str] = "subject"

    reference: str
    covariance: Literal["unstructured", "toeplitz", "compound-symmetry", "ar1", "spatial-power"] = "unstructured"
    heterogeneous: bool = True
    by_arm: bool = False
    robust: bool = False
    time: Literal["visits", "weeks"] = "visits"
    moderator_form: Form = "log"
    threshold: float | None = None
    knots: Literal[3, 4, 5] = 3
    at: Sequence[float] = ()
    subgroups: Sequence[str] = ()
    response: float | None = None
    remission: float | None = None
    response_when: str | float = "any"
    remission_when: str | float = "last"
    change: bool = False
    covariates: str | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: float | None = None
    units: str = "points"
    lkj: float = 2.0
    scale: float | None = None
    visit_order: Sequence[str] = ()
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    outcome: str = column("outcome", "outcome")
    subject: str = column("subject", "patient")
    arm: str = column("arm", "arm")
    visit: str = column("visit", "visit")
    baseline: str | bool | None = column("baseline", "outcome at baseline")
    day: str | None = column(None, "days since randomisation")
    moderator: str | None = column(None, "moderator at baseline")

    def __post_init__(self) -> None:
        if self.baseline is False:  # how a plan, which knows no None, says that there is none
            object.__setattr__(self, "baseline", None)
        check_settings(self)
        check_scale(self.scale)
        if self.baseline is True:
            raise BadInput("baseline = true, but the name of a column is needed, or false where there is none")
        split_level(self.covariates)
        object.__setattr__(self, "visit_order", tuple(self.visit_order))
        object.__setattr__(self, "at", tuple(float(x) for x in self.at))
        object.__setattr__(self, "subgroups", tuple(self.subgroups))
        for text in self.subgroups:
            parse_subgroup(text)
        for name in ("at", "subgroups"):
            if getattr(self, name) and self.moderator is None:
                raise BadInput(f"{name} needs a moderator; name its column in moderator, or leave {name} out")
        if self.moderator is not None and is_log(self.moderator_form) and any(x <= 0 for x in self.at):
            raise BadInput(
                f"at = {list(self.at)}, but a value above zero is needed where the moderator enters as a log"
            )
        if (self.moderator_form == "threshold") != (self.threshold is not None):
            raise BadInput(
                "moderator_form = 'threshold' needs the value in threshold, such as threshold = 5"
                if self.threshold is None
                else f"threshold = {self.threshold:g} belongs to moderator_form = 'threshold'; leave it out"
            )
        if self.covariance == "unstructured" and not self.heterogeneous:
            raise BadInput(
                "heterogeneous = false contradicts covariance = 'unstructured'; use 'toeplitz', or leave it out"
            )
        for name, low, high, example in (
            ("margin", 0, np.inf, "3"), ("lkj", 0, np.inf, "2"), ("response", 0, 1, "0.5"),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not low < value < high:
                room = "above zero" if high == np.inf else "between 0 and 1"
                raise BadInput(f"{name} = {value}, but a number {room} is needed, such as {example}")
        if self.better == "higher" and (self.response is not None or self.remission is not None):
            raise BadInput("response and remission are drops, but better = 'higher'; leave them out")
        if self.baseline is None and (self.response is not None or (self.change and self.remission is not None)):
            raise BadInput(
                "response is a share of the baseline's score, and remission of a change needs it too, but baseline is "
                "left out; name its column, or leave response and remission out"
            )
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        trial_means.refuse_departures(self)

    @property
    def formula_of_covariates(self) -> str | None:
        """The covariates' formula without its random effect."""
        return split_level(self.covariates)[0]

    @property
    def level(self) -> str | None:
        """The column of levels with a random effect."""
        return split_level(self.covariates)[1]

    @property
    def target_accept(self) -> float:
        """How careful the sampler must be: near-singular correlations and patients' precisions are narrow places."""
        return 0.9 if self.robust or self.covariance in ("unstructured", "toeplitz") else 0.8

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        return trial_means.slots_of(self) | residuals.slots_of(self)

    @property
    def words(self) -> str:
        """The model in words."""
        how = {
            "unstructured": "an unstructured correlation",
            "toeplitz": "a correlation by the number of visits between (Toeplitz)",
            "compound-symmetry": "one correlation (compound symmetry)",
            "ar1": "a correlation that decays from visit to visit (AR(1))",
            "spatial-power": "a correlation that decays with the days between (spatial power)",
        }[self.covariance]
        arms = "differences between arms" if self.moderator is None else f"differences between arms by {self.moderator}"
        grow = "are every visit's own" if self.time == "visits" else "grow in proportion to time"
        law = "multivariate t" if self.robust else "jointly normal"
        own = ", each arm with its own" if self.by_arm else ""
        adjusted = "" if self.baseline is None else "means are adjusted for baseline, "
        return (
            f"Outcomes of a patient are {law}, with {how}{own}; {adjusted}{arms} {grow}. "
            "Missed visits are integrated out, as missing at random."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        mean = "visit_mean[j]" + (" + baseline_slope[j] b[i]" if self.baseline is not None else "")
        mean += " + arm_effect[j] a[i]"
        if self.moderator is not None:
            mean += " + (moderator_effect[., j] + arm_by_moderator[., j] a[i]) m[i, .]"
        if self.formula_of_covariates is not None:
            mean += f" + covariate_effect x[i]  ({self.formula_of_covariates})"
        if self.level is not None:
            mean += f" + site_effect[{self.level} of i]"
        law = "MVT(nu, mean[i, .], D R D)" if self.robust else "MVN(mean[i, .], D R D)"
        slopes = ["arm_effect", *(["moderator_effect", "arm_by_moderator"] if self.moderator is not None else [])]
        apart = [name.removesuffix("_departure") for name in self.slots if name.endswith("_departure")]
        return [
            f"y[i, .] ~ {law}, over the visits that were observed",
            f"mean[i, j] = {mean}",
            *(f"{name}[., j] = {name} week[j] / week[last]" for name in slopes if self.time == "weeks"),
            *(f"{name}[., j] = {name} + {name}_departure[., j], sum over j = 0" for name in apart),
            *(["site_effect[s] ~ N(0, site_sd)"] if self.level is not None else []),
            f"R {self.covariance}" + (f" ~ LKJ({self.lkj:g})" if self.covariance == "unstructured" else ""),
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the trial asks first: the arms' differences, overall and by visit, and along its moderator."""
        along = {"difference_at": bool(self.at), "difference_in": bool(self.subgroups)}
        return ("mean_difference", "difference", *(name for name, asked in along.items() if asked))

    @property
    def without_costly_estimands(self) -> "Trial":
        """The same model without responses and remissions, which are simulated."""
        return dataclasses.replace(self, response=None, remission=None)

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the arms' difference at every visit, also as means of the observed."""
        return Forest(("difference",), None, None, trial_estimands.crude_differences)

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per patient and visit into patients by visits.

        Parameters
        ----------
        table
            A dataframe. A visit without a row, or with an empty outcome, was missed.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.trial.data.read_visits` returns it, with what
            :func:`~bayesdep.models.trial.moderator.read_moderator` adds, ``arm_code`` (subject, comparison) and
            dim ``comparison``, the arms but the reference.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        frame = as_frame(table)
        meanings = column_fields(self)
        columns = {word: getattr(self, word) for word in meanings}
        data, patients = read_visits(
            frame, columns, meanings, reference=self.reference, formula=self.covariates, level=self.level,
            units=self.units, order=self.visit_order,
        )  # fmt: skip
        trial_means.refuse_arms(self, data.assign_coords(comparison=data["arm"].values[1:]))
        if self.covariance in ("unstructured", "toeplitz"):
            residuals.refuse_unknown_correlations(data, self.covariance, self.by_arm)
        refuse_times(self, data)
        refuse_other_outcomes(self, data)
        for name in ("response", "remission"):
            if getattr(self, name) is not None:
                visit_of(getattr(self, f"{name}_when"), data, f"{name}_when")
        if self.moderator is not None:
            found = read_moderator(
                patients, self.moderator, meanings["moderator"], self.moderator_form, threshold=self.threshold,
                knots=self.knots,
            )  # fmt: skip
            data = data.merge(found, combine_attrs="override")
            if self.subgroups:
                data = data.merge(read_subgroups(data, self.subgroups), combine_attrs="override")
        data.attrs["notes"] = provenance(frame)["notes"]  # with those of patients' columns
        indicator = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
        data = data.assign_coords(comparison=data["arm"].values[1:])
        first = f"column '{self.outcome}' ({meanings['outcome']}) at visit {data['visit'].values[0]}"
        scale = scale_of(data["outcome"].values[:, 0], data["arm_of"].values, stated=self.scale, where=first)
        return data.assign(
            arm_code=(("subject", "comparison"), indicator - indicator.mean(axis=0)),
            centre=((), float(np.nanmean(data["outcome"].values))),
            scale=((), scale, {"units": self.units}),
        )

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

        coords = {str(d): data[d].values for d in ("subject", "visit", "comparison", "covariate")}
        if self.level is not None:
            coords["site"] = data["site"].values
        if self.by_arm:
            coords["arm"] = data["arm"].values
        if self.moderator is not None:
            coords["term"] = data["term"].values
        with pm.Model(coords=coords) as model:
            residuals.observe(self, data, trial_means.mean_outcome(self, data))
        return model

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
            visit), ``crossover`` and ``crosses`` (comparison, side) and ``no_crossover``; with subgroups
            ``difference_in`` (comparison, subgroup, visit) and ``standardised_difference_in``; where asked for,
            ``response_rate`` (arm, group), ``response_difference`` and ``response_nnt`` (comparison, group), and the
            same of remission.
        """
        return trial_estimands.estimands(self, posterior, data)

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

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that speak against the model.

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

    def expected(self, posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
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
        return trial_means.expected(self, posterior, data)

    def completed(
        self, posterior: xr.Dataset, data: xr.Dataset, own: np.ndarray, assumed: np.ndarray, dropped: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of every outcome given the observed ones of its patient.

        Parameters
        ----------
        posterior
            Draws with dim ``sample``.
        data
            As :meth:`prepare` returns it.
        own, assumed
            Means that missed visits start from, shape (samples, subjects, visits): the patients' own, and those
            assumed of visits that are marked in ``dropped``.
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
