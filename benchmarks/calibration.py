"""Simulation-based calibration: truths drawn from the prior lie anywhere in their posteriors, evenly.

Run with ``python benchmarks/calibration.py`` (hours on two cores), or one design with ``python
benchmarks/calibration.py "counts, two arms"``. It writes ``benchmarks/calibration.csv`` and the table in
``docs/evidence/calibration.md``. Parameters are drawn from the prior, data from the model given them, and each data
set is analysed with the same model (Talts et al. 2018, arXiv:1804.06788). The share of posterior draws below the truth
is then uniform, and 95% intervals contain 95% of truths. What is otherwise read from a table (an outcome's scale, a
marker's centre) is stated as a number or kept as it was, since the priors are around it.
"""

import argparse
import datetime
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from scipy import special, stats

import bayesdep as bd
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.items.data import with_scores
from bayesdep.models.meta.arms import Arms
from bayesdep.models.model import Model
from bayesdep.models.patient_meta.events import count_events
from bayesdep.models.patient_meta.products import sum_products
from bayesdep.models.trajectories.paths import mean_markers_of_patients, mean_outcomes_of_patients
from bayesdep.models.trajectories.scores import covariance_of, links_of
from bayesdep.numerics.draws import stack_draws

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "evidence" / "calibration.md"
FITS = 200
SAMPLING = {"draws": 400, "tune": 400, "chains": 2}
THINNED_TO = 50  # so many of the draws are compared with a truth, nearly independent
LEVEL = 1e-3  # of all tests of a design together


@dataclass(frozen=True)
class Design:
    """A model at a design of data, and how to make data sets for it.

    Parameters
    ----------
    model
        The model.
    data
        Prepared data, of which the outcomes are replaced.
    simulate
        From number and seed to as many pairs of true parameters, by name, and data made by them.
    parameters, estimands
        Names of what is compared with its truth; the first, middle and last element of each.
    draws
        Kept draws per chain: long tails need more.
    """

    model: Model
    data: xr.Dataset
    simulate: Callable[[int, int], Sequence[tuple[Mapping[str, np.ndarray], xr.Dataset]]]
    parameters: tuple[str, ...]
    estimands: tuple[str, ...] = ()
    draws: int = 400


