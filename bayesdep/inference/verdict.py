"""The second part of a fit's verdict: do the data agree with the prior and the model?

Two statements about priors are distinguished. That a conclusion *depends* on its prior (power-scaling) is a note: with
three studies, the heterogeneity between them always does. That it *conflicts* with its prior is a warning: the data put
it where the prior had almost no probability. The third kind of statement is about predictive checks: a warning that the
fitted model does not reproduce a test quantity of the data.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.inference.diagnostics import chains_of
from bayesdep.inference.evaluate import at_draws
from bayesdep.inference.groups import elements_of
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.latent import functions_without, is_latent
from bayesdep.inference.predictive import CheckResult
from bayesdep.inference.tails import Distribution
from bayesdep.models.model import HasCostlyEstimands, Model

LEVEL = 0.005  # divided by the number of tail probabilities (Bonferroni)
_LEAST = 0.1  # the variance that data explain is at least this share of the prior's
_SHOWN = 3

Kind = Literal["prior", "check"]
_REMEDIES = {
    "prior": "set a prior that allows what is known of such studies (plan: [priors]), or correct the data's units",
    "check": "give the model what the check shows it to lack (heavier tails, other variances, a covariate)",
}


@dataclass(frozen=True)
class Judgement:
    """The tail probability of one estimand or predictive check.

    Parameters
    ----------
    kind
        ``"prior"``: a primary estimand against its prior. ``"check"``: a predictive check.
    name
        The estimand with its coordinates, or the check.
    p
        Two-sided tail probability.
    remedy
        What to do where it is small; the general advice of its kind where None.
    """

    kind: Kind
    name: str
    p: float
    remedy: str | None = None


@dataclass(frozen=True)
class ModelVerdict:
    """Whether primary estimands agree with their priors, and test quantities with their replicates.

    Parameters
    ----------
    judged
        Every tail probability.
    """

    judged: tuple[Judgement, ...]

    @property
    def threshold(self) -> float:
        """The tail probability below which there is a warning: 0.005 divided by the number of tail probabilities."""
        return LEVEL / max(len(self.judged), 1)

    @property
    def warnings(self) -> tuple[Judgement, ...]:
        """Those below the threshold, the most extreme first."""
        return tuple(sorted((x for x in self.judged if x.p < self.threshold), key=lambda x: x.p))

    @property
    def passed(self) -> bool:
        """Whether there is no warning."""
        return not self.warnings

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with a remedy."""
        if self.passed:
            return f"no warning on the model: {len(self.judged)} estimands and checks agree with prior and data"
        by_kind = {kind: [x for x in self.warnings if x.kind == kind] for kind in _REMEDIES}
        parts = []
        for kind, claim in (("prior", "conflicts with its prior"), ("check", "is out of line with the model")):
            some = by_kind[kind]
            if some:
                names = ", ".join(x.name for x in some[:_SHOWN])
                more = f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
                verb = (
                    claim
                    if len(some) == 1
                    else claim.replace("conflicts with its", "conflict with their").replace("is ", "are ")
                )
                parts.append(f"{names}{more} {verb}")
        remedy = "; ".join(dict.fromkeys(x.remedy or _REMEDIES[kind] for kind in _REMEDIES for x in by_kind[kind]))
        return f"WARNING ON THE MODEL: {'; '.join(parts)} (tail probability below {self.threshold:.1g}); {remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON can hold it."""
        return {
            "passed": self.passed,
            "sentence": self.sentence,
            "threshold": self.threshold,
            "judged": [asdict(x) for x in self.judged],
        }


