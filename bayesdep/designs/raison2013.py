"""The patient-level design of Raison 2013: infliximab or placebo, HAM-D over twelve weeks, moderated by hs-CRP.

Sizes, visits, missing visits, baseline values, the crossing and the effects by hs-CRP are the paper's. It prints
no means over weeks, no correlation between visits and no coefficients: those are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from bayesdep.data.errors import BadInput
from bayesdep.data.published import load
from bayesdep.designs.simulated import Simulated

ARMS = ("infliximab", "placebo")  # every pair below is in this order
WEEKS = (0, 1, 2, 3, 4, 6, 8, 10, 12)  # Methods, Study procedures

# Mean and standard deviation by arm (Table 1), and women per arm (20 of 30).
HAMD = ((24.1, 4.0), (23.6, 3.8))
CRP = ((6.3, 8.9), (5.4, 8.2))
AGE = ((42.5, 8.2), (44.3, 9.4))
BMI = ((31.2, 6.9), (32.7, 8.0))
WOMEN = 20 / 30

# Patients with hs-CRP above so many mg/L, of 60 (Figure 3's caption; Results).
LIMITS = (1, 3, 5)
ABOVE = (45, 27, 22)

# Week 12 (Figures 2 and 3's captions; Results). One standard deviation for both effect sizes: ours.
CROSSING, POINTS_ABOVE_5, EFFECT_ABOVE_5, EFFECT_UP_TO_5 = 4.98, 3.1, 0.41, -0.82
SD = POINTS_ABOVE_5 / EFFECT_ABOVE_5

# How many of an arm's 30 left, and weeks of the last visit: after one infusion; after three, in the follow-up; after
# two (Results). Infusions were at weeks 0, 2 and 6; the weeks, not printed, are the full visits these leave open,
# after baseline because the test of the arms has 58 degrees of freedom, hence all 60 patients.
DROPOUTS = (("infliximab", 3, (1,)), ("infliximab", 2, (6, 8)), ("placebo", 1, (2, 4)))
PARTLY_HELD = ((3, 11), (10, 32))  # week, patients of 60 who had it (Methods, Study procedures)

# Ours: correlation of residuals a week apart, change by week 12 at the centre, how many weeks the change takes to
# level off, slope of change on baseline, and points of change by week 12 per log unit and squared log unit of CRP.
RHO, CHANGE, LEVELS_OFF, BASE, H1, H2 = 0.9, -7.5, 2.0, -0.5, 2.0, -0.5

_BASELINE_CENTRE = float(np.mean([m for m, _ in HAMD]))
_BANDS = {"all": (0, 4), "crp > 1": (1, 4), "crp > 3": (2, 4), "crp > 5": (3, 4), "crp <= 5": (0, 3)}


@dataclass(frozen=True)
class Crp:
    """The distribution of baseline log hs-CRP in the paper's four bands: up to 1, 3 and 5 mg/L, and above."""

    low: np.ndarray
    high: np.ndarray
    log_mean: np.ndarray  # of the normal that is cut to the band
    log_sd: np.ndarray
    weight: np.ndarray  # patients of 60
    moments: np.ndarray  # 1, mean and mean square of centred logs, a row per band
    centre: float

    def average(self, coefficients: np.ndarray, bands: tuple[int, int]) -> float:
        """Return the expected value of a log-quadratic over the patients in some of the bands."""
        part = slice(*bands)
        return float(np.average(self.moments[part] @ coefficients, weights=self.weight[part]))


def _log_normal_moments(mean: float, sd: float, low: float, high: float) -> np.ndarray:
    """Return the mean and mean square of a log-normal cut to logs between `low` and `high`."""

    def mass(k: int) -> float:
        return float(special.ndtr((high - mean) / sd - k * sd) - special.ndtr((low - mean) / sd - k * sd))

    return np.array([np.exp(k * mean + (k * sd) ** 2 / 2) * mass(k) / mass(0) for k in (1, 2)])


