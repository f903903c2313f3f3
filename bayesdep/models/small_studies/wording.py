"""A model of published effects in words, and as the lines of a model formula."""

from collections.abc import Sequence

from bayesdep.models.meta import wording as meta_wording
from bayesdep.models.small_studies.settings import BIASES, SmallStudiesSettings


def words_of(settings: SmallStudiesSettings) -> str:
    """Return the model in words.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    str
        Those of a meta-analysis, then what is published.
    """
    published = {
        "absent": "All results are published.",
        "selection": f"Results are published less readily beyond one-sided P values of {_listed(settings.steps)}.",
        "pet": "Published effects are shifted in proportion to their standard error (PET).",
        "peese": "Published effects are shifted in proportion to their squared standard error (PEESE).",
        "average": "Publication bias is absent, or a selection by P values "
        f"(steps at {_listed(settings.steps)}), or a shift that grows with the standard error (PET) or its square "
        "(PEESE); these models are averaged by their marginal likelihoods.",
    }[settings.bias]
    states = (("pooled effect", settings.pooled_effect), ("spread", settings.spread))
    averaged = [word for word, state in states if state == "average"]
    zero = f" The {' and the '.join(averaged)} may be zero for certain, with even odds." if averaged else ""
    of_meta = meta_wording.words_of(settings.meta_settings)
    return f"{of_meta} {published}{zero} {settings.favours.capitalize()} effects are favoured."


def formula_of(settings: SmallStudiesSettings) -> list[str]:
    """Return the model as the lines of a model formula.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    list of str
        What is published, then effects, then priors.
    """
    k, d = settings.unit[0], "+" if settings.sign > 0 else "-"
    plain = f"effect[{k}] ~ Normal(theta[{k}], se[{k}])"
    selected = f"{plain}, published in proportion to share[1] ... share[j] (P beyond {_listed(settings.steps)})"
    by_bias = {
        "absent": plain,
        "selection": selected,
        "pet": f"effect[{k}] ~ Normal(theta[{k}] {d} pet se[{k}], se[{k}])",
        "peese": f"effect[{k}] ~ Normal(theta[{k}] {d} peese se[{k}]^2, se[{k}])",
    }
    if settings.bias == "average":
        lines = [f"{p:g}: {by_bias[name]}" for name, p in BIASES.items()]
    else:
        lines = [by_bias[settings.bias]]
    lines.append(f"theta[{k}] ~ Normal(mu, tau)")
    states = (("mu", settings.pooled_effect), ("tau", settings.spread))
    lines += [f"0.5: {name} = 0" for name, state in states if state == "average"]
    lines += [f"{name} = 0" for name, state in states if state == "absent"]
    return [*lines, *(f"{name} ~ {prior}" for name, prior in settings.priors.items())]


def _listed(steps: Sequence[float]) -> str:
    return " and ".join(f"{p:g}" for p in steps)
