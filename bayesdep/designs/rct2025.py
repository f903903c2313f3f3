"""The design of the 2025 ketamine trial of blood markers: 89 patients on ketamine, 44 on saline, five days.

Sizes, arms, the length of the follow-up, the number of patients with a body mass index below 25 kg/m2 and the names
BDNF, IL-6 and IL-1RA are the abstract's (a journal article of 4 April 2025). It prints no times of visits or of blood,
no scale, no means, no spreads and no limits: all of those, and the other seven markers, are ours.
"""

from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.designs.simulated import Simulated

ARMS = ("ketamine", "saline")
PEOPLE = (89, 44)  # abstract
LOW_BMI = 66 / 133  # abstract: BMI < 25 in 66 of 133
DAYS = 5.0  # abstract: five days after the infusion

# Ours from here on. Days of scores and of blood, after the infusion.
SCORED = (0.0, 1.0, 3.0, 5.0)
BLOOD = (0.0, 0.17, 1.0, 5.0)
# Mean score by visit: ketamine, saline. Spreads between patients (level, change over five days, their correlation) and
# residual.
COURSE = {"ketamine": (33.0, 21.0, 21.5, 22.5), "saline": (33.0, 28.0, 27.0, 26.5)}
SD = {"level": 5.0, "slope": 6.0, "correlation": 0.1, "residual": 4.0}
# Of each marker: median in pg/mL, sd between patients of the level, of the change over five days, and of the residual,
# all in doublings, and the share of values below the limit.
MARKERS: dict[str, tuple[float, float, float, float, float]] = {
    "BDNF": (9000.0, 0.8, 0.5, 0.6, 0.0),
    "IL-1RA": (300.0, 0.9, 0.6, 0.5, 0.02),
    "IL-6": (1.5, 1.0, 0.6, 0.6, 0.10),
    "TNF": (4.0, 0.6, 0.4, 0.4, 0.0),
    "IL-1beta": (0.3, 1.0, 0.6, 0.7, 0.40),
    "IL-8": (6.0, 0.8, 0.5, 0.5, 0.0),
    "IL-10": (0.6, 0.9, 0.5, 0.6, 0.20),
    "IFN-gamma": (5.0, 1.1, 0.7, 0.7, 0.05),
    "CRP": (1.6e6, 1.5, 0.6, 0.5, 0.02),
    "VEGF": (60.0, 1.0, 0.5, 0.5, 0.05),
}
MISSED = 0.06  # of later scores, and of later blood: at random
IL1RA = 4.0  # points per doubling of the change in IL-1RA, of patients on ketamine with a BMI below 25


def draw_rct2025(
    rng: np.random.Generator,
    *,
    effects: Literal["none", "il1ra"] = "none",
    people: tuple[int, int] = PEOPLE,
) -> Simulated:
    """133 patients, scores and ten blood markers over five days after ketamine or saline; no marker goes with a score.

    For patient i at time t, with u = t / 5, marker m and arm a::

        log2 z_im(t) = log2 median_m + A_im + C_im u + N(0, residual_m)       the same in both arms
        score_i(t) = course_a(t) + L_i + S_i u + k_i C_i,IL-1RA u + N(0, 4)

    Levels and changes are correlated normal, 0.1 for the score and -0.2 for each marker. Ketamine lowers the score, and
    the markers have no part in it: k is zero. With ``effects = "il1ra"`` it is 4 points per doubling in patients on
    ketamine with a BMI below 25, the direction of the abstract's one exception (an increase of IL-1RA goes with less
    improvement); the size is ours, as are all numbers but those the module names. Six in a hundred later scores and
    samples of blood are missed at random. Scores are neither rounded to whole points nor kept within a scale's range.
    Values below a marker's limit are written as ``"<limit"``.

    Parameters
    ----------
    rng
        Where randomness comes from.
    effects
        ``"none"``, or ``"il1ra"``.
    people
        Patients on ketamine and on saline.

    Returns
    -------
    Simulated
        A row per patient and visit that has a ``score`` (points), and a row per patient, time of blood and marker that
        has a ``concentration`` (pg/mL, text where below its limit) and its ``marker``; in all rows ``subject``,
        ``arm``, ``day``, ``bmi`` (kg/m2), ``age``, ``sex``, ``failed_trials`` (of antidepressants), ``episode_months``,
        ``anxious`` and ``smoker``, of which none but ``bmi`` has to do with anything. The truth has what the equations
        have: ``course`` by arm
        and visit, sds, medians, limits, and by subject the deviations and k.

    Raises
    ------
    BadInput
        When an arm is empty or ``effects`` is neither.

    Examples
    --------
    >>> made = draw_rct2025(np.random.default_rng(1))
    >>> people = made.table.groupby("subject").first()
    >>> people["arm"].value_counts().to_dict(), int((people["bmi"] < 25).sum())
    ({'ketamine': 89, 'saline': 44}, 66)
    """
    if min(people) < 1:
        raise BadInput(f"people = {people} leaves an arm empty; give at least one patient in each")
    if effects not in ("none", "il1ra"):
        raise BadInput(f"effects = {effects!r} is not a choice; write 'none' or 'il1ra'")
    count = sum(people)
    about = _about(rng, people)
    own = _correlated(rng, count, SD["level"], SD["slope"], SD["correlation"])
    markers = {name: _correlated(rng, count, level, change, -0.2) for name, (_, level, change, *_) in MARKERS.items()}
    association = np.zeros(count)
    if effects == "il1ra":
        association = np.where((about["arm"] == "ketamine") & (about["bmi"] < 25), IL1RA, 0.0)
    scores = _scores(rng, about, own, association * markers["IL-1RA"][:, 1])
    blood, limits = _blood(rng, about, markers)
    truth: dict[str, Any] = {
        "subject": about["subject"].tolist(),
        "course": {arm: list(values) for arm, values in COURSE.items()},
        "sd": SD,
        "markers": {name: dict(zip(("median", "level_sd", "slope_sd", "residual_sd"), v, strict=False))
                    for name, v in MARKERS.items()},
        "limits": limits,
        "deviation": own.tolist(),
        "marker_deviation": {name: values.tolist() for name, values in markers.items()},
        "association": association.tolist(),
    }  # fmt: skip
    more = _more_about(rng, about)
    return Simulated(pd.concat([scores, blood], ignore_index=True).merge(more, on="subject"), truth)