@cache
def crp_of_design() -> Crp:
    """Return the distribution that meets the published counts and, in both arms together, Table 1."""
    edges = np.r_[-np.inf, np.log(LIMITS), np.inf]
    low, high = edges[:-1], edges[1:]
    weight = -np.diff([60, *ABOVE, 0])
    # Up to 5 mg/L, the log-normal of which 45 in 60 lie above 1 and 27 in 60 above 3 mg/L.
    z = special.ndtri(1 - np.array(ABOVE[:2]) / 60)
    sd = (edges[2] - edges[1]) / (z[1] - z[0])
    mean = edges[1] - z[0] * sd
    # Its tail would put the mean above 5 mg/L at 17; Table 1 leaves 13.2 (10.3), for which another is found.
    up_to_5 = [_log_normal_moments(mean, sd, *band) for band in zip(low[:3], high[:3], strict=True)]
    total = sum(np.array([30 * m, 29 * s**2 + 30 * m**2]) for m, s in CRP)
    above_5 = (total - weight[:3] @ up_to_5) / weight[3]
    mean_above_5, log_of_sd_above_5 = optimize.root(
        lambda p: np.log(_log_normal_moments(p[0], np.exp(p[1]), low[3], high[3]) / above_5), [2.0, 0.0]
    ).x
    log_mean = np.r_[np.full(3, mean), mean_above_5]
    log_sd = np.r_[np.full(3, sd), np.exp(log_of_sd_above_5)]
    means, variance = stats.truncnorm.stats((low - log_mean) / log_sd, (high - log_mean) / log_sd, log_mean, log_sd)
    centre = float(np.average(means, weights=weight))
    moments = np.column_stack([np.ones(4), means - centre, variance + (means - centre) ** 2])
    return Crp(low, high, log_mean, log_sd, weight, moments, centre)


@cache
def _published_moderation() -> tuple[float, ...]:
    """Return d, g1 and g2 at week 12: three unknowns that meet three published numbers exactly."""
    crp = crp_of_design()
    log_crossing = np.log(CROSSING) - crp.centre
    equations = [
        [1, log_crossing, log_crossing**2],
        [crp.average(unit, _BANDS["crp > 5"]) for unit in np.eye(3)],
        [crp.average(unit, _BANDS["crp <= 5"]) for unit in np.eye(3)],
    ]
    return tuple(np.linalg.solve(equations, [0, -POINTS_ABOVE_5, -EFFECT_UP_TO_5 * SD]).tolist())


def _crossing(coefficients: np.ndarray, centre: float) -> float | None:
    """Return the hs-CRP (mg/L) above which infliximab does better, if one lies between 0.01 and 1000 mg/L."""
    d, g1, g2 = coefficients
    for root in np.roots([g2, g1, d]):  # the difference falls at one of two roots at most
        if root.imag == 0 and g1 + 2 * g2 * root.real < 0 and np.log(0.01) < root.real + centre < np.log(1000):
            return float(np.exp(root.real + centre))
    return None


def _coefficients(moderation: bool | Sequence[float]) -> np.ndarray:
    """Return d, g1 and g2 at week 12, as asked for."""
    published = np.array(_published_moderation())
    if isinstance(moderation, bool):
        return published if moderation else np.array([crp_of_design().average(published, _BANDS["all"]), 0.0, 0.0])
    coefficients = np.asarray(moderation, dtype=float)
    if coefficients.shape != (3,) or not np.isfinite(coefficients).all():
        raise BadInput(f"moderation = {moderation} must be True, False or three finite numbers, d, g1 and g2")
    return coefficients


@dataclass(frozen=True)
class Patients:
    """Patients at baseline, one value each; ``arm`` is a place in ``ARMS``, ``band`` one of hs-CRP's four."""

    arm: np.ndarray
    band: np.ndarray
    log_crp: np.ndarray
    baseline: np.ndarray
    age: np.ndarray
    bmi: np.ndarray
    female: np.ndarray

    @property
    def crp_powers(self) -> np.ndarray:
        """1, l and l^2, with l the log of hs-CRP less its expectation, shape (patients, 3)."""
        centred = self.log_crp - crp_of_design().centre
        return np.column_stack([np.ones(len(centred)), centred, centred**2])


