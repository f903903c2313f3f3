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

_SHIFT = 0.1  # posterior sds by which priors may have moved the mean
_SHRINK = 0.05  # share by which priors may have narrowed the sd


def as_study(
    fit: Fit, study: str, *, estimand: str = "difference", at: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return a trial's posterior as a row that ``Meta(input="estimates")`` reads.

    A meta-analysis takes the effect for an estimate with a known standard error: for a likelihood. A posterior mean and
    sd are one only as far as the trial's own priors added nothing, or these would be counted as data. So the priors may
    have moved the mean by no more than a tenth of the sd, and narrowed the sd by no more than 5%; fit the trial under
    wide priors. How far they did is told to first order, by power-scaling them away (Kallioinen et al. 2024,
    doi:10.1007/s11222-023-10366-5): the mean moved by the posterior covariance of effect and log prior, and the sd
    shrank by minus half that of the squared standardised effect and log prior. A posterior that is far from normal is
    not summed up by two numbers either.

    Parameters
    ----------
    fit
        A fit of a trial, such as :class:`~bayesdep.models.crossover.model.Crossover` or
        :class:`~bayesdep.models.trial.model.Trial`, that passed the gate.
    study
        What the trial is called in the meta-analysis.
    estimand
        Name of the estimand that is its effect: a difference, or another on a scale with zero for no effect.
    at
        The estimand's coordinates, label by dim, such as ``{"day": "2"}``; those with one label may be left out.

    Returns
    -------
    pandas.DataFrame
        One row: ``study``, ``effect`` (posterior mean), ``se`` (posterior sd) and ``source`` (in words, with units).
        Rows of several trials are put together with :func:`pandas.concat`. ``attrs["synthetic"]`` says whether the
        trial's data were simulated, as the source does too.

    Raises
    ------
    NotConverged
        When the fit failed the gate.
    BadInput
        When there is no such estimand or coordinate, it has no zero for no effect, or the
        priors had too much to say.
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
    place = _place(fit.estimands[estimand], at or {})
    draws = fit.estimands[estimand].sel(place).transpose("chain", "draw").values
    sd = float(draws.std(ddof=1))
    label = estimand + (f"[{', '.join(place.values())}]" if place else "")
    _refuse_informed(fit, label, (draws - draws.mean()) / sd)
    of = fit.data.attrs.get("title") or fit.data.attrs.get("source", "data")
    source = f"posterior of {label} in {attrs['units']}: {type(fit.model).__name__} of {of}"
    row = {
        "study": study,
        "effect": float(draws.mean()),
        "se": sd,
        "source": f"SYNTHETIC DATA: {source}" if fit.synthetic else source,
    }
    table = pd.DataFrame([row])
    table.attrs = {"synthetic": fit.synthetic}
    return table


def _refuse_informed(fit: Fit, label: str, z: np.ndarray) -> None:
    """Refuse an effect, here in posterior sds from its mean, that the priors have moved or narrowed."""
    terms = fit.tree["log_prior"].to_dataset()
    # those that a user can replace
    kept = [terms[name] for name in terms.data_vars if is_term_of_slot(str(name), fit.model.slots)]
    log_prior = sum(x.sum([d for d in x.dims if d not in ("chain", "draw")]).transpose("chain", "draw") for x in kept)
    away = np.asarray(log_prior) - float(np.mean(log_prior))
    shift, shrink = abs(float((z * away).mean())), -float((z**2 * away).mean()) / 2
    if shift > _SHIFT or shrink > _SHRINK:
        raise BadInput(
            f"the priors moved '{label}' by {shift:.2f} standard errors and narrowed it by {max(shrink, 0):.0%}, which "
            "a meta-analysis would take for data; fit the trial under wider priors"
        )


def _place(values: xr.DataArray, at: Mapping[str, str]) -> dict[str, str]:
    """Check coordinates against an estimand's, and add those that need not be said."""
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    for dim in at:
        if dim not in dims:
            raise BadInput(
                f"at: '{values.name}' has no dim '{dim}'; {did_you_mean(dim, dims) if dims else 'leave it out'}"
            )
    found = {}
    for dim in dims:
        known = [str(v) for v in values[dim].values]
        if dim not in at and len(known) > 1:
            raise BadInput(f"'{values.name}' has a value for each {dim}; add at={{'{dim}': '{known[-1]}'}} or another")
        found[dim] = str(at.get(dim, known[0]))
        if found[dim] not in known:
            raise BadInput(f"at: '{found[dim]}' is no {dim} of '{values.name}'; {did_you_mean(found[dim], known)}")
    return found