def labelled(model: pm.Model, values: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return parameters as the one draw of one chain, with the model's dims."""
    dims = {name: model.named_vars_to_dims.get(name, ()) for name in values}
    coords = {d: np.asarray(model.coords[d]) for ds in dims.values() for d in ds}
    shapes = {name: (1, 1, *(len(coords[d]) for d in ds)) for name, ds in dims.items()}
    return xr.Dataset(
        {name: (("chain", "draw", *dims[name]), np.reshape(v, shapes[name])) for name, v in values.items()}, coords
    )


def by_the_graph(
    model: Model, data: xr.Dataset, observed: str, put: Callable[[xr.Dataset, np.ndarray], xr.Dataset]
) -> Callable[[int, int], list[tuple[dict[str, np.ndarray], xr.Dataset]]]:
    """Return a simulator that draws parameters and outcomes together from the model's graph."""

    def simulate(fits: int, seed: int) -> list[tuple[dict[str, np.ndarray], xr.Dataset]]:
        graph = model.build(data)
        names = [v.name for v in graph.unobserved_RVs]  # also those not needed for the likelihood
        *values, outcomes = from_prior([graph[name] for name in [*names, observed]], fits, seed=seed)
        return [({n: v[k] for n, v in zip(names, values, strict=True)}, put(data, outcomes[k])) for k in range(fits)]

    return simulate


# Designs.


def with_missing(name: str) -> Callable[[xr.Dataset, np.ndarray], xr.Dataset]:
    """Replace an outcome, missing where it was."""
    return lambda data, y: data.assign({name: data[name].copy(data=np.where(np.isnan(data[name].values), np.nan, y))})


def with_events(data: xr.Dataset, events: np.ndarray) -> xr.Dataset:
    """Replace counts of events."""
    return data.assign(events=data["events"].copy(data=events))


def within_limits(data: xr.Dataset, logs: np.ndarray) -> xr.Dataset:
    """Put a panel's limits on uncensored logs, detected values first, as a panel has them."""
    kind = np.where(logs < data["lod"].values, 1, np.where(logs > data["uloq"].values, 2, 0))
    lower = np.where(kind == 1, -np.inf, np.where(kind == 2, data["uloq"].values, logs))
    upper = np.where(kind == 2, np.inf, np.where(kind == 1, data["lod"].values, logs))
    ends = {name: ("measurement", values) for name, values in (("lower", lower), ("upper", upper), ("kind", kind))}
    return data.assign(ends).isel(measurement=np.argsort(kind > 0, kind="stable"))


def panel(times: tuple[int, ...] = (), people: int = 20, analytes: int = 8, **settings: Any) -> Design:
    """A panel of two groups, of which a fifth or so is beyond its limits."""
    rng = np.random.default_rng(12)
    rows = [
        {"subject": f"s{i}", "group": "ab"[i % 2], "plate": f"plate {i // 2 % 2}", "time": t, "analyte": f"x{a}",
         "concentration": rng.lognormal(), "lod": (0.1, 0.2, 0.4, 0.8)[a % 4], "uloq": 40.0}
        for i in range(people)
        for t in times or (0,)
        for a in range(analytes)
    ]  # fmt: skip
    words = ("analyte", "subject", "group", "lod", "uloq", *(("time",) if times else ("plate",)))
    model = bd.Cytokines(**{w: w for w in words}, reference="a", beyond_limit="censor", **settings)
    data = model.prepare(pd.DataFrame(rows))
    effects = ("level", "group_effect", "residual_sd", *(("time_effect", "interaction") if times else ()))
    further = {"student": ("group_nu",), "horseshoe": ("group_global",)}.get(model.effects, ())
    simulate = by_the_graph(model, data, "log_concentration", within_limits)
    return Design(model, data, simulate, (*model.slots, *effects, *further))


def trial() -> Design:
    """Forty patients of two arms at three visits, some missed."""
    rng, rows, visits = np.random.default_rng(0), [], (1, 2, 4)
    for i in range(40):
        who = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "baseline": rng.normal(24, 4)}
        stays = len(visits) if i % 4 else 1 + i // 4 % 3
        rows += [who | {"visit": v, "outcome": rng.normal() if j < stays else np.nan} for j, v in enumerate(visits)]
    model = bd.Trial(reference="placebo", covariance="ar1", scale=5.0)
    data = model.prepare(pd.DataFrame(rows))
    names = ("visit_mean", "baseline_slope", "baseline_slope_departure", "arm_effect", "arm_effect_departure",
             "arm_effect_at_visit", "residual_sd", "rho")  # fmt: skip
    return Design(model, data, by_the_graph(model, data, "outcome_by_visit", with_missing("outcome")), names)


def crossover() -> Design:
    """Thirty patients, two treatments, two days; a tenth of the days missed, and some dropped out half-way."""
    rng, rows = np.random.default_rng(4), []
    for i in range(30):
        baseline, gone = rng.normal(33, 5), rng.random() < 0.1
        for p in range(2):
            for day in (2, 10):
                missed = (gone and p == 1) or rng.random() < 0.1
                who = {"subject": f"p{i}", "treatment": ("placebo", "drug")[i % 2 == p], "period": p + 1, "day": day}
                rows.append(who | {"baseline": baseline, "outcome": np.nan if missed else rng.normal(30, 8)})
    model = bd.Crossover(reference="placebo", baseline="baseline", scale=8.0)
    data = model.prepare(pd.DataFrame(rows))
    estimands = ("difference", "mean_difference", "period_effect", "intraclass_correlation", "patient_sd",
                 "residual_sd", "patient_correlation", "residual_correlation")  # fmt: skip
    simulate = by_the_graph(model, data, "outcome_by_period", with_missing("outcome"))
    return Design(model, data, simulate, ("day_mean", "baseline_slope"), estimands)


