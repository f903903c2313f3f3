"""The coefficients and spreads of a pooled analysis: their priors, and how PyMC builds them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.informed import informed
from bayesdep.models.parts.pooled.events import event_of
from bayesdep.models.parts.pooled.quadratic import rough_interactions
from bayesdep.models.parts.priors import Prior, Slot

if TYPE_CHECKING:
    from bayesdep.models.pooled import Pooled

# of an interaction with arms of one size: over a residual sd of one, and over that of a logistic outcome, which is 2
PSEUDO_SIGMA, PSEUDO_SIGMA_BINARY = 2.0, 4.0


def slots_of(story: "Pooled") -> dict[str, Slot]:
    """Return the places for priors: only those of the terms that the settings switch on."""
    binary = story.is_binary
    unit = "log odds" if binary else "sd"
    one = Prior("Normal", mu=0, sigma=1)
    wide = Prior("Normal", mu=0, sigma=1.5) if binary else one
    spread = Prior("HalfNormal", sigma=0.5 if binary else 0.3)
    mean = "the log odds of the typical study, mean over arms" if binary else "the mean outcome less the overall mean"
    found = {
        "intercept": Slot(wide, "real", mean, unit),
        "effect": Slot(wide, "real", "the effect of the treatment", unit),
    }
    if story.baseline is not None:
        slope = one if binary else Prior("Normal", mu=0, sigma=0.5)
        found["baseline_slope"] = Slot(slope, "real", "the difference per sd of the baseline", f"{unit} per sd")
    if story.moderators:
        found["moderator_effect"] = Slot(one, "real", "the difference by moderator, mean over arms", f"{unit} per unit")
        found |= _of_interactions(story, unit)
    found["tau_intercept"] = Slot(spread, "positive", "the spread of controls' means between studies", unit)
    found["tau_effect"] = Slot(spread, "positive", "the spread of effects between studies", unit)
    if not binary:
        found["residual_sd"] = Slot(
            Prior("HalfNormal", sigma=1), "positive", "the typical residual sd of a study", "sd"
        )
        found["residual_spread"] = Slot(
            spread, "positive", "the spread of the log of residual sds between studies", "log sd"
        )
    return found


def _of_interactions(story: "Pooled", unit: str) -> dict[str, Slot]:
    if story.shrinkage == "none":
        wide = Prior("Normal", mu=0, sigma=1)
        return {"interaction": Slot(wide, "real", "the change of the effect by moderator", f"{unit} per unit")}
    if story.shrinkage == "normal":
        spread = Prior("HalfNormal", sigma=0.3)
        return {"interaction_sd": Slot(spread, "positive", "the spread of interactions", f"{unit} per unit")}
    cauchy = Prior("HalfCauchy", beta=1)
    return {
        "global_scale": Slot(
            cauchy, "positive", "the scale of all interactions", "times that expected of the non-zero ones"
        ),
        "local_scale": Slot(cauchy, "positive", "the scale of an interaction", "times the global scale"),
        "slab_precision": Slot(
            Prior("Gamma", alpha=2, beta=0.5), "positive",
            "one over the squared scale of the interactions that are not shrunk", f"per squared {unit}",
        ),
    }  # fmt: skip


def pseudo_sigma(story: "Pooled") -> float:
    """Return the sd that stands for an interaction's standard error times the root of the number of patients."""
    return PSEUDO_SIGMA_BINARY if story.is_binary else PSEUDO_SIGMA


