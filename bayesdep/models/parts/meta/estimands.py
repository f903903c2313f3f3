"""What a meta-analysis is asked for, sampled or exactly: effects, their spread, ratios, risks, and its checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special, stats

from bayesdep.data import effects
from bayesdep.models.parts.marginals import Exponential, Function, NormalMixture
from bayesdep.models.parts.meta import student_effects
from bayesdep.models.parts.meta.binomial_pair import log_marginal, log_marginal_single
from bayesdep.models.parts.meta.heterogeneity import i_squared, typical_variance
from bayesdep.models.parts.meta.terms import units_of_data
from bayesdep.models.parts.mixtures import Transformed
from bayesdep.models.parts.normal_normal import NormalNormal
from bayesdep.models.story import Check, ExactPosterior, estimand

if TYPE_CHECKING:
    from bayesdep.models.meta import Meta


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


def conversions(story: "Meta") -> list[Conversion]:
    """Return the scales on which an effect is reported beside its own.

    Parameters
    ----------
    story
        The settings.

    Returns
    -------
    list of Conversion
        The ratio of a log ratio; the risk of log odds; with a control risk, what follows for the treated.
    """
    if story.is_log:
        ratio = story.measure.removeprefix("log-").replace("-", " ")
        found = [Conversion("ratio", np.exp, np.log, "{}, as a ratio", ratio, 1.0)]
        return found + ([] if story.control_risk is None else _at_control_risk(story.measure, story.control_risk))
    if story.measure == "log-odds":
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


def estimands(story: "Meta", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive the quantities a meta-analysis reports; :meth:`Meta.estimands` lists them.

    Parameters
    ----------
    story
        The settings.
    posterior
        Draws of the parameters, ``theta`` and ``theta_new``.
    data
        As the story prepared it.

    Returns
    -------
    xarray.Dataset
        Each with units and description.
    """
    units, rows = story.effect_units, units_of_data(story)
    at = "" if story.covariates is None else ", at the covariates' means"
    null = {"null": np.nan} if story.measure == "log-odds" else {}  # even odds are not "no effect"
    found = {
        "mu": estimand(posterior["mu"], f"pooled effect{at}", units, **null),
        "tau": estimand(posterior["tau"], f"standard deviation between {rows}", units),
        "theta": estimand(posterior["theta"], f"effect of each {story.unit}, shrunken", units, **null),
        "theta_new": estimand(posterior["theta_new"], f"effect in a new {story.unit}{at}", units, **null),
    }
    if story.heterogeneity == "student-t":
        found["tau"].attrs["description"] = f"scale of the differences between {rows}"
    if story.covariates is not None:
        slope = posterior["slope"] / data["covariate_sd"]
        found["slope"] = estimand(slope, "change of the effect per unit of a covariate", f"{units} per unit")
        intercept = posterior["mu"] - (slope * data["covariate_mean"]).sum("covariate")
        found["intercept"] = estimand(intercept, "pooled effect where all covariates are zero", units, **null)
    spread = posterior["tau"]
    if story.cluster is not None:
        found["tau_cluster"] = estimand(posterior["tau_cluster"], "standard deviation between clusters", units)
        spread = xr.DataArray(np.hypot(posterior["tau"], posterior["tau_cluster"]))
    if story.nu is None and story.heterogeneity == "student-t":
        found["nu"] = estimand(posterior["nu"], f"degrees of freedom of the {rows}", "degrees of freedom")
    if story.likelihood == "gaussian" and story.heterogeneity == "normal":
        share = i_squared(spread, _typical(data))
        found["i2"] = estimand(share, f"share of variance that is between {rows} (I squared)", "%")
    for conversion in conversions(story):
        for of, name in _names(conversion).items():
            values = xr.DataArray(conversion.f(posterior[of]))
            description = conversion.description.format(found[of].description)
            found[name] = estimand(values, description, conversion.units, null=conversion.null, monotone_of=of)
    for of, name in (("risk_difference", "nnt"), ("risk_difference_new", "nnt_new")):
        source = {"risk_difference": "mu", "risk_difference_new": "theta_new"}[of]
        source = of if of in found else source
        if of in found or story.measure == "risk-difference":
            found[name] = estimand(
                1 / found[source], f"number needed to treat (above 0) or harm (below 0): {found[source].description}",
                "people", reciprocal_of=source,
            )  # fmt: skip
    return xr.Dataset(found)


def _typical(data: xr.Dataset) -> float:
    return typical_variance(data["se"].values, data["covariates"].values if "covariates" in data else None)


