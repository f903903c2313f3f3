"""The 17 trials of Price 2022 and the coefficients that follow from what was printed of them.

Of the paper (doi 10.1038/s41380-022-01757-7; its tables in PMC9763119), five rows of Table 1 and Table 2 down to
personality disorder could be read. The other trials are from their own reports, named beside each. Three sizes and
one trial's diagnoses are what Table 2's totals leave: 43 for Phillips, where 41 completed both infusions, and nothing
negative, so that the reports' numbers pass for the paper's; they remain a reading of it.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from bayesdep.data.published import load

PATIENTS, CROSSOVER, PSYCHOACTIVE = 720, 242, 477  # Table 2
DIAGNOSES = ("MDD", "bipolar", "PTSD", "other")
PRINCIPAL, WITH_MDD = (579, 66, 74, 1), 627  # Table 2: an MDD diagnosis beside PTSD in 48

MADRS, HRSD_17, BOTH = "MADRS", "HRSD-17", "MADRS and HRSD-17"


class Study(NamedTuple):
    """A trial: its control, its requirement of failed trials, its scale, and its patients' principal diagnoses."""

    name: str
    country: str
    patients: int | None  # None: what the totals leave
    ketamine: float  # share of the patients
    crossover: int
    psychoactive: int  # the control is midazolam or remifentanil, not saline
    threshold: int  # failed trials of antidepressants required
    inpatients: float  # share
    scale: str
    diagnosis: str | tuple[int, ...] | None  # one for all, counts by diagnosis, or None: what the totals leave


# Halves on ketamine are ours where no report is cited for the arms; so is outpatient where nothing is said of it. Ten
# trials with MADRS, three with HRSD-17 and four with both are printed; which ones follows from the reports' outcomes.
STUDIES = (
    # Table 1 to Mathew, whose row could be read up to the control: the rest is of PMID 23982301, two arms 2:1, of
    # "treatment-resistant" patients, hence two failed trials at least. Grunebaum: 80 with MDD (doi
    # 10.1176/appi.ajp.2017.17060647), the others bipolar.
    Study("Deakin", "UK", 37, 1 / 2, 0, 0, 0, 0, MADRS, "MDD"),
    Study("Feder 1", "US", 30, 1 / 2, 0, 1, 0, 0, MADRS, "PTSD"),
    Study("Feder 2", "US", 41, 1 / 2, 1, 1, 0, 0, MADRS, "PTSD"),
    Study("Grunebaum", "US", 96, 1 / 2, 0, 1, 0, 1, HRSD_17, (80, 16, 0, 0)),
    Study("Mathew", "US", 73, 2 / 3, 0, 1, 2, 0, MADRS, "MDD"),
    # 13 and 12 inpatients, HRSD-24 (HRB Open Res 3:90).
    Study("McLoughlin", "Ireland", 25, 13 / 25, 0, 1, 0, 1, HRSD_17, "MDD"),
    # 24 with several diagnoses (doi 10.1017/S0033291715001506), in- and outpatients (PMC5794524, Table 1).
    Study("Murrough", "US", 24, 1 / 2, 0, 1, 0, 1 / 2, MADRS, None),
    # 30, against remifentanil (PMC8434915, Sumner 2020); no requirement of failed trials found.
    Study("Muthukumaraswamy", "New Zealand", 30, 1 / 2, 1, 1, 0, 0, MADRS, "MDD"),
    # 22 on 0.5 and 20 on 1 mg/kg, 19 on midazolam; two failed trials (PMC6447473).
    Study("Papakostas", "US", 61, 42 / 61, 0, 1, 2, 0, BOTH, "MDD"),
    # Two failed trials (PMC8434915, the protocol); 41 completed both infusions (doi 10.1176/appi.ajp.2018.18070834).
    Study("Phillips", "Canada", None, 1 / 2, 1, 1, 2, 0, MADRS, "MDD"),
    # Against midazolam, two failed trials (doi 10.1038/s41398-020-00897-0).
    Study("Shiroma", "US", None, 1 / 2, 0, 1, 2, 0, MADRS, "MDD"),
    # 27 inpatients, saline (PMC5794524, Table 1); no requirement of failed trials found.
    Study("Sos", "Czech Republic", 27, 1 / 2, 1, 0, 0, 1, MADRS, "MDD"),
    # Responders 45.8% and 12.5%, 11 and 3 of 24, "treatment-resistant" (doi 10.1038/npp.2017.94).
    Study("Su", "Taiwan", 48, 1 / 2, 0, 0, 2, 0, BOTH, "MDD"),
    # 30, ten on saline (PMC8434915, Tiger 2020), resistant to one drug, an SSRI (PMC7261801).
    Study("Tiger", "Sweden", 30, 2 / 3, 0, 0, 1, 0, MADRS, "MDD"),
    # 18, two failed trials, HRSD only (PMC8434915, Zarate 2006a); inpatients (PMC4065787), as the next two.
    Study("Zarate 1", "US", 18, 1 / 2, 1, 0, 2, 1, HRSD_17, "MDD"),
    # Bipolar; one failed trial is ours. The totals leave 48, though 18 (PMC3000408) and 15 (PMID 22297150) were
    # published. That these are three trials follows from there being 17.
    Study("Zarate 2", "US", None, 1 / 2, 1, 0, 1, 1, BOTH, "bipolar"),
    # 35 (doi 10.1038/s41380-018-0028-2), one failed trial (NCT00088699).
    Study("Zarate 3", "US", 35, 1 / 2, 1, 0, 1, 1, BOTH, "MDD"),
)
NAMES = tuple(study.name for study in STUDIES)