def refuse_contradictions(story: "Pooled") -> None:
    """Refuse settings that contradict each other.

    Parameters
    ----------
    story
        The story.

    Raises
    ------
    BadInput
        Naming the setting, and what to do.
    """
    if story.shrinkage != "none" and not story.moderators:
        raise BadInput(f"shrinkage = '{story.shrinkage}' needs moderators; name their columns, or leave it out")
    if len(set(story.moderators)) < len(story.moderators):
        raise BadInput(f"moderators = {list(story.moderators)} has one of them twice; name each once")
    if story.shrinkage == "horseshoe" and story.expected_nonzero is None:
        raise BadInput("expected_nonzero is missing; say how many interactions are expected to matter, such as 3")
    if story.shrinkage != "horseshoe" and story.expected_nonzero is not None:
        raise BadInput("expected_nonzero is the horseshoe's; set shrinkage = 'horseshoe', or leave it out")
    if story.at_least is not None and story.at_most is not None:
        raise BadInput("at_least and at_most are both given, but an event is one of the two; leave one out")
    if story.is_binary and story.combined:
        raise BadInput("combined needs the outcome itself, not an event; leave out at_least and at_most, or combined")
    if story.is_binary and story.time is not None and len(story.times) != 1:
        raise BadInput(
            "events are analysed at one time, since a patient's events at two times would need a correlation of their "
            "own; name one time in times"
        )
    for name in story.combined:
        if name not in story.moderators:
            raise BadInput(f"combined has '{name}', which is not among the moderators; add it there, or leave it out")
    if story.imputes:
        _refuse_to_impute(story)
    for name, example in (("expected_nonzero", "3"), ("margin", "0.2"), ("lkj", "2")):
        value = getattr(story, name)
        if value is not None and not 0 < value < np.inf:
            raise BadInput(f"{name} = {value}, but a number above zero is needed, such as {example}")


def _refuse_to_impute(story: "Pooled") -> None:
    if not story.moderators:
        raise BadInput("missing_moderators = 'impute' needs moderators; name their columns, or leave it out")
    if story.split:
        raise BadInput(
            "missing_moderators = 'impute' and split are both on, but of a study without any value of a moderator "
            "nothing tells what lies within it from what lies between studies; set split = false, or omit"
        )
    if story.combined:
        raise BadInput(
            "missing_moderators = 'impute' and combined are both on, but imputed values have seen the outcomes of the "
            "studies that the combined moderator is to be tried on; leave combined out, or omit"
        )
    if story.imputations < 2:
        raise BadInput(
            f"imputations = {story.imputations}, but it takes two to show what they leave open; 20 are usual"
        )


def words_of(story: "Pooled") -> str:
    """Return the story in words."""
    text = (
        "Patients of all studies in one model. Each study has a mean on control and an effect of the treatment of its "
        "own, correlated normals between studies"
    )
    text += f", for the log odds of the event {event_of(story)}" if story.is_binary else ", and residual sds of its own"
    if len(story.times) != 1:
        text += "; a patient's residuals at two times are correlated, and so are a study's deviations"
    text += "."
    if story.moderators:
        parts = " by its study's mean and the patient's deviation from it" if story.split else ""
        shrunk = {
            "none": "", "normal": ", shrunk towards none as far as they are alike small",
            "horseshoe": f", of which about {story.expected_nonzero or 0:g} should matter (regularised horseshoe)",
        }[story.shrinkage]  # fmt: skip
        text += f" Each moderator ({', '.join(story.moderators)}) enters{parts}, with an interaction{shrunk}."
    if story.imputes:
        text += (
            f" Missing moderators were drawn {story.imputations} times, given arms, outcomes and the other moderators, "
            "with means of their own in every study (missing at random)."
        )
    return text


