"""Predictive checks: where the data fall among replicates from the posterior and from the prior."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdep.inference.fit import Fit, once_per_fit


@dataclass(frozen=True)
class CheckResult:
    """One predictive check.

    Parameters
    ----------
    name, units
        What the statistic is, and its units.
    observed
        Its value in the data.
    replicated
        Its values in posterior predictive replicates, shape (draws,).
    prior
        Its values in prior predictive replicates, shape (prior draws,).
    """

    name: str
    units: str
    observed: float
    replicated: np.ndarray
    prior: np.ndarray

    @property
    def p(self) -> float:
        """Share of replicates at or above the data, ties counted half: near 0 or 1 the model is embarrassed."""
        return _share_above(self.observed, self.replicated)

    @property
    def prior_p(self) -> float:
        """The same among prior replicates: near 0 or 1 the prior all but excluded the data."""
        return _share_above(self.observed, self.prior)


def _share_above(observed: float, replicated: np.ndarray) -> float:
    near = np.isclose(replicated, observed, rtol=1e-9, atol=1e-12)
    return float(np.mean((replicated > observed) & ~near) + np.mean(near) / 2)


@once_per_fit
def run_checks(fit: Fit) -> list[CheckResult]:
    """Run the story's own predictive checks.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    list of CheckResult
        In the story's order.
    """
    results = []
    for check in fit.model.checks(fit.data):

        def values(group: str, variable: str = check.variable) -> np.ndarray:
            array = fit.tree[group][variable]
            sample = [d for d in ("chain", "draw") if d in array.dims]
            flat = array.transpose(*sample, ...).values
            return flat.reshape(-1, *flat.shape[len(sample) :]) if sample else flat

        results.append(
            CheckResult(
                check.name,
                check.units,
                float(check.statistic(values("observed_data"))),
                np.asarray(check.statistic(values("posterior_predictive"))),
                np.asarray(check.statistic(values("prior_predictive"))),
            )
        )
    return results


def check(fit: Fit) -> pd.DataFrame:
    """Tabulate the story's predictive checks.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        One row a statistic: ``check``, ``units``, ``observed``, the replicates' ``median``, ``lower`` and
        ``upper`` (95%), ``p`` (share of replicates above the data, ties half) and ``prior_p``.
    """
    rows = []
    for result in run_checks(fit):
        lower, median, upper = np.quantile(result.replicated, [0.025, 0.5, 0.975])
        rows.append(
            {
                "check": result.name,
                "units": result.units,
                "observed": result.observed,
                "median": median,
                "lower": lower,
                "upper": upper,
                "p": result.p,
                "prior_p": result.prior_p,
            }
        )
    return pd.DataFrame(rows)
