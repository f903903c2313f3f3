"""Which prior matters: power-scaling of one prior, or of a named group of priors, at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.criticism.sensitivity import diagnose_sensitivity, power_scaling_sensitivity, total_density
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.fit import Fit, cached_on_fit
from bayesdep.inference.numbers import check_level
from bayesdep.inference.primary import default_primary
from bayesdep.inference.ropes import values_at
from bayesdep.models.model import variable_of
from bayesdep.models.parts.contrasts import is_term_of_slot
from bayesdep.numerics.importance import smooth_weights

ALL = "all priors"
POWERS = (0.8, 0.9, 1.0, 1.12, 1.25)
_EXAMPLE = '{"spreads": ["tau"]}'

type Groups = Mapping[str, Sequence[str]]


def check_each_prior(fit: Fit, groups: Groups | None = None) -> pd.DataFrame:
    """Power-scale one prior at a time, and measure how much each primary estimand moves.

    As :func:`check_prior_sensitivity`, which scales all priors at once: the posterior is reweighted, without a refit,
    as if one prior had been raised to a power near one, the others left as they are (Kallioinen et al. 2024,
    doi:10.1007/s11222-023-10366-5). Two priors that pull in opposite directions can matter although all at once do
    not.

    Parameters
    ----------
    fit
        Any fit. Its primary estimands are those of :meth:`~bayesdep.Fit.with_primary` or the model's own.
    groups
        Priors that are scaled together, by a name of your own: ``{"spreads": ["tau", "baseline_sd"]}``. Each prior on
        its own unless given.

    Returns
    -------
    pandas.DataFrame
        One row per value of a primary estimand and prior or group, and one for all priors at once: ``estimand``,
        ``at``, ``prior`` (its name), ``sensitivity`` and ``diagnosis``, as in :func:`check_prior_sensitivity`. A
        number needed to treat is judged by the difference that it is one over, and the exponential of an estimand by
        that estimand.

    Raises
    ------
    BadInput
        When a group names a prior that the fit does not have.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> bd.check_each_prior(fit.with_primary("mu"))[["prior", "diagnosis"]].to_numpy().tolist()
    [['all priors', 'robust'], ['mu', 'robust'], ['tau', 'robust']]
    """
    if groups is None:
        return _each_alone(fit)
    return _check(fit, groups)


@cached_on_fit
def _each_alone(fit: Fit) -> pd.DataFrame:
    return _check(fit, None)


def _check(fit: Fit, groups: Groups | None) -> pd.DataFrame:
    densities, judged = _densities(fit, groups), list(_judged(fit))
    rows = []
    if judged:
        values = np.stack([draws for _, _, _, draws in judged], axis=2)
        for name, density in densities.items():
            for (estimand, at, _, _), moved in zip(judged, power_scaling_sensitivity(values, density), strict=True):
                rows.append(
                    {"estimand": estimand, "at": at, "prior": name, "sensitivity": float(moved),
                     "diagnosis": diagnose_sensitivity(moved)}
                )  # fmt: skip
    table = pd.DataFrame(rows, columns=["estimand", "at", "prior", "sensitivity", "diagnosis"])
    order = {f"{name}|{at}": k for k, (name, at, _, _) in enumerate(judged)}
    place = (table["estimand"] + "|" + table["at"]).map(order)
    return table.iloc[np.argsort(place.to_numpy(dtype=float), kind="stable")].reset_index(drop=True)


def scale_priors(
    fit: Fit, groups: Groups | None = None, *, powers: Sequence[float] = POWERS, level: float = 0.95
) -> pd.DataFrame:
    """Follow each primary estimand as one prior is raised to powers below and above one.

    Below one a prior is weakened, above one it is strengthened: a normal prior raised to the power a has its standard
    deviation divided by the square root of a. Draws are weighted by the prior's density to the power a - 1, and the
    weights smoothed; the shape of their tail says whether they can be trusted.

    Parameters
    ----------
    fit
        Any fit.
    groups
        As in :func:`check_each_prior`.
    powers
        Above zero.
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per value of a primary estimand, prior or group, and power: ``estimand``, ``at``, ``prior``, ``power``,
        ``median``, ``lower``, ``upper`` (equal-tailed), ``pareto_k`` (above 0.7 the row is not to be trusted: fit again
        with that prior), ``ess`` (effective number of draws after weighting) and ``units``. At power one they are of
        the draws, also where the posterior is known exactly.

    Raises
    ------
    BadInput
        When a group names a prior that the fit does not have, or a power is not above zero.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1).with_primary("mu")
    >>> moved = bd.scale_priors(fit, powers=[0.8, 1, 1.25]).set_index(["prior", "power"])
    >>> bool(moved.loc[("mu", 1), "ess"] > moved.loc[("mu", 0.8), "ess"])
    True
    """
    check_level(level)
    wanted = _read_powers(powers)
    tails = [(1 - level) / 2, 0.5, (1 + level) / 2]
    rows = []
    weighted = [
        (name, power, *_weights(density, power))
        for name, density in _densities(fit, groups).items()
        for power in wanted
    ]
    units = {name: str(values.attrs.get("units", "")) for name, values in fit.estimands.data_vars.items()}
    for estimand, at, own, _ in _judged(fit):
        order = np.argsort(own.ravel(), kind="stable")
        ascending = own.ravel()[order]
        for name, power, weights, k in weighted:
            lower, median, upper = _quantiles(ascending, weights[order], tails)
            rows.append(
                {"estimand": estimand, "at": at, "prior": name, "power": power, "median": median, "lower": lower,
                 "upper": upper, "pareto_k": k, "ess": 1 / float((weights**2).sum()),
                 "units": units[estimand]}
            )  # fmt: skip
    columns = ["estimand", "at", "prior", "power", "median", "lower", "upper", "pareto_k", "ess", "units"]
    return pd.DataFrame(rows, columns=columns)


def priors_in(fit: Fit) -> dict[str, str]:
    """Return the priors of a fit that can be scaled, and the variable of the model that each is of.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    dict of str
        By name; without those of parameters that this table does not need, as changes over time of a single visit.
    """
    known = fit.tree["log_prior"].to_dataset().data_vars
    named = {slot: variable_of(fit.model, slot) for slot in fit.model.slots}
    return {slot: of for slot, of in named.items() if any(is_term_of_slot(str(term), {of}) for term in known)}


def _densities(fit: Fit, groups: Groups | None) -> dict[str, np.ndarray]:
    """The log densities of all priors at once and of each group, (chain, draw)."""
    log_prior, variables = fit.tree["log_prior"].to_dataset(), priors_in(fit)
    stated = {name: [name] for name in variables} if groups is None else _read_groups(groups, variables)
    named = stated if [*stated.values()] == [[*variables]] else {ALL: [*variables], **stated}

    def summed(members: Sequence[str]) -> np.ndarray:
        of = {variables[member] for member in members}
        terms = [name for name in log_prior.data_vars if is_term_of_slot(str(name), of)]
        return np.asarray(total_density(log_prior[terms]).transpose("chain", "draw").values)

    return {name: summed(members) for name, members in named.items() if members}


def _read_groups(groups: Any, known: Mapping[str, str]) -> dict[str, list[str]]:
    if not isinstance(groups, Mapping):
        raise BadInput(f"groups is {groups!r}; write it as {_EXAMPLE}")
    found = {}
    for name, members in groups.items():
        if not isinstance(name, str) or isinstance(members, str) or not isinstance(members, Sequence) or not members:
            raise BadInput(f"groups: {name!r} is {members!r}; name its priors in a list, as in {_EXAMPLE}")
        if name == ALL:
            raise BadInput(f"groups: '{ALL}' is the name of all of them, which is always there; choose another name")
        for member in members:
            if member not in known:
                raise BadInput(f"groups: '{member}' in '{name}' is no prior of this fit; {did_you_mean(member, known)}")
        found[name] = list(dict.fromkeys(members))
    return found


def _read_powers(powers: Any) -> list[float]:
    try:
        found = [float(power) for power in powers]
    except (TypeError, ValueError):
        found = []
    if not found or not all(0 < power < np.inf for power in found):
        raise BadInput(
            f"powers = {powers!r} are not all numbers above zero; give some around 1, such as [0.8, 1, 1.25]"
        )
    return sorted(found)


def _judged(fit: Fit) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Each value of a primary estimand: name, labels, its draws, and those on the scale by which it is judged.

    Probabilities, constants and what is undefined at a draw are left out.
    """
    told, estimands = set(), fit.estimands
    for one in fit.primary or default_primary(fit.model, estimands):
        name = str(estimands[one.estimand].attrs.get("reciprocal_of", one.estimand))
        attrs = estimands[name].attrs
        if "probability" in attrs:
            continue
        source = str(attrs.get("monotone_of", name))
        for at, draws in values_at(estimands, name, one.at):
            label = ", ".join(text for _, text in at)
            own, of_source = draws.values, _at(estimands[source], at)
            usable = np.isfinite(own).all() and np.isfinite(of_source).all() and np.ptp(own) > 0
            if usable and (name, label) not in told:
                told.add((name, label))
                yield name, label, own, of_source


def _at(values: xr.DataArray, at: Sequence[tuple[str, str]]) -> np.ndarray:
    place = {d: list(map(str, values[d].values)).index(label) for d, label in at if d in values.dims}
    return np.asarray(values.isel(place).transpose("chain", "draw").values, dtype=float)


def _weights(density: np.ndarray, power: float) -> tuple[np.ndarray, float]:
    """Smoothed weights of the draws, chains one after the other, and the shape of their tail."""
    log_ratio = (power - 1) * density
    if power == 1 or np.ptp(log_ratio) == 0:
        return smooth_weights(np.zeros(density.size))
    with np.errstate(all="ignore"):
        ess = float(array_stats.ess(log_ratio, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)))
    relative = min(ess / density.size, 1.0) if ess > 0 else 1.0
    return smooth_weights(log_ratio.ravel(), relative)


def _quantiles(ascending: np.ndarray, weights: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """Quantiles of weighted draws; with equal weights those of :func:`numpy.quantile`."""
    # each draw stands in the middle of its weight, stretched so that the first is at 0 and the last at 1
    middle = np.cumsum(weights) - weights / 2
    middle = (middle - middle[0]) / (middle[-1] - middle[0])
    return np.interp(at, middle, ascending)