def transitions(**settings: Any) -> Design:
    """Eighty patients of two arms in three states at four visits, of which some are missed, one at two steps."""
    rng, rows = np.random.default_rng(9), []
    for i in range(80):
        stays = 4 if i % 6 else 2
        for j, week in enumerate((0, 4, 8, 16)[:stays]):
            if j == 0 or rng.random() > 0.1:
                who = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "age": 40.0 + i % 9}
                rows.append(who | {"visit": week, "state": "abc"[(i + j) % 3]})
    model = bd.Transitions(states=["a", "b", "c"], reference="placebo", **settings)
    data = model.prepare(pd.DataFrame(rows))

    def put(data: xr.Dataset, states: np.ndarray) -> xr.Dataset:
        return data.assign(state_at_visit=data["state_at_visit"].copy(data=states))

    names = ("row", "effect", *(("effect_sd",) if model.effects == "by-state" else ()))
    estimands = ("transition", "improved_difference", "occupancy", "time_in_remission_difference")
    return Design(model, data, by_the_graph(model, data, "state_at_visit", put), names, estimands)


def counts(arms: str) -> Design:
    """Four subgroups of 20 to 31 people an arm."""
    rows = [(g, a, 1, 20 + 3 * i + j) for i, g in enumerate("wxyz") for j, a in enumerate(arms)]
    model = bd.Counts(control="a")
    data = model.prepare(pd.DataFrame(rows, columns=["subgroup", "arm", "events", "n"]))
    estimands = ("risk_difference", "risk_difference_overall", "risk", "odds_ratio")
    simulate = by_the_graph(model, data, "events", with_events)
    return Design(model, data, simulate, ("baseline_mean", "baseline_sd", "effect_mean", "effect_sd"), estimands)


def ordinal(**settings: Any) -> Design:
    """Forty-eight patients of two arms at three visits, some missed, four categories, an ordered covariate."""
    rng, rows = np.random.default_rng(6), []
    for i in range(48):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "stage": i // 2 % 4, "age": 30 + i}
        seen = 3 if i % 4 else 1 + i // 4 % 3
        rows += [about | {"visit": v, "outcome": str(rng.integers(4))} for v in (1, 2, 4)[:seen]]
    model = bd.Ordinal(
        categories=[str(k) for k in range(4)], reference="placebo", covariates="age + mo(stage)",
        **({"subject": "subject", "visit": "visit"} | settings),
    )  # fmt: skip
    data = model.prepare(pd.DataFrame(rows))
    names = ["threshold", "visit_effect", "arm_effect", "covariate_effect", "monotone_effect", "increment"]
    estimands = ("probability", "difference")
    if model.has_patient_effects:
        simulate = by_the_graph(model, data, "category_at_visit", lambda d, y: d.assign(category_of=("row", y)))
        return Design(model, data, simulate, (*names, "patient_sd"), estimands)
    simulate = by_the_graph(model, data, "category_counts", lambda d, y: d.assign(counts=(("row", "category"), y)))
    return Design(model, data, simulate, tuple(names), estimands)


def items(**settings: Any) -> Design:
    """Thirty patients of two arms at three visits, six items of three or five categories, some missing."""
    rng, highest = np.random.default_rng(7), {"a": 4, "b": 2, "c": 4, "d": 2, "e": 4, "f": 2}
    rows = []
    for i in range(30):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "crp": float(np.exp(rng.normal(1, 1)))}
        for week in (0, 4, 8)[: 3 if i % 6 else 2]:
            scores = {name: int(rng.integers(0, top + 1)) for name, top in highest.items()}
            rows.append(about | {"visit": week} | (scores if i % 5 else scores | {"c": None}))
    model = bd.Items(items=highest, reference="placebo", moderator="crp", at=[1, 5], **settings)
    data = model.prepare(pd.DataFrame(rows))
    names = (
        "visit_effect", "arm_effect", "arm_by_moderator", "moderator_effect", "moderator_change", "departure",
        "departure_by_moderator", "departure_sd", "discrimination", "threshold", "level_sd", "slope_sd", "visit_sd",
        "correlation",
    )  # fmt: skip
    estimands = ("sum_difference", "item_difference", "present_difference", "item_difference_at")
    return Design(model, data, by_the_graph(model, data, "item_score", with_scores), names, estimands)


