"""Meta: study-level random effects, from effects with known standard errors or from exact counts."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from scipy import stats

from bayesdep.data import effects
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, as_frame, provenance
from bayesdep.models.parts.binomial_pair import log_marginal
from bayesdep.models.parts.marginals import Exponential, Function
from bayesdep.models.parts.normal_normal import NormalNormal, i_squared, typical_variance
from bayesdep.models.parts.pooling import pooled
from bayesdep.models.parts.priors import Prior, Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.models.parts.studies import INPUTS, MEASURES, effects_of, read_studies
from bayesdep.models.story import Check, ExactPosterior, Forest, estimand

if TYPE_CHECKING:
    import pymc as pm

_UNITS = {
    "standardised-difference": "standard deviations",
    "log-odds-ratio": "log odds ratio",
    "log-risk-ratio": "log risk ratio",
    "log-geometric-mean-ratio": "log ratio of geometric means",
}
_ARMS = ["control", "treated"]


@dataclass(frozen=True, kw_only=True)
class Meta:
    """Random-effects meta-analysis.

    The generative story, for study k (or analyte k: anything with an effect of its own)::

        gaussian   y_k ~ N(theta_k, se_k)
        binomial   events_k0 ~ Binomial(n_k0, expit(a_k)),  events_k1 ~ Binomial(n_k1, expit(a_k + theta_k))
                   a_k ~ N(0, 2.5)
        both       theta_k ~ N(mu, tau)

    Gaussian: the theta_k are integrated out, ``y_k ~ N(mu, sqrt(se_k^2 + tau^2))``, and drawn exactly
    afterwards from their conditional normals. Default priors: ``mu ~ N(0, 1)`` for a standardised difference
    (95% within two standard deviations either way), ``N(0, 1.5)`` for a log ratio (95% of ratios between
    1/19 and 19), ``tau ~ N+(0.5)`` (95% of studies' effects within 0 to 2 of the mean), and for the control
    log odds ``N(0, 2.5)`` (95% of control risks between 0.7% and 99.3%). A raw difference has no default
    prior, because none can be right without knowing its units.

    Parameters
    ----------
    measure
        What the effect is: ``"difference"`` (in ``units``), ``"standardised-difference"``,
        ``"log-odds-ratio"``, ``"log-risk-ratio"`` or ``"log-geometric-mean-ratio"``.
    input
        What the table holds: ``"estimates"`` (effect and standard error), ``"counts"`` (events and people
        per arm), ``"moments"`` (arithmetic mean, its standard error and people per group of log-normal
        values) or ``"p-value"`` (a two-sided P, a direction and people per group).
    likelihood
        ``"gaussian"`` or, for counts and log odds ratios, the exact ``"binomial"``.
    units
        Units of a raw difference, such as ``"MADRS points"``.
    unit
        What a row is: ``"study"``, ``"analyte"``, ...; it names the dimension and is what leave-one-out leaves out.
    priors
        Priors by parameter (``mu``, ``tau`` and, binomial, ``baseline``) that replace the defaults.
    study, effect, se, events_treated, n_treated, events_control, n_control, mean_treated, sem_treated, \
    mean_control, sem_control, p_value, direction
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

    family: ClassVar[str] = "meta"
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = False

    measure: Literal[
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
    ]
    input: Literal["estimates", "counts", "moments", "p-value"] = "estimates"
    likelihood: Literal["gaussian", "binomial"] = "gaussian"
    units: str | None = None
    unit: str = "study"
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    study: str = column("study", "study label")
    effect: str = column("effect", "estimated effect")
    se: str = column("se", "standard error")
    events_treated: str = column("events_treated", "events in the treated arm")
    n_treated: str = column("n_treated", "people in the treated arm")
    events_control: str = column("events_control", "events in the control arm")
    n_control: str = column("n_control", "people in the control arm")
    mean_treated: str = column("mean_treated", "arithmetic mean, treated or patients")
    sem_treated: str = column("sem_treated", "standard error of the mean, treated or patients")
    mean_control: str = column("mean_control", "arithmetic mean, control")
    sem_control: str = column("sem_control", "standard error of the mean, control")
    p_value: str = column("p_value", "two-sided P value")
    direction: str = column("direction", "difference whose sign gives the direction")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.measure not in MEASURES[self.input]:
            raise BadInput(
                f"measure = '{self.measure}' cannot be had from input = '{self.input}'; "
                f"that gives {' or '.join(sorted(MEASURES[self.input]))}"
            )
        if self.likelihood == "binomial" and (self.input, self.measure) != ("counts", "log-odds-ratio"):
            raise BadInput(
                "likelihood = 'binomial' needs input = 'counts' and measure = 'log-odds-ratio'; "
                f"not input = '{self.input}' and measure = '{self.measure}'"
            )
        if (self.measure == "difference") != (self.units is not None):
            raise BadInput(
                "measure = 'difference' needs units, for example units = 'MADRS points'"
                if self.units is None
                else f"units = '{self.units}' belongs to measure = 'difference' only; '{self.measure}' has its own"
            )
        if not self.unit.isidentifier() or self.unit in ("arm", "chain", "draw"):
            raise BadInput(f"unit = '{self.unit}' cannot name a dimension; use one word such as 'study' or 'analyte'")
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        baseline = self.priors.get("baseline")
        if baseline is not None and baseline.dist != "Normal":
            raise BadInput(f"priors.baseline: {baseline} is not Normal, and only that can be integrated out per study")

    @property
    def effect_units(self) -> str:
        """Units of the effect."""
        return self.units or _UNITS[self.measure]

    @property
    def is_log(self) -> bool:
        """Whether the effect is the logarithm of a ratio."""
        return self.measure.startswith("log-")

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: ``mu``, ``tau`` and, binomial, ``baseline``."""
        mu = {"difference": None, "standardised-difference": Prior("Normal", mu=0, sigma=1)}.get(
            self.measure, Prior("Normal", mu=0, sigma=1.5)
        )
        tau = None if self.measure == "difference" else Prior("HalfNormal", sigma=0.5)
        slots = {
            "mu": Slot(mu, "real", "the pooled effect", self.effect_units),
            "tau": Slot(tau, "positive", f"the standard deviation between {self._units_of_data}", self.effect_units),
        }
        if self.likelihood == "binomial":
            slots["baseline"] = Slot(Prior("Normal", mu=0, sigma=2.5), "real", "a study's control log odds", "log odds")
        return slots

    @property
    def _units_of_data(self) -> str:
        return f"{self.unit[:-1]}ies" if self.unit.endswith("y") else f"{self.unit}s"

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return self.unit

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: each unit crude and shrunken, the pooled effect and the prediction."""
        return Forest(("theta",), "mu", "theta_new", self._crude, self.is_log)

    def _crude(self, data: xr.Dataset) -> effects.Estimate:
        if self.likelihood == "gaussian":
            return data["effect"].values, data["se"].values
        (e0, e1), (n0, n1) = data["events"].values.T, data["n"].values.T
        empty = (e0 == 0) | (e1 == 0) | (e0 == n0) | (e1 == n1)  # no finite estimate without the model
        with np.errstate(divide="ignore", invalid="ignore"):  # empty cells become NaN below
            effect, se = effects.log_odds_ratio(e1, n1, e0, n0)
        return np.where(empty, np.nan, effect), np.where(empty, np.nan, se)

    @property
    def words(self) -> str:
        """The story in words."""
        source = {
            "estimates": "as estimated, with its standard error taken as known",
            "counts": "from events and people per arm",
            "moments": "from arithmetic means and their standard errors, taking the values to be log-normal",
            "p-value": "from its two-sided P value, its direction from the sign of the raw difference",
        }[self.input]
        likelihood = (
            "the counts are binomial, with no normal approximation"
            if self.likelihood == "binomial"
            else "each effect is normal around its own truth with its known standard error"
        )
        return (
            f"Each {self.unit} has a true effect ({self.measure.replace('-', ' ')}, {source}); {likelihood}, and the "
            f"true effects are normal around a pooled effect mu with standard deviation tau."
        )

    @property
    def formula(self) -> list[str]:
        """The story as the lines of a model formula."""
        k = self.unit[0]
        if self.likelihood == "binomial":
            likelihood = [
                f"events_control[{k}] ~ Binomial(n_control[{k}], expit(baseline[{k}]))",
                f"events_treated[{k}] ~ Binomial(n_treated[{k}], expit(baseline[{k}] + theta[{k}]))",
                f"baseline[{k}] ~ {self.priors['baseline']}",
            ]
        else:
            likelihood = [f"effect[{k}] ~ Normal(theta[{k}], se[{k}])"]
        return [
            *likelihood,
            f"theta[{k}] ~ Normal(mu, tau)",
            *(f"{p} ~ {self.priors[p]}" for p in ("mu", "tau")),
        ]

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per study into effects or counts.

        Parameters
        ----------
        table
            A dataframe with the columns that ``input`` needs.

        Returns
        -------
        xarray.Dataset
            Gaussian: ``effect`` and ``se`` with dim ``unit``. Binomial: ``events`` and ``n`` with dims ``unit``
            and ``arm``. Attrs say where the data came from.

        Raises
        ------
        BadInput
            Naming the column and row.
        """
        frame = as_frame(table)
        what = column_fields(self)
        columns = {"study": Column(self.study, "label", f"{self.unit} label")}
        columns |= {w: Column(getattr(self, w), kind, what[w]) for w, kind in INPUTS[self.input].items()}
        read = read_studies(frame, columns, unit=self.unit)
        coords, attrs = {self.unit: read["study"].astype(str)}, provenance(frame)
        if self.likelihood == "binomial":
            dims = (self.unit, "arm")
            counts = {
                word: (dims, np.stack([read[f"{word}_control"], read[f"{word}_treated"]], axis=1).astype("int64"))
                for word in ("events", "n")
            }
            data = xr.Dataset(counts, coords | {"arm": _ARMS}, attrs)
            return data.assign({w: data[w].assign_attrs(units="people") for w in counts})
        effect, se = effects_of(read, columns, input=self.input, measure=self.measure)
        data = xr.Dataset({"effect": (self.unit, effect), "se": (self.unit, se)}, coords, attrs)
        return data.assign({w: data[w].assign_attrs(units=self.effect_units) for w in ("effect", "se")})

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            Free variables ``mu`` and ``tau`` (Gaussian; the study effects are integrated out, and ``theta`` and
            ``theta_new`` hang below the data, to be drawn exactly), with ``baseline`` and ``theta_latent`` when
            binomial.
        """
        import pymc as pm

        dims = self.unit
        with pm.Model(coords={d: data[d].values for d in data.dims}) as model:
            mu = self.priors["mu"].rv("mu")
            tau = self.priors["tau"].rv("tau")
            if self.likelihood == "gaussian":
                y = pm.Data("effect_data", data["effect"].values, dims=dims)
                se = pm.Data("se_data", data["se"].values, dims=dims)
                pm.Normal("effect", mu, pm.math.sqrt(se**2 + tau**2), observed=y, dims=dims)
                shrink = tau**2 / (tau**2 + se**2)
                pm.Normal("theta", mu + shrink * (y - mu), pm.math.sqrt(shrink) * se, dims=dims)
            else:
                events, n = (pm.Data(f"{w}_data", data[w].values, dims=(dims, "arm")) for w in ("events", "n"))
                treated = pm.Data("treated", np.array([0.0, 1.0]), dims="arm")
                baseline = self.priors["baseline"].rv("baseline", dims=dims)
                theta = pooled("theta", mu, tau, centred=self._well_informed(data), dims=dims)
                logit_p = baseline[:, None] + theta[:, None] * treated
                pm.Binomial("events", n=n, logit_p=logit_p, observed=events, dims=(dims, "arm"))
            pm.Normal("theta_new", mu, tau)
        return model

    def _well_informed(self, data: xr.Dataset) -> np.ndarray:
        """1 for studies whose own counts say more about their effect than the hierarchy is expected to."""
        n, half = data["n"].values, 0.5  # half an event more, only to rank the studies by their information
        events = data["events"].values + half
        se = np.sqrt((1 / events + 1 / (n - data["events"].values + half)).sum(axis=1))
        return np.asarray(se < self.priors["tau"].scipy.median(), dtype=float)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive the quantities a meta-analysis reports.

        Parameters
        ----------
        posterior
            Draws of ``mu``, ``tau``, ``theta`` and ``theta_new``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``mu``, ``tau``, ``theta`` (by unit), ``theta_new`` (a new unit: the prediction interval), Gaussian
            ``i2`` (percent; Higgins and Thompson 2002) and, for log measures, the same as ratios.
        """
        units, rows = self.effect_units, self._units_of_data
        found = {
            "mu": estimand(posterior["mu"], "pooled effect", units),
            "tau": estimand(posterior["tau"], f"standard deviation between {rows}", units),
            "theta": estimand(posterior["theta"], f"effect of each {self.unit}, shrunken", units),
            "theta_new": estimand(posterior["theta_new"], f"effect in a new {self.unit}", units),
        }
        if self.likelihood == "gaussian":
            share = i_squared(posterior["tau"], typical_variance(data["se"].values))
            found["i2"] = estimand(share, f"share of variance that is between {rows} (I squared)", "%")
        if self.is_log:
            ratio = self.measure.removeprefix("log-").replace("-", " ")
            for name, of in (("ratio", "mu"), ("ratio_theta", "theta"), ("ratio_new", "theta_new")):
                values = xr.DataArray(np.exp(posterior[of]))
                found[name] = estimand(values, f"{found[of].description}, as a ratio", ratio, null=1.0, monotone_of=of)
        return xr.Dataset(found)

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
        """Return the posterior by quadrature: Gaussian likelihood with a Normal prior on ``mu``.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior or None
            None for the binomial likelihood or another prior on ``mu``.
        """
        if self.likelihood != "gaussian" or self.priors["mu"].dist != "Normal":
            return None
        y, se = data["effect"].values, data["se"].values
        posterior = NormalNormal(y, se, self.priors["mu"], self.priors["tau"])
        typical = typical_variance(se)
        marginals: dict[Any, Any] = {("mu", ()): posterior.mu, ("tau", ()): posterior.tau}
        for label, theta in zip(data[self.unit].values, posterior.theta, strict=True):
            marginals["theta", ((self.unit, str(label)),)] = theta
        marginals["theta_new", ()] = posterior.theta_new
        marginals["i2", ()] = Function(
            posterior.tau,
            lambda tau: i_squared(tau, typical),
            lambda i2: np.sqrt(typical * i2 / np.maximum(100 - i2, 1e-300)),
        )
        if self.is_log:
            endless = not np.isfinite(self.priors["tau"].scipy.support()[1])
            ratios = {"mu": "ratio", "theta": "ratio_theta", "theta_new": "ratio_new"}
            for (name, at), marginal in list(marginals.items()):
                if name in ratios:
                    marginals[ratios[name], at] = Exponential(marginal, truncated=endless)
        return ExactPosterior(marginals, posterior.draw)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
        """Score whole studies: binomial, with each study's baseline and effect integrated out.

        Parameters
        ----------
        posterior
            Draws of ``mu`` and ``tau``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray or None
            Dims (chain, draw, unit). None when Gaussian: its observed variable is already marginal.
        """
        if self.likelihood == "gaussian":
            return None
        mu, tau = posterior["mu"], posterior["tau"]
        baseline = self.priors["baseline"]
        values = log_marginal(
            data["events"].values,
            data["n"].values,
            mu.values.ravel(),
            tau.values.ravel(),
            (baseline["mu"], baseline["sigma"]),
        )
        shape = (*mu.shape, data.sizes[self.unit])
        return xr.DataArray(
            values.reshape(shape),
            coords={**mu.coords, self.unit: data[self.unit]},
            dims=("chain", "draw", self.unit),
        )

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that could embarrass a normal random-effects story.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Smallest and largest effect, their skewness, and Cochran's Q (Gaussian) or the spread (binomial).
        """
        if self.likelihood == "gaussian":
            w = 1 / data["se"].values ** 2

            def effect(y: np.ndarray) -> np.ndarray:
                return y

            def cochran_q(y: np.ndarray) -> np.ndarray:
                return (w * (y - (y @ w / w.sum())[..., None]) ** 2).sum(-1)

            variable, spread = "effect", Check("Cochran's Q", "effect", cochran_q, "")
        else:
            n = data["n"].values

            def effect(y: np.ndarray) -> np.ndarray:
                odds = (y + 0.5) / (n - y + 0.5)  # a half, so that a replicate without events has a finite effect
                return np.log(odds[..., 1] / odds[..., 0])

            variable = "events"
            spread = Check("spread of effects (sd)", variable, lambda y: effect(y).std(-1, ddof=1), self.effect_units)
        return [
            Check("smallest effect", variable, lambda y: effect(y).min(-1), self.effect_units),
            Check("largest effect", variable, lambda y: effect(y).max(-1), self.effect_units),
            Check("skewness of effects", variable, lambda y: stats.skew(effect(y), axis=-1), ""),
            spread,
        ]
