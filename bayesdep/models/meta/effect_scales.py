"""Other scales on which an effect is reported: ratios, risks, and what follows for people at a control risk."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesdep.models.meta.settings import MetaSettings


@dataclass(frozen=True)
class EffectScale:
    """Another scale for an effect: an increasing function of it.

    Parameters
    ----------
    name
        Of the estimand.
    f, inverse
        The function and its inverse, on arrays.
    description, units
        What it is; ``{}`` stands for the effect's description. Empty where its word "effect" is replaced by the units.
    null
        Its value where there is no effect; NaN where there is none.
    kink
        The effect at which the function is not smooth, if any.
    """

    name: str
    f: Callable[[Any], Any]
    inverse: Callable[[np.ndarray], np.ndarray]
    description: str
    units: str
    null: float = 0.0
    kink: float | None = None

    def describe(self, effect: str) -> str:
        """Return what an effect on this scale is, from what the effect is."""
        return self.description.format(effect) if self.description else effect.replace("effect", self.units, 1)

    @property
    def names(self) -> dict[str, str]:
        """Names of the estimands by the effect they are of; absolute effects are not reported of single studies."""
        names = {"mu": self.name, "theta": f"{self.name}_theta", "theta_new": f"{self.name}_new"}
        if self.name not in ("ratio", "risk"):
            del names["theta"]
        return names


def effect_scales(settings: MetaSettings) -> list[EffectScale]:
    """Return the scales on which an effect is reported beside its own.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    list of EffectScale
        The ratio of a log ratio; the risk of log odds; with a control risk, what follows for the treated.
    """
    if settings.is_log:
        ratio = settings.measure.removeprefix("log-").replace("-", " ")
        scales = [EffectScale("ratio", np.exp, np.log, "", ratio, 1.0)]
        p = settings.control_risk
        return scales + ([] if p is None else _at_control_risk(settings.measure, p))
    if settings.measure == "log-odds":
        return [EffectScale("risk", special.expit, special.logit, "{}, as a probability", "probability", np.nan)]
    return []


def _at_control_risk(measure: str, p: float) -> list[EffectScale]:
    """What an effect means where a share p of the controls has the event."""
    where = f"where {100 * p:g}% of controls have the event: {{}}"
    risk, inverse, kink = _treated_by_odds(p) if measure == "log-odds-ratio" else _treated_by_risks(p)
    scales = [
        EffectScale("risk_treated", risk, inverse, f"{where}, as the risk if treated", "probability", p, kink),
        EffectScale(
            "risk_difference",
            lambda x: risk(x) - p,
            lambda difference: inverse(p + difference),
            f"{where}, as a risk difference",
            "risk difference",
            0.0,
            kink,
        ),
    ]
    if measure == "log-odds-ratio":
        as_ratio = f"{where}, as a risk ratio"
        scales.append(
            EffectScale(
                "risk_ratio", lambda x: risk(x) / p, lambda ratio: inverse(p * ratio), as_ratio, "risk ratio", 1.0
            )
        )
    return scales


type _Treated = tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray], float | None]


def _treated_by_odds(p: float) -> _Treated:
    """The risk of the treated at a log odds ratio, its inverse, and no kink."""
    log_odds = special.logit(p)
    return (lambda x: special.expit(log_odds + x)), (lambda risk: special.logit(risk) - log_odds), None


def _treated_by_risks(p: float) -> _Treated:
    """The risk of the treated at a log risk ratio, which ends at 1; its inverse; and where it ends."""
    return (lambda x: np.minimum(p * np.exp(x), 1.0)), (lambda risk: np.log(risk / p)), float(-np.log(p))