def meta_of_arms(*, most: int) -> Design:
    """Eight binomial studies of up to so many treated arms of 40 to 54 people each, and their control group."""
    rows = [
        {"study": f"s{k}", "arm": arm, "events": 1, "n": 40 + 2 * k}
        for k in range(8)
        for arm in ("control", "low", "high", "higher")[: 2 + k % most]
    ]
    model = bd.Meta(measure="log-odds-ratio", input="arms", likelihood="binomial", reference="control")
    data = model.prepare(pd.DataFrame(rows))

    def simulate(fits: int, seed: int) -> list[tuple[dict[str, np.ndarray], xr.Dataset]]:
        rng, found = np.random.default_rng(seed), []
        arms = Arms.of(data)
        for _ in range(fits):
            truth = {n: p.scipy.rvs(random_state=rng) for n, p in model.priors.items()}
            log_odds = np.zeros(len(arms.n))
            for g in range(arms.groups):  # e_0, e_1, ... around their mean, as the class says
                treated = arms.groups + np.flatnonzero(arms.group == g)
                own = rng.normal(0, truth["tau"] / np.sqrt(2), 1 + len(treated))
                level = rng.normal(truth["baseline_mean"], truth["baseline_sd"]) - truth["mu"] / 2 - own.mean()
                log_odds[g], log_odds[treated] = level + own[0], level + truth["mu"] + own[1:]
            events = rng.binomial(data["n"].values.T.ravel(), special.expit(log_odds))
            found.append((truth, with_events(data, events.reshape(data["events"].T.shape).T)))
        return found

    return Design(model, data, simulate, tuple(model.priors))


def meta_of_effects(**settings: Any) -> Design:
    """Twelve standardised differences in six trials, two each."""
    rows = [{"study": f"s{k}", "trial": f"t{k // 2}", "effect": 0.1 * k, "se": 0.2 + 0.02 * k} for k in range(12)]
    model = bd.Meta(measure="standardised-difference", **settings)
    data = model.prepare(pd.DataFrame(rows))

    def simulate(fits: int, seed: int) -> list[tuple[dict[str, np.ndarray], xr.Dataset]]:
        rng, found = np.random.default_rng(seed), []
        covariance = data["covariance"].values if "covariance" in data else np.diag(data["se"].values ** 2)
        for _ in range(fits):
            truth = {n: p.scipy.rvs(random_state=rng) for n, p in model.priors.items()}
            noise = rng.normal(size=12)
            if model.heterogeneity == "student-t":
                noise = rng.standard_t(truth.get("nu", model.nu), 12)
            mean = truth["mu"] + truth["tau"] * noise
            if model.cluster is not None:
                mean = mean + truth["tau_cluster"] * rng.normal(size=6)[data["cluster_of"].values]
            y = rng.multivariate_normal(mean, covariance)
            found.append((truth, data.assign(effect=data["effect"].copy(data=y))))
        return found

    return Design(model, data, simulate, tuple(model.priors))


def patient_meta(*, between: bool = True, **settings: Any) -> Design:
    """Eight studies of 20 to 39 patients at one or two times: x differs between patients, z between studies alone."""
    rng, rows = np.random.default_rng(7), []
    for k in range(8):
        for i in range(rng.integers(20, 40)):
            who = {"study": f"s{k}", "subject": f"{k}-{i}", "arm": "drug" if i % 2 else "control"}
            who |= {"x": rng.normal(), "z": float(k % 2)}
            rows += [who | {"time": t, "y": rng.normal()} for t in ("week 1", "week 4") if t == "week 1" or i % 5]
    moderators = ["x", "z"] if between else ["x"]
    columns = {"reference": "control", "outcome": "y", "moderators": moderators, "split": False, "scale": 1.0}
    model = bd.PatientMeta(**columns, **settings)
    data = model.prepare(pd.DataFrame(rows))
    names = ("effect", "interaction", "tau_effect")
    names += ("tau_intercept", "effect_correlation") * (not model.has_free_levels)
    names += ("residual_sd", "residual_spread") * (not model.is_binary)
    names += ("time_correlation", "residual_correlation") * (data.sizes["time"] > 1)

    def simulate(fits: int, seed: int) -> list[tuple[dict[str, np.ndarray], xr.Dataset]]:
        graph = model.build(data)
        drawn = [n for n in (*names, "intercept", "moderator_effect", "study_sd") if n in graph.named_vars]
        values = from_prior([graph[n] for n in drawn], fits, seed=seed)
        rng = np.random.default_rng(seed)
        truths = [{n: v[k] for n, v in zip(drawn, values, strict=True)} for k in range(fits)]
        return [(truth, patients_of(model, data, truth, rng)) for truth in truths]

    return Design(model, data, simulate, names)


