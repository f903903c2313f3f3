"""The patient-level generator of Price 2022: patients of ketamine trials, two times, moderators by tier.

Effects, counts and availability are the paper's or solved from them (in the design's own file). Correlations, spreads
between studies, the relation between the scales and all that has no effect are ours.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.designs.price2022_coefficients import (
    BASELINE,
    DIAGNOSES,
    HRSD_17,
    KNOWN_IN,
    M_STAR,
    M_STAR_STUDIES,
    MADRS,
    MODERATORS,
    NAMES,
    RHO,
    SPREAD_OF_SIGMA,
    STUDIES,
    TAU_A,
    TAU_B,
    Design,
    cut_moments,
    cut_values,
    design,
    whole,
)
from bayesdep.designs.simulated import Simulated

TIMES, DAYS = ("rapid", "post-rapid"), (1, 7)  # every pair below is in this order
ARMS = ("control", "ketamine")

# M* #2f has 232 patients in Results and 217 in Methods: read here as those seen at the rapid and the post-rapid time.
SEEN = 217 / 232
WITH_ANXIETY = 285 / 521  # Table 2

# Ours. Between the times, improvement correlates 0.70 on ketamine and 0.80 on saline in the patients named below.
RHO_TIMES, RHO_RESIDUAL = 0.7, 0.7
CLUSTERING = 0.1  # share of a continuous variable's variance that lies between studies

# HRSD-17 given MADRS by least squares in 129 pairs of 35 patients (doi 10.18112/openneuro.ds005917.v1.0.1), and the
# residual's standard deviation between and within patients. The paper prints neither its conversion nor its error.
HRSD, HRSD_SLOPE, HRSD_BETWEEN, HRSD_WITHIN = 1.64, 0.585, 1.43, 2.28


def _ranks(rng: np.random.Generator, study: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Number the patients of every study from 0, in random order."""
    rank = np.empty(len(study), dtype=int)
    rank[np.lexsort((rng.random(len(study)), study))] = np.arange(len(study))
    return np.asarray(rank - first[study])


def _seen_later(size: np.ndarray, in_m_star: np.ndarray) -> np.ndarray:
    """Return how many of each study are seen at the post-rapid time, those of M* #2f rounded among themselves."""
    order = np.argsort(~in_m_star, kind="stable")
    seen = np.empty(len(size), dtype=int)
    seen[order] = np.diff(whole(np.r_[0, np.cumsum(size[order])] * SEEN))
    return seen


def _study_effects(rng: np.random.Generator, studies: int) -> np.ndarray:
    """Draw intercepts and effects of ketamine: study, time, which."""
    at_a_time = np.array([[TAU_A**2, RHO * TAU_A * TAU_B], [RHO * TAU_A * TAU_B, TAU_B**2]])
    root = np.linalg.cholesky(np.kron([[1, RHO_TIMES], [RHO_TIMES, 1]], at_a_time))
    return np.asarray((rng.normal(size=(studies, 4)) @ root.T).reshape(studies, 2, 2))


def _by_time(values: np.ndarray) -> dict[str, Any]:
    return dict(zip(TIMES, values.tolist(), strict=True))


def _by_moderator(values: np.ndarray) -> dict[str, dict[str, float]]:
    return {time: dict(zip(MODERATORS, row, strict=True)) for time, row in _by_time(values).items()}