# Who has which moderator of Tier 2: ours, by whole trials, so that anxiety is known of 521 patients (Table 2), BMI and
# smoking together of 232 in seven trials (M* #2f), and all of 40 to 82%. Systolic pressure: of 439, as the interval of
# its effect after 7 days asks for: standard error 0.097, residual 0.97, 94% seen, arms of 54 and 46%.
M_STAR_STUDIES = ("Feder 1", "McLoughlin", "Muthukumaraswamy", "Shiroma", "Sos", "Zarate 1", "Zarate 2")


def _all_but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in NAMES if name not in names)


KNOWN_IN = {
    "anxiety": _all_but("Grunebaum", "Papakostas", "Murrough", "Zarate 1"),
    "systolic": _all_but("Grunebaum", "Papakostas", "Phillips", "Shiroma", "Sos"),
    "bmi": (*M_STAR_STUDIES, "Mathew", "Papakostas", "Zarate 3"),
    "smoker": (*M_STAR_STUDIES, "Grunebaum"),
    "married": ("Deakin", "Feder 2", "Grunebaum", "Mathew", "Murrough", "Papakostas", "Phillips", "Su"),
    "black": tuple(study.name for study in STUDIES if study.country == "US"),
    "failed_trials": tuple(study.name for study in STUDIES if study.threshold),
    "episodes": tuple(study.name for study in STUDIES if study.diagnosis == "MDD" and study.name != "Shiroma"),
}

# Ours. The paper's model has random intercepts only, and no variance is printed. With these, its standard error of
# ketamine's effect is 0.070 at the rapid time, where its interval says 0.071. Ketamine's effects differ between trials
# with a standard deviation of 0.15 beyond what the design explains; where placebo does well, there is less to add.
TAU_A, TAU_B, RHO = 0.2, 0.15, -0.3
SPREAD_OF_SIGMA = 0.15  # of the log of the residual's standard deviation, between studies
BASELINE = 0.1  # prognostic effect of baseline MADRS, per standard deviation

# Interactions that are not printed: sizes ours. The signs are those of the largest weights in M* #2f at the rapid time
# (Combined moderators); systolic pressure moderated at the post-rapid time only.
MODERATORS = ("crossover", "trd", "us", "mdd", "bmi", "systolic")
M_STAR = ("mdd", "inpatient", "age", "female", "us", "trd", "bmi", "smoker")  # the eight of #2f
_OURS = ({"us": 0.15, "mdd": -0.2, "bmi": 0.1, "systolic": 0.0}, {"mdd": -0.2, "bmi": 0.1})
_PRINTED = {
    "crossover": "crossover design x ketamine",
    "trd": "TRD threshold >= 2 x ketamine",
    "us": "US study x ketamine",
    "systolic": "systolic pressure x ketamine",
}

# "Clinical response to ketamine treatment" (Conclusions), "peak" (Comment): on ketamine, at the rapid time.
RESPONSE, REMISSION = 0.46, 0.27

# Mean, standard deviation and limits of a normal cut there: ours. Baseline MADRS is near the 33.4 (4.6) of 32 patients
# of doi 10.18112/openneuro.ds005917.v1.0.1 and Sumner's 30.2 and Tiger's 27.8 (PMC8434915).
_CUT = {"madrs": (31, 5.5, 20, 60), "bmi": (28, 6, 17, 60), "systolic": (125, 15, 85, 180), "age": (43, 12, 18, 75)}


def whole(x: np.ndarray) -> np.ndarray:
    """Round, halves up: of cumulative counts, so that their differences add up and whole counts stay as they are."""
    return np.floor(x + 0.5 + 1e-9).astype(int)