def patients_of(model: bd.PatientMeta, data: xr.Dataset, truth: dict[str, np.ndarray], rng: Any) -> xr.Dataset:
    """Draw outcomes patient by patient, which the model knows as sums of products only."""
    times, studies, arm = data.sizes["time"], data.sizes["study"], data["arm_of"].values
    r = truth.get("time_correlation", 0.0)
    by_time = np.array([[1, r], [r, 1]])[:times, :times]
    shared = rng.normal(size=(studies, 2, times)) @ np.linalg.cholesky(by_time).T
    if model.has_free_levels:
        level, own = rng.normal(0, 2, (studies, times)), truth["tau_effect"] * shared[:, 1]
    else:
        r = truth["effect_correlation"]
        level = truth["tau_intercept"] * shared[:, 0]
        own = truth["tau_effect"] * (r * shared[:, 0] + np.sqrt(1 - r**2) * shared[:, 1])
    main = truth.get("moderator_effect", np.zeros((0, times)))
    main = np.vstack([main, np.zeros((data.sizes["part"] - len(main), times))])  # with free levels z is in the levels
    code, x, of = (arm - arm.mean())[:, None], data["parts"].values, data["study_of"].values
    mean = truth.get("intercept", 0.0) + level[of] + (arm[:, None] - 0.5) * own[of] + x @ main
    mean = mean + code * (truth["effect"] + x @ truth["interaction"])
    if model.is_binary:
        y = (rng.random(mean.shape) < special.expit(mean)).astype(float)
    else:
        rho, noise = truth.get("residual_correlation", 0.0), rng.normal(size=mean.shape)
        if times > 1:
            noise[:, 1] = rho * noise[:, 0] + np.sqrt(1 - rho**2) * noise[:, 1]
        y = mean + truth["study_sd"][of] * noise
    y = np.where(np.isnan(data["outcome"].values), np.nan, y)
    told = data.assign(outcome=data["outcome"].copy(data=y), outcome_mean=0 * data["outcome_mean"])
    summed = count_events(told) if model.is_binary else sum_products(told, free=model.has_free_levels)
    return told.drop_vars([v for v in summed.variables if v in told.variables]).merge(summed, combine_attrs="override")


# Around the design's own: with the default priors most data sets would have all or nothing detected.
MARKER = {"marker_mean": bd.Prior("Normal", mu=0, sigma=0.25), "marker_sd": bd.Prior("LogNormal", mu=0.0, sigma=0.15)}


def fgf2(model: Model, outcome: Callable[[Mapping[str, float], np.ndarray, Any], xr.Dataset], **asked: Any) -> Design:
    """The 31 people of the FGF-2 design, about 12% not detected."""
    table = bd.simulate("kiraly2017", seed=1).table
    keep = (table["group"] == "TRD") & (table["time"] == 0) & (table["analyte"] == "FGF-2")
    data = model.prepare(table[keep].dropna(subset=["responder"]))
    limit, dims = data["log_lod"].values[:, 0], ("subject", "analyte")

    def simulate(fits: int, seed: int) -> list[tuple[dict[str, np.ndarray], xr.Dataset]]:
        rng, found = np.random.default_rng(seed), []
        for _ in range(fits):
            truth = {name: float(prior.scipy.rvs(random_state=rng)) for name, prior in model.priors.items()}
            z = rng.standard_normal(len(limit))
            logs = float(data["centre"].values[0]) + truth["marker_mean"] + truth["marker_sd"] * z
            ends = {"log_lower": np.where(logs < limit, -np.inf, logs), "log_upper": np.maximum(logs, limit)}
            one = data.assign({name: (dims, v[:, None]) for name, v in ends.items()})
            found.append((truth, one.assign(outcome(truth, z, rng))))
        return found

    return Design(model, data, simulate, tuple(model.priors), **asked)


