"""What a meta-analysis's settings switch on: refusals, places for priors, words and formula."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.meta.studies import MEASURES
from bayesdep.models.parts.priors import Prior, Slot
from bayesdep.models.parts.published_priors import measure_of

if TYPE_CHECKING:
    from bayesdep.models.meta import Meta

UNITS = {
    "standardised-difference": "standard deviations",
    "log-odds-ratio": "log odds ratio",
    "log-risk-ratio": "log risk ratio",
    "log-geometric-mean-ratio": "log ratio of geometric means",
    "risk-difference": "risk difference",
    "log-odds": "log odds",
}
# Default priors: sd of the pooled effect and of a slope per sd of its covariate, and scale of the spread. None is
# right for a raw difference, whose units nobody here knows.
_SCALES = {
    "standardised-difference": (1.0, 0.5, 0.5),
    "log-odds-ratio": (1.5, 0.5, 0.5),
    "log-risk-ratio": (1.5, 0.5, 0.5),
    "log-geometric-mean-ratio": (1.5, 0.5, 0.5),
    "risk-difference": (0.5, 0.2, 0.2),
    "log-odds": (1.5, 0.5, 1.0),
}
_BINOMIAL = {("counts", "log-odds-ratio"), ("events", "log-odds")}
_AT_A_CONTROL_RISK = ("log-odds-ratio", "log-risk-ratio")


def refuse_contradictions(story: "Meta") -> None:
    """Refuse settings that contradict each other.

    Parameters
    ----------
    story
        The settings.

    Raises
    ------
    BadInput
        Naming both.
    """
    if story.measure not in MEASURES[story.input]:
        raise BadInput(
            f"measure = '{story.measure}' cannot be had from input = '{story.input}'; "
            f"that gives {' or '.join(sorted(MEASURES[story.input]))}"
        )
    if story.likelihood == "binomial":
        if (story.input, story.measure) not in _BINOMIAL:
            raise BadInput(
                "likelihood = 'binomial' needs input = 'counts' and measure = 'log-odds-ratio', or input = 'events' "
                f"and measure = 'log-odds'; not input = '{story.input}' and measure = '{story.measure}'"
            )
        for word, value, plain in (
            ("heterogeneity", story.heterogeneity, "normal"),
            ("cluster", story.cluster, None),
        ):
            if value != plain:
                raise BadInput(
                    f"{word} = '{value}' needs likelihood = 'gaussian': a study's own score is no longer a double "
                    "integral with it; leave one of the two out"
                )
    if story.cluster is not None and story.heterogeneity == "student-t":
        raise BadInput(
            "cluster contradicts heterogeneity = 'student-t': a cluster's score has no closed form with both; "
            "leave one of them out"
        )
    if (story.measure == "difference") != (story.units is not None):
        raise BadInput(
            "measure = 'difference' needs units, for example units = 'MADRS points'"
            if story.units is None
            else f"units = '{story.units}' belongs to measure = 'difference' only; '{story.measure}' has its own"
        )
    if not story.unit.isidentifier() or story.unit in ("arm", "chain", "draw", "covariate", "cluster"):
        raise BadInput(f"unit = '{story.unit}' cannot name a dimension; use one word such as 'study' or 'analyte'")
    if story.nu is not None and not story.nu > 0:
        raise BadInput(f"nu = {story.nu}, but degrees of freedom above zero are needed, such as 4")
    if story.control_risk is not None:
        if story.measure not in _AT_A_CONTROL_RISK:
            raise BadInput(
                f"control_risk belongs to measure = {' or '.join(map(repr, _AT_A_CONTROL_RISK))}; "
                f"'{story.measure}' needs none"
            )
        if not 0 < story.control_risk < 1:
            raise BadInput(f"control_risk = {story.control_risk}, but a probability between 0 and 1 is needed")
    if story.design is not None and story.input not in ("means", "counts"):
        raise BadInput(
            f"design = '{story.design}' belongs to input = 'means' or 'counts': a standard error in the table is that "
            "of its trial's design already; leave it out"
        )
    if story.correlation is not None:
        if story.design is None or story.input != "means":
            raise BadInput(
                "correlation needs input = 'means' and design, the column that says which trials are crossover trials"
            )
        if not -1 < story.correlation < 1:
            raise BadInput(f"correlation = {story.correlation}, but a number between -1 and 1 is needed")


def refuse_foreign_priors(story: "Meta") -> None:
    """Refuse published priors for tau that are of effects on another scale.

    Parameters
    ----------
    story
        The settings, priors as they were given.

    Raises
    ------
    BadInput
        Naming both scales.
    """
    for name, prior in story.priors.items():
        paper = prior.get("paper") if isinstance(prior, Mapping) else None
        measure = measure_of(paper) if isinstance(paper, str) else None
        if measure is not None and name not in ("tau", "tau_cluster"):
            raise BadInput(f"priors.{name}: {paper} has priors for tau only; give {name} one of its own")
        if measure is not None and measure != story.measure:
            raise BadInput(
                f"priors.{name}: {paper} is about the spread of a {measure}, not of a {story.measure}; "
                "take a prior in the units of these effects"
            )


def units_of_data(story: "Meta") -> str:
    """Return the plural of the unit."""
    return f"{story.unit[:-1]}ies" if story.unit.endswith("y") else f"{story.unit}s"


def slots_of(story: "Meta") -> dict[str, Slot]:
    """Return the places for priors: only those of the terms that the settings switch on."""
    units, rows = story.effect_units, units_of_data(story)
    sd, slope, spread = _SCALES.get(story.measure, (None, None, None))

    def normal(sigma: float | None) -> Prior | None:
        return None if sigma is None else Prior("Normal", mu=0, sigma=sigma)

    between = None if spread is None else Prior("HalfNormal", sigma=spread)
    slots = {
        "mu": Slot(normal(sd), "real", "the pooled effect", units),
        "tau": Slot(between, "positive", f"the standard deviation between {rows}", units),
    }
    if story.covariates is not None:
        slots["slope"] = Slot(normal(slope), "real", "the change of the effect by a covariate", f"{units} per sd")
    if story.cluster is not None:
        slots["tau_cluster"] = Slot(between, "positive", "the standard deviation between clusters", units)
    if has_nu(story):
        slots["nu"] = Slot(
            Prior("Gamma", alpha=2, beta=0.1), "positive", f"the degrees of freedom of the {rows}", "degrees of freedom"
        )
    if story.likelihood == "binomial" and story.measure == "log-odds-ratio":
        slots["baseline_mean"] = Slot(normal(2.5), "real", "the mean of the control log odds", "log odds")
        slots["baseline_sd"] = Slot(
            Prior("HalfNormal", sigma=1), "positive", f"the spread of control log odds between {rows}", "log odds"
        )
    return slots


def has_nu(story: "Meta") -> bool:
    """Tell whether the degrees of freedom are a parameter."""
    return story.heterogeneity == "student-t" and story.nu is None


def words_of(story: "Meta") -> str:
    """Return the story in words."""
    source = {
        "estimates": "as estimated, with its standard error taken as known",
        "counts": "from events and people per arm",
        "means": "from the means, standard deviations and people of its arms",
        "moments": "from arithmetic means and their standard errors, taking the values to be log-normal",
        "p-value": "from its two-sided P value, its direction from the sign of the raw difference",
        "events": "from events and people",
    }[story.input]
    likelihood = (
        "the counts are binomial, with no normal approximation"
        if story.likelihood == "binomial"
        else "each effect is normal around its own truth with its known standard error"
    )
    if story.heterogeneity == "student-t":
        nu = "of unknown" if story.nu is None else f"of {story.nu:g}"
        shape = f"Student t ({nu} degrees of freedom, so that an outlying {story.unit} pulls less)"
    else:
        shape = "normal"
    around = f"a pooled effect mu, shifted by covariates ({story.covariates})," if story.covariates else (
        "a pooled effect mu"
    )  # fmt: skip
    text = (
        f"Each {story.unit} has a true effect ({story.measure.replace('-', ' ')}, {source}); {likelihood}, and the "
        f"true effects are {shape} around {around} with {'scale' if shape != 'normal' else 'standard deviation'} tau"
    )
    if story.cluster is not None:
        text += (
            f" within clusters ({story.cluster}), whose own deviations are normal with standard deviation tau_cluster"
        )
    return text + "."


def formula_of(story: "Meta") -> list[str]:
    """Return the story as the lines of a model formula."""
    k = story.unit[0]
    if story.likelihood == "binomial":
        likelihood = [f"events[{k}] ~ Binomial(n[{k}], expit(theta[{k}]))"]
        if story.measure == "log-odds-ratio":
            likelihood = [
                f"events_control[{k}] ~ Binomial(n_control[{k}], expit(baseline[{k}]))",
                f"events_treated[{k}] ~ Binomial(n_treated[{k}], expit(baseline[{k}] + theta[{k}]))",
                f"baseline[{k}] ~ Normal(baseline_mean, baseline_sd)",
            ]
    else:
        likelihood = [f"effect[{k}] ~ Normal(theta[{k}], se[{k}])"]
    mean = "mu" + (f" + x[{k}] slope" if story.covariates is not None else "")
    mean += f" + deviation[cluster[{k}]]" if story.cluster is not None else ""
    shape = f"Normal({mean}, tau)"
    if story.heterogeneity == "student-t":
        shape = f"StudentT({'nu' if story.nu is None else f'{story.nu:g}'}, {mean}, tau)"
    return [
        *likelihood,
        f"theta[{k}] ~ {shape}",
        *(["deviation[c] ~ Normal(0, tau_cluster)"] if story.cluster is not None else []),
        *(f"{name} ~ {prior}" for name, prior in story.priors.items()),
    ]
