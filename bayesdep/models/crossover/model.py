"""Crossover: patients who have every treatment in turn, one a period, each patient their own control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.crossover.checks import OUTCOME, checks
from bayesdep.models.crossover.data import prepare
from bayesdep.models.crossover.design import pairs_of
from bayesdep.models.crossover.estimands import crude_differences, estimands, own_prior
from bayesdep.models.crossover.observations import observations
from bayesdep.models.crossover.scores import log_likelihood
from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.crossover.tables import tables as printed_tables
from bayesdep.models.crossover.terms import covariance_root, days_correlate, effects_by_day, sum_of_products
from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.replicates import put
from bayesdep.models.parts.scale import priors_of

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Crossover(CrossoverSettings):
    """A randomised crossover trial: each patient has each treatment in a period of its own, seen on one day or more.

    The generative model, for patient i, period p and day d after the treatment was given, outcomes less their overall
    mean::

        y_ipd = day_mean_d + period_effect_d q_p + treatment_effect_d t_ip + baseline_slope_d b_i + carry_over_d s_ip
                + patient_id + residual_ipd
        patient_i ~ MVN(0, A)      residual_ip ~ MVN(0, B)      A = D R D with the patient sds, B with the residual sds

    q, t and s are indicators of period, treatment and the treatment before, less their shares in a complete design:
    plus and minus one half where there are two; s is zero in the first period. b is the baseline less its mean. What a
    patient's periods share is integrated out in closed form; periods and days that are missing at random integrate out
    too, and nothing is imputed to fit.

    With ``days = "joint"`` both correlation matrices R are unstructured, ``LKJ(lkj)``. Two of them, because outcomes on
    two days can correlate for two reasons: the patient is always the more ill (A), or the treatment worked in this
    patient, or it was a bad month (B: as nobody has a treatment twice, a patient's own response to it cannot be told
    from the period's). One random effect per period instead would be the special case in which all covariances within B
    are equal and positive; for two days that saves nothing. A patient's missing day then leans on the other days: if
    patients who were well on day 2 were lost before day 10, the difference on day 10 takes that into account, and is
    not that of day 10 on its own. ``days = "apart"`` leaves both R at the identity: each day is then analysed as if it
    were the only one.

    *Carry-over* is left out unless asked for. With two treatments and two periods, what carries over from the first
    treatment into the second period, an interaction of treatment and period, and a difference between those randomised
    to one order and the other are one and the same contrast, between patients; so the data can say little about it, the
    test for it has hardly any power, and to choose the analysis by its outcome does harm (Freeman 1989,
    doi:10.1002/sim.4780081202). With ``carry_over = True`` and a flat prior the difference rests on the first period
    alone, as in a parallel trial; a narrower prior says how much can remain after the washout, and the width of the
    difference then says what that costs. Only the treatment just before counts.

    The baseline is one number per patient, from before the first treatment. It takes up variance between patients and
    hardly moves a difference within them. Baselines of each period are refused: as covariates beside random patient
    effects they bias the difference (Kenward and Roger 2010, doi:10.1093/biostatistics/kxp046).

    Default priors are multiples of ``scale``, the sd of outcomes within treatment, period and day, so that they mean
    the same in any unit: ``treatment_effect ~ N(0, 1.5)`` (95% within three such sds either way, which holds all but
    the largest effects of any treatment; it takes 2% off an effect known to a fifth of an sd), ``period_effect ~ N(0,
    0.75)`` (half of that: the same people, with time), ``carry_over ~ N(0, 0.3)``, ``day_mean ~ N(0, 1.5)``,
    ``patient_sd`` and ``residual_sd ~ N+(1)`` (together they make up the scale); ``baseline_slope ~ N(0, 1)`` times the
    scale over the baseline's sd. With half and double these widths ketamine's differences in the NIMH trial are in
    docs/evidence/crossover_priors.md.

    With joint days, effects of treatments, periods and carry-over correlate 3/4 between days a priori: an overall
    effect and deviations from it of half the spread. So the mean over days has nearly the prior of one day, whatever
    their number. Of three or more treatments, differences from the reference correlate 1/2, so that none of the
    treatments has a prior of its own.

    Parameters
    ----------
    reference
        The treatment the others are compared with.
    days
        Whether days are correlated, ``"joint"``, or as good as separate trials, ``"apart"``.
    carry_over
        Whether the treatment before may have left something over.
    before
        What the column of treatments says in rows from before the first treatment: their outcome is the baseline then.
    better
        Whether ``"lower"`` or ``"higher"`` outcomes are better.
    margin
        Minimal important difference, in the outcome's units; None if it is not asked for.
    scale
        What default priors are multiples of, in the outcome's units; None for the sd of outcomes within treatment,
        period and day.
    units
        Units of the outcome.
    lkj
        Shape of the LKJ priors of the correlations between days; 1 is uniform.
    priors
        Priors by parameter that replace the defaults.
    outcome, subject, treatment, period, day, baseline
        Names of the table's columns. ``day`` may be None where there is one time only; ``baseline`` may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Crossover(reference="placebo", outcome="madrs").priors["treatment_effect"]
    Normal(mu=0, sigma=1.5) times scale
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the difference on every day, also as the mean of patients' own differences."""
        return Forest(("difference",), None, None, crude_differences)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per patient, period and day into patients by periods by days.

        Parameters
        ----------
        table
            A dataframe. An outcome without a row, or with an empty cell, is missing.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.crossover.data.read_periods` returns it, with the codes of
            :func:`~bayesdep.models.crossover.design.code_design`.

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
            With ``patient_correlation`` and ``residual_correlation`` (pair) where several days are joint, and the
            observed ``outcome_by_period`` (subject, period, day).
        """
        import pymc as pm

        from bayesdep.models.crossover.nested import Nested

        prior, sizes = priors_of(self, data), data.sizes
        with pm.Model(coords=self._coords(data)) as model:
            day_mean = prior["day_mean"].rv("day_mean", dims="day")
            effects = effects_by_day(self, data, prior)
            codes = ("subject", "period", "comparison")
            by_period = pm.Data("period_code", data["period_code"].values, dims=("period", "later"))
            by_treatment = pm.Data("treatment_code", data["treatment_code"].values, dims=codes)
            mean = (
                pm.Data("centre", float(data["centre"]))
                + day_mean
                + sum_of_products(by_period, effects["period_effect"], sizes["later"])
                + sum_of_products(by_treatment, effects["treatment_effect"], sizes["comparison"])
            )
            if self.carry_over:
                by_last = pm.Data("carry_code", data["carry_code"].values, dims=codes)
                mean = mean + sum_of_products(by_last, effects["carry_over"], sizes["comparison"])
            if self.has_baseline:
                slope = prior["baseline_slope"].rv("baseline_slope", dims="day")
                baseline = pm.Data("baseline", data["baseline"].values, dims="subject")
                mean = mean + baseline[:, None, None] * slope
            patient, residual = (covariance_root(name, self, data, prior) for name in ("patient", "residual"))
            outcome, dims = data["outcome"].values, ("subject", "period", "day")
            is_observed = ~np.isnan(outcome)
            seen = pm.Data("seen", is_observed.astype(float), dims=dims)
            observed = pm.Data("outcome", np.where(is_observed, outcome, 0.0), dims=dims)
            Nested(OUTCOME, mean, patient, residual, seen, observed=observed, dims=dims)
        return model

    def _coords(self, data: xr.Dataset) -> dict[str, Any]:
        coords = {name: data[name].values for name in ("subject", "period", "later", "day", "comparison")}
        return coords | ({"pair": pairs_of(data)} if days_correlate(self, data) else {})

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
        return put(data, outcome=drawn[OUTCOME].values)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Derive what the trial asks.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``difference`` (comparison, day), ``mean_difference`` (comparison; days weigh the same),
            ``standardised_difference`` (over the total sd; baseline held fixed where there is one), ``beyond_margin``
            where a margin is set,
            ``period_effect`` (later, day), ``patient_sd``, ``residual_sd``, ``total_sd`` and ``intraclass_correlation``
            (day); with carry-over ``carry_over`` (comparison, day); with joint days ``patient_correlation`` and
            ``residual_correlation`` (pair).
        """
        return estimands(self, posterior)

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
            As :func:`bayesdep.models.crossover.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient by the multivariate normal density of the outcomes that were observed.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject); a patient's own level is integrated out.
        """
        return log_likelihood(self, posterior, data)

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
            On the first and the last day: mean and sd by treatment and period, the correlation of a patient's periods,
            and the difference of a later period's mean from the first's, all among the outcomes that were observed.
        """
        return checks(self, data)