def response() -> Design:
    """A marker and a response; scale = 1, so the slope's prior is per natural log."""
    model = bd.Response(cutoff=34, priors=MARKER, predicts_when="below", scale=1, **COLUMNS)

    def outcome(truth: Mapping[str, float], z: np.ndarray, rng: Any) -> dict[str, Any]:
        log_odds = truth["intercept"] + truth["slope"] * (truth["marker_mean"] + truth["marker_sd"] * z)
        return {"outcome": ("subject", (rng.random(len(z)) < special.expit(log_odds)).astype("int64"))}

    estimands = ("odds_ratio_per_doubling", "auc", "youden", "sensitivity", "specificity",
                 "likelihood_ratio_positive", "likelihood_ratio_negative")  # fmt: skip
    return fgf2(model, outcome, estimands=estimands, draws=1000)


def correlation() -> Design:
    """A marker and a score in points, its mean and sd with priors in points."""
    score = {"score_mean": bd.Prior("Normal", mu=15, sigma=10), "score_sd": bd.Prior("HalfNormal", sigma=15)}
    model = bd.Correlation(score="madrs_change", priors=MARKER | score, **COLUMNS)

    def outcome(truth: Mapping[str, float], z: np.ndarray, rng: Any) -> dict[str, Any]:
        rho = truth["rho"]
        other = rho * z + np.sqrt(1 - rho**2) * rng.standard_normal(len(z))
        return {"score": ("subject", truth["score_mean"] + truth["score_sd"] * other)}

    return fgf2(model, outcome, estimands=("correlation", "slope", "variance_explained"), draws=1000)


def trajectories(*, markers: bool, **settings: Any) -> Design:
    """Forty patients in two arms, a score at four times and, asked for, two markers at three, some below a limit."""
    rng, rows = np.random.default_rng(9), []
    for i in range(40):
        about = {"subject": f"s{i}", "arm": "pd"[i % 2]}
        rows += [about | {"time": t, "outcome": rng.normal()} for t in (0, 1, 2, 5) if t != i % 9]
        for name in ("a", "b") if markers else ():
            rows += [about | {"time": t, "marker": name, "value": np.exp(rng.normal())} for t in (0, 2, 5)]
    columns = {"value": "value", "analyte": "marker"} if markers else {}
    narrow = {"marker_course": bd.Prior("Normal", mu=0, sigma=0.5)} if markers else {}  # limits that some are below
    model = bd.Trajectories(reference="p", scale=1.0, priors=narrow, **columns, **settings)
    data = model.prepare(pd.DataFrame(rows)).assign(centre=0.0)
    names = ("course", "arm_effect", "arm_change", "level_sd", "slope_sd", "residual_sd", "correlation_by_pair")
    names += ("rho",) * model.autocorrelation
    if not markers:
        seen = ~np.isnan(data["outcome"].values)

        def put(data: xr.Dataset, drawn: np.ndarray) -> xr.Dataset:
            return data.assign(outcome=data["outcome"].copy(data=np.where(seen, drawn, np.nan)))

        return Design(model, data, by_the_graph(model, data, "outcome_over_time", put), names)
    data = data.assign(marker_centre=data["marker_centre"] * 0)

    def simulate(fits: int, seed: int) -> list[tuple[dict[str, np.ndarray], xr.Dataset]]:
        graph = model.build(data)
        asked = [v.name for v in graph.unobserved_RVs]
        values = from_prior([graph[name] for name in asked], fits, seed=seed)
        rng = np.random.default_rng(seed)
        truths = [{n: v[k] for n, v in zip(asked, values, strict=True)} for k in range(fits)]
        return [(truth, patients_with_markers(model, data, graph, truth, rng)) for truth in truths]

    names += ("marker_course", "marker_arm_change", "marker_level_sd", "marker_slope_sd", "marker_residual_sd")
    names += ("association", "association_difference", "association_mean", "association_sd")
    return Design(model, data, simulate, names)


