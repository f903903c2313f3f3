"""A posterior as the prior of the next study, made robust by a vague component."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy import special

from bayesdep.data.errors import BadInput, NotConverged, did_you_mean
from bayesdep.inference.fit import Fit
from bayesdep.models.model import variable_of
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.fitted_mixtures import difference_of_cdf, effective_patients, fit_mixture
from bayesdep.numerics.marginals import NormalMixture
from bayesdep.planning.text import toml_value
from bayesdep.reporting.study import one_place

_POINTS = 4000  # quantiles that stand for a distribution known exactly
_FAR = 0.03  # largest difference of the distribution functions, beside Monte Carlo error
_NOISE = 1.36  # over the root of the number of draws: 95% of their largest differences (Kolmogorov)
_LOG_ODDS = "log odds"


@dataclass(frozen=True)
class NextPrior:
    """A prior made of an earlier posterior.

    Parameters
    ----------
    prior
        What goes into ``priors={...}``: a ``NormalMixture``, the vague component last.
    of
        What it is of, with units.
    difference
        Largest difference between the distribution functions of the posterior and of the normals that stand for it.
    robust_weight
        Weight of the vague component.
    patients, patients_robust
        How many patients the prior is worth without the vague component and with it (expected local information
        ratio); None where one patient's information is not known.
    """

    prior: Prior
    of: str
    difference: float
    robust_weight: float
    patients: float | None
    patients_robust: float | None

    def line(self, parameter: str) -> str:
        """Return the line of a plan's ``[priors]`` that states it.

        Parameters
        ----------
        parameter
            The next model's parameter.

        Returns
        -------
        str
            Of TOML.
        """
        return f"{parameter} = {toml_value(self.prior.to_dict())}"

    def __str__(self) -> str:
        count = len(self.prior["weights"]) - (self.robust_weight > 0)
        text = (
            f"{self.of}, as {count} normal{'s' * (count > 1)}, whose distribution function is off by "
            f"{self.difference:.3f} at most."
        )
        if self.robust_weight:
            mu, sigma = self.prior["mu"][-1], self.prior["sigma"][-1]
            text += f" The vague component, of mean {mu:.4g} and sd {sigma:.4g}, has weight {self.robust_weight:g}."
        if self.patients is not None and self.patients_robust is not None:
            text += f" The prior is worth {self.patients_robust:.1f} patients"
            text += f" ({self.patients:.1f} without the vague component)." if self.robust_weight else "."
        return f"{text}\n{self.line('PARAMETER')}"


def as_prior(
    fit: Fit,
    name: str | None = None,
    *,
    robust_weight: float,
    vague: Prior | None = None,
    unit_sd: float | None = None,
    at: Mapping[str, str] | None = None,
) -> NextPrior:
    """Return a posterior as the prior of a parameter of the next study.

    Of a meta-analysis it is the distribution of a new study's parameter: the meta-analytic-predictive prior (Schmidli,
    Gsteiger, Roychoudhury, O'Hagan, Spiegelhalter and Neuenschwander 2014, doi:10.1111/biom.12242). It is approximated
    by one to four normals (maximum likelihood, as long as Akaike's criterion improves); a vague normal of stated weight
    takes over where the next study's data conflict with it.

    Parameters
    ----------
    fit
        A fit that passed its gate.
    name
        The parameter: one that has a prior in the fit's model, on the real line; or the effect in a new study of a
        meta-analysis (``"theta_new"``, of patients ``"effect_new"``), which is also the default there.
    robust_weight
        Weight of the vague component: the probability, before the data, that the next study's parameter has nothing
        to do with the earlier ones. 0 leaves it out. There is no default; 0.1 to 0.5 are usual.
    vague
        The vague component, a Normal. Unless it is given: around the mean of the posterior, with one patient's
        information.
    unit_sd
        The sd from patient to patient on the parameter's scale, so that n patients have the information
        ``n / unit_sd ** 2``: of a mean, the outcome's sd. For log odds (``measure = "log-odds"``) it is not needed: the
        information of one patient is ``p (1 - p)``.
    at
        The coordinates of a parameter that has several values, label by dim.

    Returns
    -------
    NextPrior
        ``prior`` goes into ``priors={...}``; printed, it says how well it was approximated, how many patients it is
        worth and how a plan writes it.

    Raises
    ------
    NotConverged
        When the fit failed the gate.
    BadInput
        When there is no such parameter or it is not on the real line, a number is impossible, the width of the vague
        component is not known, or four normals are no approximation.

    Examples
    --------
    >>> import bayesdep as bd
    >>> import pandas as pd
    >>> placebo = pd.DataFrame({"study": list("abcd"), "effect": [-7.1, -5.8, -8.0, -6.5], "se": [0.9, 1.1, 1.2, 0.8]})
    >>> model = bd.Meta(measure="difference", units="points", scale=7)
    >>> found = bd.as_prior(bd.fit(model, placebo, seed=1), robust_weight=0.2, unit_sd=7)
    >>> found.prior["weights"][-1], found.prior["sigma"][-1]
    (0.2, 7.0)
    """
    if not fit.gate.passed:
        raise NotConverged(f"this fit cannot be a prior: {fit.gate.sentence}; run it again with more tuning draws")
    if isinstance(robust_weight, bool) or not 0 <= robust_weight < 1:
        raise BadInput(f"robust_weight = {robust_weight}, but a number from 0 to below 1 is needed, such as 0.2")
    if unit_sd is not None and not (np.isfinite(unit_sd) and unit_sd > 0):
        raise BadInput(f"unit_sd = {unit_sd}, but a number above zero is needed: the sd from patient to patient")
    values, units, meaning = _values(fit, name)
    place = one_place(values, at or {})
    label = f"{values.name}[{', '.join(place.values())}]" if place else str(values.name)
    draws, effective, noise = _distribution(fit, values.sel(place), place)
    weights, means, sds = _rounded(fit_mixture(draws, effective).mixture, 1 - robust_weight)
    informed = NormalMixture(weights / weights.sum(), means, sds)
    difference = difference_of_cdf(informed, draws)
    if difference > _FAR + noise:
        raise BadInput(
            f"'{label}' is not well described by a mixture of four normals, whose distribution function is "
            f"{difference:.2f} off; take a parameter whose posterior is smooth"
        )
    information = _information(units, unit_sd)
    if robust_weight > 0:
        mu, sigma = _vague(vague, informed.mean, information)
        weights, means, sds = np.append(weights, robust_weight), np.append(means, mu), np.append(sds, sigma)
    elif vague is not None:
        raise BadInput("vague is given, but robust_weight = 0 leaves it out; give it a weight such as 0.2")
    worth: list[float | None] = [None, None]
    if information is not None:
        worth = [effective_patients(one, information) for one in (informed, NormalMixture(weights, means, sds))]
    title = fit.data.attrs.get("title") or fit.data.attrs.get("source", "data")
    said = f"{'SYNTHETIC DATA: ' if fit.synthetic else ''}{meaning} ({label}): {type(fit.model).__name__} of {title}"
    prior = Prior("NormalMixture", weights=weights.tolist(), mu=means.tolist(), sigma=sds.tolist(), why=said)
    return NextPrior(prior, f"{meaning[:1].upper()}{meaning[1:]} ({units})", difference, robust_weight, *worth)


def _values(fit: Fit, name: str | None) -> tuple[xr.DataArray, str, str]:
    """The draws of a parameter with its units and meaning."""
    slots, new = fit.model.slots, fit.model.forest.prediction
    known = [*([new] if new else []), *(slot for slot in slots if slots[slot].support == "real")]
    if name is None and new is None:
        raise BadInput(f"name the parameter whose posterior is to be a prior; {did_you_mean('', known)}")
    name = name or str(new)
    if name == new:
        values = fit.estimands[name]
        return values, str(values.attrs["units"]), str(values.attrs["description"])
    if name in slots and name not in known:
        raise BadInput(
            f"'{name}' does not take all real values, which a mixture of normals does; {did_you_mean(name, known)}"
        )
    if name not in slots:
        raise BadInput(f"'{name}' is no parameter that has a prior in this fit's model; {did_you_mean(name, known)}")
    values = fit.posterior[variable_of(fit.model, name)].rename(name)
    return values, slots[name].units, slots[name].meaning.removeprefix("the ")


def _distribution(fit: Fit, values: xr.DataArray, place: Mapping[str, str]) -> tuple[np.ndarray, float, float]:
    """Draws, how many independent ones they are worth, and the Monte Carlo error of their distribution function."""
    exact = fit.exact if fit.is_exact else None
    marginal = None if exact is None else exact.marginals.get((str(values.name), tuple(place.items())))
    if marginal is not None:
        return np.asarray(marginal.quantile((np.arange(_POINTS) + 0.5) / _POINTS)), float(_POINTS), 0.0
    draws = values.transpose("chain", "draw").values
    effective = float(draws.size)
    if not fit.is_exact:
        effective = min(effective, float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")))
    return draws.ravel(), effective, float(_NOISE / np.sqrt(effective))


def _rounded(of: NormalMixture, total: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights that add to a total, means and sds, with as many decimals as a plan has to show."""
    weights = np.round(of.weights * total, 4)
    kept = weights > 0
    weights[0] += total - weights.sum()
    digits = 3 - int(np.floor(np.log10(of.sds[kept].min())))
    return np.round(weights[kept], 12), np.round(of.means[kept], digits), np.round(of.sds[kept], digits)


def _information(units: str, unit_sd: float | None) -> Callable[[np.ndarray], np.ndarray] | None:
    """One patient's Fisher information on a parameter, at its values; None where it is not known."""
    if unit_sd is not None:
        return lambda x: np.full(np.shape(x), 1 / unit_sd**2)
    return (lambda x: special.expit(x) * special.expit(-x)) if units == _LOG_ODDS else None


def _vague(
    vague: Prior | None, centre: float, information: Callable[[np.ndarray], np.ndarray] | None
) -> tuple[float, float]:
    """Mean and sd of the vague component."""
    if vague is not None and (not isinstance(vague, Prior) or vague.dist != "Normal" or vague.times_scale):
        raise BadInput(f"vague = {vague!r}, but a Normal in the parameter's units is needed: bd.Prior('Normal', mu=0, "
                       "sigma=10)")  # fmt: skip
    if vague is not None:
        return vague["mu"], vague["sigma"]
    if information is None:
        raise BadInput(
            "how wide the vague component is depends on what one patient tells; give unit_sd, the sd from patient to "
            "patient, or vague = bd.Prior('Normal', mu=0, sigma=10)"
        )
    sd = float(1 / np.sqrt(information(np.array(centre))))
    return tuple(float(f"{value:.4g}") for value in (centre, sd))  # type: ignore[return-value]  # two
