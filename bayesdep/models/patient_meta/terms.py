"""The coefficients and spreads of a pooled analysis: their priors, and how PyMC builds them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.models.parts.priors import Slot
from bayesdep.models.patient_meta.events import FREE_LEVEL_SD, event_of
from bayesdep.models.patient_meta.interactions import build_interactions, slots_of_interactions
from bayesdep.models.patient_meta.likelihood import log_sds_of_studies
from bayesdep.models.patient_meta.scores import within_studies
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    from bayesdep.models.patient_meta.model import PatientMeta

# what takes a prior on how far studies' levels lie apart
_NEED_RANDOM_LEVELS = ("tau_intercept", "effect_correlation")
# priors of a model with other moderators, or none, that a model with one of them has too
OF_ONE_MODERATOR = (
    "intercept",
    "effect",
    "effect_change",
    "baseline_slope",
    "moderator_effect",
    "interaction",
    "tau_intercept",
    "tau_effect",
    "residual_sd",
    "residual_spread",
)

REMEDY = "set study_levels = 'random'"
_NEED_RANDOM_LEVELS_OF_EVENTS = ("risk", "risk_difference", "nnt")


def slots_of(model: "PatientMeta") -> dict[str, Slot]:
    """Return the places for priors: only those of the terms that the settings switch on."""
    binary = model.is_binary
    unit = "log odds" if binary else "sd"
    one = Prior("Normal", mu=0, sigma=1)
    wide = Prior("Normal", mu=0, sigma=1.5) if binary else one
    spread = Prior("HalfNormal", sigma=0.5 if binary else 0.3)
    mean = "the log odds of the typical study, mean over arms" if binary else "the mean outcome less the overall mean"
    found = {} if model.has_free_levels else {"intercept": Slot(wide, "real", mean, unit)}
    over = ", mean over times" if _may_have_two_times(model) else ""
    found["effect"] = Slot(wide, "real", f"the effect of the treatment{over}", unit)
    if _may_have_two_times(model):
        found["effect_change"] = Slot(one, "real", "the effect at the second time less that at the first", unit)
    if model.baseline is not None:
        slope = one if binary else Prior("Normal", mu=0, sigma=0.5)
        found["baseline_slope"] = Slot(slope, "real", "the difference per sd of the baseline", f"{unit} per sd")
    if model.moderators:
        found["moderator_effect"] = Slot(one, "real", "the difference by moderator, mean over arms", f"{unit} per unit")
        found |= slots_of_interactions(model, unit)
    if not model.has_free_levels:
        level = "the spread of studies' levels, midway between the arms"
        found["tau_intercept"] = Slot(spread, "positive", level, unit)
    found["tau_effect"] = Slot(spread, "positive", "the spread of effects between studies", unit)
    if not binary:
        found["residual_sd"] = Slot(
            Prior("HalfNormal", sigma=1), "positive", "the typical residual sd of a study", "sd"
        )
        found["residual_spread"] = Slot(
            spread, "positive", "the spread of the log of residual sds between studies", "log sd"
        )
    return found


def refuse_contradictions(model: "PatientMeta") -> None:
    """Refuse settings that contradict each other.

    Parameters
    ----------
    model
        The model.

    Raises
    ------
    BadInput
        Naming the setting, and what to do.
    """
    if model.effects != "none" and not model.moderators:
        raise BadInput(f"effects = '{model.effects}' needs moderators; name their columns, or leave it out")
    if len(set(model.moderators)) < len(model.moderators):
        raise BadInput(f"moderators = {list(model.moderators)} has one of them twice; name each once")
    if model.effects == "horseshoe" and model.expected_nonzero is None:
        raise BadInput("expected_nonzero is missing; say how many interactions are expected to matter, such as 3")
    if model.effects != "horseshoe" and model.expected_nonzero is not None:
        raise BadInput("expected_nonzero is the horseshoe's; set effects = 'horseshoe', or leave it out")
    if model.at_least is not None and model.at_most is not None:
        raise BadInput("at_least and at_most are both given, but an event is one of the two; leave one out")
    if model.is_binary and model.combined:
        raise BadInput("combined needs the outcome itself, not an event; leave out at_least and at_most, or combined")
    if model.is_binary and model.time is not None and len(model.times) != 1:
        raise BadInput(
            "events are analysed at one time, since a patient's events at two times would need a correlation of their "
            "own; name one time in times"
        )
    if model.combined and model.has_free_levels:
        raise BadInput(
            "combined compares patients of different studies, which takes levels of studies with a prior; set "
            "study_levels = 'random', or leave combined out"
        )
    for name in model.combined:
        if name not in model.moderators:
            raise BadInput(f"combined has '{name}', which is not among the moderators; add it there, or leave it out")
    if model.imputes:
        _refuse_to_impute(model)
    for name, example in (("expected_nonzero", "3"), ("margin", "0.2"), ("lkj", "2"), ("scale", "25")):
        value = getattr(model, name)
        if value is not None and not 0 < value < np.inf:
            raise BadInput(f"{name} = {value}, but a number above zero is needed, such as {example}")


def _refuse_to_impute(model: "PatientMeta") -> None:
    if not model.moderators:
        raise BadInput("missing_moderators = 'impute' needs moderators; name their columns, or leave it out")
    if model.split:
        raise BadInput(
            "missing_moderators = 'impute' and split are both on, but of a study without any value of a moderator "
            "nothing tells what lies within it from what lies between studies; set split = false, or omit"
        )
    if model.combined:
        raise BadInput(
            "missing_moderators = 'impute' and combined are both on, but imputed values have seen the outcomes of the "
            "studies that the combined moderator is to be tried on; leave combined out, or omit"
        )
    if model.imputations < 2:
        raise BadInput(
            f"imputations = {model.imputations}, but it takes two to show what they leave open; 20 are usual"
        )


def words_of(model: "PatientMeta") -> str:
    """Return the model in words."""
    text = (
        "Patients of all studies in one model. Each study has a level of its own, without a distribution between "
        "studies, so that only patients randomised together are compared; and an effect of its own, normal between "
        "studies"
        if model.has_free_levels
        else "Patients of all studies in one model. Each study has a level, midway between the arms, and an effect of "
        "the treatment of its own, correlated normals between studies"
    )
    text += f", for the log odds of the event {event_of(model)}" if model.is_binary else ", and residual sds of its own"
    if len(model.times) != 1:
        text += "; a patient's residuals at two times are correlated, and so are a study's deviations"
    text += "."
    if model.has_free_levels:
        left = ["how levels differ", *(["risks and numbers needed to treat"] if model.is_binary else [])]
        left += ["slopes within an arm of moderators that differ between studies alone"] if model.moderators else []
        text += f" Not estimated for it: {', '.join(left)} ({REMEDY} for these)."
    if model.moderators:
        parts = " by its study's mean and the patient's deviation from it" if model.split else ""
        shrunk = {
            "none": "", "normal": ", shrunk towards none as far as they are alike small",
            "student": ", shrunk towards none, large ones less (Student's t)",
            "horseshoe": f", of which about {model.expected_nonzero or 0:g} should matter (regularised horseshoe)",
        }[model.effects]  # fmt: skip
        if model.effects != "none":
            shrunk += (
                "; shrunken intervals are right on average over moderators, not for the few that differ from the rest"
            )
        text += f" Each moderator ({', '.join(model.moderators)}) enters{parts}, with an interaction{shrunk}."
    if model.imputes:
        text += (
            f" Missing moderators were drawn {model.imputations} times, given arms, outcomes and the other moderators, "
            "with means of their own in every study (missing at random)."
        )
    return text


def refused_of(model: "PatientMeta", data: xr.Dataset) -> list[str]:
    """Name the estimands that free levels leave unknown: what compares studies' levels, or needs a prior on them.

    Parameters
    ----------
    model
        The model.
    data
        The prepared data.

    Returns
    -------
    list of str
        None where levels are random.
    """
    if not model.has_free_levels:
        return []
    found = [*_NEED_RANDOM_LEVELS, *(_NEED_RANDOM_LEVELS_OF_EVENTS if model.is_binary else ())]
    return found + [f"slope_in of {part}" for part in data["part"].values[~within_studies(data)]]


def _may_have_two_times(model: "PatientMeta") -> bool:
    """Whether settings leave room for two times."""
    return model.time is not None and len(model.times) != 1


def formula_of(model: "PatientMeta") -> list[str]:
    """Return the model as the lines of a model formula."""
    free = model.has_free_levels
    mean = "level[k, t] + (effect[t] + deviation[k, t]) T[i]"
    mean = mean if free else f"intercept[t] + {mean}"
    mean += " + baseline_slope[t] b[i]" if model.baseline is not None else ""
    mean += " + sum_j (moderator_effect[j, t] + interaction[j, t] T[i]) x[i, j]" if model.moderators else ""
    two = _may_have_two_times(model)
    if model.is_binary:
        lines = [f"logit P({event_of(model)}) = {mean}"]
    else:
        noise = "MVN(0, D_k R D_k), D_k study_sd[k, .]" if two else "Normal(0, study_sd[k])"
        lines = [
            f"y[i, t] = {mean} + residual[i, t]",
            f"residual[i{', .' if two else ''}] ~ {noise}",
            "log study_sd[k, t] ~ Normal(log residual_sd[t], residual_spread)",
        ]
    lines.append("T -1/2 for the reference, 1/2 for the treatment; in what no study has for itself, less its mean")
    gone = "" if model.is_binary else ", integrated out"
    if free:
        level = f"level[k, t] ~ Normal(0, {FREE_LEVEL_SD:g})" if model.is_binary else "level[k, t] flat, integrated out"
        lines.append(level)
        spread = "MVN(0, D R_time D)" if two else "Normal(0, tau_effect)"
        lines.append(f"deviation[k{', .' if two else ''}] ~ {spread}{gone}{'; D tau_effect' if two else ''}")
    elif two:
        lines.append(f"(level, deviation)[k, .] ~ MVN(0, D (R_time x R_which) D){gone}; D tau_intercept, tau_effect")
    else:
        lines.append(f"(level, deviation)[k] ~ MVN(0, D R_which D){gone}; D tau_intercept, tau_effect")
    matrices = [*(["R", "R_time"] if two else []), *([] if free else ["R_which"])]
    if matrices:
        lines.append(f"{', '.join(matrices)} ~ LKJ({model.lkj:g})")
    if two:
        lines.append("effect[t] = effect -/+ effect_change / 2")
    if model.effects == "normal":
        lines.append("interaction[j, t] ~ Normal(0, interaction_sd)")
    if model.effects == "student":
        lines.append("interaction[j, t] ~ Normal(0, interaction_sd / sqrt(local_precision[j, t]))")
    if model.combined:
        lines.append(f"M*[i, t] = sum_j mean(interaction[j, t]) x[i, j],  j of {', '.join(model.combined)}")
    if model.effects == "horseshoe":
        p0 = model.expected_nonzero or 0
        lines += [
            "interaction[j, t] ~ Normal(0, w[j, t] / sqrt(1 + slab_precision w[j, t]^2))",
            f"w[j, t] = global_scale local_scale[j, t] se[j, t] {p0:g} / (p - {p0:g}), se the standard error by design",
        ]
    return lines + [f"{name} ~ {prior}" for name, prior in model.priors.items()]


def coefficients(model: "PatientMeta", data: xr.Dataset) -> Any:
    """Build what columns count for in each arm, inside a PyMC model context.

    Parameters
    ----------
    model
        The model.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (arm, column, time).
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior = model.priors
    treated = [_effects(model, data)[None]]
    common = [prior["intercept"].rv("intercept", dims="time")[None]] if "intercept" in prior else [0 * treated[0]]
    if model.baseline is not None:
        slope = prior["baseline_slope"].rv("baseline_slope", dims="time")[None]
        common.append(slope)
        treated.append(pt.zeros_like(slope))
    if model.moderators:
        common.append(_moderator_effects(model, data))
        treated.append(build_interactions(model, data))
    code = pm.Data("arm_code", np.array([0.0, 1.0]) - float(data["share_treated"]), dims="arm")
    together, apart = (pt.concatenate(x) if len(x) > 1 else x[0] for x in (common, treated))
    return together + code[:, None, None] * apart