def draw_patients(rng: np.random.Generator, people: tuple[int, int]) -> Patients:
    """Draw what patients are like at baseline.

    Parameters
    ----------
    rng
        Where randomness comes from.
    people
        Patients on infliximab and on placebo.

    Returns
    -------
    Patients
        Those on infliximab first.
    """
    crp, arm = crp_of_design(), np.repeat([0, 1], people)
    band = _draw_bands(rng, people)
    log_crp = np.empty(sum(people))
    for b in range(4):
        cut = (crp.log_mean[b], crp.log_sd[b], crp.low[b], crp.high[b])
        log_crp[band == b] = _normal_within(rng, *cut, (band == b).sum())
    mean, sd = np.array(HAMD)[arm].T
    baseline = rng.normal(mean, sd)
    age = np.round(np.concatenate([_normal_within(rng, *AGE[a], 25, 60, people[a]) for a in (0, 1)])).astype(int)
    bmi = np.round(np.concatenate([_normal_within(rng, *BMI[a], 17, 60, people[a]) for a in (0, 1)]), 1)
    female = np.concatenate([rng.permutation(np.arange(n) < round(n * WOMEN)) for n in people])
    return Patients(arm, band, log_crp, baseline, age, bmi, female)


def _draw_bands(rng: np.random.Generator, people: tuple[int, int]) -> np.ndarray:
    """Return the band of hs-CRP of every patient: exactly the published counts, at random where none is published."""
    printed = load("raison2013_responders").set_index(["subgroup", "arm"]).n
    above = [round(size * printed["hs-CRP > 5 mg/L", arm] / 30) for arm, size in zip(ARMS, people, strict=True)]
    n_below = sum(people) - sum(above)
    shares = np.cumsum(crp_of_design().weight[:3])
    counts = np.diff(np.round(n_below * np.r_[0, shares] / shares[-1]).astype(int))
    below = rng.permutation(np.repeat([0, 1, 2], counts))
    by_arm = np.split(below, [people[0] - above[0]])
    return np.concatenate([rng.permutation(np.r_[low, np.full(n, 3)]) for low, n in zip(by_arm, above, strict=True)])


def _by_week(at_week_12: np.ndarray) -> dict[str, np.ndarray]:
    """Return every coefficient of the expected change, week by week."""
    week = np.array(WEEKS)
    growth = week / week[-1]
    levelling = np.expm1(-week / LEVELS_OFF) / np.expm1(-week[-1] / LEVELS_OFF)
    names, values = ("d", "g1", "g2", "h1", "h2"), (*at_week_12, H1, H2)
    common = {"visit": CHANGE * levelling, "base": BASE * (week > 0)}
    return common | {name: value * growth for name, value in zip(names, values, strict=True)}


def _expected(patients: Patients, by_week: dict[str, np.ndarray]) -> np.ndarray:
    """Return HAM-D without residual, given baseline, shape (patients, weeks)."""
    baseline, powers = patients.baseline, patients.crp_powers
    expected = baseline[:, None] + by_week["visit"] + np.outer(baseline - _BASELINE_CENTRE, by_week["base"])
    expected += powers[:, 1:] @ [by_week["h1"], by_week["h2"]]
    expected += (patients.arm == 0)[:, None] * (powers @ [by_week["d"], by_week["g1"], by_week["g2"]])
    return expected


def _draw_residuals(rng: np.random.Generator, n_people: int) -> np.ndarray:
    """Draw residuals that are correlated by the weeks between, none at baseline, shape (patients, weeks)."""
    residual = np.zeros((n_people, len(WEEKS)))
    residual[:, 1] = rng.normal(0, SD, n_people)
    for j in range(2, len(WEEKS)):
        kept = RHO ** (WEEKS[j] - WEEKS[j - 1])
        residual[:, j] = kept * residual[:, j - 1] + rng.normal(0, SD * np.sqrt(1 - kept**2), n_people)
    return residual