def formula_of(story: "Pooled") -> list[str]:
    """Return the story as the lines of a model formula."""
    mean = "intercept[t] + level[k, t] + (effect[t] + deviation[k, t]) T[i]"
    mean += " + baseline_slope[t] b[i]" if story.baseline is not None else ""
    mean += " + sum_j (moderator_effect[j, t] + interaction[j, t] T[i]) x[i, j]" if story.moderators else ""
    two = len(story.times) != 1
    between = [
        "(level, deviation)[k] ~ MVN(0, D R_which D), integrated out; D tau_intercept, tau_effect",
        f"R_which ~ LKJ({story.lkj:g})",
    ]
    if story.is_binary:
        lines = [f"logit P({event_of(story)}) = {mean}", between[0].replace(", integrated out", ""), between[1]]
    elif two:
        lines = [
            f"y[i, t] = {mean} + residual[i, t]",
            "residual[i, .] ~ MVN(0, D_k R D_k), D_k study_sd[k, .]",
            "log study_sd[k, t] ~ Normal(log residual_sd[t], residual_spread)",
            "(level, deviation)[k, .] ~ MVN(0, D (R_time x R_which) D), integrated out; D tau_intercept, tau_effect",
            f"R, R_time, R_which ~ LKJ({story.lkj:g})",
        ]
    else:
        lines = [
            f"y[i, t] = {mean} + residual[i, t]",
            "residual[i] ~ Normal(0, study_sd[k])",
            "log study_sd[k, t] ~ Normal(log residual_sd[t], residual_spread)",
            *between,
        ]
    if story.shrinkage == "normal":
        lines.append("interaction[j, t] ~ Normal(0, interaction_sd)")
    if story.combined:
        lines.append(f"M*[i, t] = sum_j mean(interaction[j, t]) x[i, j],  j of {', '.join(story.combined)}")
    if story.shrinkage == "horseshoe":
        p0 = story.expected_nonzero or 0
        lines += [
            "interaction[j, t] ~ Normal(0, w[j, t] / sqrt(1 + slab_precision w[j, t]^2))",
            f"w[j, t] = global_scale local_scale[j, t] {pseudo_sigma(story):g} {p0:g} / ((p - {p0:g}) sqrt(n))",
        ]
    return lines + [f"{name} ~ {prior}" for name, prior in story.priors.items()]


