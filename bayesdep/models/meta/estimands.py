"""What a meta-analysis is asked for, sampled or exactly: effects, their spread, ratios, risks, and its checks."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special, stats

from bayesdep.data import effects
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.heterogeneity import i_squared, typical_variance
from bayesdep.models.meta.terms import units_of_data
from bayesdep.models.model import Check, ExactPosterior, estimand
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.marginals import Exponential, Function, NormalMixture
from bayesdep.numerics.mixtures import Transformed
from bayesdep.numerics.normal_normal import NormalNormal

if TYPE_CHECKING:
    from bayesdep.models.meta.model import Meta


@dataclass(frozen=True)
class Conversion:
    """Another scale for an effect: an increasing function of it.

    Parameters
    ----------
    name
        Of the estimand.
    f, inverse
        The function and its inverse, on arrays.
    description, units
        What it is.
    null
        Its value where there is no effect; NaN where there is none.
    kink
        The effect at which the function is not smooth, if any.
    """

    name: str
    f: Callable[[Any], Any]
    inverse: Callable[[np.ndarray], np.ndarray]
    description: str
    units: str
    null: float = 0.0
    kink: float | None = None


def conversions(model: "Meta") -> list[Conversion]:
    """Return the scales on which an effect is reported beside its own.

    Parameters
    ----------
    model
        The settings.

    Returns
    -------
    list of Conversion
        The ratio of a log ratio; the risk of log odds; with a control risk, what follows for the treated.
    """
    if model.is_log:
        ratio = model.measure.removeprefix("log-").replace("-", " ")
        found = [Conversion("ratio", np.exp, np.log, "{}, as a ratio", ratio, 1.0)]
        return found + ([] if model.control_risk is None else _at_control_risk(model.measure, model.control_risk))
    if model.measure == "log-odds":
        return [Conversion("risk", special.expit, special.logit, "{}, as a probability", "probability", np.nan)]
    return []


def _at_control_risk(measure: str, p: float) -> list[Conversion]:
    """What an effect means where a share p of the controls has the event."""
    where = f"where {100 * p:g}% of controls have the event: {{}}"
    base, kink = special.logit(p), None
    treated: Callable[[Any], Any]
    back: Callable[[np.ndarray], np.ndarray]
    if measure == "log-odds-ratio":
        treated, back = (lambda x: special.expit(base + x)), (lambda risk: special.logit(risk) - base)
    else:  # a risk ratio may promise more than certainty, which is then what there is
        treated, back = (lambda x: np.minimum(p * np.exp(x), 1.0)), (lambda risk: np.log(risk / p))
        kink = float(-np.log(p))
    found = [
        Conversion("risk_treated", treated, back, f"{where}, as the risk if treated", "probability", p, kink),
        Conversion(
            "risk_difference",
            lambda x: treated(x) - p,
            lambda d: back(p + d),
            f"{where}, as a risk difference",
            "risk difference",
            0.0,
            kink,
        ),
    ]
    if measure == "log-odds-ratio":
        found.append(
            Conversion(
                "risk_ratio", lambda x: treated(x) / p, lambda r: back(p * r), f"{where}, as a risk ratio",
                "risk ratio", 1.0,
            )
        )  # fmt: skip
    return found


def _names(conversion: Conversion) -> dict[str, str]:
    """Name the estimands of a conversion by the effect they are of; absolute effects are not of single studies."""
    found = {"mu": conversion.name, "theta": f"{conversion.name}_theta", "theta_new": f"{conversion.name}_new"}
    if conversion.name not in ("ratio", "risk"):
        del found["theta"]
    return found


def estimands(model: "Meta", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive the quantities a meta-analysis reports; :meth:`Meta.estimands` lists them.

    Parameters
    ----------
    model
        The settings.
    posterior
        Draws of the parameters, ``theta`` and ``theta_new``.
    data
        As the model prepared it.

    Returns
    -------
    xarray.Dataset
        Each with units and description.
    """
    units, rows = model.effect_units, units_of_data(model)
    at = "" if model.covariates is None else ", at the covariates' means"
    null = {"null": np.nan} if model.measure == "log-odds" else {}  # even odds are not "no effect"
    found = {
        "mu": estimand(posterior["mu"], f"pooled effect{at}", units, **null),
        "tau": estimand(posterior["tau"], f"standard deviation between {rows}", units),
        "theta": estimand(posterior["theta"], f"effect of each {model.unit}, shrunken", units, **null),
        "theta_new": estimand(posterior["theta_new"], f"effect in a new {model.unit}{at}", units, **null),
    }
    if model.heterogeneity == "student-t":
        found["tau"].attrs["description"] = f"scale of the differences between {rows}"
    if model.covariates is not None:
        slope = posterior["slope"] / data["covariate_sd"]
        found["slope"] = estimand(slope, "change of the effect per unit of a covariate", f"{units} per unit")
        intercept = posterior["mu"] - (slope * data["covariate_mean"]).sum("covariate")
        found["intercept"] = estimand(intercept, "pooled effect where all covariates are zero", units, **null)
    spread = posterior["tau"]
    if model.cluster is not None:
        found["tau_cluster"] = estimand(posterior["tau_cluster"], "standard deviation between clusters", units)
        spread = xr.DataArray(np.hypot(posterior["tau"], posterior["tau_cluster"]))
    if "rho_unit" in posterior:
        rho = 2 * posterior["rho_unit"] - 1
        found["rho"] = estimand(rho, "correlation of the midpoint of a study's arms and its effect", "correlation")
    if model.nu is None and model.heterogeneity == "student-t":
        found["nu"] = estimand(posterior["nu"], f"degrees of freedom of the {rows}", "degrees of freedom")
    if model.likelihood == "gaussian" and model.heterogeneity == "normal":
        share = i_squared(spread, _typical(data))
        found["i2"] = estimand(share, f"share of variance that is between {rows} (I squared)", "%")
    for conversion in conversions(model):
        for of, name in _names(conversion).items():
            values = xr.DataArray(conversion.f(posterior[of]))
            description = conversion.description.format(found[of].description)
            found[name] = estimand(values, description, conversion.units, null=conversion.null, monotone_of=of)
    for of, name in (("risk_difference", "nnt"), ("risk_difference_new", "nnt_new")):
        source = {"risk_difference": "mu", "risk_difference_new": "theta_new"}[of]
        source = of if of in found else source
        if of in found or model.measure == "risk-difference":
            found[name] = estimand(
                1 / found[source], f"number needed to treat (above 0) or harm (below 0): {found[source].description}",
                "people", reciprocal_of=source,
            )  # fmt: skip
    return xr.Dataset(found)


