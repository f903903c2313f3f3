"""The patient-level design of Kiraly 2017: people on a multiplex panel with detection limits, and their response.

Means and spreads are those of Table 2. The paper prints no limits, no plate differences and no split of the variance
between and within people: those are chosen here. It prints no sizes of the changes after ketamine either, but their
paired t statistics or P: the sizes reproduce those, in expectation for the analysis of the values without limits.
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

GROUPS = ("HC", "TRD")
PLATE_FACTOR = (0.95, 1.0, 1.05)  # of the limits of detection
TAU_U, TAU_PLATE, TAU_DELTA, PSI = 0.15, 0.08, 0.03, 1.0

# Paired t of the changes in 33 patients (Results, Exploration and Inflammatory cytokines): printed for IL-6 and
# IL-1alpha, from the printed P (0.038, 0.024) with 32 degrees of freedom for others, 4.5 where P < 0.0001 is printed.
T_OF_CHANGE = {
    4: {"IL-6": -2.369, "IL-1alpha": -2.149, "G-CSF": -2.164, "IL-13": -2.164, "IP-10": -4.5},
    24: {"IL-7": 4.5, "IL-8": -4.5, "PDGF-AA": -2.370},
}
PATIENTS_OF_T = 33
ABOVE_UPPER_LIMIT = ("PDGF-AA", "PDGF-BB", "GRO", "RANTES", "MCP-1", "scd40L")
PREDICTOR, SHARE_BELOW_PREDICTOR = "FGF-2", 0.12
SLOPE, RATE, CORRELATION, MADRS_MEAN, MADRS_SD = -1.8, 0.6, -0.565, 17.0, 10.0
OUTCOME_UNKNOWN = 2 / 33  # the printed sensitivity, specificity and P of the correlation fit 31 patients

_FAMILIES = {
    "pro-inflammatory": (
        *("IL-6", "IL-1alpha", "IL-1beta", "TNF-alpha", "TNF-beta", "IFN2a", "IFN gamma"),
        *("IL-12P40", "IL-12P70", "IL-17a", "scd40L"),
    ),
    "anti-inflammatory and T-cell": ("IL-10", "IL-13", "IL-1ra", "IL-2", "IL-4", "IL-5", "IL-7", "IL-9", "IL-15"),
    "chemokine": (
        *("Eotaxin", "Fractalkine", "GRO", "IL-8", "IP-10", "MCP-1", "MCP-3", "MDC", "Mip-1a", "Mip-1b"),
        "RANTES",
    ),
    "growth factor": (
        *("EGF", "FGF-2", "FLT3L", "G-CSF", "GM-CSF", "IL-3", "PDGF-AA", "PDGF-BB", "TGF-alpha", "VEGF"),
    ),
}
ANALYTE_FAMILY = {analyte: family for family, analytes in _FAMILIES.items() for analyte in analytes}


@dataclass(frozen=True)
class _Panel:
    """What Table 2 and the assay fix, one entry per analyte; limits have a row per plate."""

    analyte: tuple[str, ...]
    alpha: np.ndarray  # control log means
    log_ratio: np.ndarray
    sd: np.ndarray  # total log standard deviation between people
    sigma: np.ndarray  # within people
    lod: np.ndarray
    uloq: np.ndarray


def _six_digits(x: np.ndarray) -> np.ndarray:
    """Round to six significant digits: never past a limit that has six."""
    return np.array([float(f"{value:.6g}") for value in x.ravel()]).reshape(x.shape)


def _shares_below(majority: np.ndarray, sd: np.ndarray, predictor: int) -> np.ndarray:
    """Return the true share of baseline samples below the limit, per analyte.

    Those published as mostly below it have 0.60 to 0.85, in table order. The others are ordered by their
    spread: 0.001 for the six tightest, then evenly up to 0.38, save the predictor's own share.
    """
    share = np.empty(len(sd))
    share[majority] = np.linspace(0.60, 0.85, majority.sum())
    rest = [i for i in np.argsort(sd, kind="stable") if not majority[i] and i != predictor]
    share[rest] = np.r_[np.full(6, 0.001), np.linspace(0, 0.38, len(rest) - 6 + 1)[1:]]
    share[predictor] = SHARE_BELOW_PREDICTOR
    return share


@cache
def _panel() -> _Panel:
    printed = load("kiraly2017_table2")
    analyte = tuple(printed.analyte)
    n, mean, sem = (
        printed[[f"{group}_{c}" for group in ("hc", "trd")]].to_numpy(dtype=float).T for c in ("n", "mean", "sem")
    )
    weight = n / n.sum(axis=0)
    s2 = (weight * np.log1p(n * sem**2 / mean**2)).sum(axis=0)
    sd = np.sqrt(s2)
    alpha, log_ratio = np.log(mean[0]) - s2 / 2, np.log(mean[1] / mean[0])
    # three plate effects drawn with TAU_PLATE and centred keep two thirds of its variance
    sigma = np.sqrt((s2 - TAU_U**2 - TAU_PLATE**2 * 2 / 3) / (1 + PSI**2))

    def point_below_which(share: np.ndarray) -> np.ndarray:
        low, high = alpha + np.minimum(log_ratio, 0) - 10 * sd, alpha + np.maximum(log_ratio, 0) + 10 * sd
        for _ in range(80):
            middle = (low + high) / 2
            below = (weight * special.ndtr((middle - alpha - [0 * log_ratio, log_ratio]) / sd)).sum(axis=0) < share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return middle

    share = _shares_below(printed.majority_below_lod.to_numpy(), sd, analyte.index(PREDICTOR))
    lod = np.exp(point_below_which(share)) * np.array(PLATE_FACTOR)[:, None]
    reached = np.isin(analyte, ABOVE_UPPER_LIMIT)
    uloq = np.exp(np.where(reached, point_below_which(np.full(len(analyte), 0.985)), alpha + 6 * sd))
    return _Panel(analyte, alpha, log_ratio, sd, sigma, _six_digits(lod), _six_digits(np.tile(uloq, (len(lod), 1))))


@cache
def _changes(time: int) -> np.ndarray:
    """Mean changes of log concentrations at a time that give the published paired t in expectation, shape (analyte,).

    A person's change has variance 2 sigma^2, since what lasts cancels. With m people t is noncentral, with mean
    ``delta sqrt(m / 2) / sigma * sqrt(f / 2) Gamma((f - 1) / 2) / Gamma(f / 2)``, f = m - 1 (Johnson, Kotz and
    Balakrishnan 1995, Continuous Univariate Distributions 2, section 31.3).
    """
    panel, f = _panel(), PATIENTS_OF_T - 1
    inflated = np.sqrt(f / 2) * np.exp(special.gammaln((f - 1) / 2) - special.gammaln(f / 2))
    t = np.array([T_OF_CHANGE.get(time, {}).get(name, 0.0) for name in panel.analyte])
    return np.asarray(t * panel.sigma * np.sqrt(2 / PATIENTS_OF_T) / inflated)


@cache
def _intercept(sd: float) -> float:
    """Return the logit at the centre that makes the response rate RATE when the predictor is N(centre, sd)."""
    node, weight = np.polynomial.hermite_e.hermegauss(101)
    weight = weight / weight.sum()
    return float(optimize.brentq(lambda a: weight @ special.expit(a + SLOPE * sd * node) - RATE, -20, 20))


def _truncated(rng: np.random.Generator, mean: float, sd: float, low: float, high: float, size: int) -> np.ndarray:
    return stats.truncnorm.rvs((low - mean) / sd, (high - mean) / sd, mean, sd, size, random_state=rng)


def draw_kiraly2017(
    rng: np.random.Generator,
    *,
    people: tuple[int, int] = (26, 33),
    log_ratio: np.ndarray | None = None,
    times: tuple[int, ...] = (0, 4, 24),
) -> Simulated:
    """26 controls and 33 patients (0, 4, 24 h), 41 analytes on 3 plates with limits; response and MADRS change.

    In natural logs, for subject i, analyte a, plate p and time t::

        y = alpha_a + beta_a [TRD] + delta_{a,t} + plate_{a,p} + u_i + v_ia + e
        u_i ~ N(0, 0.15)    v_ia, e ~ N(0, sigma_a)    plate_{a,.} ~ N(0, 0.08), centred over the three plates

    so that, beyond u and the plates, half of the variance between samples is lasting differences between
    people. ``alpha``, ``beta`` and ``sigma`` make the arithmetic means of both groups those of Table 2 and the
    variance of y between people the pooled one of Table 2. ``delta`` is zero at 0 h and N(0, 0.03) later, plus
    the changes that were reported: their directions are published, their sizes chosen here.

    A limit of detection has a true share of the baseline samples of Table 2's two groups below it: 0.60 to 0.85
    for the 13 analytes reported as more than half below, less than 0.4 for the others (0.12 for FGF-2). These
    are shares in the long run: at 59 people, a single table may have a 14th analyte above one half, or a 12th.
    Limits belong to the assay, so they do not follow `log_ratio`. Six abundant analytes have 1.5% above the upper
    limit. Values beyond a limit are censored there.

    The true log FGF-2 x of a patient's baseline sample, censored or not, predicts two outcomes at 24 h:
    response, Bernoulli(logit^-1(a - 1.8 (x - m))) with a response rate of 0.6, and the improvement in MADRS,
    N(17, 10) points with correlation -0.565 with x. Given FGF-2 the two are drawn independently of each other:
    a responder need not have the larger improvement. They are unknown for 2 in 33 patients, the last ones. Age,
    sex and body mass index have no effect on anything.

    Parameters
    ----------
    rng
        Where randomness comes from.
    people
        Controls and patients.
    log_ratio
        True log ratio, patients over controls, per analyte in the order of Table 2; None for Table 2's own.
    times
        Hours at which patients are sampled, 0 among them; controls are sampled at 0 only.

    Returns
    -------
    Simulated
        One row per measurement. The truth holds, by row, the uncensored ``log_concentration``; the names
        ``subject`` and ``analyte`` in the order of all other lists; ``alpha``, ``log_ratio`` and ``sigma`` per
        analyte; ``delta`` by time (a string, as in JSON); ``plate``, ``lod`` and ``uloq`` per plate and analyte; ``u``
        per subject and ``v`` per subject and analyte; ``psi``, ``tau_u``, ``tau_plate``; ``response`` with
        ``intercept``, ``slope``, ``centre`` and ``rate``; ``correlation``.

    Raises
    ------
    BadInput
        When a group is empty, `times` lacks 0 or repeats itself, or `log_ratio` has another length.
    """
    panel = _panel()
    true_log_ratio = panel.log_ratio if log_ratio is None else np.asarray(log_ratio, dtype=float)
    if min(people) < 1:
        raise BadInput(f"people = {people} leaves a group empty; give at least one control and one patient")
    if 0 not in times or len(set(times)) < len(times):
        raise BadInput(f"times = {times} must be different hours with 0, the baseline, among them")
    if true_log_ratio.shape != panel.alpha.shape:
        raise BadInput(
            f"log_ratio has shape {true_log_ratio.shape}; give one number for each of the {len(panel.analyte)} analytes"
        )
    # the order of the draws is part of the design: same seed, same table
    persons = _draw_people(rng, panel, people)
    plate = _draw_plates(rng, panel)
    delta = _draw_changes(rng, panel, times)
    samples = _draw_samples(rng, panel, persons, plate, true_log_ratio, delta, times)
    outcome, response = _draw_outcomes(rng, panel, persons, samples, true_log_ratio)
    truth = {
        "subject": persons.subject,
        "analyte": list(panel.analyte),
        "alpha": panel.alpha.tolist(),
        "log_ratio": true_log_ratio.tolist(),
        "delta": {str(time): row.tolist() for time, row in zip(times, delta, strict=True)},
        "plate": plate.tolist(),
        "u": persons.u.tolist(),
        "v": persons.v.tolist(),
        "sigma": panel.sigma.tolist(),
        "psi": PSI,
        "tau_u": TAU_U,
        "tau_plate": TAU_PLATE,
        "lod": panel.lod.tolist(),
        "uloq": panel.uloq.tolist(),
        "response": response,
        "correlation": CORRELATION,
        "log_concentration": samples.y.ravel().tolist(),
    }
    return Simulated(_table_of(panel, persons, samples, outcome), truth)


@dataclass(frozen=True)
class _People:
    """Controls first, then patients; one entry per person, and v also by analyte."""

    subject: list[str]
    is_patient: np.ndarray
    plate_of: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    bmi: np.ndarray
    u: np.ndarray  # general level
    v: np.ndarray  # lasting deviation in each analyte


@dataclass(frozen=True)
class _Samples:
    """One sample of a control, one per time of a patient; shapes (sample,), and of y (sample, analyte)."""

    person: np.ndarray
    hours: np.ndarray
    plate: np.ndarray
    y: np.ndarray  # log concentrations, limits or not


def _draw_people(rng: np.random.Generator, panel: _Panel, people: tuple[int, int]) -> _People:
    """Their plate, covariates and lasting differences."""
    n = sum(people)
    return _People(
        subject=[
            f"{group}{i + 1:0{max(2, len(str(size)))}d}"
            for group, size in zip(GROUPS, people, strict=True)
            for i in range(size)
        ],
        is_patient=np.repeat([False, True], people),
        plate_of=np.concatenate([rng.permutation(np.arange(size) % len(PLATE_FACTOR)) for size in people]),
        age=np.round(_truncated(rng, 41, 12, 18, 75, n)).astype(int),
        sex=np.where(rng.random(n) < 0.5, "F", "M"),
        bmi=np.round(_truncated(rng, 27.5, 5.5, 17, 50, n), 1),
        u=rng.normal(0, TAU_U, n),
        v=rng.normal(0, PSI * panel.sigma, (n, len(panel.analyte))),
    )


def _draw_plates(rng: np.random.Generator, panel: _Panel) -> np.ndarray:
    """Differences of plates, summing to zero, shape (plate, analyte)."""
    plate = rng.normal(0, TAU_PLATE, (len(PLATE_FACTOR), len(panel.analyte)))
    return np.asarray(plate - plate.mean(axis=0))


def _draw_changes(rng: np.random.Generator, panel: _Panel, times: Sequence[int]) -> np.ndarray:
    """Changes from baseline, shape (time, analyte); zero at baseline."""
    delta = np.zeros((len(times), len(panel.analyte)))
    for row, time in zip(delta, times, strict=True):
        if time != 0:
            row += rng.normal(0, TAU_DELTA, len(panel.analyte)) + _changes(time)
    return delta


def _draw_samples(
    rng: np.random.Generator,
    panel: _Panel,
    persons: _People,
    plate: np.ndarray,
    log_ratio: np.ndarray,
    delta: np.ndarray,
    times: Sequence[int],
) -> _Samples:
    """The assay of every sample."""
    controls, patients = (int((persons.is_patient == is_patient).sum()) for is_patient in (False, True))
    person = np.repeat(np.arange(controls + patients), np.where(persons.is_patient, len(times), 1))
    when = np.r_[np.full(controls, times.index(0)), np.tile(np.arange(len(times)), patients)]
    plate_of = persons.plate_of[person]
    expected = (
        panel.alpha
        + log_ratio * persons.is_patient[person, None]
        + delta[when]
        + plate[plate_of]
        + persons.u[person, None]
        + persons.v[person]
    )
    y = expected + rng.normal(0, panel.sigma, expected.shape)
    return _Samples(person, np.array(times, dtype=int)[when], plate_of, y)


def _draw_outcomes(
    rng: np.random.Generator, panel: _Panel, persons: _People, samples: _Samples, log_ratio: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Response and change of the MADRS, from patients' true baseline; and the truth of the response.

    Shape (2, people); NaN for controls and for the last patients, whose outcome is unknown.
    """
    j = panel.analyte.index(PREDICTOR)
    centre, sd = float(panel.alpha[j] + log_ratio[j]), float(panel.sd[j])
    baseline = samples.y[persons.is_patient[samples.person] & (samples.hours == 0), j] - centre
    intercept, patients = _intercept(sd), len(baseline)
    outcome = np.full((2, len(persons.subject)), np.nan)
    outcome[0, persons.is_patient] = rng.random(patients) < special.expit(intercept + SLOPE * baseline)
    noise = np.sqrt(1 - CORRELATION**2) * rng.normal(size=patients)
    change = MADRS_MEAN + MADRS_SD * (CORRELATION * baseline / sd + noise)
    outcome[1, persons.is_patient] = np.round(change, 2)
    outcome[:, len(persons.subject) - round(patients * OUTCOME_UNKNOWN) :] = np.nan
    return outcome, {"intercept": intercept, "slope": SLOPE, "centre": centre, "rate": RATE}