def coefficients(story: "Pooled", data: xr.Dataset) -> Any:
    """Build what columns count for in each arm, inside a PyMC model context.

    Parameters
    ----------
    story
        The story.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (arm, column, time).
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior = story.priors
    common = [prior["intercept"].rv("intercept", dims="time")[None]]
    treated = [prior["effect"].rv("effect", dims="time")[None]]
    if story.baseline is not None:
        slope = prior["baseline_slope"].rv("baseline_slope", dims="time")[None]
        common.append(slope)
        treated.append(pt.zeros_like(slope))
    if story.moderators:
        common.append(prior["moderator_effect"].rv("moderator_effect", dims=("part", "time")))
        treated.append(_interactions(story, data))
    code = pm.Data("arm_code", np.array([0.0, 1.0]) - float(data["share_treated"]), dims="arm")
    together, apart = (pt.concatenate(x) if len(x) > 1 else x[0] for x in (common, treated))
    return together + code[:, None, None] * apart


def _interactions(story: "Pooled", data: xr.Dataset) -> Any:
    import pymc as pm
    import pytensor.tensor as pt

    prior, dims = story.priors, ("part", "time")
    if story.shrinkage == "none":
        return prior["interaction"].rv("interaction", dims=dims)
    if story.shrinkage == "normal":
        scale = prior["interaction_sd"].rv("interaction_sd")
    else:
        assert story.expected_nonzero is not None  # checked with the settings
        p0, p, n = story.expected_nonzero, data.sizes["part"] * data.sizes["time"], data.sizes["subject"]
        tau0 = pm.Data("tau0", pseudo_sigma(story) * p0 / ((p - p0) * np.sqrt(n)))
        overall = prior["global_scale"].rv("global_scale", logarithmic=True)
        wide = overall * tau0 * prior["local_scale"].rv("local_scale", dims=dims, logarithmic=True)
        scale = wide / pt.sqrt(1 + prior["slab_precision"].rv("slab_precision") * wide**2)
    if story.is_binary:
        raw = pm.Normal("interaction_raw", 0.0, 1.0, dims=dims)
        return pm.Deterministic("interaction", raw * scale, dims=dims)
    # some interactions are known well and others hardly: each is sampled as what is left to learn about it
    estimate, se = rough_interactions(data, rough_log_sds(data)[0])
    return informed("interaction", pt.zeros(()), scale, estimate=estimate, se=se, dims=dims)


def root_between(story: "Pooled", data: xr.Dataset) -> Any:
    """Build the root of the covariance of a study's own deviations, inside a PyMC model context.

    Parameters
    ----------
    story
        The story.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Lower triangular, by time a study's level before its effect. The correlation matrix is the Kronecker product of
        that of times and that of level and effect, and so is its root.
    """
    import pytensor.tensor as pt

    tau = [story.priors[name].rv(name, dims="time") for name in ("tau_intercept", "tau_effect")]
    root = _correlation_root(story, "effect_share", "effect_correlation")
    sds = pt.stack(tau, axis=-1).ravel()
    if data.sizes["time"] == 1:
        return sds[:, None] * root
    by_time = _correlation_root(story, "time_share", "time_correlation")
    return sds[:, None] * (by_time[:, None, :, None] * root[None, :, None, :]).reshape((4, 4))


def _correlation_root(story: "Pooled", share: str, name: str) -> Any:
    """The root of a correlation matrix of two by two, for which LKJ is a Beta."""
    import pymc as pm
    import pytensor.tensor as pt

    rho = pm.Deterministic(name, 2 * pm.Beta(share, story.lkj, story.lkj) - 1)
    below, last = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    return np.array([[1.0, 0.0], [0.0, 0.0]]) + rho * below + pt.sqrt(1 - rho**2) * last


def residual_sds(story: "Pooled", data: xr.Dataset) -> Any:
    """Build the residual sd of every study at every time, inside a PyMC model context.

    Parameters
    ----------
    story
        The story.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (study, time).
    """
    import pymc as pm
    import pytensor.tensor as pt

    typical = story.priors["residual_sd"].rv("residual_sd", dims="time")
    spread = story.priors["residual_spread"].rv("residual_spread")
    estimate, se = rough_log_sds(data)
    logs = informed(
        "log_study_sd",
        pt.log(typical),
        spread,
        estimate=estimate,
        se=se,
        dims=("study", "time"),
    )
    return pm.Deterministic("study_sd", pt.exp(logs), dims=("study", "time"))


def rough_log_sds(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of every study's sd within arms at every time, and its standard error: (study, time).

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Estimate and standard error, 1 / sqrt(2 degrees of freedom); (0, 1) where a study has no degree of freedom.
    """
    times = data.sizes["time"]
    place = [times + t * (t + 3) // 2 for t in range(times)]  # of the products of a time with itself
    squares = data["outcomes"].values[..., place].sum(axis=(1, 2))
    count = data["cross"].values[..., 0, 0][..., None] * data["seen"].values[:, None, :]
    free = np.maximum(count - 1, 0).sum(axis=(1, 2))
    known = (free > 0) & (squares > 0)
    estimate = np.where(known, np.log(np.where(known, squares, 1) / np.maximum(free, 1)) / 2, 0.0)
    return estimate, np.where(known, 1 / np.sqrt(2 * np.maximum(free, 1)), 1.0)


def refuse_other_priors(story: "Pooled") -> None:
    """Refuse a combined moderator with coefficients that are not normal: leaving out a study rests on it.

    Parameters
    ----------
    story
        The story, its priors filled in.

    Raises
    ------
    BadInput
        Naming the prior.
    """
    for name in ("intercept", "effect", "baseline_slope", "moderator_effect", "interaction"):
        prior = story.priors.get(name)
        if story.combined and prior is not None and prior.dist != "Normal":
            raise BadInput(
                f"priors.{name}: {prior} is not Normal, and only that lets studies be left out of the combined "
                "moderator in closed form; use Normal, or leave combined out"
            )
