"""Cytokines: a panel of censored concentrations, group effects partially pooled over analytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.cytokines import checks, estimands, scores
from bayesdep.models.cytokines.cells import Cells, Repeated, StudentResiduals, measurements
from bayesdep.models.cytokines.data import prepare
from bayesdep.models.cytokines.effects import log_residual_sd, means_of, people_of_means
from bayesdep.models.cytokines.expected import covariates, expected_levels, shared_factor
from bayesdep.models.cytokines.observations import observations
from bayesdep.models.cytokines.replicates import replicate
from bayesdep.models.cytokines.rough_effects import hardly_detected, rough_effects
from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.cytokines.split import people
from bayesdep.models.cytokines.tables import tables as printed_tables
from bayesdep.models.model import Check, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.numerics.student import precisions
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm

_CAREFUL = 0.97
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Cytokines(CytokinesSettings):
    """Concentrations of one or many analytes, detected or known to lie beyond a limit, in people, groups and times.

    The generative model, for measurement m of subject i, analyte a, plate p and time t, on natural logs::

        log_concentration_m ~ Normal(eta_m, residual_sd_a)      or StudentT(nu, ...) when robust; a value beyond a
                                                                limit enters as the probability of lying there
        eta_m = level_a + group_effect_a x_i + time_effect_{a,t} (+ interaction_{a,t} x_i) + z_m' covariate_effect_a
                + plate_{a,p} + subject_i (+ loading_a factor_i) (+ cell_{ia})
        level_a ~ N(level_mean, level_sd)             group_effect_a ~ N(group_mean, group_sd)
        time_effect_{a,t} ~ N(time_mean_t, time_sd), zero at baseline;  interaction and covariate_effect alike
        plate_{a,.} ~ N(0, plate_sd), summing to zero;  subject_i ~ N(0, subject_sd)
        factor_i ~ N(0, 1), loading_a ~ N+(loading_sd);  cell_{ia} ~ N(0, cell_ratio residual_sd_a)
        log residual_sd_a ~ N(residual_mean, residual_spread)

    x is the group's indicator less the share of people in the group, so that ``level`` is that of the people in
    the data. With families of analytes, ``group_effect_a ~ N(group_family_f, group_sd)`` and
    ``group_family_f ~ N(group_mean, group_family_sd)``. ``cell``, a person's lasting deviation in one analyte, is
    in the model when times are (its sd is in proportion to the residual's, so all analytes have the same intraclass
    correlation); ``subject`` when there are several analytes. The loadings are above zero: the shared factor moves
    all analytes in one direction. Logs are centred at the mean of all logs and log limits before priors apply; with
    ``pooling = "none"`` each analyte's at its own, and every effect has a prior of its own.

    Default priors, on the log scale: levels within N(0, 2.5) of the centre and of each other; effects of groups, times,
    and covariates per sd N(0, 1.5) with spread N+(1) and families' N+(1), so that 95% of mean ratios are between 1/19
    and 19 (docs/evidence/panel_priors.md has what half and double these widths change); plates N+(0.25); subjects
    N+(1), loadings' scale N+(1); cell_ratio ~ N+(1.5); residual sd around 0.8, within a factor 3, its spread on the log
    N+(0.5); nu ~ Gamma(2, 0.1). Without pooling an analyte's level and effects have twice those means' widths: N(0, 5)
    and N(0, 3). With three or more groups the contrasts to the reference correlate 1/2, for the mean and for the
    analytes around it, so that no group is treated differently.

    Parameters
    ----------
    reference
        The group the others are compared with.
    baseline
        The time the others are compared with; by default the first in time, as the labels say (numbers,
        dates, "week 4").
    covariates
        Formula of the covariates, such as ``"age + sex + bmi"``.
    pooling
        ``"partial"`` pooling of effects over analytes, or ``"none"``.
    group_by_time
        Whether groups may change differently over time.
    effects
        Distribution of the effects of groups and times over analytes: ``"normal"``; ``"student"``, Student t with
        degrees of freedom Gamma(2, 0.1) above 2, for panels in which a few analytes differ; or ``"horseshoe"``,
        regularised with a slab N(0, 1), for effects that are mostly near their mean. Pooled intervals are right on
        average over analytes and not for those that differ, under normal effects least of all
        (docs/evidence/sparse_effects.md). Two predictive checks, on the spread and the kurtosis of crude estimates,
        advise on it.
    expected_nonzero
        With ``effects = "horseshoe"``, how many analytes are expected to differ in a comparison, or at a time.
    shared_factor
        Whether people differ along one shared factor beside their general level.
    robust
        Student-t residuals instead of normal ones.
    replicates
        Whether people may have several rows of an analyte without times (two wells a sample), which share the person's
        deviation; the residual sd is then that of wells, around 0.2 within a factor 7, and ``log(cell_ratio) ~ N(log 4,
        1.25)`` (95% of ratios between 0.35 and 46). Wells that are copies of each other are refused.
    equivalence
        Ratio up to which groups count as practically equal, for the probability of that; above 1.
    beyond_limit
        What to do with an unflagged number beyond its own limit: ``"refuse"``, or ``"censor"`` it there.
    substitute
        ``"half"`` or ``"root2"`` puts the limit divided by 2 or by its square root for every non-detect, as many
        papers do: for contrast only.
    flag_codes
        What numeric codes of the flag column mean, such as ``{"1" = "left", "2" = "right"}``.
    priors
        Priors by parameter that replace the defaults.
    value, analyte, subject, group, time, plate, analyte_family, unit, censored, lod, lloq, uloq
        Names of the table's columns; all but ``value`` may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> model = Cytokines(analyte="analyte", group="group", reference="HC", plate="plate")
    >>> model.priors["group_mean"]
    Normal(mu=0, sigma=1.5)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the log ratio of each analyte (levels where there are no groups)."""
        if self.group is None:
            row = "log_change" if self.time is not None else "log_level"
            return Forest((row,), None, None, estimands.no_crude(row), is_log=True)
        summary = "mean_log_ratio" if self.is_pooled else None
        return Forest(("log_ratio",), summary, None, estimands.crude_log_ratios, is_log=True, by_evidence=True)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per measurement into a panel.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.cytokines.data.read_panel` returns it, with ``centre`` (analyte; what is
            subtracted from logs before priors apply), ``group_code`` (group, comparison) and dims ``comparison`` (the
            groups but the reference) and ``later`` (the times but the baseline).

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
            With the effects by analyte, ``residual_sd`` (analyte) and the observed ``log_concentration``
            (measurement).
        """
        import pymc as pm
        import pytensor.tensor as pt

        prior = self.priors
        coords = {str(d): data[d].values for d in data.dims if d != "analyte_family" or self.analyte_family}
        with pm.Model(coords=coords) as model:
            subject_sd = prior["subject_sd"].rv("subject_sd") if self.has_subjects else None
            cells = Cells.read(data, integrate=not self.robust) if self.has_cells else None
            psi = prior["cell_ratio"].rv("cell_ratio") if cells is not None else None
            rough = rough_effects(data, people=self.has_subjects) if self.is_pooled else None
            cell = 0.0 if psi is None else pt.log1p(psi**2) / 2  # what cells add to the log sd of a single value
            log_sd = log_residual_sd(self, rough, cell)
            before = [] if rough is None else [rough.relative_sd(log_sd + cell)]  # what rough estimates depend on
            means = means_of(self, data, subject_sd)
            # eta = level + group_effect x + time_effect + interaction x + plate
            eta = expected_levels(self, data, log_sd, subject_sd, means=means, rough=rough, before=before)
            if self.subject is not None:
                subject_of = pm.Data("subject_of", data["subject_of"].values, dims="measurement")
            # + loading factor + z' covariate_effect
            if self.shared_factor:
                eta = eta + shared_factor(self, data, subject_of)
            if self.covariates is not None:
                eta = eta + covariates(self, data)
            # + subject
            if self.has_subjects:
                is_split = means["level"].shift is not None
                person = people(data, eta, log_sd, subject_sd, cells=cells, psi=psi, split=is_split)
                eta = eta + person[subject_of]
                pm.Deterministic("subject_effect", person + people_of_means(self, means, data), dims="subject")
            # + cell, and the residuals
            repeated = None if cells is None else Repeated(cells, psi, self._latent_effects(cells))
            student = self._student_residuals(data) if self.robust else None
            measurements("log_concentration", eta, log_sd, data, repeated=repeated, student=student)
        return model

    def _latent_effects(self, cells: Cells) -> Tensor:
        """Effects of the cells that cannot be integrated out, inside the model's context; None where all can."""
        import pymc as pm

        if not cells.latent.any():
            return None
        pm.modelcontext(None).add_coord("latent_cell", cells.labels[cells.latent])
        return pm.Normal("cell_latent", dims="latent_cell")

    def _student_residuals(self, data: xr.Dataset) -> StudentResiduals:
        """Degrees of freedom and precisions of the values that were not detected, inside the model's context."""
        import pymc as pm

        nu = self.priors["nu"].rv("nu")
        unseen = data["kind"].values != 0
        if not unseen.any():
            return StudentResiduals(nu)
        pm.modelcontext(None).add_coord("unseen", data["measurement"].values[unseen])
        return StudentResiduals(nu, precisions("precision_latent", nu, dims="unseen"))

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn concentrations in the place of the measured ones, beyond limits where these say so.

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
        return replicate(self, data, drawn)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what the study asks for; see :mod:`bayesdep.models.cytokines.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the effects.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            With groups: ``log_ratio``, ``geometric_mean_ratio``, ``mean_difference``, ``rank`` (analyte, comparison),
            ``number_elevated``, and when pooled ``mean_log_ratio``, ``log_ratio_sd``. With times: ``log_change`` and
            ``ratio_to_baseline`` (analyte, later[, group]), ``intraclass_correlation``. With covariates:
            ``covariate_effect`` and ``covariate_ratio`` per unit. Always: ``log_level``, ``geometric_mean`` and
            ``share_below`` (analyte, group), ``residual_sd`` (analyte).
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
            As :func:`bayesdep.models.cytokines.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Return the log density of each measurement, or of each person's cell where there are several in it.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, unit).
        """
        return scores.log_likelihood(self, posterior, data)

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
            Shares below the limit, overall and by group; the analyte whose share is furthest from its
            expectation is in the figure of shares. The largest value, the spread of plates' medians, and the mean
            correlation between analytes. Spread and kurtosis of crude estimates, beside those of new analytes from
            the distribution of effects (:mod:`~bayesdep.models.cytokines.checks`).
        """
        return checks.checks(self, data)

    def target_accept_for(self, data: xr.Dataset) -> float:
        """Return the target acceptance rate for this panel.

        An analyte of which hardly anything is detected may have any residual sd, down to one so small that the
        likelihood falls off sharply at a limit.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        float
            0.97 where an analyte has fewer than five detected values, else 0.9.
        """
        return _CAREFUL if hardly_detected(data) else self.target_accept

    def remedies(self, data: xr.Dataset, units: Sequence[str]) -> str:
        """Name the analytes that make the panel sample badly, and what helps.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        units
            Analytes whose estimands sampled worst.

        Returns
        -------
        str
            Empty where every analyte has enough detected values.
        """
        few = hardly_detected(data)
        few = {name: n for name, n in few.items() if name in units} or few
        if not few:
            return ""
        named = ", ".join(f"{name} ({count} detected)" for name, count in list(few.items())[:_NAMED])
        more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        return f"leaving out analytes that were hardly detected: {named}{more}"
