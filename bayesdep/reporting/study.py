"""A trial's posterior as one row of a meta-analysis."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, NotConverged, did_you_mean
from bayesdep.inference.fit import Fit
from bayesdep.inference.named_estimands import require_estimand
from bayesdep.models.model import PoolsStudies
from bayesdep.models.parts.contrasts import is_term_of_slot

_SHIFT = 0.1  # largest shift of the mean by the priors, in posterior sds
_SHRINK = 0.05  # largest reduction of the sd by the priors


def as_study(
    fit: Fit, study: str, *, estimand: str = "difference", at: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return a trial's posterior as a row that ``Meta(input="estimates")`` reads.

    A meta-analysis treats the effect as an estimate with a known standard error, that is, as a likelihood. A posterior
    mean and sd can be used so only if the trial's own priors contributed almost nothing; otherwise they would be
    counted as data. So the priors may have moved the mean by at most a tenth of the sd, and reduced the sd by at most
    5%; fit the trial under wide priors. Both are computed to first order, by power-scaling the priors (Kallioinen et
    al. 2024, doi:10.1007/s11222-023-10366-5): the mean moved by the posterior covariance of effect and log prior, and
    the sd shrank by minus half the covariance of the squared standardised effect and the log prior. A posterior that is
    far from normal should not be summarised in this way either.

    Parameters
    ----------
    fit
        A fit of a trial, such as :class:`~bayesdep.models.crossover.model.Crossover` or
        :class:`~bayesdep.models.trial.model.Trial`, that passed the gate.
    study
        The trial's name in the meta-analysis.
    estimand
        Name of the estimand that is its effect: a difference, or another on a scale with zero for no effect.
    at
        The estimand's coordinates, label by dim, such as ``{"day": "2"}``; those with one label may be left out.

    Returns
    -------
    pandas.DataFrame
        One row: ``study``, ``effect`` (posterior mean), ``se`` (posterior sd) and ``source`` (in words, with units).
        Rows of several trials are put together with :func:`pandas.concat`. ``attrs["synthetic"]`` says whether the
        trial's data were simulated, as the source does too, and a column ``origin``, which tables put together keep.

    Raises
    ------
    NotConverged
        When the fit failed the gate.
    BadInput
        When there is no such estimand or coordinate, zero is not its value of no effect, or the priors contributed
        too much.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week == 12")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week"}
    >>> flat = {"arm_effect": bd.Prior("Normal", mu=0, sigma=100)}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", priors=flat, **columns)
    >>> fit = bd.fit(model, visits, seed=1)  # doctest: +SKIP
    >>> table = bd.as_study(fit, "Raison 2013")  # doctest: +SKIP
    """
    if isinstance(fit.model, PoolsStudies):
        raise BadInput("this fit is a meta-analysis, not a trial; put the trials' own rows together instead")
    if not fit.gate.passed:
        raise NotConverged(
            f"this fit cannot enter a meta-analysis: {fit.gate.sentence}; run it again with more tuning draws"
        )
    require_estimand(estimand, fit.estimands)
    attrs = fit.estimands[estimand].attrs
    if float(attrs.get("null", 0.0)) != 0 or "reciprocal_of" in attrs:  # NaN is no zero either
        raise BadInput(f"'{estimand}' is not on a scale with zero for no effect; choose a difference or a log ratio")
    place = one_place(fit.estimands[estimand], at or {})
    draws = fit.estimands[estimand].sel(place).transpose("chain", "draw").values
    sd = float(draws.std(ddof=1))
    label = estimand + (f"[{', '.join(place.values())}]" if place else "")
    _refuse_informed(fit, label, (draws - draws.mean()) / sd)
    title = fit.data.attrs.get("title") or fit.data.attrs.get("source", "data")
    source = f"posterior of {label} in {attrs['units']}: {type(fit.model).__name__} of {title}"
    row = {
        "study": study,
        "effect": float(draws.mean()),
        "se": sd,
        "source": f"SYNTHETIC DATA: {source}" if fit.synthetic else source,
    }
    if fit.synthetic:
        row["origin"] = "synthetic, as the trial's data"  # a column, so that rows put together with others still say so
    table = pd.DataFrame([row])
    table.attrs = {"synthetic": fit.synthetic}
    return table


def _refuse_informed(fit: Fit, label: str, z: np.ndarray) -> None:
    """Refuse an effect (z: its standardised draws) to which the priors contributed too much."""
    terms = fit.tree["log_prior"].to_dataset()
    # the priors that a user can replace
    kept = [terms[name] for name in terms.data_vars if is_term_of_slot(str(name), fit.model.slots)]
    log_prior = sum(x.sum([d for d in x.dims if d not in ("chain", "draw")]).transpose("chain", "draw") for x in kept)
    away = np.asarray(log_prior) - float(np.mean(log_prior))
    shift, shrink = abs(float((z * away).mean())), -float((z**2 * away).mean()) / 2
    if shift > _SHIFT or shrink > _SHRINK:
        raise BadInput(
            f"the priors moved '{label}' by {shift:.2f} standard errors and narrowed it by {max(shrink, 0):.0%}, which "
            "a meta-analysis would count as data; fit the trial under wider priors"
        )


def one_place(values: xr.DataArray, at: Mapping[str, str]) -> dict[str, str]:
    """Check coordinates against an estimand's, and add those with one label.

    Parameters
    ----------
    values
        Draws, and a value for each label of their other dims.
    at
        Labels by dim.

    Returns
    -------
    dict of str
        A label of every dim.

    Raises
    ------
    BadInput
        Where a dim or label does not exist, or one of several has to be chosen.
    """
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    for dim in at:
        if dim not in dims:
            raise BadInput(
                f"at: '{values.name}' has no dim '{dim}'; {did_you_mean(dim, dims) if dims else 'leave it out'}"
            )
    place = {}
    for dim in dims:
        labels = [str(v) for v in values[dim].values]
        if dim not in at and len(labels) > 1:
            raise BadInput(f"'{values.name}' has a value for each {dim}; add at={{'{dim}': '{labels[-1]}'}} or another")
        place[dim] = str(at.get(dim, labels[0]))
        if place[dim] not in labels:
            raise BadInput(f"at: '{place[dim]}' is no {dim} of '{values.name}'; {did_you_mean(place[dim], labels)}")
    return place