def draw_price2022(
    rng: np.random.Generator,
    *,
    studies: int = 17,
    patients: int = 720,
    moderation: bool = True,
) -> Simulated:
    """17 trials and 720 patients on ketamine or control, MADRS after 1 and 7 days, moderators by tier.

    For patient i of study k at time t, with T = 1 on ketamine and moderators x less their ``centre``, in units of their
    ``scale``::

        improvement_ikt = mean_t + sd y_ikt                        per cent of baseline MADRS
        y_ikt = a_t + a_kt + (b_t + b_kt) T_ik + 0.1 baseline_ik + x_ik' (m_t + T_ik w_t) + e_ikt
        a_kt ~ N(0, 0.2)    b_kt ~ N(0, 0.15)    correlated -0.3, and 0.7 between the times
        e_ikt ~ N(0, sigma_kt)                   correlated 0.7 between the times

    Crossover design, ``trd`` (two failed trials required, or more), the US, an MDD diagnosis, BMI and, at the
    post-rapid time, systolic pressure moderate; no other column has any effect but ``baseline``, MADRS at baseline
    (``failed_trials`` goes with ``threshold``). A patient's BMI and pressure act as their study's average does: no
    ecological bias. ``b`` is 0.58 and 0.38. The paper tested one moderator at a time and ``w`` is joint: it is such
    that least squares within studies finds, in the long run, the printed 0.32 and 0.47 for ``trd``, 0.52 and 0.16 for
    crossover, and, at the post-rapid time, 0.41 for the US and 0.23 for pressure. ``m`` gives crossover's printed -0.48
    on control at the rapid time; on ketamine it is then 0.04, where 0.11 is printed, because -0.48, 0.52 and 0.11 do
    not add up. ``sigma`` makes the variance of y one; ``mean`` and ``sd`` make 46% respond and 27% remit on ketamine at
    the rapid time.

    Exact in every table of the published size: patients by study and arm; 242 in crossover designs; 477 with a
    psychoactive control; principal diagnoses, 579, 66, 74 and 1, and MDD diagnoses, 627; MADRS in ten studies, HRSD-17
    in three, both in four; Tier 1 known of all, anxiety of 521, BMI together with smoking of 232 in seven studies. All
    720 are seen at the rapid time and 673 at the post-rapid time, of the 232 217: who is missing is left to chance.

    In studies with HRSD-17 only, baseline, score and ``improvement`` are converted, as in the paper, here with
    ``hrsd = 1.64 + 0.585 madrs + error`` solved for MADRS: right on average in points, but noisier, and, being a ratio
    to a baseline with error, about 1 too low in improvement. The truth has it without conversion. Scores are neither
    rounded nor kept in range: at the rapid time 9% on ketamine lie below 0, which changes neither response nor
    remission.

    Not met, or contradictory in the paper: the 809 are all patients pooled, the 720 those on ketamine or control, at
    both times; 809 - 720 = 89, but other doses and lanicemine are said to be 7.6% and 2.4%, which is 81. 38 moderators
    are listed and 37 stated; the nine of Tier 1 and eight of Tier 2 are here. M* #2a has 632 patients, 88% of 720,
    though Tier 2 variables are known of 82% at most. Table 2 has PTSD known of 522 in one column, of 483 in another:
    not drawn. The interval after 7 days would need a residual standard deviation of 1.01, more than all of y.

    Parameters
    ----------
    rng
        Where randomness comes from.
    studies
        How many in all. Beyond 17, the 17 designs are repeated in order.
    patients
        How many in all, shared out in proportion to the published sizes.
    moderation
        False for no interaction at all: ``w`` is zero, all else is the same, draw by draw.

    Returns
    -------
    Simulated
        One row per patient and time: ``study``, ``subject``, ``arm``, ``time``, ``day``; ``improvement`` (%),
        ``madrs_baseline``, ``madrs``, ``scale``, ``hrsd_baseline`` and ``hrsd`` (points; missing where only MADRS was
        rated). Tier 1: ``psychoactive``, ``crossover``, ``threshold`` (failed trials required), ``trd``, ``country``,
        ``us``, ``inpatient``, ``diagnosis``, ``mdd``, ``age`` (years), ``female``. Tier 2, known or missing by study:
        ``anxiety``, ``systolic`` (mm Hg), ``bmi`` (kg/m2), ``smoker``, ``married``, ``black``, ``failed_trials``,
        ``episodes``. The truth holds, by row, ``improvement`` and ``madrs_baseline`` before conversion, ``expected``
        (improvement without residual) and ``m_star_score``; the names ``study`` in the order of the lists by study and
        time ``random_intercept``, ``random_effect``, ``ketamine_effect`` (b + b_k + x' w, averaged over a study's
        patients) and ``sigma``; by time ``effect`` (b), ``intercept`` (a), ``mean``, ``main`` (m), ``interaction`` (w)
        and ``m_star``, with the ``weights`` of the eight variables of #2f and the ``r`` of their score in the long run,
        which is Pearson's, of its average over a random pair on ketamine and control with the pair's difference;
        ``centre`` and ``scale`` by moderator; ``sd``, ``tau_a``, ``tau_b``, ``rho``, ``rho_times``, ``rho_residual``;
        ``hrsd``.

    Raises
    ------
    BadInput
        When there is no study, or a study would have fewer than two patients.

    Examples
    --------
    >>> made = draw_price2022(np.random.default_rng(1))
    >>> made.table.study.nunique(), made.table.subject.nunique(), made.truth["effect"]
    (17, 720, {'rapid': 0.58, 'post-rapid': 0.38})
    """
    d = design()
    sample = _sample(rng, d, studies, patients)
    random = sample.study_effects
    measured, baseline = _measure(rng, sample)
    moderators = _moderators(d, measured, baseline)
    interaction = d.interaction if moderation else 0 * d.interaction
    study, arm, x = sample.study, sample.arm, moderators.x

    # Improvement, by the formula above: patients by times.
    effect = d.effect + random[study, :, 1] + x @ interaction.T
    y = d.intercept + random[study, :, 0] + arm[:, None] * effect + BASELINE * moderators.madrs[:, None] + x @ d.main.T
    noise = rng.normal(size=(len(study), 2))
    noise[:, 1] = RHO_RESIDUAL * noise[:, 0] + np.sqrt(1 - RHO_RESIDUAL**2) * noise[:, 1]
    expected = d.mean + d.sd * y
    improvement = expected + d.sd * sample.sigma[study] * noise

    scores = _scores(rng, sample, baseline, improvement)
    who, when = np.nonzero(np.column_stack([np.ones(len(study), dtype=bool), sample.is_seen_later]))
    m_star = x @ (interaction * np.isin(MODERATORS, M_STAR)).T
    by_row = {
        "improvement": improvement[who, when].tolist(),
        "madrs_baseline": baseline[who].tolist(),
        "expected": expected[who, when].tolist(),
        "m_star_score": m_star[who, when].tolist(),
    }
    by_study = {
        "study": sample.names,
        "random_intercept": random[:, :, 0].tolist(),
        "random_effect": random[:, :, 1].tolist(),
        "ketamine_effect": (np.add.reduceat(effect, sample.first) / sample.size[:, None]).tolist(),
        "sigma": sample.sigma.tolist(),
    }
    truth = by_row | by_study | _truth_of_design(d, interaction, moderators, moderation=moderation)
    return Simulated(_table(sample, measured, scores, who, when), truth)