def _table_of(panel: _Panel, persons: _People, samples: _Samples, outcome: np.ndarray) -> pd.DataFrame:
    """One row per measurement; values beyond a limit stand at it, with a flag."""
    lod, uloq, exact = panel.lod[samples.plate], panel.uloq[samples.plate], np.exp(samples.y)
    left, right = exact < lod, exact > uloq
    person = samples.person

    def per_sample(values: Any) -> np.ndarray:
        return np.repeat(np.asarray(values), len(panel.analyte))

    return pd.DataFrame(
        {
            "subject": per_sample(np.array(persons.subject)[person]),
            "group": per_sample(np.array(GROUPS)[persons.is_patient[person].astype(int)]),
            "time": per_sample(samples.hours),
            "plate": per_sample(np.array([f"plate {p + 1}" for p in range(len(PLATE_FACTOR))])[samples.plate]),
            "analyte": np.tile(panel.analyte, len(person)),
            "analyte_family": np.tile([ANALYTE_FAMILY[name] for name in panel.analyte], len(person)),
            "concentration": np.where(left, lod, np.where(right, uloq, _six_digits(exact))).ravel(),
            "unit": "pg/mL",
            "censored": np.where(left, "left", np.where(right, "right", "none")).ravel(),
            "lod": lod.ravel(),
            "uloq": uloq.ravel(),
            "age": per_sample(persons.age[person]),
            "sex": per_sample(persons.sex[person]),
            "bmi": per_sample(persons.bmi[person]),
            "responder": per_sample(outcome[0, person]),
            "madrs_change": per_sample(outcome[1, person]),
        }
    )