def patients_with_markers(
    model: bd.Trajectories, data: xr.Dataset, graph: pm.Model, truth: Mapping[str, np.ndarray], rng: Any
) -> xr.Dataset:
    """Draw markers and outcomes patient by patient, from their deviations; a marker's limit is one below its centre."""
    draw = stack_draws(labelled(graph, truth))
    links = links_of(model, draw)[0]  # (analyte, arm, power, power)
    own = np.linalg.cholesky(covariance_of(model, draw)[0])
    of_markers = np.linalg.cholesky(covariance_of(model, draw, "marker_", "analyte")[0])
    people, analytes, powers = data.sizes["subject"], data.sizes["analyte"], len(model.powers)
    b = np.einsum("mrs,ims->imr", of_markers, rng.normal(size=(people, analytes, powers)))
    z = mean_markers_of_patients(model, draw, data)[0] + np.einsum(
        "itr,imr->imt", data["marker_deviation_columns"].values, b
    )
    z = z + truth["marker_residual_sd"][:, None] * rng.normal(size=z.shape)
    d = rng.normal(size=(people, powers)) @ own.T + np.einsum(
        "imrs,ims->ir", np.moveaxis(links, 0, 1)[data["arm_of"].values], b
    )
    y = mean_outcomes_of_patients(model, draw, data)[0] + np.einsum("ivr,ir->iv", data["deviation_columns"].values, d)
    y = np.where(np.isnan(data["outcome"].values), np.nan, y + truth["residual_sd"] * rng.normal(size=y.shape))
    below = z < -1.0
    return data.assign(
        outcome=data["outcome"].copy(data=y),
        lower=data["lower"].copy(data=np.where(below, -np.inf, z)),
        upper=data["upper"].copy(data=np.where(below, -1.0, z)),
        detection=data["detection"].copy(data=below.astype(int)),
    )


COLUMNS = {"unit": "unit", "plate": "plate", "censored": "censored", "lod": "lod", "uloq": "uloq"}
DESIGNS: dict[str, Callable[[], Design]] = {
    "cytokines, normal": partial(panel, effects="normal"),
    "cytokines, student": partial(panel, effects="student"),
    "cytokines, horseshoe": partial(panel, effects="horseshoe", expected_nonzero=2),
    "cytokines, three times": partial(
        panel, times=(0, 4, 24), analytes=4, group_by_time=True, effects="normal"
    ),
    "patient-meta, free levels, none": partial(patient_meta, effects="none"),
    "patient-meta, free levels, student": partial(patient_meta, effects="student"),
    "patient-meta, random levels, horseshoe": partial(
        patient_meta, effects="horseshoe", expected_nonzero=1, study_levels="random"
    ),
    "patient-meta, events, free levels": partial(patient_meta, effects="normal", times=["week 1"], at_least=0.5),
    "crossover": crossover,
    "response": response,
    "correlation": correlation,
    "ordinal, cumulative, integrated": ordinal,
    "ordinal, continuation, integrated": partial(ordinal, link="continuation"),
    "ordinal, adjacent, people": partial(ordinal, link="adjacent", subject=None),
    "items": items,
    "items, Student-t departures": partial(items, pooling="student-t"),
    "counts, two arms": partial(counts, "ab"),
    "counts, three arms": partial(counts, "abc"),
    "meta, binomial, two arms": partial(meta_of_arms, most=1),
    "meta, binomial, several arms": partial(meta_of_arms, most=3),
    "meta, Student-t effects": partial(meta_of_effects, heterogeneity="student-t"),
    "meta, clusters of the same people": partial(meta_of_effects, cluster="trial", within_correlation=0.5),
    "transitions": transitions,
    "transitions, effects by state": partial(transitions, effects="by-state"),
    "trajectories, growth curve": partial(trajectories, markers=False, autocorrelation=True),
    "trajectories, two markers": partial(trajectories, markers=True, association=["change"]),
    "trial": trial,
}  # fmt: skip


# The study.