def hierarchy(story: "Meta", data: xr.Dataset, kept: np.ndarray | None = None) -> NormalNormal | None:
    """Return the exact posterior's engine, where the settings have one.

    Parameters
    ----------
    story
        The settings.
    data
        As the story prepared it.
    kept
        Which units each of many subsets keeps, shape (subsets, units); all in one subset unless given.

    Returns
    -------
    NormalNormal or None
        None where the effects or their spread are not Gaussian, or a prior that must be is not normal.
    """
    gaussian = story.likelihood == "gaussian" and story.heterogeneity == "normal"
    if not gaussian or any(story.priors[p].dist != "Normal" for p in ("mu", "slope") if p in story.priors):
        return None
    return NormalNormal(
        data["effect"].values,
        data["se"].values,
        story.priors["mu"],
        story.priors["tau"],
        data["covariates"].values if story.covariates is not None else None,
        story.priors.get("slope"),
        data["cluster_of"].values if story.cluster is not None else None,
        story.priors.get("tau_cluster"),
        kept,
    )


def exact(story: "Meta", data: xr.Dataset) -> ExactPosterior | None:
    """Return the exact posterior under the estimands' names.

    Parameters
    ----------
    story
        The settings.
    data
        As the story prepared it.

    Returns
    -------
    ExactPosterior or None
        None where :func:`hierarchy` has none.
    """
    engine = hierarchy(story, data)
    if engine is None:
        return None
    marginals: dict[Any, Any] = {("mu", ()): engine.mu, ("tau", ()): engine.tau}
    for label, theta in zip(data[story.unit].values, engine.theta, strict=True):
        marginals["theta", ((story.unit, str(label)),)] = theta
    marginals["theta_new", ()] = engine.theta_new
    if story.covariates is not None:
        sds, means = data["covariate_sd"].values, data["covariate_mean"].values
        for j, name in enumerate(data["covariate"].values):
            marginals["slope", (("covariate", str(name)),)] = engine.contrasts(np.eye(1 + len(sds))[1 + j] / sds[j])[0]
        marginals["intercept", ()] = engine.contrasts(np.concatenate([[1.0], -means / sds]))[0]
    if story.cluster is None:
        typical = _typical(data)
        marginals["i2", ()] = Function(
            engine.tau,
            lambda tau: i_squared(tau, typical),
            lambda i2: np.sqrt(typical * i2 / np.maximum(100 - i2, 1e-300)),
        )
    else:
        marginals["tau_cluster", ()] = engine.tau_cluster
    endless = not np.isfinite(story.priors["tau"].scipy.support()[1])
    for conversion in conversions(story):
        for (name, at), marginal in list(marginals.items()):
            if name in _names(conversion):
                marginals[_names(conversion)[name], at] = _converted(marginal, conversion, endless)
    return ExactPosterior(marginals, lambda n, rng: _draws(engine, n, rng))


def _converted(marginal: NormalMixture, conversion: Conversion, endless: bool) -> Exponential | Transformed:
    if conversion.f is np.exp:
        return Exponential(marginal, truncated=endless)
    return Transformed(marginal, conversion.f, conversion.inverse, conversion.kink)


