"""Missing information: the uncertainty that comes from imputed values or from conversions of a scale."""

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import diagnose
from bayesdep.inference.fit import Fit

_NUMBERS = ["estimand", "mean", "sd", "sd_within", "sd_between", "fraction_missing", "units"]


def check_missing_information(fit: Fit) -> pd.DataFrame:
    """Tabulate each estimand's variance within and between versions of the data, and its missing information.

    With the mean posterior variance W within versions and the variance B of their means, less its Monte Carlo part, the
    fraction of missing information is about ``(1 + 1/m) B / (W + (1 + 1/m) B)`` for m versions (Rubin 1987,
    doi:10.1002/9780470316696). A hundred times that fraction is a sufficient number of versions (White, Royston and
    Wood 2011, doi:10.1002/sim.4067).

    Parameters
    ----------
    fit
        A fit to several tables, or of a model that imputed missing values.

    Returns
    -------
    pandas.DataFrame
        One row per estimand and coordinates: ``estimand``, a column for each dim, ``mean`` and ``sd`` of all draws,
        ``sd_within``, ``sd_between``, ``fraction_missing`` and ``units``. ``attrs["tables"]`` is m and
        ``attrs["dims"]`` names the columns of coordinates.

    Raises
    ------
    BadInput
        When the fit has one version of its data.

    Examples
    --------
    >>> import bayesdep as bd
    >>> priors = {"mu": bd.Prior("Normal", mu=0, sigma=50), "tau": bd.Prior("HalfNormal", sigma=5)}
    >>> model = bd.Meta(measure="difference", units="points", study="school", priors=priors)
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> versions = [schools.assign(effect=schools["effect"] + error) for error in (-4, 0, 4)]
    >>> fit = bd.fit(model, versions, draws=500, sampler="exact")
    >>> check_missing_information(fit).set_index("estimand").loc["mu", "sd_between"].round()
    np.float64(4.0)
    """
    if fit.tables < 2:
        raise BadInput("this fit is of one table, in which nothing was imputed; give bd.fit several tables")
    rows = []
    for name, values in fit.estimands.data_vars.items():
        if "reciprocal_of" in values.attrs:
            continue  # it has no finite variance; see the estimand that it is one over
        dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
        array = values.transpose("chain", "draw", *dims).values.astype(float)
        for index in np.ndindex(array.shape[2:]):
            draws = array[(slice(None), slice(None), *index)]
            each = np.split(draws, fit.tables)
            within = float(np.mean([x.var(ddof=1) for x in each]))
            sampling = float(np.mean([x.var(ddof=1) / max(diagnose(x)[1], 1.0) for x in each])) if within > 0 else 0.0
            between = max(float(np.var([x.mean() for x in each], ddof=1)) - sampling, 0.0)
            extra = (1 + 1 / fit.tables) * between
            rows.append(
                {
                    "estimand": str(name),
                    **{d: values[d].values[i] for d, i in zip(dims, index, strict=True)},
                    "mean": float(draws.mean()),
                    "sd": float(draws.std(ddof=1)),
                    "sd_within": within**0.5,
                    "sd_between": between**0.5,
                    "fraction_missing": extra / (within + extra) if within > 0 else np.nan,
                    "units": str(values.attrs["units"]),
                }
            )
    result = pd.DataFrame(rows)
    dims = [c for c in result.columns if c not in _NUMBERS]
    result = result[["estimand", *dims, *_NUMBERS[1:]]]
    result.attrs = {"gate_passed": fit.gate.passed, "tables": fit.tables, "synthetic": fit.synthetic, "dims": dims}
    return result
