"""Fits of all families without sampling: real models and data, draws of parameters from their priors, names at will.

What leaves a fit asks for draws, not for where they are from. Nothing here is of patients.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from unittest import mock

import numpy as np
import pandas as pd
import xarray as xr

import bayesdep as bd
from bayesdep.inference import groups, sample
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.nuts import Nuts


@contextlib.contextmanager
def from_the_prior(shrink=0.3):
    """Within it parameters are not sampled: they are draws from the prior, drawn together towards the first of them."""

    def drawn(model, core, sampler, steps, *, draws, chains, seed, **rest):
        names = [rv.name for rv in core.free_RVs]
        values_of_names = from_prior([core[name] for name in names], draws * chains, seed=seed)
        found = {}
        for name, values in zip(names, values_of_names, strict=True):
            mixed = values[0] + shrink * (values - values[0]) if np.issubdtype(values.dtype, np.floating) else values
            found[name] = (values if "corr" in name else mixed).reshape(chains, draws, *values.shape[1:])
        zeros = np.zeros((chains, draws))
        energy = np.random.default_rng(seed).normal(size=(chains, draws))
        stats = {"diverging": zeros.astype(bool), "energy": energy, "reached_max_treedepth": zeros.astype(bool)}
        coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
        return Nuts(found, xr.Dataset({k: (("chain", "draw"), v) for k, v in stats.items()}, coords), steps)

    with mock.patch.object(sample, "sample_nuts", drawn), mock.patch.object(groups, "PRIOR_DRAWS", 50):
        yield


def unsampled(graph, table, *, draws=100, chains=2, seed=1, shrink=0.3):
    """A fit of such draws."""
    with from_the_prior(shrink):
        return bd.fit(graph, table, draws=draws, chains=chains, tune=10, seed=seed, progress=False)


def plain(kind: str, i: int) -> str:
    """A name nobody would take offence at."""
    return f"{kind} {i}"


Name = Callable[[str, int], str]


def studies(name: Name = plain, n: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    return pd.DataFrame(
        {
            "study": [name("study", i) for i in range(n)],
            "effect": rng.normal(0.3, 0.4, n),
            "se": rng.uniform(0.1, 0.4, n),
        }
    )


def visits(name: Name = plain, n: int = 24, arms: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for i in range(n):
        baseline, crp = rng.normal(24, 4), np.exp((1 if i // arms % 2 else -1) * rng.uniform(0.1, 2))
        for j, week in enumerate((2, 4, 8)):
            missed = i >= arms * 3 and i % 5 == 0 and j > 0
            rows.append(
                {"subject": f"p{i}", "arm": name("arm", i % arms), "visit": week, "crp": crp, "age": 40 + i % 7}
                | {"baseline": baseline, "outcome": np.nan if missed else baseline - week / 2 + rng.normal(0, 6)}
            )
    return pd.DataFrame(rows)


def occasions(name: Name = plain, n: int = 3, people: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for i in range(people):
        for j, week in enumerate((0, 4, 8, 16)):
            if j == 0 or (i + j) % 6:
                state = name("state", (i + j) % n if i < n else rng.integers(n))
                rows.append({"subject": f"p{i}", "arm": name("arm", i % 2), "visit": week, "state": state})
    return pd.DataFrame(rows)


def stages(name: Name = plain, categories: list[str] | None = None, n: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    categories = categories or [name("category", k) for k in range(4)]
    rows = []
    for i in range(n):
        about = {"subject": f"p{i}", "arm": name("arm", i % 2), "stage": i // 2 % 3 + 1, "age": 40 + i % 7}
        about["baseline"] = categories[i // 3 % 4]
        for week in (2, 4):
            rows.append(about | {"visit": week, "outcome": categories[(i + int(rng.integers(0, 3))) % 4]})
    return pd.DataFrame(rows)


def assessments(name: Name = plain, n: int = 4, people: int = 16) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for i in range(people):
        about = {"subject": f"p{i}", "arm": name("arm", i % 2), "crp": float(np.exp(rng.normal()))}
        for week in (0, 4, 8):
            if week < 8 or i % 5:
                rows += [about | {"visit": week, "item": name("item", k), "score": int(rng.integers(0, 3 + k % 2))}
                         for k in range(n)]  # fmt: skip
    return pd.DataFrame(rows)


def periods(name: Name = plain, n: int = 16) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for i in range(n):
        for p in range(2):
            for day in (2, 10):
                rows.append(
                    {"subject": f"p{i}", "treatment": name("drug", (i + p) % 2), "period": p + 1, "day": day}
                    | {"outcome": np.nan if i % 7 == 6 and p else rng.normal(30, 6)}
                )
    return pd.DataFrame(rows)


def panel(name: Name = plain, n: int = 6, people: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for i in range(people):
        group, plate = name("group", i % 2), name("plate", i // 2 % 2)
        responder = i // 2 % 2
        for a in range(n):
            for time in (0, 4):
                value = float(np.exp((0.2 if a % 4 == 0 else 2.5) + 0.6 * rng.standard_normal()))
                rows.append(
                    {"subject": f"s{i}", "group": group, "plate": plate, "analyte": name("analyte", a), "time": time}
                    | {
                        "value": max(value, 1.0),
                        "censored": "left" if value < 1 else "none",
                        "lod": 1.0,
                        "unit": "pg/mL",
                    }
                    | {"responder": responder, "score": 20.0 + i % 9}
                )
    return pd.DataFrame(rows)


def patients(name: Name = plain, n: int = 5, each: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for s in range(n):
        for i in range(each):
            about = {name("moderator", k): float(rng.normal(40, 9) if k else (i // 2) % 2) for k in range(2)}
            for t in range(2):
                rows.append(
                    {"study": name("study", s), "subject": f"{s}-{i}", "arm": name("arm", i % 2)}
                    | about | {"time": name("time", t), "outcome": rng.normal(40, 20)}
                )  # fmt: skip
    return pd.DataFrame(rows)


def courses(name: Name = plain, n: int = 3, people: int = 18) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    rows = []
    for i in range(people):
        about = {"subject": f"p{i}", "arm": name("arm", i % 2), "age": 30 + i}
        rows += [about | {"time": t, "outcome": rng.normal(25 - t, 6)} for t in (0, 1, 5) if t < 5 or i % 5]
        for k in range(n):
            for t in (0, 2, 5):
                value = float(np.exp(rng.normal(1, 0.8)))
                rows.append(about | {"time": t, "marker": name("marker", k), "value": value if value > 1.5 else "<1.5"})
    return pd.DataFrame(rows)


def arms(name: Name = plain, n: int = 3) -> pd.DataFrame:
    rows = [
        {"subgroup": name("group", g), "arm": name("arm", j), "events": 3 + j + g % 4, "n": 20}
        for g in range(n) for j in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def diagnosed(name: Name) -> pd.DataFrame:
    return pd.DataFrame({"group": [name("group", 0), name("group", 1)], "positives": [8, 2], "n": [10, 12]})


def made(family: str, name: Name = plain, n: int | None = None, **how):
    """A fit of a family, `n` of its units, every label and unit of whose table is what `name` makes it."""
    some = {} if n is None else {"n": n}
    unit = name("unit", 0)
    if family == "meta":
        return bd.fit(bd.Meta(measure="difference", units=unit, scale=1.0), studies(name, **some), **EXACT | how)
    if family == "meta-clusters":
        table = studies(name, **some)
        table["laboratory"] = [name("laboratory", i // 2) for i in range(len(table))]
        model = bd.Meta(measure="difference", units=unit, scale=1.0, cluster="laboratory")
        return bd.fit(model, table, **EXACT | how)
    if family == "meta-counts":
        model = bd.Meta(measure="log-odds-ratio", input="arms", likelihood="binomial", reference=name("arm", 0))
        table = arms(name, **some).rename(columns={"subgroup": "study"})
        third = table[table["arm"] == name("arm", 1)].assign(arm=name("arm", 2), events=5)
        return unsampled(model, pd.concat([table, third.iloc[:2]], ignore_index=True), **how)
    if family == "small-studies":
        model = bd.SmallStudies(measure="standardised-difference", favours="positive", bias="pet")
        return bd.fit(model, studies(name, **some), **EXACT | how)
    if family == "counts":
        return bd.fit(bd.Counts(control=name("arm", 0), pooling="none"), arms(name, **some), **EXACT | how)
    if family == "pooled-counts":
        return unsampled(bd.Counts(control=name("arm", 0)), arms(name, **some), **how)
    if family == "screen":
        return bd.fit(bd.Screen(condition=name("group", 0)), diagnosed(name), **EXACT | how)
    if family == "trial":
        model = bd.Trial(
            reference=name("arm", 0), covariance="ar1", moderator="crp", moderator_form="log-quadratic",
            subgroups=["> 1", "<= 1"], response=0.5, remission=7, units=unit,
        )  # fmt: skip
        return unsampled(model, visits(name, **some), **how)
    if family == "ordinal":
        categories = [name("category", k) for k in range(4)]
        table = stages(name, categories, **some)
        model = bd.Ordinal(
            categories=categories, reference=name("arm", 0), subject="subject", visit="visit", baseline="baseline",
            covariates="mo(stage)", moderator="age", at=[40, 50], by_threshold=["arm"],
        )  # fmt: skip
        return unsampled(model, table, **how)
    if family == "items":
        highest = {name("item", k): 2 + k % 2 for k in range(n or 4)}
        model = bd.Items(items=highest, reference=name("arm", 0), item="item", moderator="crp", at=[0.5, 2])
        return unsampled(model, assessments(name, **some), **how)
    if family == "stepwise":
        steps = pd.DataFrame(
            {"step": [name("step", k) for k in range(3)], "entered": [90, 40, 9], "remitted": [30, 9, 0]}
        )
        return bd.fit(bd.Stepwise(step_order=list(steps["step"])), steps, **EXACT | how)
    if family == "trial-arms":
        model = bd.Trial(reference=name("arm", 0), by_arm=True, units=unit)
        return unsampled(model, visits(name, arms=4, **some), **how)
    if family == "transitions":
        states = [name("state", k) for k in range(n or 3)]
        model = bd.Transitions(states=states, reference=name("arm", 0), effects="by-state", time_units=unit)
        return unsampled(model, occasions(name, **some), **how)
    if family == "trajectories":
        model = bd.Trajectories(
            reference=name("arm", 0), value="value", analyte="marker", association=("change", "baseline"), units=unit,
            subgroups={name("group", k): f"age < {38 + k}" for k in range(3)},
        )  # fmt: skip
        return unsampled(model, courses(name, **some), **how)
    if family == "factor":
        model = bd.Trajectories(
            reference=name("arm", 0), value="value", analyte="marker", association=("change", "slope"), units=unit,
            shared_factor=True, positive_loading=name("marker", 1),
        )  # fmt: skip
        return unsampled(model, courses(name, **some), **how)
    if family == "growth":
        model = bd.Trajectories(reference=name("arm", 0), course="linear", units=unit)
        return unsampled(model, courses(name, **some).dropna(subset=["outcome"]), **how)
    if family == "responses":
        table = courses(name, **some).dropna(subset=["outcome"])
        model = bd.Trajectories(reference=name("arm", 0), course="linear", kind="response")
        return unsampled(model, table.assign(outcome=(table["outcome"] > 24).astype(float)), **how)
    if family == "crossover":
        return unsampled(bd.Crossover(reference=name("drug", 0), units=unit), periods(name, **some), **how)
    if family == "cytokines":
        model = bd.Cytokines(
            reference=name("group", 0), analyte="analyte", subject="subject", group="group", time="time", plate="plate",
            censored="censored", lod="lod", unit="unit", value="value",
        )  # fmt: skip
        return unsampled(model, panel(name, **some).assign(unit=unit), **how)
    if family == "patient-meta":
        moderators = [name("moderator", k) for k in range(2)]
        model = bd.PatientMeta(
            reference=name("arm", 0), time="time", moderators=moderators, combined=moderators, units=unit,
            study_levels="random", times=[name("time", t) for t in range(2)],
        )  # fmt: skip
        return unsampled(model, patients(name, **some), **how)
    one = panel(name, **({"n": 1} | some))
    first = one[one["time"] == 0]
    if family == "response":
        several = first["analyte"].nunique() > 1
        asked = {"effects": "normal"} if several else {"predicts_when": "above", "cutoff": 5.0}
        model = bd.Response(
            outcome="responder", value="value", analyte="analyte", subject="subject", censored="censored", lod="lod",
            unit="unit", **asked,
        )  # fmt: skip
        return unsampled(model, first.assign(unit=unit), **how)
    if family == "correlation":
        model = bd.Correlation(score="score", value="value", subject="subject", units=unit)
        return unsampled(model, first, **how)
    raise KeyError(family)


EXACT = {"draws": 100, "chains": 2, "seed": 1}
FAMILIES = (
    "meta", "small-studies", "counts", "pooled-counts", "screen", "trial", "trial-arms", "crossover", "cytokines",
    "patient-meta", "response", "correlation", "ordinal", "items", "stepwise", "trajectories", "growth", "factor",
    "transitions",
)  # fmt: skip


def degenerate(fit):
    """The same fit with draws that no axis is made for: all equal, of two values, a few or all infinite."""

    def spoilt(k: int, values: xr.DataArray) -> xr.DataArray:
        if not np.issubdtype(values.dtype, np.floating) or values.size == 0:
            return values
        array = values.values.copy()
        first = array[:1, :1]
        if k % 4 == 0:
            array[:] = first
        elif k % 4 == 1:
            array[:] = first
            array[:, ::2] += 1e-17 + np.abs(first) / 3
        elif k % 4 == 2:
            array[:, 0] = np.inf
        else:
            array[:] = np.inf
        return values.copy(data=array)

    groups = {name: node.to_dataset() for name, node in fit.tree.children.items()}
    for group in ("posterior", "posterior_predictive", "estimands"):
        found = groups.get(group, xr.Dataset())
        groups[group] = found.assign({name: spoilt(k, found[name]) for k, name in enumerate(found.data_vars)})
    return dataclasses.replace(fit, tree=xr.DataTree.from_dict(groups))
