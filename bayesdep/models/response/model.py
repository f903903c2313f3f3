"""Response: one or many censored biomarkers as predictors of a binary outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.response import checks, estimands, scores
from bayesdep.models.response.concentrations import labels_of_non_detects, log_concentrations
from bayesdep.models.response.data import prepare
from bayesdep.models.response.observations import observations
from bayesdep.models.response.replicates import replicate
from bayesdep.models.response.settings import ResponseSettings
from bayesdep.models.response.slopes import slopes
from bayesdep.models.response.tables import tables as printed_tables

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Response(ResponseSettings):
    """Biomarkers, of which some lie beyond their detection limits, as predictors of a binary outcome.

    The generative model, for subject i and analyte k, on natural logs::

        outcome_i ~ Bernoulli(logit^-1(intercept + sum_k slope_k x_ik + z_i' covariate_slope))
        x_ik ~ N(marker_mean_k, marker_sd_k),   x_ik = (log concentration_ik - centre_k) / scale_k

    x is observed where detected; elsewhere it is a parameter, known to lie below, above or between its limits. The
    density of such a value is that of the normal itself, not of a normal truncated to the interval: that a value was
    below its limit is information about ``marker_mean`` and ``marker_sd``. ``centre_k`` is a fixed number, the mean of
    the analyte's detected logs and log limits, so that ``intercept`` is the log odds at a typical concentration.
    ``scale_k`` is fixed too: the standard deviation of the analyte's logs by maximum likelihood, non-detects included.
    So slopes are per standard deviation, and neither the unit of a concentration nor how widely it spreads between
    people changes what the priors say. z are the covariates, standardised over the people in the data.

    Default priors: ``intercept ~ N(0, 1.5)`` (95% of response rates between 5% and 95%); ``slope ~ t_4(0, 2.5)`` per
    standard deviation; ``covariate_slope ~ N(0, 1)`` per sd; ``marker_mean ~ N(0, 2.5)`` and ``marker_sd ~ N+(2)``, in
    standard deviations. An area under the curve of 0.98 is a slope of about 7, one of 0.86 about 2: the default
    leaves both nearly as they are, where N(0, 1) made 0.90 of 0.98 (docs/evidence/response_prior.md).

    With several analytes their slopes may share a distribution, ``effects = "normal"`` or ``"student"``::

        slope_k = slope_sd raw_k,   raw_k ~ N(0, 1) or t_4,   slope_sd ~ N+(1)

    or have the regularised ``"horseshoe"`` (Piironen and Vehtari 2017, doi:10.1214/17-EJS1337SI)::

        slope_k ~ N(0, tau_k^2 c^2 local_k^2 / (c^2 + tau_k^2 local_k^2)),   1 / c^2 = slab_precision ~ Gamma(2, 8)
        tau_k = global_scale p0 / (p - p0) se_k,   se_k = 1 / sqrt(n m (1 - m) visible_k),   local_k ~ C+(1)

    for p analytes of which p0 = ``expected_nonzero`` matter, and ``log(global_scale) ~ N(0, 0.5)``: twenty slopes say
    little of how many matter, so it is taken as known within a factor. ``se_k`` is the standard error that the design
    gives the slope: from the Fisher information of a standardised predictor in a logistic regression of n people of
    whom a share m respond, and ``visible_k``, the share of the analyte's variance that its limits leave visible. So the
    slope of an analyte that is mostly not detected is not taken to be as precise as the others'. The slab is Student's
    t with 4 degrees of freedom and scale 2. Intervals of pooled slopes are right on average over analytes, not for the
    few that differ most.

    The accuracy of a test is that in the population the model describes: markers are normal, covariates those of the
    people in the data. It is not the accuracy counted in the sample in which the cutoff may have been chosen.

    Parameters
    ----------
    event
        Label of the outcome that counts as 1; not needed for 0/1 or true/false.
    effects
        Distribution of the slopes of several analytes: ``"none"`` (each has its own prior), ``"normal"``,
        ``"student"``, or the ``"horseshoe"``.
    expected_nonzero
        For the horseshoe: how many analytes are expected to matter.
    covariates
        Formula of the covariates, such as ``"age + sex + bmi"``.
    cutoff
        A cutoff in concentration units, whose accuracy is then estimated; for a single analyte.
    predicts_when
        Whether a value ``"below"`` or ``"above"`` a cutoff predicts the outcome: needed for a single analyte, as an
        area under the curve of 0.87 one way is 0.13 the other.
    scale
        What slopes and the marker's priors are per, on natural logs; None for each analyte's own standard deviation.
    beyond_limit
        What to do with an unflagged number beyond its own limit: ``"refuse"``, or ``"censor"`` it there.
    flag_codes
        What codes of the flag column mean, such as ``{"1" = "left", "2" = "right"}``.
    priors
        Priors by parameter that replace the defaults.
    outcome, subject, value, analyte, plate, unit, censored, lod, lloq, uloq
        Names of the table's columns; those from ``analyte`` on may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Response(outcome="responder", cutoff=34, predicts_when="below").priors["slope"]
    StudentT(nu=4, mu=0, sigma=2.5)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the log odds ratio per log unit of each analyte, on its own and in the model."""
        return Forest(("slope",), None, None, estimands.crude_slopes, is_log=True)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per subject and analyte into people.

        Parameters
        ----------
        table
            A dataframe; the outcome and the covariates are the same in all rows of a subject.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.parts.people.read_people` returns it, with ``outcome`` (subject), ``covariates``
            (subject, covariate) and ``covariate_sd``; ``log_sd`` (analyte) is what slopes are per, and ``slope_se``
            (analyte) the standard error that the design gives a slope.

        Raises
        ------
        BadInput
            Naming the column and row.
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
            Observed ``outcome`` (subject) and ``log_concentration`` (subject, analyte); values beyond a limit, at
            which the latter holds the limit and is not scored, are the parameters ``beyond`` (non_detect).
        """
        import pymc as pm

        prior = self.priors
        coords = {d: data[d].values for d in ("subject", "analyte", "covariate")}
        with pm.Model(coords=coords | {"non_detect": labels_of_non_detects(data)}) as model:
            centre, scale = (pm.Data(name, data[name].values, dims="analyte") for name in ("centre", "log_sd"))
            # log odds = intercept + sum_k slope_k x_k + z' covariate_slope
            intercept = prior["intercept"].rv("intercept")
            slope = slopes(self, data) / scale
            # x ~ N(marker_mean, marker_sd), in standard deviations from the centre
            mean = centre + scale * prior["marker_mean"].rv("marker_mean", dims="analyte")
            sd = scale * prior["marker_sd"].rv("marker_sd", dims="analyte")
            log_concentration = log_concentrations(data, mean, sd)
            log_odds = intercept + ((log_concentration - centre) * slope).sum(axis=1)
            if data.sizes["covariate"]:
                z = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
                log_odds += (z * prior["covariate_slope"].rv("covariate_slope", dims="covariate")).sum(axis=1)
            observed = pm.Data("outcome_data", data["outcome"].values, dims="subject")
            pm.Bernoulli("outcome", logit_p=log_odds, observed=observed, dims="subject")
        return model

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Put drawn concentrations and outcomes in the place of the observed ones.

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
        return replicate(data, drawn, rng)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive odds ratios and the accuracy of the marker in the population.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``odds_ratio_per_doubling``, ``slope`` (per natural log) and ``odds_ratio_per_sd`` (analyte);
            ``covariate_odds_ratio`` (covariate), per unit of the formula's column; ``auc``. For one analyte also
            ``roc`` (false_positive_rate), the sensitivity along the curve; ``best_cutoff`` and ``youden``;
            ``net_benefit`` (decision, threshold) of treating those whose marker gives them a chance of the outcome
            above the threshold, and of treating everybody; ``net_benefit_gain`` (threshold), the first less the better
            of everybody and nobody; and with a cutoff its ``sensitivity``, ``specificity``,
            ``likelihood_ratio_positive`` and
            ``likelihood_ratio_negative``.
        """
        return estimands.estimands(self, posterior, data)

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
            As :func:`bayesdep.models.response.observations.observations` returns it.
        """
        return observations(posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Return the log density of each subject's concentrations and outcome, non-detects integrated out.

        Parameters
        ----------
        posterior
            Draws of the parameters; those of the latent values are not used.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject). One non-detect is integrated out by quadrature, several by the characteristic
            function of their sum, on which alone the outcome depends.
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
        """Name the test quantities for predictive checks.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Replicated outcomes of people who keep their concentrations: how many respond, among non-detects too, and
            how responders differ from others (non-detects at their limit; over several analytes the root mean square).
            Replicated concentrations: the share below the limit and the largest within limits.
        """
        return checks.checks(data)