def draw_visits(rng: np.random.Generator, people: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw who was seen when.

    Parameters
    ----------
    rng
        Where randomness comes from.
    people
        Patients on infliximab and on placebo.

    Returns
    -------
    tuple of numpy.ndarray
        The week of each patient's last visit (patients,), and whether they were seen (patients, weeks).
    """
    n_people, arm = sum(people), np.repeat(ARMS, people)
    last = np.full(n_people, WEEKS[-1])
    for where, of_30, weeks in DROPOUTS:
        staying = np.flatnonzero((arm == where) & (last == WEEKS[-1]))
        leaving = rng.choice(staying, round(people[ARMS.index(where)] * of_30 / 30), replace=False)
        last[leaving] = rng.choice(weeks, len(leaving))
    seen = np.array(WEEKS) <= last[:, None]
    for week, of_60 in PARTLY_HELD:
        column = WEEKS.index(week)
        kept = rng.choice(np.flatnonzero(seen[:, column]), round(n_people * of_60 / 60), replace=False)
        seen[:, column] = np.isin(np.arange(n_people), kept)
    return last, seen


def _normal_within(rng: np.random.Generator, mean: float, sd: float, low: float, high: float, size: int) -> np.ndarray:
    """Draw from a normal distribution cut to a range."""
    return stats.truncnorm.rvs((low - mean) / sd, (high - mean) / sd, mean, sd, size, random_state=rng)


def draw_raison2013(
    rng: np.random.Generator,
    *,
    people: tuple[int, int] = (30, 30),
    moderation: bool | Sequence[float] = True,
) -> Simulated:
    """30 patients on infliximab and 30 on placebo, HAM-D at weeks 0 to 12, moderated by hs-CRP; visits missing.

    For patient i at week w after baseline, with l the natural log of baseline hs-CRP (mg/L) less ``centre``, the
    expected log of the design (2.6 mg/L)::

        hamd_iw - baseline_i = visit_w - 0.5 (baseline_i - 23.85) + h1_w l + h2_w l^2
                               + [infliximab] (d_w + g1_w l + g2_w l^2) + e_iw
        e_iw ~ N(0, 7.56),  corr(e_iv, e_iw) = 0.9^|v - w|

    Weeks are real time: residuals four weeks apart correlate 0.9^4, however many visits lie between. Baseline has no
    residual. The change common to both arms levels off, ``visit_w = -7.5 (1 - exp(-w / 2)) / (1 - exp(-6))``; all
    terms of CRP and arm grow in proportion to w, as in the paper's test with week continuous, so that the arms'
    difference is zero at baseline and vanishes at the same CRP in every week. ``d_12``, ``g1_12`` and ``g2_12`` are
    2.64, -4.12 and 0.08; ``h1_12`` is 2, because placebo worked less well at high CRP, and ``h2_12`` is -0.5, because
    both arms' curves were called upside-down U-shaped (Results; Methods, Statistical analysis): directions published,
    sizes ours. HAM-D is in points, neither rounded nor kept within the scale's 0 to 52: 3% of week 12 lie below 0.

    Exact in every table of the published size: the counts with hs-CRP above 1, 3 and 5 mg/L (45, 27, 22), above 5 by
    arm (13, 9), women (20 an arm), patients at weeks 3 and 10 (11, 32), and dropouts (5 on infliximab, 1 on placebo).

    Exact in the long run: HAM-D at baseline, 24.1 (4.0) and 23.6 (3.8); hs-CRP in both arms together, as Table 1;
    and, at week 12, the arms' difference of zero at 4.98 mg/L, of 3.1 points for infliximab above 5 mg/L, and of 0.82
    standard deviations for placebo at or below. Three coefficients meet those three numbers. The standard deviation
    is 3.1 / 0.41 = 7.56 points, that of the residual given baseline and CRP, in both subgroups and at every visit; the
    6.2 points at or below 5 mg/L follow from it and are not printed. A table's own patients have another average,
    which the truth states as well.

    Approximate: hs-CRP by arm, 6.6 (9.1) and 5.1 (7.9) mg/L in the long run where Table 1 has 6.3 (8.9) and 5.4 (8.2),
    since both arms draw from the same distribution within a band and differ by the 13 and 9 above 5 mg/L; response (a
    drop by half at any visit held), 43% and 56% where 50% and 50% were published; age and body mass index, which are
    Table 1's before they are kept within 25 to 60 years and 17 to 60 kg/m2. Not met: the paper saw no difference
    overall (P = 0.92; P = 0.39 for its growth), but its subgroups' effect sizes average to 2.8 points for placebo.

    Dropping out depends on the arm only, and missing weeks 3 and 10 on nothing; visits missed for other reasons are
    not published, and there are none. Age, sex and body mass index have no effect on anything. The paper randomised
    within strata of hs-CRP at screening; how patients at or below 5 mg/L fell into arms is not printed: random here.

    Parameters
    ----------
    rng
        Where randomness comes from.
    people
        Patients on infliximab and on placebo. Other sizes keep the published shares of hs-CRP, dropouts and visits
        in each arm, rounded to people.
    moderation
        True for the published moderation. False for the same average difference (2.8 points at week 12) at every
        CRP. Or ``d``, ``g1`` and ``g2`` at week 12, infliximab less placebo, in points, points per log unit of hs-CRP
        and per squared log unit; ``(0, 0, 0)`` is no effect at all.

    Returns
    -------
    Simulated
        One row per patient and visit held: ``subject``, ``arm``, ``week``, ``day`` (7 a week), ``hamd`` and
        ``hamd_baseline`` (17 items, points; equal at week 0), ``crp`` (baseline hs-CRP, mg/L), ``age`` (years),
        ``sex``, ``bmi`` (kg/m2). The truth holds the names ``subject`` and ``week`` in the order of all other lists;
        ``crp`` and ``last_week`` (of the last visit before dropping out, 12 for others) per subject; ``hamd``
        (complete trajectories), ``expected`` (given baseline, without residual) and ``seen`` per subject and week;
        ``coefficients`` by name and week; ``centre`` (log mg/L), ``baseline_centre``, ``sd``, ``rho`` (per week);
        ``baseline`` (mean and standard deviation by arm); ``crossing`` (mg/L above which infliximab does better;
        None where there is none from 0.01 to 1000). For week 12 and subgroups of hs-CRP it has ``difference`` (points,
        infliximab less placebo: negative favours infliximab) in the long run, ``difference_here`` over this table's
        patients (None without any), and ``effect_size`` (signed as printed: positive favours infliximab).

    Raises
    ------
    BadInput
        When an arm is empty, or `moderation` is neither a truth value nor three finite numbers.

    Examples
    --------
    >>> made = draw_raison2013(np.random.default_rng(1))
    >>> round(made.truth["crossing"], 2), sum(crp > 5 for crp in made.truth["crp"]), made.truth["last_week"].count(12)
    (4.98, 22, 54)
    """
    if min(people) < 1:
        raise BadInput(f"people = {people} leaves an arm empty; give at least one patient in each")
    at_week_12 = _coefficients(moderation)
    patients = draw_patients(rng, people)
    by_week = _by_week(at_week_12)
    expected = _expected(patients, by_week)
    hamd = expected + _draw_residuals(rng, sum(people))
    last_week, seen = draw_visits(rng, people)
    subject = [
        f"{a[0].upper()}{i + 1:0{max(2, len(str(n)))}d}" for a, n in zip(ARMS, people, strict=True) for i in range(n)
    ]
    crp = np.exp(patients.log_crp)
    who, when = np.nonzero(seen)
    week = np.array(WEEKS)[when]
    table = pd.DataFrame(
        {
            "subject": np.array(subject)[who],
            "arm": np.array(ARMS)[patients.arm[who]],
            "week": week,
            "day": 7 * week,
            "hamd": hamd[who, when],
            "hamd_baseline": patients.baseline[who],
            "crp": crp[who],
            "age": patients.age[who],
            "sex": np.where(patients.female[who], "F", "M"),
            "bmi": patients.bmi[who],
        }
    )
    truth = {
        "subject": subject,
        "week": list(WEEKS),
        "crp": crp.tolist(),
        "last_week": last_week.tolist(),
        "hamd": hamd.tolist(),
        "expected": expected.tolist(),
        "seen": seen.tolist(),
        "coefficients": {name: value.tolist() for name, value in by_week.items()},
        "centre": crp_of_design().centre,
        "baseline_centre": _BASELINE_CENTRE,
        "sd": SD,
        "rho": RHO,
        "baseline": {name: list(moments) for name, moments in zip(ARMS, HAMD, strict=True)},
    }
    return Simulated(table, truth | _true_differences(at_week_12, patients))


def _true_differences(at_week_12: np.ndarray, patients: Patients) -> dict[str, Any]:
    """Return the arms' difference at week 12: where it is zero, and its averages over subgroups of hs-CRP."""
    crp = crp_of_design()
    difference = {name: crp.average(at_week_12, bands) for name, bands in _BANDS.items()}
    member = {name: (patients.band >= low) & (patients.band < high) for name, (low, high) in _BANDS.items()}
    powers = patients.crp_powers
    return {
        "crossing": _crossing(at_week_12, crp.centre),
        "difference": difference,
        "difference_here": {
            name: float(np.mean(powers[rows] @ at_week_12)) if rows.any() else None for name, rows in member.items()
        },
        "effect_size": {name: -value / SD for name, value in difference.items()},
    }