class _Sample(NamedTuple):
    """Studies and their patients: who is in which, on what, and seen when."""

    kind: np.ndarray  # by study: which of the paper's trials it is like
    size: np.ndarray  # by study
    first: np.ndarray  # by study: its first patient
    study_effects: np.ndarray  # study, time, which
    sigma: np.ndarray  # study, time
    study: np.ndarray  # by patient, as all below
    arm: np.ndarray
    group: np.ndarray  # of diagnoses
    is_seen_later: np.ndarray

    @property
    def names(self) -> list[str]:
        """The studies' names; those that repeat a design have a number."""
        turn = np.arange(len(self.kind)) // len(STUDIES)
        pairs = zip(self.kind.tolist(), turn.tolist(), strict=True)
        return [NAMES[k] if t == 0 else f"{NAMES[k]} ({t + 1})" for k, t in pairs]

    @property
    def subjects(self) -> list[str]:
        """Every patient's label: the number of the study and that of the patient in it."""
        wide = len(str(len(self.size))), len(str(self.size.max()))
        number = np.arange(len(self.study)) - self.first[self.study]
        pairs = zip(self.study.tolist(), number.tolist(), strict=True)
        return [f"{k + 1:0{wide[0]}d}-{i + 1:0{wide[1]}d}" for k, i in pairs]

    def of_study(self, field: str) -> np.ndarray:
        """What a patient's study has in a field of its design."""
        return np.array([getattr(s, field) for s in STUDIES])[self.kind[self.study]]