def _draws(engine: NormalNormal, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw what the PyMC model samples: deviations of clusters in units of their standard deviation."""
    drawn = engine.draw(n, rng)
    if "deviation" in drawn:
        drawn["deviation_latent"] = drawn.pop("deviation") / drawn["tau_cluster"][:, None]
    return drawn


def log_likelihood(story: "Meta", posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
    """Score whole units with everything that belongs to them integrated out; :meth:`Meta.log_likelihood`.

    Parameters
    ----------
    story
        The settings.
    posterior
        Draws of the parameters.
    data
        As the story prepared it.

    Returns
    -------
    xarray.DataArray or None
        Dims (chain, draw, unit or cluster); None where the model's own density of each effect serves.
    """
    mu, tau = (posterior[p].values.ravel() for p in ("mu", "tau"))
    mean = mu
    if story.covariates is not None:
        slope = posterior["slope"].transpose("chain", "draw", "covariate").values
        mean = mu[:, None] + slope.reshape(len(mu), -1) @ data["covariates"].values.T
    if story.likelihood == "binomial" and story.measure == "log-odds":
        values = log_marginal_single(data["events"].values, data["n"].values, mean, tau)
    elif story.likelihood == "binomial":
        of_baseline = (posterior["baseline_mean"].values.ravel(), posterior["baseline_sd"].values.ravel())
        values = log_marginal(data["events"].values, data["n"].values, mean, tau, of_baseline)
    elif story.heterogeneity == "student-t":
        nu = np.full_like(tau, story.nu) if story.nu is not None else posterior["nu"].values.ravel()
        values = student_effects.log_marginal(data["effect"].values, data["se"].values, mean, tau, nu)
    elif story.cluster is not None:
        values = _of_clusters(mean.reshape(len(mu), -1), tau, posterior["tau_cluster"].values.ravel(), data)
    else:
        return None
    return xr.DataArray(
        values.reshape(*posterior["mu"].shape, -1),
        coords={**posterior["mu"].coords, story.left_out: data[story.left_out]},
        dims=("chain", "draw", story.left_out),
    )


def _of_clusters(mean: np.ndarray, tau: np.ndarray, between: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Log density of each cluster's effects, its deviation integrated out by Woodbury's identity: (draws, clusters).

    ``mean`` is (draws, units), or (draws, 1) where it is the same for all.
    """
    residual = data["effect"].values - mean
    w = 1 / (data["se"].values ** 2 + tau[:, None] ** 2)
    member = np.eye(data.sizes["cluster"])[data["cluster_of"].values]
    ratio = between[:, None] ** 2 * (w @ member)
    shrink = between[:, None] ** 2 / (1 + ratio)
    alone = (np.log(w / (2 * np.pi)) - w * residual**2) @ member
    return np.asarray((alone + shrink * ((w * residual) @ member) ** 2 - np.log1p(ratio)) / 2)


def rough(data: xr.Dataset) -> dict[str, effects.Estimate]:
    """Return estimates and standard errors that every unit has, with half an event more.

    Parameters
    ----------
    data
        Counts as the story prepared them.

    Returns
    -------
    dict
        ``theta``, the log odds (ratio), and with two arms ``baseline``, the control's log odds.
    """
    events, n = data["events"].values + 0.5, data["n"].values + 1.0
    if events.ndim == 1:
        return {"theta": effects.log_odds(events, n)}
    return {
        "theta": effects.log_odds_ratio(events[:, 1], n[:, 1], events[:, 0], n[:, 0]),
        "baseline": effects.log_odds(events[:, 0], n[:, 0]),
    }


def crude(story: "Meta", data: xr.Dataset) -> effects.Estimate:
    """Return each unit's own estimate and standard error; NaN where it has none without the model."""
    if story.likelihood == "gaussian":
        return data["effect"].values, data["se"].values
    events, n = data["events"].values, data["n"].values
    arms = (events, n) if events.ndim == 1 else (events[:, 1], n[:, 1], events[:, 0], n[:, 0])
    empty = ((events == 0) | (events == n)).reshape(len(events), -1).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # empty cells become NaN below
        effect, se = effects.log_odds(*arms) if events.ndim == 1 else effects.log_odds_ratio(*arms)
    return np.where(empty, np.nan, effect), np.where(empty, np.nan, se)


def checks(story: "Meta", data: xr.Dataset) -> Sequence[Check]:
    """Name the statistics that could embarrass a random-effects story.

    Parameters
    ----------
    story
        The settings.
    data
        As the story prepared it.

    Returns
    -------
    list of Check
        Smallest and largest effect, their skewness, and Cochran's Q (Gaussian) or the spread (binomial).
    """
    if story.likelihood == "gaussian":
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
            return np.log(odds if n.ndim == 1 else odds[..., 1] / odds[..., 0])

        variable = "events"
        spread = Check("spread of effects (sd)", variable, lambda y: effect(y).std(-1, ddof=1), story.effect_units)
    found = [
        Check("smallest effect", variable, lambda y: effect(y).min(-1), story.effect_units),
        Check("largest effect", variable, lambda y: effect(y).max(-1), story.effect_units),
    ]
    if data.sizes[story.unit] > 2:  # two effects are never skewed
        found.append(Check("skewness of effects", variable, lambda y: _skewness(effect(y)), ""))
    return [*found, spread]


def _skewness(values: np.ndarray) -> np.ndarray:
    """Skewness along the last axis; none where replicates of small counts happen to be all the same."""
    apart = np.ptp(values, axis=-1, keepdims=True) > 1e-12 * (1 + np.abs(values).max(axis=-1, keepdims=True))
    return np.where(apart[..., 0], stats.skew(np.where(apart, values, np.arange(values.shape[-1])), axis=-1), 0.0)