def _typical(data: xr.Dataset) -> float:
    design, covariance = (data[w].values if w in data else None for w in ("covariates", "covariance"))
    return typical_variance(data["se"].values, design, covariance)


def hierarchy(model: "Meta", data: xr.Dataset, kept: np.ndarray | None = None) -> NormalNormal | None:
    """Return the exact posterior's engine, where the settings have one.

    Parameters
    ----------
    model
        The settings.
    data
        As the model prepared it.
    kept
        Which units each of many subsets keeps, shape (subsets, units); all in one subset unless given.

    Returns
    -------
    NormalNormal or None
        None where the effects or their spread are not Gaussian, or a prior that must be is not normal.
    """
    gaussian = model.likelihood == "gaussian" and model.heterogeneity == "normal"
    if not gaussian or any(model.priors[p].dist != "Normal" for p in ("mu", "slope") if p in model.priors):
        return None
    names = ("effect", "se", "covariates", "cluster_of", "covariance")
    arrays = tuple((w, data[w].values.astype(float).tobytes(), data[w].shape) for w in names if w in data)
    engine = _engine(arrays, tuple(priors_of(model, data).items()))
    return engine if kept is None else dataclasses.replace(engine, kept=kept)


@lru_cache(maxsize=8)
def _engine(
    arrays: tuple[tuple[str, bytes, tuple[int, ...]], ...], priors: tuple[tuple[str, Prior], ...]
) -> NormalNormal:
    """The engine of all the data; remembered with what it has computed, because a fit asks for it several times."""
    found = {name: np.frombuffer(values).reshape(shape) for name, values, shape in arrays}
    of = dict(priors)
    return NormalNormal(
        found["effect"], found["se"], of["mu"], of["tau"], found.get("covariates"), of.get("slope"),
        found["cluster_of"].astype(int) if "cluster_of" in found else None, of.get("tau_cluster"),
        covariance=found.get("covariance"),
    )  # fmt: skip


def exact(model: "Meta", data: xr.Dataset) -> ExactPosterior | None:
    """Return the exact posterior under the estimands' names.

    Parameters
    ----------
    model
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    ExactPosterior or None
        None where :func:`hierarchy` has none.
    """
    engine = hierarchy(model, data)
    if engine is None:
        return None
    marginals: dict[Any, Any] = {("mu", ()): engine.mu, ("tau", ()): engine.tau}
    for label, theta in zip(data[model.unit].values, engine.theta, strict=True):
        marginals["theta", ((model.unit, str(label)),)] = theta
    marginals["theta_new", ()] = engine.theta_new
    if model.covariates is not None:
        sds, means = data["covariate_sd"].values, data["covariate_mean"].values
        for j, name in enumerate(data["covariate"].values):
            marginals["slope", (("covariate", str(name)),)] = engine.contrasts(np.eye(1 + len(sds))[1 + j] / sds[j])[0]
        marginals["intercept", ()] = engine.contrasts(np.concatenate([[1.0], -means / sds]))[0]
    if model.cluster is None:
        typical = _typical(data)
        marginals["i2", ()] = Function(
            engine.tau,
            lambda tau: i_squared(tau, typical),
            lambda i2: np.sqrt(typical * i2 / np.maximum(100 - i2, 1e-300)),
        )
    else:
        marginals["tau_cluster", ()] = engine.tau_cluster
    endless = not np.isfinite(model.priors["tau"].scipy.support()[1])
    for conversion in conversions(model):
        for (name, at), marginal in list(marginals.items()):
            if name in _names(conversion):
                marginals[_names(conversion)[name], at] = _converted(marginal, conversion, endless)
    return ExactPosterior(marginals, lambda n, rng: _draws(engine, n, rng))