def _effects(model: "PatientMeta", data: xr.Dataset) -> Any:
    """Effects by time; the mean of two has the prior that one alone would have."""
    import pymc as pm

    prior = model.priors
    if data.sizes["time"] == 1:
        return prior["effect"].rv("effect", dims="time")
    change = prior["effect_change"].rv("effect_change")
    effect = prior["effect"].rv("effect_overall") + change * np.array([-0.5, 0.5])
    return pm.Deterministic("effect", effect, dims="time")


def _moderator_effects(model: "PatientMeta", data: xr.Dataset) -> Any:
    """Main effects of moderators; with free levels, those of parts that differ between patients of a study."""
    import pymc as pm
    import pytensor.tensor as pt

    prior = model.priors["moderator_effect"]
    if not model.has_free_levels:
        return prior.rv("moderator_effect", dims=("part", "time"))
    within = within_studies(data)
    if not within.any():
        return pt.zeros((data.sizes["part"], data.sizes["time"]))
    pm.modelcontext(None).add_coord("within_part", data["part"].values[within])
    place = pm.Data("place_of_part", np.eye(len(within))[:, within], dims=("part", "within_part"))
    return place @ prior.rv("moderator_effect", dims=("within_part", "time"))


def root_between(model: "PatientMeta", data: xr.Dataset) -> Any:
    """Build the root of the covariance of a study's own deviations, inside a PyMC model context.

    Parameters
    ----------
    model
        The model.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Lower triangular, by time a study's level before its effect. The correlation matrix is the Kronecker product of
        that of times and that of level and effect, and so is its root. A free level has nothing to do with others: its
        row has one number, 1 where its prior is flat.
    """
    import pytensor.tensor as pt

    times, effect = data.sizes["time"], np.diag([0.0, 1.0])
    by_time = _correlation_root(model, "time_share", "time_correlation") if times > 1 else np.ones((1, 1))
    tau = model.priors["tau_effect"].rv("tau_effect", dims="time")
    if model.has_free_levels:
        level = FREE_LEVEL_SD if model.is_binary else 1.0
        free = np.kron(np.eye(times), np.diag([level, 0.0]))
        spread = (tau[:, None] * by_time)[:, None, :, None] * effect[None, :, None, :]
        return free + spread.reshape((2 * times, 2 * times))
    sds = pt.stack([model.priors["tau_intercept"].rv("tau_intercept", dims="time"), tau], axis=-1).ravel()
    root = _correlation_root(model, "effect_share", "effect_correlation")
    return sds[:, None] * (by_time[:, None, :, None] * root[None, :, None, :]).reshape((2 * times, 2 * times))


