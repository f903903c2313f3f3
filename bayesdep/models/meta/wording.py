"""A meta-analysis's model in words, and as the lines of a model formula."""

from bayesdep.models.meta.settings import MetaSettings

_SOURCES = {
    "estimates": "as estimated, with its standard error taken as known",
    "counts": "from events and people per arm",
    "means": "from the means, standard deviations and people of its arms",
    "moments": "from arithmetic means and their standard errors, taking the values to be log-normal",
    "p-value": "from its two-sided P value, its direction from the sign of the raw difference",
    "events": "from events and people",
    "arms": "from events and people of each arm and of the arm '{reference}'",
    "mixed": "from what its row has: an effect with its standard error, counts, means or a P value",
}


def words_of(settings: MetaSettings) -> str:
    """Return the model in words.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    str
        One or two sentences.
    """
    source = _SOURCES[settings.input].format(reference=settings.reference)
    likelihood = (
        "the counts are binomial, with no normal approximation"
        if settings.likelihood == "binomial"
        else "each effect is normal around its own truth with its known standard error"
    )
    shape, width = "normal", "standard deviation"
    if settings.heterogeneity == "student-t":
        nu = "of unknown" if settings.nu is None else f"of {settings.nu:g}"
        shape = f"Student t ({nu} degrees of freedom, so that an outlying {settings.unit} pulls less)"
        width = "scale"
    centre = "a pooled effect mu"
    if settings.covariates:
        centre += f", shifted by covariates ({settings.covariates}),"
    text = (
        f"Each {settings.unit} has a true effect ({settings.measure.replace('-', ' ')}, {source}); {likelihood}, and "
        f"the true effects are {shape} around {centre} with {width} tau"
    )
    if settings.cluster is not None:
        text += (
            f" within clusters ({settings.cluster}), whose own deviations are normal with standard deviation "
            "tau_cluster"
        )
    if settings.midpoint_correlation:
        text += ", and correlated with the midpoint of the study's arms"
    return text + _sharing_in_words(settings) + "."


def _sharing_in_words(settings: MetaSettings) -> str:
    """What is assumed of effects that share people; nothing where none do."""
    if settings.within_correlation is not None:
        whose = "one cluster" if settings.cluster is not None else "all rows, which are the same people,"
        return f"; the sampling errors of {whose} correlate by {settings.within_correlation:g}"
    if settings.covariance is not None:
        return "; sampling errors of effects that share people have the covariances given"
    if settings.control_group is not None or settings.input == "arms":
        return "; effects with a control group in common share its sampling error"
    return ""


def formula_of(settings: MetaSettings) -> list[str]:
    """Return the model as the lines of a model formula.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    list of str
        What is observed, then effects, then priors.
    """
    k = settings.unit[0]
    mean = "mu" + (f" + x[{k}] slope" if settings.covariates is not None else "")
    mean += f" + deviation[cluster[{k}]]" if settings.cluster is not None else ""
    effects = f"Normal({mean}, tau)"
    if settings.midpoint_correlation:
        shift = f"rho tau (baseline[{k}] - baseline_mean) / baseline_sd"
        effects = f"Normal({mean} + {shift}, tau sqrt(1 - rho^2)), rho = 2 rho_unit - 1"
    if settings.heterogeneity == "student-t":
        effects = f"StudentT({'nu' if settings.nu is None else f'{settings.nu:g}'}, {mean}, tau)"
    return [
        *(_of_counts(settings, k) if settings.likelihood == "binomial" else _of_estimates(settings, k)),
        f"theta[{k}] ~ {effects}",
        *(["deviation[c] ~ Normal(0, tau_cluster)"] if settings.cluster is not None else []),
        *(f"{name} ~ {prior}" for name, prior in settings.priors.items()),
    ]


def _of_estimates(settings: MetaSettings, k: str) -> list[str]:
    """Lines for estimates with standard errors."""
    lines = [f"effect[{k}] ~ Normal(theta[{k}], se[{k}])"]
    if settings.within_correlation is not None:
        correlation = f"{settings.within_correlation:g}"
        lines.append(f"cor(effect[{k}], effect[{k}'] | theta) = {correlation} of the same people")
    elif settings.covariance is not None or settings.control_group is not None or settings.input == "arms":
        lines.append(f"cov(effect[{k}], effect[{k}'] | theta) = V[{k}, {k}'] of effects that share people")
    return lines


def _of_counts(settings: MetaSettings, k: str) -> list[str]:
    """Lines for counts of single arms, of pairs of arms, or of arms that share a control group."""
    if settings.measure != "log-odds-ratio":
        return [f"events[{k}] ~ Binomial(n[{k}], expit(theta[{k}]))"]
    if settings.left_out == "control_group":
        return [
            "events[arm] ~ Binomial(n[arm], expit(baseline[g] + side[arm] mean(mu[arms of g]) + e[arm] - mean(e)))",
            "side = -1/2 for the control group, 1/2 for treated arms; e[arm] ~ Normal(0, tau / sqrt(2))",
            "baseline[g] ~ Normal(baseline_mean, baseline_sd)",
        ]
    return [
        f"events_control[{k}] ~ Binomial(n_control[{k}], expit(baseline[{k}] - theta[{k}] / 2))",
        f"events_treated[{k}] ~ Binomial(n_treated[{k}], expit(baseline[{k}] + theta[{k}] / 2))",
        f"baseline[{k}] ~ Normal(baseline_mean, baseline_sd)",
    ]