def _converted(marginal: NormalMixture, conversion: Conversion, endless: bool) -> Exponential | Transformed:
    if conversion.f is np.exp:
        return Exponential(marginal, truncated=endless)
    return Transformed(marginal, conversion.f, conversion.inverse, conversion.kink)


def _draws(engine: NormalNormal, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw what the PyMC model samples; deviations of clusters hang below its data and are drawn with the rest."""
    return {name: values for name, values in engine.draw(n, rng).items() if name != "deviation"}


def crude(model: "Meta", data: xr.Dataset) -> effects.Estimate:
    """Return each unit's own estimate and standard error; NaN where it has none without the model."""
    if model.likelihood == "gaussian":
        return data["effect"].values, data["se"].values
    single = model.measure == "log-odds"
    events, n = (data[w].values if single else Arms.of(data).pairs(getattr(Arms.of(data), w)) for w in ("events", "n"))
    arms = (events, n) if single else (events[:, 1], n[:, 1], events[:, 0], n[:, 0])
    empty = ((events == 0) | (events == n)).reshape(len(events), -1).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # empty cells become NaN below
        effect, se = effects.log_odds(*arms) if single else effects.log_odds_ratio(*arms)
    return np.where(empty, np.nan, effect), np.where(empty, np.nan, se)


def checks(model: "Meta", data: xr.Dataset) -> Sequence[Check]:
    """Name the statistics that could embarrass a random-effects model.

    Parameters
    ----------
    model
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    list of Check
        Smallest and largest effect, their skewness, and Cochran's Q (Gaussian) or the spread (binomial).
    """
    if model.likelihood == "gaussian":
        covariance = data["covariance"].values if "covariance" in data else np.diag(data["se"].values ** 2)
        w = np.linalg.inv(covariance)

        def effect(y: np.ndarray) -> np.ndarray:
            return y

        def cochran_q(y: np.ndarray) -> np.ndarray:
            apart = y - (y @ w.sum(axis=1) / w.sum())[..., None]
            return ((apart @ w) * apart).sum(-1)

        variable, spread = "effect", Check("Cochran's Q", "effect", cochran_q, "")
    else:
        n = data["n"].values
        arms = None if model.measure == "log-odds" else Arms.of(data)

        def logits(y: np.ndarray) -> np.ndarray:
            """Log odds of control and treated, or of the single arm, last."""
            odds = np.log((y + 0.5) / (n - y + 0.5))  # a half, so that a replicate without events has a finite effect
            return odds if arms is None or n.ndim == 2 else arms.pairs(odds)

        def effect(y: np.ndarray) -> np.ndarray:
            return logits(y) if arms is None else logits(y)[..., 1] - logits(y)[..., 0]

        variable = "events"
        spread = Check("spread of effects (sd)", variable, lambda y: effect(y).std(-1, ddof=1), model.effect_units)
    found = [
        Check("smallest effect", variable, lambda y: effect(y).min(-1), model.effect_units),
        Check("largest effect", variable, lambda y: effect(y).max(-1), model.effect_units),
    ]
    if data.sizes[model.unit] > 2:  # two effects are never skewed
        found.append(Check("skewness of effects", variable, lambda y: _skewness(effect(y)), ""))
    if model.likelihood == "binomial" and arms is not None and data.sizes[model.unit] > 2:

        def with_midpoint(y: np.ndarray) -> np.ndarray:
            return _correlation(logits(y).mean(axis=-1), effect(y))

        found.append(Check("correlation of midpoint and effect", variable, with_midpoint, ""))
    return [*found, spread]


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation along the last axis; none where replicates of small counts happen to be all the same."""
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.where(size > 0, (x * y).sum(-1) / np.where(size > 0, size, 1.0), 0.0)


def _skewness(values: np.ndarray) -> np.ndarray:
    """Skewness along the last axis; none where replicates of small counts happen to be all the same."""
    apart = np.ptp(values, axis=-1, keepdims=True) > 1e-12 * (1 + np.abs(values).max(axis=-1, keepdims=True))
    return np.where(apart[..., 0], stats.skew(np.where(apart, values, np.arange(values.shape[-1])), axis=-1), 0.0)
