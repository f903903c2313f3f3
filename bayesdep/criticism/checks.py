"""Posterior and prior predictive checks: test quantities of the data, compared with those of replicates."""

import numpy as np
import pandas as pd

from bayesdep.inference.fit import Fit
from bayesdep.inference.predictive import CheckResult


def run_checks(fit: Fit) -> list[CheckResult]:
    """Run the model's predictive checks.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    list of CheckResult
        In the model's order.
    """
    return list(fit.check_results)


def check_predictions(fit: Fit) -> pd.DataFrame:
    """Tabulate the model's predictive checks.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        One row per test quantity: ``check``, ``units``, ``observed``, the replicates' ``median``, ``lower`` and
        ``upper`` (95%), ``p`` (share of replicates above the data, ties counted half) and ``prior_p``.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> bd.check_predictions(fit)["check"].to_list()
    ['lowest effect', 'highest effect', 'skewness of effects', "Cochran's Q"]
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