def draw_rct2025_il1ra(rng: np.random.Generator) -> Simulated:
    """As rct2025, but in patients on ketamine with a BMI below 25 an increase of IL-1RA goes with a higher score."""
    return draw_rct2025(rng, effects="il1ra")


def _about(rng: np.random.Generator, people: tuple[int, int]) -> pd.DataFrame:
    """What patients are like; exactly the published share has a body mass index below 25."""
    count = sum(people)
    low = rng.permutation(np.arange(count) < round(count * LOW_BMI))
    bmi = np.where(low, rng.uniform(18.5, 24.9, count), rng.uniform(25.1, 39.0, count))
    width = max(3, len(str(count)))
    return pd.DataFrame(
        {
            "subject": [f"P{i + 1:0{width}d}" for i in range(count)],
            "arm": np.repeat(ARMS, people),
            "bmi": bmi.round(1),
            "age": rng.uniform(18, 60, count).round().astype(int),
            "sex": np.where(rng.random(count) < 0.6, "F", "M"),
        }
    )


def _more_about(rng: np.random.Generator, about: pd.DataFrame) -> pd.DataFrame:
    """What else subgroups are made of; drawn last, so that nothing depends on it."""
    count = len(about)
    return pd.DataFrame(
        {
            "subject": about["subject"],
            "failed_trials": rng.integers(2, 9, count),
            "episode_months": np.maximum(rng.lognormal(np.log(15), 0.8, count).round(), 1).astype(int),
            "anxious": np.where(rng.random(count) < 0.5, "yes", "no"),
            "smoker": np.where(rng.random(count) < 0.3, "yes", "no"),
        }
    )


def _correlated(rng: np.random.Generator, count: int, level: float, change: float, correlation: float) -> np.ndarray:
    """Levels and changes, shape (count, 2)."""
    z = rng.standard_normal((count, 2))
    return np.column_stack([level * z[:, 0], change * (correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1])])


def _scores(rng: np.random.Generator, about: pd.DataFrame, own: np.ndarray, slope: np.ndarray) -> pd.DataFrame:
    """A row per patient and visit held."""
    day = np.array(SCORED)
    course = np.array([COURSE[arm] for arm in about["arm"]])
    score = course + own[:, :1] + (own[:, 1] + slope)[:, None] * day / DAYS
    score = score + rng.normal(0, SD["residual"], score.shape)
    held = (rng.random(score.shape) >= MISSED) | (day == 0)
    who, when = np.nonzero(held)
    return about.take(who).assign(day=day[when], score=score[who, when].round(2))


def _blood(
    rng: np.random.Generator, about: pd.DataFrame, markers: dict[str, np.ndarray]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """A row per patient, marker and time of blood, and every marker's limit."""
    day = np.array(BLOOD)
    drawn = (rng.random((len(about), len(day))) >= MISSED) | (day == 0)
    who, when = np.nonzero(drawn)
    parts, limits = [], {}
    for name, (median, *sds, share) in MARKERS.items():
        own = markers[name]
        logs = np.log2(median) + own[:, :1] + own[:, 1:] * day / DAYS + rng.normal(0, sds[2], (len(about), len(day)))
        values = 2.0 ** logs[who, when]
        text = [f"{v:.4g}" for v in values]  # as in a laboratory's file: a column of numbers and limits is text
        if share:
            limits[name] = float(f"{np.quantile(values, share):.3g}")
            text = [v if float(v) >= limits[name] else f"<{limits[name]:g}" for v in text]
        parts.append(
            about.take(who).assign(day=day[when], marker=name, concentration=pd.Series(text, dtype=object).to_numpy())
        )
    return pd.concat(parts), limits