def _sample(rng: np.random.Generator, d: Design, studies: int, patients: int) -> _Sample:
    """Draw what differs between studies. Arms, diagnoses and who is seen later are counts by study, shuffled."""
    if studies < 1:
        raise BadInput(f"studies = {studies} leaves nothing to draw; give at least one")
    kind = np.arange(studies) % len(STUDIES)
    size = np.diff(whole(np.r_[0, np.cumsum(d.size[kind])] * patients / d.size[kind].sum()))
    if size.min() < 2:
        raise BadInput(f"patients = {patients} leaves one of {studies} studies fewer than two; give more patients")
    on_ketamine = np.clip(whole(size * d.ketamine[kind] / d.size[kind]), 1, size - 1)
    study_effects = _study_effects(rng, studies)
    # The mean square of the spread is one, so that the variance of y stays one.
    sigma = np.exp(rng.normal(-(SPREAD_OF_SIGMA**2), SPREAD_OF_SIGMA, studies))[:, None] * d.sigma
    study, first = np.repeat(np.arange(studies), size), np.cumsum(size) - size
    arm = (_ranks(rng, study, first) < on_ketamine[study]).astype(int)
    up_to = whole(np.cumsum(d.groups, axis=1)[kind] * (size / d.size[kind])[:, None])
    group = (_ranks(rng, study, first)[:, None] >= up_to[study]).sum(axis=1)
    in_m_star = np.isin(NAMES, M_STAR_STUDIES)[kind]
    later = _ranks(rng, study, first) < _seen_later(size, in_m_star)[study]
    return _Sample(kind, size, first, study_effects, sigma, study, arm, group, later)


def _measure(rng: np.random.Generator, sample: _Sample) -> tuple[dict[str, Any], np.ndarray]:
    """Draw what is measured of patients before treatment: the columns of both tiers, and MADRS at baseline."""
    n, studies = len(sample.study), len(sample.size)

    def cut_normal(name: str) -> np.ndarray:
        shared, own = rng.normal(size=studies)[sample.study], rng.normal(size=n)
        return cut_values(name, np.sqrt(CLUSTERING) * shared + np.sqrt(1 - CLUSTERING) * own)

    threshold, country = sample.of_study("threshold"), sample.of_study("country")
    columns = {
        "psychoactive": sample.of_study("psychoactive"),
        "crossover": sample.of_study("crossover"),
        "threshold": threshold,
        "trd": (threshold >= 2).astype(int),
        "country": country,
        "us": (country == "US").astype(int),
        "inpatient": (rng.random(n) < sample.of_study("inpatients")).astype(int),
        "diagnosis": np.array(DIAGNOSES)[np.array([0, 1, 2, 2, 3])[sample.group]],
        "mdd": np.isin(sample.group, (0, 2)).astype(int),
        "age": whole(cut_normal("age")),
        "female": (rng.random(n) < 0.55).astype(int),
        "anxiety": rng.random(n) < WITH_ANXIETY,
        "systolic": cut_normal("systolic"),
        "bmi": cut_normal("bmi"),
        "smoker": rng.random(n) < 0.25,
        "married": rng.random(n) < 0.4,
        "black": rng.random(n) < 0.08,
        "failed_trials": threshold + rng.poisson(1.5, n),
        "episodes": 1 + rng.poisson(3, n),
    }
    return columns, cut_normal("madrs")


class _Moderators(NamedTuple):
    """Columns that have an effect, less their centre and in units of their scale."""

    x: np.ndarray  # patient, moderator
    madrs: np.ndarray  # by patient: the baseline
    centres: dict[str, float]
    scales: dict[str, float]