def cut_moments(name: str) -> tuple[float, float]:
    """Return the mean and standard deviation of a cut normal."""
    mean, sd, low, high = _CUT[name]
    first, second = stats.truncnorm.stats((low - mean) / sd, (high - mean) / sd, mean, sd)
    return float(first), float(np.sqrt(second))


def cut_values(name: str, z: np.ndarray) -> np.ndarray:
    """Turn standard normals into cut normals, in the same order."""
    mean, sd, low, high = _CUT[name]
    below, above = special.ndtr((low - mean) / sd), special.ndtr((high - mean) / sd)
    return np.asarray(mean + sd * special.ndtri(below + (above - below) * special.ndtr(z)))


@dataclass(frozen=True)
class Design:
    """Counts by study, and coefficients with a row per time."""

    size: np.ndarray
    ketamine: np.ndarray  # patients
    groups: np.ndarray  # patients with MDD, bipolar disorder, PTSD and MDD, PTSD only, other
    centre: np.ndarray  # values of the moderators at which the effect of ketamine is the printed average
    main: np.ndarray
    interaction: np.ndarray
    effect: np.ndarray  # of ketamine
    intercept: np.ndarray
    sigma: np.ndarray
    mean: np.ndarray  # improvement, per cent
    sd: float
    m_star_r: np.ndarray


def _counts() -> tuple[np.ndarray, np.ndarray]:
    """Return patients by study, and by study and group of diagnoses, solving for what is None."""
    n = np.array([study.patients or 0 for study in STUDIES])
    crossover = np.array([study.crossover == 1 for study in STUDIES])
    psychoactive = np.array([study.psychoactive == 1 for study in STUDIES])
    for name, among, total in (
        ("Shiroma", ~crossover, PATIENTS - CROSSOVER),
        ("Phillips", psychoactive, PSYCHOACTIVE),
        ("Zarate 2", crossover, CROSSOVER),
    ):
        n[NAMES.index(name)] = total - n[among].sum()
    mix = np.zeros((len(STUDIES), len(DIAGNOSES)), dtype=int)
    for row, study, size in zip(mix, STUDIES, n, strict=True):
        if isinstance(study.diagnosis, str):
            row[DIAGNOSES.index(study.diagnosis)] = size
        elif study.diagnosis is not None:
            row[:] = study.diagnosis
    mix[NAMES.index("Murrough")] = PRINCIPAL - mix.sum(axis=0)
    ptsd = mix[:, DIAGNOSES.index("PTSD")]
    with_mdd = np.diff(whole(np.r_[0, np.cumsum(ptsd)] * (WITH_MDD - PRINCIPAL[0]) / ptsd.sum()))
    return n, np.column_stack([mix[:, :2], with_mdd, ptsd - with_mdd, mix[:, 3]])


