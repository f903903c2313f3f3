"""A small plan and table for every family, which is good: what the attempts damage."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Base:
    """A plan and its table."""

    family: str
    model: dict[str, Any]
    table: dict[str, list[Any]]
    columns: dict[str, str] = field(default_factory=dict)
    priors: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> dict[str, Any]:
        """Return the plan as nested tables; the sampler is asked for little."""
        return {
            "study": {"name": "demo", "title": "A demonstration", "question": "Does it hold?"},
            "data": {"source": "table.csv", **self.data, "columns": dict(self.columns)},
            "model": {"family": self.family, **self.model},
            "priors": {slot: dict(prior) for slot, prior in self.priors.items()},
            "sampling": {"draws": 100, "tune": 100, "chains": 2, "seed": 1},
        }


def _trial() -> dict[str, list[Any]]:
    rng = np.random.default_rng(1)
    people, visits = 12, 3
    base = rng.normal(24, 4, people).round(1)
    change = rng.normal(-4, 4, (people, visits)).round(1)
    arms = ["placebo" if p % 2 else "drug" for p in range(people)]
    return {
        "subject": [f"P{p + 1:02d}" for p in range(people) for _ in range(visits)],
        "arm": [arms[p] for p in range(people) for _ in range(visits)],
        "visit": [v + 1 for _ in range(people) for v in range(visits)],
        "day": [7 * (v + 1) for _ in range(people) for v in range(visits)],
        "baseline": [float(base[p]) for p in range(people) for _ in range(visits)],
        "crp": [float(1 + p % 5) for p in range(people) for _ in range(visits)],
        "outcome": [float((base[p] + change[p, v]).round(1)) for p in range(people) for v in range(visits)],
    }


def _panel() -> dict[str, list[Any]]:
    rng = np.random.default_rng(2)
    people, analytes = 10, ("IL-6", "TNF", "FGF-2")
    level = np.exp(rng.normal(1, 0.7, (people, 3))).round(3)
    return {
        "subject": [f"P{p + 1:02d}" for p in range(people) for _ in analytes],
        "group": ["ill" if p % 2 else "well" for p in range(people) for _ in analytes],
        "analyte": [a for _ in range(people) for a in analytes],
        "plate": [1 + p // 2 % 2 for p in range(people) for _ in analytes],
        "unit": ["pg/mL" for _ in range(people) for _ in analytes],
        "lod": [0.9 for _ in range(people) for _ in analytes],
        "concentration": [
            "<0.9" if level[p, a] < 0.9 else float(level[p, a]) for p in range(people) for a in range(len(analytes))
        ],
    }


def _marker() -> dict[str, list[Any]]:
    rng = np.random.default_rng(3)
    people = 14
    return {
        "subject": [f"P{p + 1:02d}" for p in range(people)],
        "concentration": [float(v) for v in np.exp(rng.normal(3, 0.5, people)).round(2)],
        "score": [float(v) for v in rng.normal(10, 5, people).round(1)],
        "responder": ["yes" if p % 3 else "no" for p in range(people)],
    }


def _crossover() -> dict[str, list[Any]]:
    rng = np.random.default_rng(4)
    people = 8
    return {
        "subject": [f"P{p + 1}" for p in range(people) for _ in range(2)],
        "period": [1 + k for _ in range(people) for k in range(2)],
        "treatment": [("ketamine", "placebo")[(p + k) % 2] for p in range(people) for k in range(2)],
        "day": [1 for _ in range(people) for _ in range(2)],
        "outcome": [float(v) for v in rng.normal(20, 6, 2 * people).round(1)],
    }


def _courses() -> dict[str, list[Any]]:
    rng = np.random.default_rng(6)
    people, times, markers = 10, (0, 1, 4), ("IL-6", "TNF")
    score = rng.normal(24, 5, (people, 3)).round(1)
    level = np.exp(rng.normal(0.5, 0.8, (people, 3, 2))).round(3)
    at = [(p, t, m) for p in range(people) for t in range(3) for m in range(2)]
    return {
        "subject": [f"P{p + 1:02d}" for p, _, _ in at],
        "arm": ["placebo" if p % 2 else "drug" for p, _, _ in at],
        "time": [times[t] for _, t, _ in at],
        "outcome": [float(score[p, t]) for p, t, _ in at],
        "marker": [markers[m] for _, _, m in at],
        "concentration": ["<0.7" if level[i] < 0.7 else float(level[i]) for i in at],
    }


def _pooled() -> dict[str, list[Any]]:
    rng = np.random.default_rng(5)
    people = 24
    return {
        "study": [f"S{1 + p % 3}" for p in range(people)],
        "subject": [f"P{p + 1:02d}" for p in range(people)],
        "arm": ["control" if p // 3 % 2 else "ketamine" for p in range(people)],
        "time": ["rapid" for _ in range(people)],
        "baseline": [float(v) for v in rng.normal(30, 4, people).round(1)],
        "age": [float(v) for v in rng.normal(40, 9, people).round(0)],
        "outcome": [float(v) for v in rng.normal(20, 15, people).round(1)],
    }


def _states() -> dict[str, list[Any]]:
    rng = np.random.default_rng(6)
    people, visits = 14, (0, 4, 8)
    return {
        "subject": [f"P{p + 1:02d}" for p in range(people) for _ in visits],
        "arm": ["drug" if p % 2 else "placebo" for p in range(people) for _ in visits],
        "visit": [v for _ in range(people) for v in visits],
        "state": [("well", "better", "ill")[rng.integers(3)] for _ in range(people) for _ in visits],
    }


def _stages() -> dict[str, list[Any]]:
    rng = np.random.default_rng(6)
    people = 16
    return {
        "subject": [f"P{p + 1:02d}" for p in range(people) for _ in range(2)],
        "arm": [("drug", "placebo")[p % 2] for p in range(people) for _ in range(2)],
        "visit": [2 * (k + 1) for _ in range(people) for k in range(2)],
        "stage": [1 + p // 2 % 3 for p in range(people) for _ in range(2)],
        "outcome": [("remission", "response", "neither")[k] for k in rng.permutation(np.arange(2 * people) % 3)],
    }


def _items() -> dict[str, list[Any]]:
    rng = np.random.default_rng(7)
    people, visits = 12, (0, 4, 8)
    rows = people * len(visits)
    return {
        "subject": [f"P{p + 1:02d}" for p in range(people) for _ in visits],
        "arm": [("drug", "placebo")[p % 2] for p in range(people) for _ in visits],
        "visit": [v for _ in range(people) for v in visits],
        "crp": [round(1.5 + p, 1) for p in range(people) for _ in visits],
        "mood": [int(k) for k in rng.permutation(np.arange(rows) % 5)],
        "sleep": [int(k) for k in rng.permutation(np.arange(rows) % 3)],
        "guilt": [int(k) for k in rng.permutation(np.arange(rows) % 4)],
    }


BASES = {
    base.family: base
    for base in (
        Base(
            "meta",
            {"measure": "difference", "units": "points"},
            {"study": ["Oslo", "Lima", "Bern", "Rome"], "effect": [-3.5, -1.0, -2.2, -0.4], "se": [1.2, 0.9, 1.5, 1.1]},
            priors={
                "mu": {"dist": "Normal", "mu": 0, "sigma": 10},
                "tau": {"dist": "HalfNormal", "sigma": 5},
            },
        ),
        Base(
            "small-studies",
            {"measure": "difference", "units": "points", "favours": "negative", "bias": "absent"},
            {"study": ["Oslo", "Lima", "Bern", "Rome"], "effect": [-3.5, -1.0, -2.2, -0.4], "se": [1.2, 0.9, 1.5, 1.1]},
            priors={
                "mu": {"dist": "Normal", "mu": 0, "sigma": 10},
                "tau": {"dist": "HalfNormal", "sigma": 5},
            },
        ),
        Base(
            "counts",
            {"control": "placebo", "pooling": "none"},
            {
                "subgroup": ["high", "high", "low", "low"],
                "arm": ["drug", "placebo", "drug", "placebo"],
                "events": [8, 3, 7, 12],
                "n": [13, 9, 17, 21],
            },
        ),
        Base("screen", {"condition": "ill"}, {"group": ["ill", "well"], "positives": [15, 1], "n": [19, 12]}),
        Base(
            "trial",
            {"reference": "placebo", "covariance": "compound-symmetry"},
            _trial(),
            columns={"moderator": "crp", "day": "day"},
        ),
        Base(
            "cytokines",
            {"reference": "well"},
            _panel(),
            columns={"analyte": "analyte", "subject": "subject", "group": "group", "plate": "plate", "unit": "unit"},
        ),
        Base(
            "trajectories",
            {"reference": "placebo", "association": ["value"]},
            _courses(),
            columns={"value": "concentration", "analyte": "marker"},
        ),
        Base("response", {"event": "yes", "predicts_when": "above"}, _marker()),
        Base("correlation", {"units": "points"}, _marker()),
        Base("crossover", {"reference": "placebo"}, _crossover()),
        Base("transitions", {"reference": "placebo", "states": ["well", "better", "ill"]}, _states()),
        Base(
            "ordinal",
            {"categories": ["remission", "response", "neither"], "reference": "placebo", "covariates": "mo(stage)"},
            _stages(),
            columns={"subject": "subject", "visit": "visit"},
        ),
        Base(
            "items",
            {"reference": "placebo", "items": {"mood": 4, "sleep": 2, "guilt": 3}, "at": [2]},
            _items(),
            columns={"moderator": "crp"},
        ),
        Base("stepwise", {}, {"step": [1, 2, 3], "entered": [90, 40, 12], "remitted": [30, 11, 2]}),
        Base("patient-meta", {"reference": "control", "times": ["rapid"], "moderators": ["age"]}, _pooled()),
    )
}