def _moderators(d: Design, measured: dict[str, Any], baseline: np.ndarray) -> _Moderators:
    moments = {name: cut_moments(name) for name in ("bmi", "systolic", "madrs")}
    centres = dict(zip(MODERATORS, d.centre.tolist(), strict=True)) | {name: m for name, (m, _) in moments.items()}
    scales = dict.fromkeys(MODERATORS, 1.0) | {name: s for name, (_, s) in moments.items()}
    columns = measured | {"madrs": baseline}
    z = {name: (columns[name] - centres[name]) / scales[name] for name in scales}
    return _Moderators(np.column_stack([z[name] for name in MODERATORS]), z["madrs"], centres, scales)


class _Scores(NamedTuple):
    """Scores at baseline and the two times, and the improvement that a table has of them."""

    madrs: np.ndarray  # patient, baseline or time; converted where HRSD-17 was all there is
    hrsd: np.ndarray  # the same; NaN where it was not rated
    improvement: np.ndarray  # patient, time


def _scores(rng: np.random.Generator, sample: _Sample, baseline: np.ndarray, improvement: np.ndarray) -> _Scores:
    """Draw HRSD-17 where it was rated, and convert it where it was all there is."""
    n, scale = len(sample.study), sample.of_study("scale")
    madrs = baseline[:, None] * np.column_stack([np.ones(n), 1 - improvement / 100])
    error = HRSD_BETWEEN * rng.normal(size=(n, 1)) + HRSD_WITHIN * rng.normal(size=(n, 3))
    hrsd = np.where((scale != MADRS)[:, None], HRSD + HRSD_SLOPE * madrs + error, np.nan)
    is_converted = (scale == HRSD_17)[:, None]
    score = np.where(is_converted, (hrsd - HRSD) / HRSD_SLOPE, madrs)
    return _Scores(score, hrsd, np.where(is_converted, 100 * (1 - score[:, 1:] / score[:, :1]), improvement))


def _table(
    sample: _Sample, measured: dict[str, Any], scores: _Scores, who: np.ndarray, when: np.ndarray
) -> pd.DataFrame:
    """One row per patient and time; Tier 2 is missing in the studies that did not record it."""
    recorded = {column: np.isin(NAMES, trials)[sample.kind[sample.study]] for column, trials in KNOWN_IN.items()}
    table = pd.DataFrame(
        {
            "study": np.array(sample.names)[sample.study[who]],
            "subject": np.array(sample.subjects)[who],
            "arm": np.array(ARMS)[sample.arm[who]],
            "time": np.array(TIMES)[when],
            "day": np.array(DAYS)[when],
            "improvement": scores.improvement[who, when],
            "madrs_baseline": scores.madrs[who, 0],
            "madrs": scores.madrs[who, 1 + when],
            "scale": sample.of_study("scale")[who],
            "hrsd_baseline": scores.hrsd[who, 0],
            "hrsd": scores.hrsd[who, 1 + when],
        }
        | {
            column: (np.where(recorded[column], values, np.nan) if column in recorded else values)[who]
            for column, values in measured.items()
        }
    )
    table.attrs["order"] = {"time": list(TIMES)}
    return table


def _truth_of_design(
    d: Design, interaction: np.ndarray, moderators: _Moderators, *, moderation: bool
) -> dict[str, Any]:
    """What is true of every table of the design."""
    joint = _by_moderator(interaction)
    m_star_r = _by_time(d.m_star_r if moderation else 0 * d.m_star_r)
    return {
        "effect": _by_time(d.effect),
        "intercept": _by_time(d.intercept),
        "mean": _by_time(d.mean),
        "sd": d.sd,
        "main": {time: row | {"madrs": BASELINE} for time, row in _by_moderator(d.main).items()},
        "interaction": joint,
        "m_star": {t: {"weights": {c: joint[t].get(c, 0.0) for c in M_STAR}, "r": m_star_r[t]} for t in TIMES},
        "centre": moderators.centres,
        "scale": moderators.scales,
        "tau_a": TAU_A,
        "tau_b": TAU_B,
        "rho": RHO,
        "rho_times": RHO_TIMES,
        "rho_residual": RHO_RESIDUAL,
        "hrsd": {"intercept": HRSD, "slope": HRSD_SLOPE, "sd_between": HRSD_BETWEEN, "sd_within": HRSD_WITHIN},
    }