def _coefficients(x: np.ndarray, n: np.ndarray, ketamine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return prognostic effects and interactions by time that give back the printed ones, tested one at a time.

    With study intercepts, a study informs on ketamine in proportion to its patients on ketamine times those on control
    over all: the interaction with a study-level moderator alone is the gap between two such averages of the studies'
    effects. Systolic pressure, no more in one study than in another, keeps its own.
    """
    printed = load("price2022_effects").set_index(["estimand", "timepoint"]).estimate
    main, interaction = np.zeros((2, len(MODERATORS))), np.zeros((2, len(MODERATORS)))

    def gap(j: int, weight: np.ndarray) -> np.ndarray:
        """Return how much higher all moderators are where moderator j is 1 than where it is 0."""
        one = x[:, j] == 1
        return np.average(x[one], 0, weight[one]) - np.average(x[~one], 0, weight[~one])

    for t, when in enumerate(("24 h", "7 d")):
        known = dict(_OURS[t])
        if "systolic" not in known:
            known["systolic"] = float(printed[_PRINTED["systolic"], when])
        interaction[t, [MODERATORS.index(name) for name in known]] = list(known.values())
        solve_for = [j for j, name in enumerate(MODERATORS) if name not in known]
        left = np.array([gap(j, ketamine * (n - ketamine) / n) for j in solve_for])
        right = [printed[_PRINTED[MODERATORS[j]], when] for j in solve_for] - left @ interaction[t]
        interaction[t, solve_for] = np.linalg.solve(left[:, solve_for], right)
        # Half in either arm: printed as "driven jointly" for TRD and the US, ours for the others.
        main[t] = -interaction[t] / 2
    in_control = gap(0, (n - ketamine).astype(float))
    main[0, 0] = printed["crossover design within placebo", "24 h"] - in_control[1:] @ main[0, 1:]
    return main, interaction


def _per_cent(share: np.ndarray, mean: np.ndarray, variance: np.ndarray, sigma: float) -> tuple[float, float]:
    """Return the mean and standard deviation, in per cent, that give response and remission on ketamine.

    `share`, `mean` and `variance` (without residual) of the standardised outcome are by study; baseline MADRS, which
    remission needs, and the studies' residuals are integrated out.
    """
    node, weight = np.polynomial.hermite_e.hermegauss(41)
    weight = weight / weight.sum()
    madrs = cut_values("madrs", node)
    needed = 100 * (1 - 9 / madrs)  # to have 9 points left
    known = BASELINE * (madrs - cut_moments("madrs")[0]) / cut_moments("madrs")[1]
    residual = sigma * np.exp(SPREAD_OF_SIGMA * node - SPREAD_OF_SIGMA**2)[:, None]
    sd = np.sqrt(variance + residual**2)  # residual, study
    given = np.sqrt(variance - BASELINE**2 + residual**2)[:, :, None]

    def miss(unknown: np.ndarray) -> list[float]:
        centre, scale = unknown
        response = weight @ special.ndtr((mean - (50 - centre) / scale) / sd) @ share
        remission = special.ndtr((mean[:, None] + known - (needed - centre) / scale) / given)
        return [response - RESPONSE, weight @ (remission @ weight) @ share - REMISSION]

    centre, scale = optimize.root(miss, [35.0, 40.0]).x
    return float(centre), float(scale)


@cache
def design() -> Design:
    """Return the 17 trials, and what is solved for from printed numbers."""
    printed = load("price2022_effects").set_index(["estimand", "timepoint"]).estimate
    n, groups = _counts()
    ketamine = whole(n * [study.ketamine for study in STUDIES])
    mdd = groups[:, [0, 2]].sum(axis=1) / n
    by_study = [(study.crossover, study.threshold >= 2, study.country == "US") for study in STUDIES]
    x = np.column_stack([np.array(by_study, dtype=float), mdd, 0 * n, 0 * n])  # BMI and pressure differ by chance only
    variance_of_x = np.column_stack([np.zeros((len(n), 3)), mdd * (1 - mdd), 1 + 0 * n, 1 + 0 * n])
    main, interaction = _coefficients(x, n, ketamine)
    centre = np.average(x, 0, ketamine * (n - ketamine) / n)
    effect = np.array([printed["ketamine vs control", when] for when in ("24 h", "7 d")])

    # Means and variances of the standardised outcome, without residual: time, study, arm (control, ketamine).
    arm = np.array([0, 1])
    share = np.column_stack([n - ketamine, ketamine]) / n.sum()
    slope = main[:, None] + arm[:, None] * interaction[:, None]  # time, arm, moderator
    mean = effect[:, None, None] * arm + np.einsum("tam,km->tka", slope, x - centre)
    intercept = -(share * mean).sum(axis=(1, 2))
    mean = mean + intercept[:, None, None]
    between = TAU_A**2 + arm * (2 * RHO * TAU_A * TAU_B + TAU_B**2)
    variance = np.einsum("tam,km->tka", slope**2, variance_of_x) + BASELINE**2 + between
    sigma = np.sqrt(1 - (share * (mean**2 + variance)).sum(axis=(1, 2)))  # the outcome has variance 1

    # Correlation of M*, averaged over a random pair on ketamine and control, with the pair's difference in outcome.
    weight = interaction * np.isin(MODERATORS, M_STAR)
    score = np.einsum("tm,km->tk", weight, x - centre)[:, :, None] + 0 * mean
    in_arm = share / share.sum(axis=0)

    def covariance(first: np.ndarray, second: np.ndarray, within: np.ndarray) -> np.ndarray:
        means = (in_arm * first).sum(axis=1) * (in_arm * second).sum(axis=1)
        return np.asarray((in_arm * (first * second + within)).sum(axis=1) - means)  # time, arm

    of_outcome = covariance(mean, mean, variance + sigma[:, None, None] ** 2)
    of_score = covariance(score, score, np.einsum("tm,km->tk", weight**2, variance_of_x)[:, :, None])
    shared = covariance(score, mean, np.einsum("tm,tam,km->tka", weight, slope, variance_of_x))
    m_star_r = (shared[:, 1] - shared[:, 0]) / np.sqrt(of_score.sum(axis=1) * of_outcome.sum(axis=1))

    level, sd = _per_cent(in_arm[:, 1], mean[0, :, 1], variance[0, :, 1], float(sigma[0]))
    control = (in_arm * mean).sum(axis=1)[:, 0]
    levels = level + sd * (control[0] - control)  # ours: placebo does as well at either time
    return Design(n, ketamine, groups, centre, main, interaction, effect, intercept, sigma, levels, sd, m_star_r)
