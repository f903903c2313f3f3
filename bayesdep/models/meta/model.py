"""Meta: study-level random effects, from effects with known standard errors or from exact counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.meta import checks, estimands, exact, likelihood, scores, wording
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.data import prepare, without
from bayesdep.models.meta.observations import observations
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.meta.tables import tables as printed_tables
from bayesdep.models.model import Check, ExactPosterior, Forest, OwnPrior, reads
from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.replicates import put
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm

    from bayesdep.numerics.normal_normal import NormalNormal


@dataclass(frozen=True, kw_only=True)
class Meta(MetaSettings):
    """Random-effects meta-analysis.

    The generative model, for study k (or analyte k: anything with an effect of its own)::

        gaussian   y ~ N(theta, V), V = diag(se^2) unless effects share people
        binomial   events_k0 ~ Binomial(n_k0, expit(a_k - theta_k / 2))
                   events_k1 ~ Binomial(n_k1, expit(a_k + theta_k / 2))
                   a_k ~ N(baseline_mean, baseline_sd);  single arms: events_k ~ Binomial(n_k, expit(theta_k))
        both       theta_k ~ N(mu + x_k' slope + deviation_c, tau) or StudentT(nu, ..., tau)
                   deviation_c ~ N(0, tau_cluster)        for effects k of one cluster c

    Gaussian: the theta_k (and deviations of clusters) are integrated out and drawn exactly afterwards from their
    conditional normals. With normal effects and normal priors on ``mu`` and ``slope`` the posterior is known exactly,
    by quadrature over the spreads; then that is how it is fitted, unless another sampler is asked for.

    Binomial: a_k is the midpoint of the study's two log odds, so treated and control are alike and exchanging them
    changes nothing but the effect's sign. Where several treated arms share a control group each arm has a deviation of
    its own with variance ``tau^2 / 2`` (:class:`~bayesdep.models.meta.arms.Arms`): effects have variance
    ``tau^2`` and correlate by 1/2. With ``midpoint_correlation`` the effect is also regressed on the midpoint,
    ``theta_k ~ N(mu + rho tau (a_k - baseline_mean) / baseline_sd, tau sqrt(1 - rho^2))``; without, a predictive check
    compares the correlation of crude midpoints and effects with that of replicates.

    Default priors: ``mu ~ N(0, 1)`` for a standardised difference (95% within two standard deviations either way),
    ``N(0, 1.5)`` for a log ratio (95% of ratios between 1/19 and 19) and for log odds (95% of risks between 5% and
    95%), ``N(0, 0.5)`` for a risk difference; ``tau`` and ``tau_cluster ~ N+(0.5)`` (95% of spreads up to 1),
    ``N+(1)`` for log odds, ``N+(0.2)`` for a risk difference; slopes ``N(0, 0.5)`` per sd of the covariate
    (``N(0, 0.2)`` for a risk difference); degrees of freedom ``Gamma(2, 0.1)`` (95% between 2.4 and 56);
    ``baseline_mean ~ N(0, 2.5)`` (95% of mean risks, midway between the arms, between 0.7% and 99.3%) and
    ``baseline_sd ~ N+(1)``; ``rho_unit ~ Beta(2, 2)``, rho being ``2 rho_unit - 1``. The level of risks is learned,
    because a fixed prior on each pulls rare events towards a half: at control risks of 2 to 5% that alone moved mean
    log odds ratios by 0.14 (``tests/test_rare_events.py``). A raw difference has the widths of a standardised one times
    ``scale``, the pooled standard deviation of the arms or what is stated; where neither is known it has no default
    priors, because none can be right without knowing its units.

    Parameters
    ----------
    measure
        What the effect is: ``"difference"`` (in ``units``), ``"standardised-difference"`` (Hedges g),
        ``"log-odds-ratio"``, ``"log-risk-ratio"``, ``"log-geometric-mean-ratio"``, ``"risk-difference"`` or, of
        single arms, ``"log-odds"``.
    input
        What the table holds: ``"estimates"`` (effect and standard error), ``"counts"`` (events and people per arm),
        ``"means"`` (mean, standard deviation and people per arm, of final values or of changes), ``"moments"``
        (arithmetic mean, its standard error and people per group of log-normal values), ``"p-value"`` (a two-sided
        P, a direction and people per group) or ``"events"`` (events and people of a single arm). ``"arms"``: one row an
        arm (study, arm, events, n), each compared with the study's ``reference`` arm. ``"mixed"``: each row is read
        from the first of estimates, counts, means, moments and P value that it has complete.
    likelihood
        ``"gaussian"`` or, for counts and log odds (ratios), the exact ``"binomial"``.
    heterogeneity
        How true effects are spread: ``"normal"``, or ``"student-t"`` for a few that lie far out.
    nu
        Degrees of freedom of the Student t; None where they are a parameter.
    covariates
        Formula of the studies' covariates, such as ``"absolute_latitude"``: meta-regression.
    control_risk
        Share of controls with the event at which absolute effects and numbers needed to treat are reported.
    correlation
        Correlation of a person's outcomes in the two arms of a crossover trial; nothing in the table tells it.
    within_correlation
        Correlation of the sampling errors of effects that are of the same people (several outcomes, times, analytes):
        of the rows of a ``cluster`` or, where none is named, of all rows.
    covariance
        Sampling covariances of effects that share people, by the rows' labels, ``{"A": {"B": 0.02}}`` or a dataframe;
        or a matrix in the order of the rows.
    midpoint_correlation
        Whether a binomial meta-analysis lets the effect depend on the midpoint of the study's arms. Not by default:
        that intervals hold their level with it has not been shown.
    reference
        The arm with which the others are compared, of ``input = "arms"``.
    units
        Units of a raw difference, such as ``"MADRS points"``.
    scale
        A typical standard deviation of a raw difference's outcome, in its units, of which default priors are multiples;
        None: that of the table's arms, where it has them.
    unit
        What a row is: ``"study"``, ``"analyte"``, ...; it names the dimension and is what leave-one-out leaves out
        (with clusters: a whole cluster).
    priors
        Priors by parameter that replace the defaults; for ``tau`` also published ones, as
        :func:`~bayesdep.models.parts.published_priors.heterogeneity_prior` gives them.
    control_group
        Column of the control group of each row: rows with the same label are compared with the same people, and their
        sampling covariance follows from these (:mod:`bayesdep.models.meta.shared_people`). Control groups that
        look the same under different names are refused until it says whether they are.
    cluster
        Column of the trial, or laboratory, that several effects share: a three-level model. None: no rows share any.
    design
        Column that says ``parallel`` or ``crossover``; None where all trials are parallel.
    study, effect, se, events_treated, n_treated, events_control, n_control, mean_treated, sd_treated, sem_treated, \
    mean_control, sd_control, sem_control, p_value, direction, events, n, arm
        Names of the table's columns.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is missing or impossible.

    Examples
    --------
    >>> model = Meta(measure="log-risk-ratio", input="counts", study="trial", events_treated="tb_vaccinated",
    ...              n_treated="n_vaccinated", events_control="tb_control", n_control="n_control")
    >>> model.priors["mu"]
    Normal(mu=0, sigma=1.5)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: each unit crude and shrunken, the pooled effect and the prediction."""

        def crude(prepared: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
            return estimands.crude_effects(self, prepared)

        return Forest(("theta",), "mu", "theta_new", crude, self.is_log)

    @property
    def words(self) -> str:
        """The model in words."""
        return wording.words_of(self)

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return wording.formula_of(self)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per study (or per arm) into effects or counts.

        Parameters
        ----------
        table
            A dataframe with the columns that ``input`` needs.

        Returns
        -------
        xarray.Dataset
            Gaussian: ``effect`` and ``se`` with dim ``unit`` and, where some share people, ``covariance`` (unit, unit);
            of a raw difference also ``scale``. Binomial: ``events`` and ``n`` with dims ``unit`` and, unless single,
            ``arm``; where control groups are named with dim ``arm`` alone, controls first, and ``group_of`` (unit).
            With covariates ``covariates`` (unit, covariate; standardised), ``covariate_mean`` and ``covariate_sd``;
            with clusters ``cluster_of`` (unit) and dim ``cluster``. Attrs say where the data came from.

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
            Free variables ``mu`` and ``tau`` (Gaussian; the study effects and the deviations of clusters are integrated
            out, and ``deviation``, ``theta`` and ``theta_new`` are not needed for the likelihood but drawn exactly from
            their conditionals); as the settings say ``slope``, ``tau_cluster``, ``nu``; and when binomial
            ``theta_latent``, ``baseline_mean``, ``baseline_sd`` and ``baseline_latent`` (midpoints).
        """
        import pymc as pm

        from bayesdep.models.parts.coordinates import in_multiples

        priors = priors_of(self, data)
        with pm.Model(coords={d: data[d].values for d in data.dims}) as model:
            # effects may be in any unit: the sampler works in multiples of a typical standard error
            unit = pm.Data("unit", np.median(data["se"]) if self.likelihood == "gaussian" else 1.0)
            mu = in_multiples(priors["mu"], "mu", unit)
            tau = in_multiples(priors["tau"], "tau", unit)
            mean, spread_of_new, tau_cluster = mu, tau, None
            if self.covariates is not None:
                x = pm.Data("covariates", data["covariates"].values, dims=(self.unit, "covariate"))
                mean = mean + (x * in_multiples(priors["slope"], "slope", unit, dims="covariate")).sum(axis=1)
            if self.cluster is not None:
                tau_cluster = in_multiples(priors["tau_cluster"], "tau_cluster", unit)
                spread_of_new = pm.math.sqrt(tau**2 + tau_cluster**2)
            nu = self._degrees_of_freedom() if self.heterogeneity == "student-t" else None

            if nu is not None:
                likelihood.observe_student_effects(data, self.unit, mean, tau, nu)
            elif self.has_midpoints:
                self._observe_arms(data, mean, tau)
            elif self.likelihood == "binomial":
                likelihood.observe_events(data, self.unit, mean, tau)
            elif self.cluster is not None or "covariance" in data:
                likelihood.observe_dependent_effects(data, self.unit, mean, tau, tau_cluster)
            else:
                likelihood.observe_effects(data, self.unit, mean, tau)

            if nu is not None:
                pm.StudentT("theta_new", nu=nu, mu=mu, sigma=tau)
            else:
                pm.Normal("theta_new", mu, spread_of_new)
        return model

    def _degrees_of_freedom(self) -> Tensor:
        """Degrees of freedom of the Student t: a parameter, or a number that no graph depends on."""
        import pytensor

        return self.priors["nu"].rv("nu") if self.nu is None else pytensor.shared(np.array(self.nu), name="nu.value")

    def _observe_arms(self, data: xr.Dataset, mean: Tensor, tau: Tensor) -> None:
        """Observe the counts of arms around the midpoints of the studies' log odds."""
        import pymc as pm

        arms = Arms.of(data)
        centre, spread = (self.priors[name].rv(name) for name in ("baseline_mean", "baseline_sd"))
        of_group = "control_group" if "control_group" in data.dims else self.unit
        midpoint = adaptive_effects("baseline", centre, spread, *arms.rough()["baseline"], dims=of_group)
        group = pm.Data("group_of", arms.group, dims=self.unit)
        if self.midpoint_correlation:
            rho = 2 * self.priors["rho_unit"].rv("rho_unit") - 1
            mean = mean + rho * tau * ((midpoint - centre) / spread)[group]
            tau = tau * pm.math.sqrt(1 - rho**2)
        if arms.shared:
            likelihood.observe_shared_controls(data, self.unit, mean, tau, midpoint, group)
        else:
            likelihood.observe_pairs(data, self.unit, mean, tau, midpoint)

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn estimates, or drawn numbers of events, in the place of those observed.

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
        name = "effect" if "effect" in drawn else "events"
        return put(data, **{name: drawn[name].values})

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive the quantities a meta-analysis reports.

        Parameters
        ----------
        posterior
            Draws of the parameters, ``theta`` and ``theta_new``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``mu``, ``tau``, ``theta`` (by unit), ``theta_new`` (a new unit: the prediction interval) and, Gaussian
            with normal effects, ``i2`` (percent; Higgins and Thompson 2002). With covariates (standardised: ``mu`` is
            at their means) ``slope`` per unit of each and ``intercept``, the effect where they are zero; with clusters
            ``tau_cluster``. For log ratios the same as ratios, for log odds as risks; with a ``control_risk``
            ``risk_treated``, ``risk_difference``, ``nnt`` (below zero a number needed to harm) and, from odds ratios,
            ``risk_ratio``, of the pooled effect and (``_new``) of a new unit. A risk ratio's risk ends at 1.
        """
        return estimands.estimands(self, posterior, data)

    def hierarchy(self, data: xr.Dataset, kept: np.ndarray | None = None) -> "NormalNormal | None":
        """Return the posterior by quadrature, of all the data or of many subsets at once.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        kept
            Which units each subset keeps, shape (subsets, units); all in one subset unless given.

        Returns
        -------
        NormalNormal or None
            None where :meth:`exact` is.
        """
        return exact.hierarchy(self, data, kept)

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
        """Return the posterior by quadrature: Gaussian likelihood, normal effects, Normal priors on mu and slopes.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior or None
            None for the binomial likelihood, Student-t effects or another prior on ``mu`` or ``slope``.
        """
        return exact.exact(self, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
        """Score whole units with everything that belongs to them integrated out.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray or None
            Dims (chain, draw, unit), or (chain, draw, cluster). None when Gaussian with normal effects and no
            clusters: its observed variable is already marginal.
        """
        return scores.log_likelihood(self, posterior, data)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Predict every arm's number of events, the control group's first and treated arms given the earlier ones.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.meta.observations.observations` returns it; none of a Gaussian likelihood.
        """
        return observations(self, posterior, data)

    def without(self, data: xr.Dataset, label: str) -> xr.Dataset:
        """Leave one unit (a row, or all rows of a cluster or control group) out of prepared data.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        label
            Of :attr:`left_out`.

        Returns
        -------
        xarray.Dataset
            What covariates were centred at, and the scale of priors, stay as they were.
        """
        return without(self, data, label)

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
        """Name the test quantities for posterior predictive checks.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Lowest and highest effect, their skewness, and Cochran's Q (Gaussian) or the spread (binomial).
        """
        return checks.checks(self, data)