def check_model(
    model: Model, data: xr.Dataset, tree: xr.DataTree, checks: Sequence[CheckResult], *, seed: int
) -> ModelVerdict:
    """Compare primary estimands with their priors, and test quantities of the data with their replicates.

    *Estimands.* The statistic is the prior-predictive standing of the estimand's posterior mean (Box 1980,
    doi:10.2307/2982063; Evans and Moshonov 2006, doi:10.1214/06-BA129), with no refit. On the scale g on which the
    prior of the estimand is standard normal, the posterior mean m(y) has over data sets y from the prior predictive
    distribution the mean E(g) = 0 and the variance var(g) - E(s^2(y)), s being the posterior sd (laws of total
    expectation and variance). The tail probability is that of ``z = m / sqrt(var(g) - s^2)`` under a standard normal;
    where prior and likelihood are normal, that is the tail of the likelihood's estimate under its own prior predictive
    distribution, exactly. It does not change with the estimand's units or under monotone functions of it, and heavy
    tails, hierarchies and estimated scales are allowed for by simulation. At least a tenth of the prior's variance
    counts as explained, so that there is no warning on an estimand about which the data say almost nothing.

    *Checks.* The two-sided posterior predictive tail probability, in which replicates equal to the data count on both
    sides.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.
    tree
        The fit's groups.
    checks
        Its predictive checks.
    seed
        The fit's seed.

    Returns
    -------
    ModelVerdict
        Without quantities that are constant or have fewer than 200 draws.
    """
    judged: list[Judgement] = []
    posterior = tree["estimands"].to_dataset()
    primary = [name for name in model.primary_estimands if name in posterior]
    before = {}
    if "prior" in tree.children:
        prior = prior_estimands(model, data, tree["prior"].to_dataset(), seed=seed)
        before = {(name, labels): draws for name, labels, draws in chains_of(prior[primary])}
    for name, labels, draws in chains_of(posterior[primary]):
        prior_distribution = Distribution(before.get((name, labels), np.zeros(0)))
        after = draws[np.isfinite(draws)]
        if prior_distribution.is_known and len(after) > 1:
            judged.append(
                Judgement(
                    "prior", f"{name}{labels}", _tail_of_estimand(prior_distribution, before[name, labels], after)
                )
            )
    for result in checks:
        replicates = Distribution(result.replicated)
        if replicates.is_known and np.isfinite(result.observed):
            p = replicates.two_sided(result.observed)
            judged.append(Judgement("check", result.name, p, result.remedy))
    return ModelVerdict(tuple(judged))


def _tail_of_estimand(prior: Distribution, before: np.ndarray, after: np.ndarray) -> float:
    """Two-sided tail probability of an estimand's posterior mean, over data from the prior predictive."""
    scores = prior.normal_scores(after)
    variance = float(prior.normal_scores(before[np.isfinite(before)]).var())
    explained = max(variance - float(scores.var()), _LEAST * variance)
    return float(2 * special.ndtr(-abs(float(scores.mean())) / np.sqrt(explained)))


def prior_estimands(model: Model, data: xr.Dataset, prior: xr.Dataset, *, seed: int) -> xr.Dataset:
    """Return a model's estimands at the prior draws of a fit.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.
    prior
        Prior draws of the sampled parameters, as in the fit's group ``prior``. Variables not needed for the likelihood
        are drawn given them. An estimand of an observed unit (a study's own effect) has no prior draws, since it is
        drawn given the unit's outcomes.
    seed
        Same seed, same draws.

    Returns
    -------
    xarray.Dataset
        As the model's ``estimands`` returns it, one chain, without costly estimands that are not primary.
    """
    if isinstance(model, HasCostlyEstimands):
        model = model.without_costly_estimands
    full = model.build(data)
    values_of = {str(name): values.values[0] for name, values in prior.data_vars.items()}
    given = {rv: values_of[rv.name] for rv in full.free_RVs if rv.name in values_of}
    # of many latent values no draws are kept, and no estimand needs them
    latent = {v.name for v in full.free_RVs if is_latent(model, full, v.name)} - set(values_of)
    wanted = {v.name for v in full.free_RVs} - latent | set(functions_without(full, latent))
    missing = [v for v in full.unobserved_RVs if v.name in wanted and v.name not in values_of]
    drawn = at_draws(missing, given, seed=seed, elements=elements_of(data)) if missing else []
    values_of |= {v.name: x for v, x in zip(missing, drawn, strict=True)}
    with np.errstate(all="ignore"):  # prior draws may divide by zero where a posterior does not
        return model.estimands(label_draws({n: v[None] for n, v in values_of.items()}, full), data)
