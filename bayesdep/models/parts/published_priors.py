"""Published priors for the heterogeneity of a meta-analysis, by outcome and comparison."""

from collections.abc import Mapping
from typing import Any

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.published import load
from bayesdep.numerics.distributions import Prior

TABLE = "heterogeneity_priors"
_GENERAL = "general"


def heterogeneity_prior(paper: str, outcome: str = _GENERAL, comparison: str = _GENERAL) -> Prior:
    """Return a published prior for tau, the standard deviation between studies.

    Turner et al. (2012, doi:10.1093/ije/dys041, and 2015, doi:10.1002/sim.6381) fitted log-normal distributions to the
    between-study variances of log odds ratios in 14,886 meta-analyses of the Cochrane Database, Rhodes et al. (2015,
    doi:10.1016/j.jclinepi.2014.08.012) log-t distributions with five degrees of freedom to those of standardised mean
    differences in 6,492. They are of tau squared; this is the same distribution of tau, whose logarithm is half as
    large. ``bayesdep.load("heterogeneity_priors")`` lists them all, each with the table it is printed in.

    Parameters
    ----------
    paper
        ``"Turner 2012"`` or ``"Turner 2015"`` for log odds ratios, ``"Rhodes 2015"`` for standardised differences.
    outcome
        Type of outcome, as the table lists it; ``"general"`` where the paper has such a row.
    comparison
        What is compared with what, as the table lists it.

    Returns
    -------
    Prior
        ``LogNormal`` or ``LogStudentT``.

    Raises
    ------
    BadInput
        When there is no such row, naming the nearest.

    Examples
    --------
    >>> heterogeneity_prior("Turner 2015", "mental health indicators", "pharmacological against control")
    LogNormal(mu=-1.06, sigma=0.765)
    >>> heterogeneity_prior("Rhodes 2015", "mental health outcomes", "pharmacological against control")
    LogStudentT(nu=5, mu=-1.495, sigma=1.08)
    """
    rows = load(TABLE)
    for word, asked in (("paper", paper), ("outcome", outcome), ("comparison", comparison)):
        choices = list(dict.fromkeys(rows[word]))
        if asked not in choices:
            among = "" if word == "paper" else f" in {paper}" + (f" for outcome '{outcome}'" * (word == "comparison"))
            raise BadInput(f"{word} = {asked!r} has no published prior{among}; {did_you_mean(str(asked), choices)}")
        rows = rows[rows[word] == asked]
    row = rows.iloc[0]
    location, scale = row["location"] / 2, row["scale"] / 2
    why = f"published: {paper}, outcome '{outcome}', comparison '{comparison}'"
    if row["distribution"] == "log-normal":
        prior = Prior("LogNormal", mu=location, sigma=scale, why=why)
    else:
        prior = Prior("LogStudentT", nu=row["df"], mu=location, sigma=scale, why=why)
    object.__setattr__(prior, "paper", paper)  # so that a model of effects on another scale can refuse it
    return prior


def measure_of(paper: str) -> str | None:
    """Return the scale of effects that a paper's priors are for; None where the paper is not known."""
    table = load(TABLE)
    measures = table.loc[table["paper"] == paper, "measure"]
    return None if measures.empty else str(measures.iloc[0])


def refuse_priors_of_other_measures(priors: Mapping[str, Any], measure: str) -> None:
    """Refuse published priors of effects on another scale, or of another parameter than a spread.

    Parameters
    ----------
    priors
        Priors by parameter, as the user wrote them.
    measure
        The measure of the effects.

    Raises
    ------
    BadInput
        Naming both scales, or the parameter.
    """
    for name, prior in priors.items():
        paper = prior.get("paper") if isinstance(prior, Mapping) else getattr(prior, "paper", None)
        published = measure_of(paper) if isinstance(paper, str) else None
        if published is None:
            continue
        if name not in ("tau", "tau_cluster"):
            raise BadInput(f"priors.{name}: {paper} has priors for tau only; give {name} one of its own")
        if published != measure:
            raise BadInput(
                f"priors.{name}: {paper} is about the spread of a {published}, not of a {measure}; "
                "take a prior in the units of these effects"
            )