def _correlation_root(model: "PatientMeta", share: str, name: str) -> Any:
    """The root of a correlation matrix of two by two, for which LKJ is a Beta."""
    import pymc as pm
    import pytensor.tensor as pt

    rho = pm.Deterministic(name, 2 * pm.Beta(share, model.lkj, model.lkj) - 1)
    below, last = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    return np.array([[1.0, 0.0], [0.0, 0.0]]) + rho * below + pt.sqrt(1 - rho**2) * last


def residual_sds(model: "PatientMeta", data: xr.Dataset) -> Any:
    """Build the residual sd of every study at every time, inside a PyMC model context.

    Parameters
    ----------
    model
        The model.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (study, time).
    """
    import pymc as pm
    import pytensor.tensor as pt

    typical = model.priors["residual_sd"].rv("residual_sd", dims="time")
    spread = model.priors["residual_spread"].rv("residual_spread")
    estimate, se = log_sds_of_studies(data)
    logs = adaptive_effects(
        "log_study_sd",
        pt.log(typical),
        spread,
        estimate=estimate,
        se=se,
        dims=("study", "time"),
    )
    return pm.Deterministic("study_sd", pt.exp(logs), dims=("study", "time"))


def refuse_other_priors(model: "PatientMeta") -> None:
    """Refuse a combined moderator with coefficients that are not normal: leaving out a study rests on it.

    Parameters
    ----------
    model
        The model, its priors filled in.

    Raises
    ------
    BadInput
        Naming the prior.
    """
    for name in ("intercept", "effect", "effect_change", "baseline_slope", "moderator_effect", "interaction"):
        prior = model.priors.get(name)
        if model.combined and prior is not None and prior.dist != "Normal":
            raise BadInput(
                f"priors.{name}: {prior} is not Normal, and only that lets studies be left out of the combined "
                "moderator in closed form; use Normal, or leave combined out"
            )
