"""What a meta-analysis's settings switch on: refusals, places for priors, words and formula."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesdep.data.errors import BadInput
from bayesdep.models.meta.studies import MEASURES
from bayesdep.models.parts.priors import Slot
from bayesdep.models.parts.published_priors import measure_of
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    from bayesdep.models.meta.model import Meta
    from bayesdep.models.small_studies.model import SmallStudies

UNITS = {
    "standardised-difference": "standard deviations",
    "log-odds-ratio": "log odds ratio",
    "log-risk-ratio": "log risk ratio",
    "log-geometric-mean-ratio": "log ratio of geometric means",
    "risk-difference": "risk difference",
    "log-odds": "log odds",
}
# Default priors: sd of the pooled effect and of a slope per sd of its covariate, and scale of the spread. A raw
# difference has those of a standardised one times the sd of its outcome, where that is known.
_SCALES = {
    "standardised-difference": (1.0, 0.5, 0.5),
    "log-odds-ratio": (1.5, 0.5, 0.5),
    "log-risk-ratio": (1.5, 0.5, 0.5),
    "log-geometric-mean-ratio": (1.5, 0.5, 0.5),
    "risk-difference": (0.5, 0.2, 0.2),
    "log-odds": (1.5, 0.5, 1.0),
}
_BINOMIAL = {("counts", "log-odds-ratio"), ("arms", "log-odds-ratio"), ("events", "log-odds")}
_AT_A_CONTROL_RISK = ("log-odds-ratio", "log-risk-ratio")


def refuse_contradictions(model: "Meta") -> None:
    """Refuse settings that contradict each other.

    Parameters
    ----------
    model
        The settings.

    Raises
    ------
    BadInput
        Naming both.
    """
    if model.measure not in MEASURES[model.input]:
        raise BadInput(
            f"measure = '{model.measure}' cannot be had from input = '{model.input}'; "
            f"that gives {' or '.join(sorted(MEASURES[model.input]))}"
        )
    if model.likelihood == "binomial":
        if (model.input, model.measure) not in _BINOMIAL:
            raise BadInput(
                "likelihood = 'binomial' needs input = 'counts' and measure = 'log-odds-ratio' (or input = 'arms' with "
                "it), or input = 'events' and measure = 'log-odds'; "
                f"not input = '{model.input}' and measure = '{model.measure}'"
            )
        for word, value, plain in (
            ("heterogeneity", model.heterogeneity, "normal"),
            ("cluster", model.cluster, None),
            ("within_correlation", model.within_correlation, None),
            ("covariance", model.covariance, None),
        ):
            if value != plain:
                raise BadInput(
                    f"{word} = '{value}' needs likelihood = 'gaussian': a study's own score is no longer a double "
                    "integral with it; leave one of the two out"
                )
    _refuse_contradictory_sharing(model)
    if model.cluster is not None and model.heterogeneity == "student-t":
        raise BadInput(
            "cluster contradicts heterogeneity = 'student-t': a cluster's score has no closed form with both; "
            "leave one of them out"
        )
    if model.scale is not None and model.measure != "difference":
        raise BadInput(
            f"scale belongs to measure = 'difference'; the priors of a {model.measure} need none, so leave it out"
        )
    if (model.measure == "difference") != (model.units is not None):
        raise BadInput(
            "measure = 'difference' needs units, for example units = 'MADRS points'"
            if model.units is None
            else f"units = '{model.units}' belongs to measure = 'difference' only; a {model.measure} has its own, so "
            "leave it out"
        )
    if not model.unit.isidentifier() or model.unit in ("arm", "chain", "draw", "covariate", "cluster", "control_group"):
        raise BadInput(f"unit = '{model.unit}' cannot name a dimension; use one word such as 'study' or 'analyte'")
    if model.nu is not None and not model.nu > 0:
        raise BadInput(f"nu = {model.nu}, but degrees of freedom above zero are needed, such as 4")
    if model.control_risk is not None:
        if model.measure not in _AT_A_CONTROL_RISK:
            raise BadInput(
                f"control_risk belongs to measure = {' or '.join(map(repr, _AT_A_CONTROL_RISK))}; "
                f"'{model.measure}' needs none"
            )
        if not 0 < model.control_risk < 1:
            raise BadInput(f"control_risk = {model.control_risk}, but a probability between 0 and 1 is needed")
    if model.design is not None and model.input not in ("means", "counts"):
        raise BadInput(
            f"design = '{model.design}' belongs to input = 'means' or 'counts': a standard error in the table is that "
            "of its trial's design already; leave it out"
        )
    if model.correlation is not None:
        if model.design is None or model.input != "means":
            raise BadInput(
                "correlation needs input = 'means' and design, the column that says which trials are crossover trials"
            )
        if not -1 < model.correlation < 1:
            raise BadInput(f"correlation = {model.correlation}, but a number between -1 and 1 is needed")


def _refuse_contradictory_sharing(model: "Meta") -> None:
    """Refuse settings about shared people that contradict each other or the rest."""
    if model.midpoint_correlation and (model.likelihood != "binomial" or model.measure != "log-odds-ratio"):
        raise BadInput("midpoint_correlation needs likelihood = 'binomial' and two arms a study; leave it out")
    if (model.input == "arms") != (model.reference is not None):
        raise BadInput(
            "input = 'arms' needs reference, the arm with which the others are compared, such as reference = 'placebo'"
            if model.reference is None
            else f"reference = '{model.reference}' belongs to input = 'arms', where every row is an arm; leave it out"
        )
    if model.input == "arms" and model.control_group is not None:
        raise BadInput(
            f"control_group = '{model.control_group}' is not needed with input = 'arms': arms of one {model.unit} "
            "share its reference arm; leave it out"
        )
    if model.control_group is not None and model.input in ("estimates", "events"):
        raise BadInput(
            f"control_group = '{model.control_group}' needs to know the control groups, and input = 'estimates' does "
            "not; give the covariances of the effects as covariance, or their correlation as within_correlation (about "
            "0.5 for arms of one size)"
            if model.input == "estimates"
            else f"control_group = '{model.control_group}' contradicts input = 'events', whose arms are single; "
            "leave it out"
        )
    stated = [
        word for word in ("within_correlation", "covariance", "control_group") if getattr(model, word) is not None
    ]
    if len(stated) > 1:
        raise BadInput(f"{' and '.join(stated)} both say which effects share people; state one, such as covariance")
    if model.within_correlation is not None and not -1 < model.within_correlation < 1:
        raise BadInput(f"within_correlation = {model.within_correlation}, but a number between -1 and 1 is needed")
    if stated and model.heterogeneity == "student-t":
        raise BadInput(
            f"{stated[0]} contradicts heterogeneity = 'student-t': effects that share people have no closed form with "
            "it; leave one of them out"
        )


def refuse_foreign_priors(model: "Meta | SmallStudies") -> None:
    """Refuse published priors for tau that are of effects on another scale.

    Parameters
    ----------
    model
        The settings, priors as they were given.

    Raises
    ------
    BadInput
        Naming both scales.
    """
    for name, prior in model.priors.items():
        paper = prior.get("paper") if isinstance(prior, Mapping) else getattr(prior, "paper", None)
        measure = measure_of(paper) if isinstance(paper, str) else None
        if measure is not None and name not in ("tau", "tau_cluster"):
            raise BadInput(f"priors.{name}: {paper} has priors for tau only; give {name} one of its own")
        if measure is not None and measure != model.measure:
            raise BadInput(
                f"priors.{name}: {paper} is about the spread of a {measure}, not of a {model.measure}; "
                "take a prior in the units of these effects"
            )


def units_of_data(model: "Meta") -> str:
    """Return the plural of the unit."""
    return f"{model.unit[:-1]}ies" if model.unit.endswith("y") else f"{model.unit}s"


def slots_of(model: "Meta") -> dict[str, Slot]:
    """Return the places for priors: only those of the terms that the settings switch on."""
    units, rows = model.effect_units, units_of_data(model)
    of_scale = model.measure == "difference"
    known = not of_scale or model.scale is not None or model.input in ("means", "mixed")
    sd, slope, spread = _SCALES["standardised-difference" if of_scale else model.measure]

    def normal(sigma: float) -> Prior | None:
        return Prior("Normal", mu=0, sigma=sigma, times_scale=of_scale) if known else None

    between = Prior("HalfNormal", sigma=spread, times_scale=of_scale) if known else None
    slots = {
        "mu": Slot(normal(sd), "real", "the pooled effect", units),
        "tau": Slot(between, "positive", f"the standard deviation between {rows}", units),
    }
    if model.covariates is not None:
        slots["slope"] = Slot(normal(slope), "real", "the change of the effect by a covariate", f"{units} per sd")
    if model.cluster is not None:
        slots["tau_cluster"] = Slot(between, "positive", "the standard deviation between clusters", units)
    if has_nu(model):
        slots["nu"] = Slot(
            Prior("Gamma", alpha=2, beta=0.1), "positive", f"the degrees of freedom of the {rows}", "degrees of freedom"
        )
    if model.likelihood == "binomial" and model.measure == "log-odds-ratio":
        slots["baseline_mean"] = Slot(
            normal(2.5), "real", "the mean of the midpoints of two arms' log odds", "log odds"
        )
        slots["baseline_sd"] = Slot(
            Prior("HalfNormal", sigma=1), "positive", f"the spread of these midpoints between {rows}", "log odds"
        )
    if model.midpoint_correlation:
        meaning = "(rho + 1) / 2, rho being the correlation of midpoint and effect"
        slots["rho_unit"] = Slot(Prior("Beta", alpha=2, beta=2), "unit", meaning, "correlation")
    return slots


def has_nu(model: "Meta") -> bool:
    """Tell whether the degrees of freedom are a parameter."""
    return model.heterogeneity == "student-t" and model.nu is None


def words_of(model: "Meta") -> str:
    """Return the model in words."""
    source = {
        "estimates": "as estimated, with its standard error taken as known",
        "counts": "from events and people per arm",
        "means": "from the means, standard deviations and people of its arms",
        "moments": "from arithmetic means and their standard errors, taking the values to be log-normal",
        "p-value": "from its two-sided P value, its direction from the sign of the raw difference",
        "events": "from events and people",
        "arms": f"from events and people of each arm and of the arm '{model.reference}'",
        "mixed": "from what its row has: an effect with its standard error, counts, means or a P value",
    }[model.input]
    likelihood = (
        "the counts are binomial, with no normal approximation"
        if model.likelihood == "binomial"
        else "each effect is normal around its own truth with its known standard error"
    )
    if model.heterogeneity == "student-t":
        nu = "of unknown" if model.nu is None else f"of {model.nu:g}"
        shape = f"Student t ({nu} degrees of freedom, so that an outlying {model.unit} pulls less)"
    else:
        shape = "normal"
    around = f"a pooled effect mu, shifted by covariates ({model.covariates})," if model.covariates else (
        "a pooled effect mu"
    )  # fmt: skip
    text = (
        f"Each {model.unit} has a true effect ({model.measure.replace('-', ' ')}, {source}); {likelihood}, and the "
        f"true effects are {shape} around {around} with {'scale' if shape != 'normal' else 'standard deviation'} tau"
    )
    if model.cluster is not None:
        text += (
            f" within clusters ({model.cluster}), whose own deviations are normal with standard deviation tau_cluster"
        )
    if model.midpoint_correlation:
        text += ", and correlated with the midpoint of the study's arms"
    if model.within_correlation is not None:
        whose = "one cluster" if model.cluster is not None else "all rows, which are the same people,"
        text += f"; the sampling errors of {whose} correlate by {model.within_correlation:g}"
    elif model.covariance is not None:
        text += "; sampling errors of effects that share people have the covariances given"
    elif model.control_group is not None or model.input == "arms":
        text += "; effects with a control group in common share its sampling error"
    return text + "."


def formula_of(model: "Meta") -> list[str]:
    """Return the model as the lines of a model formula."""
    k = model.unit[0]
    if model.likelihood == "binomial":
        likelihood = [f"events[{k}] ~ Binomial(n[{k}], expit(theta[{k}]))"]
        if model.measure == "log-odds-ratio":
            likelihood = [
                f"events_control[{k}] ~ Binomial(n_control[{k}], expit(baseline[{k}] - theta[{k}] / 2))",
                f"events_treated[{k}] ~ Binomial(n_treated[{k}], expit(baseline[{k}] + theta[{k}] / 2))",
                f"baseline[{k}] ~ Normal(baseline_mean, baseline_sd)",
            ]
        if model.left_out == "control_group":
            likelihood = [
                "events[arm] ~ Binomial(n[arm], expit(baseline[g] + side[arm] mean(mu[arms of g]) + e[arm] - mean(e)))",
                "side = -1/2 for the control group, 1/2 for treated arms; e[arm] ~ Normal(0, tau / sqrt(2))",
                "baseline[g] ~ Normal(baseline_mean, baseline_sd)",
            ]
    else:
        likelihood = [f"effect[{k}] ~ Normal(theta[{k}], se[{k}])"]
        if model.within_correlation is not None:
            likelihood.append(
                f"cor(effect[{k}], effect[{k}'] | theta) = {model.within_correlation:g} of the same people"
            )
        elif model.covariance is not None or model.control_group is not None or model.input == "arms":
            likelihood.append(f"cov(effect[{k}], effect[{k}'] | theta) = V[{k}, {k}'] of effects that share people")
    mean = "mu" + (f" + x[{k}] slope" if model.covariates is not None else "")
    mean += f" + deviation[cluster[{k}]]" if model.cluster is not None else ""
    shape = f"Normal({mean}, tau)"
    if model.midpoint_correlation:
        moved = f"rho tau (baseline[{k}] - baseline_mean) / baseline_sd"
        shape = f"Normal({mean} + {moved}, tau sqrt(1 - rho^2)), rho = 2 rho_unit - 1"
    if model.heterogeneity == "student-t":
        shape = f"StudentT({'nu' if model.nu is None else f'{model.nu:g}'}, {mean}, tau)"
    return [
        *likelihood,
        f"theta[{k}] ~ {shape}",
        *(["deviation[c] ~ Normal(0, tau_cluster)"] if model.cluster is not None else []),
        *(f"{name} ~ {prior}" for name, prior in model.priors.items()),
    ]
