"""PatientMeta: an individual-patient meta-analysis, with effects that differ between studies and by moderators."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.patient_meta import event_estimands
from bayesdep.models.patient_meta.checks import checks
from bayesdep.models.patient_meta.data import imputations_of, prepare
from bayesdep.models.patient_meta.estimands import crude_effects, estimands, own_prior
from bayesdep.models.patient_meta.events import add_events
from bayesdep.models.patient_meta.observations import observations
from bayesdep.models.patient_meta.replicates import replicate
from bayesdep.models.patient_meta.scores import log_likelihood, log_likelihood_of_events
from bayesdep.models.patient_meta.settings import OF_ONE_MODERATOR, PatientMetaSettings
from bayesdep.models.patient_meta.tables import tables as printed_tables
from bayesdep.models.patient_meta.terms import coefficients, residual_correlation, residual_sds, root_between
from bayesdep.models.patient_meta.words import formula_of, words_of
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class PatientMeta(PatientMetaSettings):
    """One-stage meta-analysis of individual patients: an outcome at one time or two, a treatment and its control.

    The generative model, for patient i of study k and time t, outcomes standardised at each time::

        y_it = level_kt + (effect_t + deviation_kt) T_i + baseline_slope_t b_i
               + sum_j (moderator_effect_jt + interaction_jt T_i) x_ij + residual_it
        residual_i ~ MVN(0, D_k R D_k)     D_k the study's residual sds
        log sd_kt ~ N(log residual_sd_t, residual_spread)

    T is -1/2 for the reference and 1/2 for the treatment where it multiplies what is a study's own; in all other terms
    it is 0 or 1 less the share of patients treated. Exchanging the arms then changes signs and nothing else. b is the
    baseline, standardised; ``level`` is a study's level midway between the arms.

    *Levels of studies.* With ``study_levels = "free"`` they have flat priors, so that only patients randomised together
    are compared: that one study does better than another says nothing of the treatment, nor of what moderates it. The
    likelihood is that of the contrasts within studies (restricted likelihood), and ``deviation_kt ~ N(0,
    tau_effect_t)``. How levels differ, what a moderator of studies does in one arm, and risks are then not known; they
    take ``study_levels = "random"``, where levels are compared, and a moderator of studies may move them::

        level_kt = intercept_t + own_kt            (own_k, deviation_k) ~ MVN(0, S)

    With two times S has the sds ``tau_intercept_t`` and ``tau_effect_t`` and the correlation matrix ``R_time x R`` (a
    Kronecker product): one correlation of level with effect, one of the two times, each ``LKJ(lkj)``. Four by four and
    unstructured there would be six. A dozen or two of studies, whose own effects have standard errors larger than
    ``tau_effect``, do not know six: they would be their prior's. R, of a patient's residuals, has one correlation.

    A study in which one arm alone was seen at a time compares nobody: its outcomes at that time are left out, and
    ``data.attrs["left_out"]`` names it.

    Everything the density needs of the patients are sums of products by study, arm and pattern of missing outcomes
    (:mod:`~bayesdep.models.patient_meta.products`), and the studies' levels and deviations are integrated out in closed
    form, to be drawn exactly afterwards; so a hundred thousand patients cost no more than a thousand. An outcome that
    is missing at random is never imputed to fit: those seen at one time count at that time.

    *Moderators.* Each has a main effect and an interaction with the treatment. Values 0 and 1 are kept, other columns
    standardised. With ``split`` a moderator that differs between patients of a study enters twice: by the patient's
    deviation from the study's mean, and by that mean. The first compares patients randomised together; the second
    compares studies, which differ in much else. ``ecological_bias`` is what lies between the two. A moderator of
    studies has the second part alone. Patients without all moderators are left out: ``data.attrs["left_out"]`` counts
    them, moderator by moderator.

    *Missing moderators.* With ``missing_moderators = "impute"`` nobody is left out: what is missing, in some patients
    of a study or in whole studies, is drawn several times from normal and probit models given all else, outcomes and
    interactions included (:class:`~bayesdep.models.patient_meta.imputation_model.ImputationModel`), and the draws of
    the fits to all are put together. That they are missing at random given study, arm, outcomes, baseline and the other
    moderators, and that studies without a moderator differ in it as the others do among themselves, cannot be checked.

    Interactions are ``N(0, 1)`` each (``effects = "none"``, for one at a time), ``N(0, interaction_sd)``
    (``"normal"``), Student's t with that scale and 4 degrees of freedom (``"student"``), or regularised horseshoe
    (``"horseshoe"``)::

        interaction_j ~ N(0, w_j^2 / (1 + slab_precision w_j^2))     w_j = global_scale tau0_j local_scale_j
        tau0_j = se_j p0 / (p - p0)                  local_scale_j ~ C+(1)      log(global_scale) ~ N(0, 0.5)

    for p interactions, p0 = ``expected_nonzero`` of which matter, ``se_j`` the standard error that the design gives
    (:mod:`~bayesdep.models.patient_meta.interactions`). The slab is Student's t with 4 degrees of freedom and scale
    0.5. Shrunken intervals are right on average over moderators, and too narrow for the few that differ from the rest;
    the moderators' forest has the estimate without pooling beside each.

    Default priors, in sds of the outcome: ``intercept ~ N(0, 1)``, ``effect ~ N(0, 1)`` (95% within two sds either
    way; of two times the mean, and ``effect_change ~ N(0, 1)``, second less first), ``moderator_effect ~ N(0, 1)``,
    ``baseline_slope ~ N(0, 0.5)``, ``tau_intercept`` and ``tau_effect ~ N+(0.3)`` (95% of spreads up to 0.6),
    ``residual_sd ~ N+(1)``, ``residual_spread ~ N+(0.3)`` (at its 95% point, 0.6, one study's sd is within a factor 3.2
    of the typical one), ``interaction_sd ~ N+(0.3)``. Priors that are given are in the same units.

    *Events.* With ``at_least`` or ``at_most`` a patient's outcome is whether it reached that limit, at one time, and
    the same sum without residual is the log odds of it. Priors are then in log odds: ``intercept ~ N(0, 1.5)`` (95% of
    risks between 5% and 95%), ``effect ~ N(0, 1.5)`` (95% of odds ratios up to 19 either way), slopes and interactions
    ``N(0, 1)``, spreads ``N+(0.5)``, free levels ``N(0, 10)``; the slab's scale is 1. ``effect`` compares patients
    alike in a study of typical effect; ``risk`` is the mean over all patients, each in their own study, as if all had
    been in one arm.

    Parameters
    ----------
    reference
        The arm the other is compared with.
    times
        The times to use, in order, one or two; all of the table's where empty.
    moderators
        Columns of moderators: numbers, or yes and no as 1 and 0.
    combined
        Those of the moderators that make up the combined moderator M*; none is made where empty.
    split
        Whether moderators of patients have a part within studies and one between them.
    effects
        How interactions are pooled: ``"none"``, ``"normal"``, ``"student"`` or ``"horseshoe"``.
    expected_nonzero
        For the horseshoe: how many interactions, over parts and times, are expected to matter.
    margin
        Minimal important interaction, in sds of the outcome per unit of the moderator.
    missing_moderators
        Whether patients without a moderator are left out (``"omit"``) or have it imputed (``"impute"``).
    imputations
        How often; :func:`~bayesdep.check_missing_information` says whether that is enough.
    study_levels
        Whether studies' levels have flat priors (``"free"``) or a common normal (``"random"``).
    units
        Units of the outcome, such as ``"% improvement"``.
    scale
        What one sd is, in these units, at every time; None for the sd of all patients' outcomes at a time.
    lkj
        Shape of the LKJ priors of correlations; 1 is uniform.
    at_least, at_most
        Where one of them is given, what counts is whether a patient's outcome reached it, at one time: response is
        ``at_least = 50`` of a percentage improvement, remission ``at_most = 9`` of a MADRS total.
    priors
        Priors by parameter that replace the defaults.
    outcome, study, subject, arm, time, baseline
        Names of the table's columns; ``time`` may be None where there is one only, ``baseline`` may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> PatientMeta(reference="control", outcome="improvement").priors["tau_effect"]
    HalfNormal(sigma=0.3)
    """

    @property
    def words(self) -> str:
        """The model in words."""
        return words_of(self)

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return formula_of(self)

    @property
    def without_costly_estimands(self) -> "PatientMeta":
        """The same model without the combined moderator, which is cross-validated."""
        return dataclasses.replace(self, combined=())

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: every study's effect, also as its own difference of means; the pooled one."""
        one = len(self.times) == 1 or self.time is None  # with two times there would be two diamonds of one name
        crude = event_estimands.crude_effects if self.is_binary else crude_effects
        summary, new = ("effect", "effect_new") if one else (None, None)
        return Forest(("study_effect",), summary, new, crude, is_log=self.is_binary)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per patient and time into patients, and these into sums of products.

        Parameters
        ----------
        table
            A dataframe. An outcome without a row, or with an empty cell, is missing.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.patient_meta.data.read_patients` returns it, with ``share_treated`` and what
            :func:`~bayesdep.models.patient_meta.products.sum_products` makes, or of events
            :func:`~bayesdep.models.patient_meta.events.count_events`. Where moderators were imputed, of the first
            imputation, with all of them in ``imputed`` (imputation, subject, part).

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        return prepare(self, table)

    def imputations_of(self, data: xr.Dataset) -> Sequence[xr.Dataset]:
        """Give the data once for each draw of the moderators that are missing.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of xarray.Dataset
            Like ``data``, with one imputation's ``parts`` each; ``data`` alone where nothing was drawn.
        """
        return imputations_of(self, data)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With the observed ``outcomes`` (study, pattern, arm, statistic: means and sums of products), or ``events``
            (cell: patients alike). ``deviation`` (study, time, which: the study's own level and effect) and
            ``new_deviation`` (time, new_which; of the effect alone where levels are free) are not needed for the
            likelihood, and are drawn from their conditional; of events, the first is sampled.
        """
        import pymc as pm

        with pm.Model(coords=self._coords(data)) as model:
            gamma = coefficients(self, data)  # of one, baseline and moderators, in each arm
            root = root_between(self, data)  # (level, deviation) ~ MVN(0, root root')
            if self.is_binary:
                add_events(data, gamma, root)
            else:
                sd = residual_sds(self, data)
                rho = residual_correlation(self, data)
                _add_outcomes(data, gamma, sd, rho, root)
            _add_new_study(root, data.sizes["time"], has_free_levels=self.has_free_levels)
        return model

    def _coords(self, data: xr.Dataset) -> dict[str, Any]:
        names = ["study", "arm", "time", "column", "part"]
        names += ["cell"] if self.is_binary else ["pattern", "other", "statistic"]
        coords: dict[str, Any] = {name: data[name].values for name in names} | {"which": ["level", "effect"]}
        coords["new_which"] = ["effect"] if self.has_free_levels else ["level", "effect"]
        return coords if self.is_binary else coords | {"deviation_of": np.arange(data.sizes["deviation"])}

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw outcomes patient by patient, which the model itself knows as sums of products only.

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
        """Derive what the analysis asks.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            In sds of the outcome: ``effect`` and ``effect_new`` (time; pooled, and in a new study), ``study_effect``
            (time, study), ``tau_effect``, ``tau_intercept`` and ``residual_sd`` (time), ``residual_spread``; in its
            units ``effect_in_units`` (time); ``effect_correlation``. With two times ``effect_change``,
            ``time_correlation`` and ``residual_correlation``; with a baseline ``baseline_slope`` (time). With
            moderators ``interaction`` (part, time), ``slope_in`` (arm, part, time) and, where a moderator has both
            parts, ``ecological_bias`` (moderator, time); ``interaction_sd`` where interactions have one. With a
            combined moderator its ``m_star_weight`` (part, time) and ``m_star_r`` (evaluation, time), as
            :mod:`~bayesdep.models.patient_meta.combined` defines them.

            Of events in log odds instead, without residuals, and with ``odds_ratio`` and ``odds_ratio_new`` (time),
            ``risk`` (arm, time), had all patients of these studies been in an arm, ``risk_difference`` (time) and
            ``nnt`` (time). Where levels are free, attrs name what is ``refused`` for it, and the ``remedy``.
        """
        return estimands(self, posterior, data)

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
            As :func:`bayesdep.models.patient_meta.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every study by the density of its patients' outcomes, with all that is its own integrated out.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, study).
        """
        score = log_likelihood_of_events if self.is_binary else log_likelihood
        return score(self, posterior, data)

    def with_moderator(self, moderator: str) -> "PatientMeta":
        """Return the same model with one moderator alone: not pooled, imputed or combined, with what priors remain.

        Parameters
        ----------
        moderator
            Its column.

        Returns
        -------
        PatientMeta
            The model.
        """
        return dataclasses.replace(
            self,
            moderators=(moderator,),
            combined=(),
            effects="none",
            expected_nonzero=None,
            priors={name: prior for name, prior in self.priors.items() if name in OF_ONE_MODERATOR},
            missing_moderators="omit",
        )

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
        return own_prior(self, name, at, data)

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
        """Name the predictive checks.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            By time: mean and sd on each arm; how studies' effects are spread, the lowest and the highest of them; how
            much their sds differ; and the correlation of the two times. Of events: risks on each arm, and how log
            odds ratios of studies are spread.
        """
        return checks(self, data)


def _add_outcomes(data: xr.Dataset, gamma: Tensor, sd: Tensor, rho: Tensor, root: Tensor) -> None:
    """Add the outcomes of patients, summed up, and the studies' own deviations given them."""
    import pymc as pm

    from bayesdep.models.patient_meta.summaries import Deviations, Summaries

    cells = ("study", "pattern", "arm")
    cross = pm.Data("cross", data["cross"].values, dims=(*cells, "column", "other"))
    projected = pm.Data("projected", data["projected"].values, dims=(*cells, "column", "time"))
    seen = pm.Data("seen", data["seen"].values, dims=("pattern", "time"))
    proper = pm.Data("proper", data["proper"].values, dims=("study", "deviation_of"))
    observed = pm.Data("outcomes_data", data["outcomes"].values, dims=(*cells, "statistic"))
    shared = (gamma, sd, rho, root, cross, projected)
    statistics = pm.Data("statistics", np.zeros(data.sizes["statistic"]), dims="statistic")
    Summaries("outcomes", *shared, seen, proper, statistics, observed=observed, dims=(*cells, "statistic"))
    which = pm.Data("which_data", np.zeros(2), dims="which")
    Deviations("deviation", *shared, observed, seen, proper, which, dims=("study", "time", "which"))


def _add_new_study(root: Tensor, times: int, *, has_free_levels: bool) -> None:
    """Add the deviations of a study like these: of the effect alone where levels are free."""
    import pymc as pm

    centre = 0 * root[:, 0].reshape((times, 2))  # what does not depend on the draws would be drawn once for them all
    noise = pm.Normal("new_noise", centre, dims=("time", "which"))
    new = (root * noise.ravel()).sum(axis=1).reshape((times, 2))
    pm.Deterministic("new_deviation", new[:, 1:] if has_free_levels else new, dims=("time", "new_which"))