def places(design: Design, fits: int, seed: int) -> Iterator[dict[str, tuple[float, bool]]]:
    """Analyse data sets, and give for each the truths' places among draws (0 to 1) and whether intervals hold them."""
    model = design.model.build(design.data)
    sets = design.simulate(fits, seed)
    rng = np.random.default_rng(seed)
    for k in sorted(range(fits), key=lambda k: hidden(sets[k][1])):  # few compilations
        truth, data = sets[k]
        expected = {name: np.asarray(truth[name]) for name in design.parameters}
        posterior = sample_posterior(design.model, data, **SAMPLING | {"draws": design.draws}, seed=seed + k)
        found = dict(posterior.data_vars)
        if design.estimands:
            asked = design.model.estimands(labelled(model, truth), data)
            expected |= {name: asked[name].values for name in design.estimands}
            asked = design.model.estimands(posterior, data)
            found |= {name: asked[name] for name in design.estimands}
        row = {}
        for name, value in expected.items():
            draws, value = found[name].transpose("chain", "draw", ...).values, value.ravel()
            draws = draws.reshape(-1, value.size)
            for j in sorted({0, value.size // 2, value.size - 1}):
                label = name if value.size == 1 else f"{name}[{j}]"
                thinned = draws[:: len(draws) // THINNED_TO, j]
                below = (thinned < value[j]).sum() + rng.uniform() * (1 + (thinned == value[j]).sum())
                lower, upper = np.quantile(draws[:, j], [0.025, 0.975])
                row[label] = below / (len(thinned) + 1), bool(lower <= value[j] <= upper)
        yield row


def hidden(data: xr.Dataset) -> int:
    """How many values lie beyond a limit: the size of a model in which these have parameters."""
    return sum(int(np.isinf(data[name].values).sum()) for name in ("lower", "upper", "log_lower") if name in data)


def study(name: str, fits: int = FITS, seed: int | None = None) -> pd.DataFrame:
    """Calibrate one design.

    Parameters
    ----------
    name
        Of the design.
    fits
        How many data sets.
    seed
        The first; by default one that is the design's own.

    Returns
    -------
    pandas.DataFrame
        One row per quantity: ``coverage`` of 95% intervals, ``coverage_p`` (binomial) and ``ks_p``
        (Kolmogorov-Smirnov).
    """
    seed = zlib.crc32(name.encode()) % 100_000 if seed is None else seed
    found: dict[str, list[tuple[float, bool]]] = {}
    for row in places(DESIGNS[name](), fits, seed):
        for label, one in row.items():
            found.setdefault(label, []).append(one)
    rows = []
    for label, values in found.items():
        place, inside = np.array(values).T
        p = stats.binomtest(int(inside.sum()), len(inside), 0.95).pvalue
        rows.append((name, label, len(inside), seed, inside.mean(), p, stats.kstest(place, "uniform").pvalue))
    return pd.DataFrame(rows, columns=["design", "quantity", "fits", "seed", "coverage", "coverage_p", "ks_p"])


def table(found: pd.DataFrame) -> str:
    """Return one line a design as Markdown."""
    heads = ["design", "data sets", "quantities", "coverage, mean", "lowest", "highest", "lowest P, coverage",
             "lowest P, uniform", "level"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for name in [d for d in DESIGNS if d in set(found["design"])]:
        rows = found[found["design"] == name]
        c = rows["coverage"]
        cells = [name, f"{rows['fits'].iloc[0]}", f"{len(rows)}", *(f"{x:.3f}" for x in (c.mean(), c.min(), c.max()))]
        cells += [f"{x:.2g}" for x in (rows["coverage_p"].min(), rows["ks_p"].min(), LEVEL / len(rows))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("designs", nargs="*", choices=[[], *DESIGNS], help="all where left out")
    parser.add_argument("--fits", type=int, default=FITS)
    parser.add_argument("--seed", type=int, help="the first, instead of the design's own")
    asked = parser.parse_args()
    path = HERE / "calibration.csv"
    for name in asked.designs or DESIGNS:
        start = time.perf_counter()
        found = study(name, asked.fits, asked.seed).assign(date=datetime.date.today().isoformat())
        print(found.round(4).to_string(index=False), f"{time.perf_counter() - start:.0f} s", flush=True)
        if path.exists():
            kept = pd.read_csv(path)
            found = pd.concat([kept[kept["design"] != name], found])
        found.round(5).to_csv(path, index=False)
        text = DOCUMENT.read_text(encoding="utf-8")
        before, rest = text.split("<!-- DESIGNS -->", 1)
        after = rest.split("<!-- END -->", 1)[1]
        DOCUMENT.write_text(f"{before}<!-- DESIGNS -->\n{table(found)}\n<!-- END -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
