"""Published priors for the heterogeneity of a meta-analysis, by outcome and comparison."""

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
        LogNormal or LogStudentT.

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
    found = load(TABLE)
    for word, asked in (("paper", paper), ("outcome", outcome), ("comparison", comparison)):
        known = list(dict.fromkeys(found[word]))
        if asked not in known:
            among = "" if word == "paper" else f" in {paper}" + (f" for outcome '{outcome}'" * (word == "comparison"))
            raise BadInput(f"{word} = {asked!r} has no published prior{among}; {did_you_mean(str(asked), known)}")
        found = found[found[word] == asked]
    row = found.iloc[0]
    location, scale = row["location"] / 2, row["scale"] / 2
    if row["distribution"] == "log-normal":
        prior = Prior("LogNormal", mu=location, sigma=scale)
    else:
        prior = Prior("LogStudentT", nu=row["df"], mu=location, sigma=scale)
    object.__setattr__(prior, "paper", paper)  # so that a model of effects on another scale can refuse it
    return prior


def measure_of(paper: str) -> str | None:
    """Return the scale of effects that a paper's priors are for; None where the paper is not known."""
    table = load(TABLE)
    found = table.loc[table["paper"] == paper, "measure"]
    return None if found.empty else str(found.iloc[0])
