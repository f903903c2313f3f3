"""Posterior and prior predictive checks: test quantities of the data, compared with those of replicated data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.numbers import check_numbers
from bayesdep.models.model import Check, HasCostlyEstimands, Imputes, Model

_SEED = 1  # of replicates that a check draws itself


@dataclass(frozen=True)
class CheckResult:
    """One predictive check.

    Parameters
    ----------
    name, units
        Name of the test quantity, and its units.
    observed
        Its value in the data.
    replicated
        Its values in posterior predictive replicates, shape (draws,).
    prior
        Its values in prior predictive replicates, shape (prior draws,).
    remedy
        What to do where data and replicates differ; general advice where None.
    """

    name: str
    units: str
    observed: float
    replicated: np.ndarray
    prior: np.ndarray
    remedy: str | None = None

    @property
    def p(self) -> float:
        """Share of replicates at or above the data, ties counted half; near 0 or 1, the model does not fit."""
        return _share_above(self.observed, self.replicated)

    @property
    def prior_p(self) -> float:
        """The same among prior replicates: near 0 or 1, the data were very improbable under the prior."""
        return _share_above(self.observed, self.prior)


def _share_above(observed: float, replicated: np.ndarray) -> float:
    near = np.isclose(replicated, observed, rtol=1e-9, atol=1e-12)
    return float(np.mean((replicated > observed) & ~near) + np.mean(near) / 2)


def check_results(model: Model, data: xr.Dataset, tree: xr.DataTree) -> list[CheckResult]:
    """Compute a model's test quantities for its data and for the replicates of a fit.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.
    tree
        The fit's groups.

    Returns
    -------
    list of CheckResult
        In the model's order; none where the fit has no replicates.
    """
    results: list[CheckResult] = []
    if not {"prior_predictive", "posterior_predictive", "observed_data"} <= set(tree.children):
        return results
    for check in model.checks(data):

        def values(group: str, variable: str = check.variable) -> np.ndarray:
            array = tree[group][variable]
            sample = [d for d in ("chain", "draw") if d in array.dims]
            flat = array.transpose(*sample, ...).values
            return flat.reshape(-1, *flat.shape[len(sample) :]) if sample else flat

        def replicated(draws: str, check: Check = check, values: Callable[[str], np.ndarray] = values) -> np.ndarray:
            if check.replicated is None:
                return np.asarray(check.statistic(values(f"{draws}_predictive")))
            return check.replicated(tree[draws].to_dataset(), np.random.default_rng(_SEED))

        observed = float(check.statistic(values("observed_data")))
        drawn = replicated("posterior"), replicated("prior")
        results.append(CheckResult(check.name, check.units, observed, *drawn, check.remedy))
    return results


@dataclass(frozen=True)
class PriorPredictive:
    """What a model believes before any data.

    Parameters
    ----------
    estimands
        Draws of the primary estimands, dims (chain, draw, ...).
    checks
        The model's test quantities, each with its values in data drawn from the prior, shape (draws,).
    synthetic
        Whether the table was simulated.
    """

    estimands: xr.Dataset
    checks: Sequence[tuple[Check, np.ndarray]]
    synthetic: bool


def prior_predictive(model: Model, table: Any, *, draws: int, seed: int) -> PriorPredictive:
    """Draw a model's primary estimands and test quantities from its prior.

    Parameters
    ----------
    model
        Any model.
    table
        A table, or what the model's ``prepare`` made of one: its design is used, not its outcomes.
    draws, seed
        How many, and the seed.

    Returns
    -------
    PriorPredictive
        The draws.
    """
    check_numbers(seed=seed)
    data = table if isinstance(table, xr.Dataset) else model.prepare(table)
    if isinstance(model, Imputes) and model.imputes:
        data = model.imputations_of(data)[0]
    cheap = model.without_costly_estimands if isinstance(model, HasCostlyEstimands) else model
    built = cheap.build(data)
    parameters, observed = [v.name for v in built.unobserved_RVs], [v.name for v in built.observed_RVs]
    names = [*parameters, *observed]
    values = dict(zip(names, from_prior([built[name] for name in names], draws, seed=seed), strict=True))
    prior = label_draws({name: values[name][None] for name in parameters}, built)
    with np.errstate(all="ignore"):  # prior draws may divide by zero where a posterior does not
        estimands = cheap.estimands(prior, data)
        checks = [(check, _under_prior(check, values, prior)) for check in cheap.checks(data)]
    primary = [name for name in model.primary_estimands if name in estimands]
    return PriorPredictive(estimands[primary], checks, bool(data.attrs.get("synthetic", 0)))


def _under_prior(check: Check, values: dict[str, np.ndarray], prior: xr.Dataset) -> np.ndarray:
    if check.replicated is not None:
        return check.replicated(prior, np.random.default_rng(_SEED))
    return np.asarray(check.statistic(values[check.variable]))
