"""The HAM-D of Raison 2013 item by item: the same 60 patients and visits, 17 scores at each.

The paper names the items that differed between arms (Figure 5's caption; Results): with hs-CRP above 5 mg/L psychic
anxiety, retardation, work and activities, suicide and depressed mood improved more on infliximab; at or below 5 mg/L
anhedonia (the item of work and activities), retardation and psychic anxiety did so too, and hypochondriasis, general
somatic symptoms and guilt on placebo. These directions are the truth here. It prints no scores of items: how often each
score is had, how strongly items are correlated, the spread of patients and the sizes of effects are ours. Patients,
visits missed, hs-CRP, the mean of the sum at baseline, its sds and two differences of it are the paper's, as in
:mod:`bayesdep.designs.raison2013`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from bayesdep.designs import raison2013 as trial
from bayesdep.designs.simulated import Simulated

# Ours: how often each score is had at baseline by a typical patient, and the item's discrimination.
ITEMS: dict[str, tuple[tuple[float, ...], float]] = {
    "depressed mood": ((0.01, 0.05, 0.30, 0.50, 0.14), 2.2),
    "guilt": ((0.05, 0.20, 0.45, 0.25, 0.05), 1.3),
    "suicide": ((0.25, 0.42, 0.30, 0.025, 0.005), 1.2),  # 3 or more at screening was an exclusion (Methods)
    "insomnia early": ((0.30, 0.30, 0.40), 0.7),
    "insomnia middle": ((0.20, 0.35, 0.45), 0.7),
    "insomnia late": ((0.35, 0.30, 0.35), 0.6),
    "work and activities": ((0.02, 0.08, 0.30, 0.45, 0.15), 1.8),
    "retardation": ((0.20, 0.45, 0.28, 0.06, 0.01), 1.2),
    "agitation": ((0.30, 0.40, 0.24, 0.05, 0.01), 0.8),
    "psychic anxiety": ((0.04, 0.16, 0.40, 0.32, 0.08), 1.4),
    "somatic anxiety": ((0.08, 0.27, 0.40, 0.20, 0.05), 1.1),
    "gastrointestinal": ((0.55, 0.33, 0.12), 0.8),
    "general somatic": ((0.05, 0.35, 0.60), 1.1),
    "genital": ((0.20, 0.35, 0.45), 0.7),
    "hypochondriasis": ((0.45, 0.33, 0.16, 0.05, 0.01), 0.6),
    "weight loss": ((0.75, 0.15, 0.10), 0.5),
    "insight": ((0.90, 0.08, 0.02), 0.3),
}
# Ours: log odds of a worse score on infliximab at week 12 beyond severity, and per log unit of hs-CRP. Directions: the
# paper's.
DEPARTURE = {
    "psychic anxiety": -0.6, "retardation": -0.6, "work and activities": -0.6,
    "hypochondriasis": 0.6, "general somatic": 0.6, "guilt": 0.6,
}  # fmt: skip
BY_CRP = {"depressed mood": -0.3, "suicide": -0.3}
# Ours: the sd of a patient's severity at a visit around their own line, how level and change are correlated, the
# change of severity by week 12 per log unit of hs-CRP on both arms, and the share of scores that are missing.
VISIT_SD, CORRELATION, CHANGE_BY_CRP, MISSING = 0.15, 0.0, 0.2, 0.01

_PLACES = np.linspace(-6, 6, 61)
_WEIGHTS = stats.norm.pdf(_PLACES) / stats.norm.pdf(_PLACES).sum()
_ABOVE_5 = (np.arange(40) + 0.5) / 40  # quantiles over which the subgroup's mean is taken


def _effects(of_item: dict[str, float]) -> np.ndarray:
    return np.array([of_item.get(name, 0.0) for name in ITEMS])


@dataclass(frozen=True)
class _Scale:
    """Severity, in log odds of a worse score of a typical item, such that the published numbers are met.

    ``shift`` by week is the mean without treatment effects; ``effect`` and ``by_crp`` are infliximab's at week 12.
    """

    level_sd: float
    slope_sd: float
    shift: np.ndarray
    effect: float
    by_crp: float


def discriminations() -> np.ndarray:
    """Return discriminations of the items, with a geometric mean of 1."""
    a = np.array([a for _, a in ITEMS.values()])
    return np.asarray(a / np.exp(np.log(a).mean()))


@cache
def _thresholds() -> np.ndarray:
    """Thresholds by item, infinite where an item has fewer."""
    found = np.full((len(ITEMS), 4), np.inf)
    for m, (shares, _) in enumerate(ITEMS.values()):
        found[m, : len(shares) - 1] = special.logit(np.cumsum(shares)[:-1])
    return found


def _moments(mean: float, sd: float, beside: np.ndarray) -> tuple[np.ndarray, float]:
    """Means of the items, and the sd of their sum, of patients whose severity is normal."""
    level = (mean + sd * _PLACES)[:, None] * discriminations() + beside
    above = special.expit(level[..., None] - _thresholds())
    item = above.sum(axis=-1)
    squares = (above * (2 * np.arange(4) + 1)).sum(axis=-1)  # E[y^2] is the sum of (2 k + 1) P(y > k)
    total = item.sum(axis=-1)
    within = (squares - item**2).sum(axis=-1)
    average = _WEIGHTS @ total
    return _WEIGHTS @ item, float(np.sqrt(_WEIGHTS @ (within + total**2) - average**2))


@cache
def scale() -> _Scale:
    """Return the severities that meet the published mean, sds and differences of the sum."""
    none = np.zeros(len(ITEMS))
    mean = float(np.mean([m for m, _ in trial.HAMD]))
    sd = float(np.sqrt(np.mean([s**2 for _, s in trial.HAMD])))
    levels = trial.CHANGE * np.expm1(-np.array(trial.WEEKS) / trial.LEVELS_OFF) / np.expm1(-12 / trial.LEVELS_OFF)

    def at(total: float, spread: float) -> float:
        return float(optimize.brentq(lambda m: _moments(m, spread, none)[0].sum() - total, -6, 6))

    def spread(total: float, wanted: float) -> float:
        return float(optimize.brentq(lambda s: _moments(at(total, s), s, none)[1] - wanted, 0.01, 3))

    first, last = spread(mean, sd), spread(mean + trial.CHANGE, trial.SD)
    level_sd = float(np.sqrt(first**2 - VISIT_SD**2))
    slope_sd = float(np.sqrt(last**2 - first**2))
    week = np.array(trial.WEEKS) / 12
    spreads = np.sqrt(first**2 + (week * slope_sd) ** 2)
    shift = np.array([at(mean + change, s) for change, s in zip(levels, spreads, strict=True)])

    def differs(x: np.ndarray) -> list[float]:
        made = _Scale(level_sd, slope_sd, shift, *x)
        crossing = np.log(trial.CROSSING) - trial.crp_of_design().centre
        above = np.mean([_difference(made, value).sum() for value in _above_5()])
        return [float(_difference(made, crossing).sum()), float(above + trial.POINTS_ABOVE_5)]

    effect, by_crp = optimize.root(differs, [0.2, -0.3]).x
    return _Scale(level_sd, slope_sd, shift, float(effect), float(by_crp))


def _above_5() -> np.ndarray:
    """Centred log hs-CRP of patients above 5 mg/L, at even quantiles."""
    crp = trial.crp_of_design()
    z = (crp.low[3] - crp.log_mean[3]) / crp.log_sd[3]
    return np.asarray(stats.truncnorm.ppf(_ABOVE_5, z, np.inf, crp.log_mean[3], crp.log_sd[3]) - crp.centre)


def _difference(made: _Scale, log_crp: float) -> np.ndarray:
    """Infliximab less placebo at week 12 by item, of patients with this centred log hs-CRP."""
    sd = float(np.sqrt(made.level_sd**2 + made.slope_sd**2 + VISIT_SD**2))
    mean = made.shift[-1] + CHANGE_BY_CRP * log_crp
    beside = _effects(DEPARTURE) + _effects(BY_CRP) * log_crp
    treated = _moments(mean + made.effect + made.by_crp * log_crp, sd, beside)[0]
    return np.asarray(treated - _moments(mean, sd, np.zeros(len(ITEMS)))[0])


def draw_raison2013_items(
    rng: np.random.Generator, people: tuple[int, int] = (30, 30), *, complete: bool = False
) -> Simulated:
    """The HAM-D item by item: 30 patients on infliximab and 30 on placebo, 17 items at weeks 0 to 12, visits missing.

    A graded response model. Patient i's severity at week w, in log odds of a worse score of a typical item, is ::

        severity_iw = shift_w + level_i + slope_i w / 12 + e_iw + 0.2 l_i w / 12
                      + [infliximab] (effect + by_crp l_i) w / 12
        log odds of a score above k in item m = a_m severity_iw - threshold_mk
                      + [infliximab] (departure_m + by_crp_m l_i) w / 12

    with l the natural log of baseline hs-CRP less its expectation. ``shift``, and the sds of level and slope, give the
    sum of items the mean 23.85 at baseline with sd 3.9, the change of 7.5 points of ``raison2013`` and an sd of 7.56 at
    week 12; ``effect`` and ``by_crp`` give it the published differences: none at 4.98 mg/L, 3.1 points in favour of
    infliximab above 5 mg/L. Which items differ beyond that is the paper's, by how much ours, as is all else of items.

    Parameters
    ----------
    rng
        Where randomness comes from.
    people
        Patients on infliximab and on placebo.
    complete
        Whether every visit is held and no score missing.

    Returns
    -------
    Simulated
        One row per patient and visit held: ``subject``, ``arm``, ``week``, ``crp`` (baseline hs-CRP, mg/L) and a
        column for every item, empty where a score is missing (1%). The truth has ``discrimination``, ``departure`` and
        ``departure_by_crp`` by item, ``effect``, ``by_crp``, ``level_sd``, ``slope_sd``, ``visit_sd``, ``centre`` (log
        mg/L), and at week 12 the difference of every item's mean and of the sum (infliximab less placebo, points:
        negative favours infliximab) at 1, 4.98 and 10 mg/L and above 5 mg/L.

    Examples
    --------
    >>> made = draw_raison2013_items(np.random.default_rng(1))
    >>> round(made.truth["sum_difference"]["crp > 5"], 2), abs(round(made.truth["sum_difference"]["4.98"], 2))
    (-3.1, 0.0)
    """
    made, crp = scale(), trial.crp_of_design()
    patients = trial.draw_patients(rng, people)
    _, seen = trial.draw_visits(rng, people)
    week = np.array(trial.WEEKS) / 12
    log_crp, n = patients.log_crp - crp.centre, sum(people)
    treated = patients.arm == 0
    own = made.level_sd * rng.standard_normal((n, 1)) + made.slope_sd * rng.standard_normal((n, 1)) * week
    own += VISIT_SD * rng.standard_normal((n, len(week)))
    along = CHANGE_BY_CRP * log_crp + treated * (made.effect + made.by_crp * log_crp)
    severity = made.shift + own + along[:, None] * week
    beside = treated[:, None] * (_effects(DEPARTURE) + _effects(BY_CRP) * log_crp[:, None])
    level = severity[..., None] * discriminations() + week[:, None] * beside[:, None, :]
    score = (rng.logistic(size=level.shape) + level)[..., None] > _thresholds()
    missing = rng.random(level.shape) < MISSING
    score = np.where(missing & (not complete), np.nan, score.sum(axis=-1))
    who, when = np.nonzero(seen | complete)
    names = [
        f"{a[0].upper()}{i + 1:0{max(2, len(str(k)))}d}"
        for a, k in zip(trial.ARMS, people, strict=True)
        for i in range(k)
    ]
    table = pd.DataFrame(
        {
            "subject": np.array(names)[who],
            "arm": np.array(trial.ARMS)[patients.arm[who]],
            "week": np.array(trial.WEEKS)[when],
            "crp": np.exp(patients.log_crp)[who],
            **{name: score[who, when, m] for m, name in enumerate(ITEMS)},
        }
    )
    return Simulated(table, _truth(made))


def _truth(made: _Scale) -> dict[str, object]:
    """What is true of items, severity and their differences."""
    centre = trial.crp_of_design().centre
    at = {f"{x:g}": _difference(made, float(np.log(x) - centre)) for x in (1.0, trial.CROSSING, 10.0)}
    at["crp > 5"] = np.mean([_difference(made, value) for value in _above_5()], axis=0)
    return {
        "item": list(ITEMS),
        "discrimination": discriminations().tolist(),
        "departure": _effects(DEPARTURE).tolist(),
        "departure_by_crp": _effects(BY_CRP).tolist(),
        "effect": made.effect,
        "by_crp": made.by_crp,
        "level_sd": made.level_sd,
        "slope_sd": made.slope_sd,
        "visit_sd": VISIT_SD,
        "centre": centre,
        "item_difference": {key: value.tolist() for key, value in at.items()},
        "sum_difference": {key: float(value.sum()) for key, value in at.items()},
    }
