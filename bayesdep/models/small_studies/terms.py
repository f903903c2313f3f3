"""What the settings of a meta-analysis of published results switch on: places for priors, words and formula."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayesdep.models.parts.priors import Slot
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    from bayesdep.models.small_studies.model import SmallStudies

BIASES = {"absent": 0.5, "selection": 0.25, "pet": 0.125, "peese": 0.125}  # prior probabilities when averaged


def slots_of(model: "SmallStudies") -> dict[str, Slot]:
    """Places for priors: only those of the terms that the settings switch on."""
    units, raw = model.units or model.measure.replace("-", " "), model.measure == "difference"
    unknown = raw and model.scale is None and model.input != "means"
    mu = {"standardised-difference": 1.0, "difference": 1.0, "risk-difference": 0.5}.get(model.measure, 1.5)
    tau = 0.2 if model.measure == "risk-difference" else 0.5
    slots = {}
    if model.pooled_effect != "absent":
        slots["mu"] = Slot(
            None if unknown else Prior("Normal", mu=0, sigma=mu, times_scale=raw),
            "real",
            "the pooled effect",
            units,
        )
    if model.spread != "absent":
        prior = None if unknown else Prior("HalfNormal", sigma=tau, times_scale=raw)
        slots["tau"] = Slot(prior, "positive", "the standard deviation between studies", units)
    if model.bias in ("selection", "average"):
        meaning = "the share of results published beyond a step, of those before it"
        slots["share"] = Slot(Prior("Beta", alpha=1, beta=1), "unit", meaning, "share")
    if model.bias in ("pet", "average"):
        meaning = "the bias per unit of the standard error"
        slots["pet"] = Slot(Prior("HalfCauchy", beta=1), "positive", meaning, "standard errors")
    if model.bias in ("peese", "average"):
        prior = None if unknown else Prior("HalfCauchy", beta=5, times_scale=raw)
        meaning = "the bias per unit of the squared standard error"
        per = "scale_squared" if raw else None
        slots["peese"] = Slot(prior, "positive", meaning, f"1 / {units}", per)
    return slots


def words_of(model: "SmallStudies") -> str:
    """The model in words."""
    how = {
        "absent": "All results are published.",
        "selection": f"Results are published less readily beyond one-sided P values of {_listed(model.steps)}.",
        "pet": "Published effects are shifted in proportion to their standard error (PET).",
        "peese": "Published effects are shifted in proportion to their squared standard error (PEESE).",
        "average": "Publication bias is absent, or a selection by P values "
        f"(steps at {_listed(model.steps)}), or a shift that grows with the standard error (PET) or its square "
        "(PEESE); these models are averaged by their marginal likelihoods.",
    }[model.bias]
    zero = [word for word, state in (("pooled effect", model.pooled_effect), ("spread", model.spread))
            if state == "average"]  # fmt: skip
    maybe = f" The {' and the '.join(zero)} may be zero for certain, with even odds." if zero else ""
    return f"{model.meta.words} {how}{maybe} {model.favours.capitalize()} effects are favoured."


def formula_of(model: "SmallStudies") -> list[str]:
    """The model as the lines of a model formula."""
    k, d = model.unit[0], "+" if model.sign > 0 else "-"
    plain = f"effect[{k}] ~ Normal(theta[{k}], se[{k}])"
    selected = f"{plain}, published in proportion to share[1] ... share[j] (P beyond {_listed(model.steps)})"
    of = {
        "absent": plain,
        "selection": selected,
        "pet": f"effect[{k}] ~ Normal(theta[{k}] {d} pet se[{k}], se[{k}])",
        "peese": f"effect[{k}] ~ Normal(theta[{k}] {d} peese se[{k}]^2, se[{k}])",
    }
    lines = [of[model.bias]] if model.bias != "average" else [f"{p:g}: {of[name]}" for name, p in BIASES.items()]
    lines.append(f"theta[{k}] ~ Normal(mu, tau)")
    states = (("mu", model.pooled_effect), ("tau", model.spread))
    lines += [f"0.5: {name} = 0" for name, state in states if state == "average"]
    lines += [f"{name} = 0" for name, state in states if state == "absent"]
    return [*lines, *(f"{name} ~ {prior}" for name, prior in model.priors.items())]


def _listed(steps: Sequence[float]) -> str:
    return " and ".join(f"{p:g}" for p in steps)
