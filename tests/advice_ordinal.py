"""Messages of ordinal outcomes and of stepwise remission, and their advice: see ``advice.py``."""

from typing import Any

import pandas as pd
from advice import but, without

import bayesdep as bd

CATEGORIES = ("remission", "response", "neither")
CELLS = pd.DataFrame(
    {"arm": ["a", "a", "a", "p", "p", "p"], "outcome": list(CATEGORIES) * 2, "people": [9, 7, 4, 4, 8, 8]}
)
PEOPLE = pd.DataFrame(
    [
        {"subject": f"s{i}", "arm": "ap"[i % 2], "visit": week, "outcome": CATEGORIES[(i + week) % 3]}
        | {"age": 30 + i, "stage": ("I", "II", "III")[i // 2 % 3], "baseline": CATEGORIES[i % 3], "same": 1, "grade": i}
        for i in range(36) for week in (2, 4)
    ]
)  # fmt: skip
STEPS = pd.DataFrame({"step": [1, 2, 3], "entered": [90, 40, 12], "remitted": [30, 11, 2], "most": [31, 11, 2]})
NORMAL = {"dist": "Normal", "mu": 0, "sigma": 1}


def cells(frame: pd.DataFrame = CELLS, **settings: Any) -> Any:
    base = {"categories": CATEGORIES, "reference": "p", "count": "people"}
    return bd.Ordinal(**(base | settings)).prepare(frame)


def people(frame: pd.DataFrame = PEOPLE, **settings: Any) -> Any:
    base = {"categories": CATEGORIES, "reference": "p", "subject": "subject", "visit": "visit"}
    return bd.Ordinal(**(base | settings)).prepare(frame)


def steps(frame: pd.DataFrame = STEPS, **settings: Any) -> Any:
    return bd.Stepwise(**settings).prepare(frame)


ORDER = {"stage": "I < II < III"}
ORDERED = "models/parts/categories"
SETTINGS = "models/ordinal/settings:"
DATA = "models/ordinal/data:"
MONOTONE = "models/parts/monotone:"
STEPWISE = "models/stepwise/data:"
ADVICE: list[tuple[str, str, Any, Any]] = [
    (
        f"{SETTINGS}__post_init__",
        "a number above zero",
        lambda: cells(concentration=0.0),
        lambda: cells(concentration=1),
    ),
    (
        f"{ORDERED}:refuse_categories",
        "two or more are needed",
        lambda: cells(categories=["remission"]),
        cells,
    ),
    (f"{ORDERED}:refuse_categories", "twice", lambda: cells(categories=["remission", "remission"]), cells),
    (f"{ORDERED}:refuse_categories", "an empty name", lambda: cells(categories=["remission", " "]), cells),
    (
        f"{ORDERED}:refuse_categories",
        "out of order",
        lambda: bd.Ordinal(categories=[0, 2, 1]),
        lambda: [bd.Ordinal(categories=x) for x in ([0, 1, 2], [2, 1, 0])],
    ),
    (
        f"{SETTINGS}_check_columns",
        "leave one of the two out",
        lambda: cells(subject="arm"),
        lambda: [cells(), people()],
    ),
    (
        f"{SETTINGS}_check_columns",
        "name the arm that the others are compared with",
        lambda: people(reference=None, moderator="age"),
        lambda: [people(moderator="age"), people(reference=None, covariates="age")],
    ),
    (
        f"{SETTINGS}_check_columns",
        "at needs a moderator",
        lambda: people(at=[40]),
        lambda: people(moderator="age", at=[40]),
    ),
    (
        f"{SETTINGS}_check_columns",
        "reported at all its levels",
        lambda: people(moderator="stage", moderator_form="monotone", level_order=ORDER, at=[2]),
        lambda: people(moderator="stage", moderator_form="monotone", level_order=ORDER),
    ),
    (
        f"{SETTINGS}_check_columns",
        "visit_order needs visits",
        lambda: people(PEOPLE[PEOPLE["visit"] == 2], visit=None, visit_order=["2", "4"]),
        lambda: people(visit_order=["2", "4"]),
    ),
    (
        f"{SETTINGS}_check_effects",
        "belongs to the other links",
        lambda: cells(link="adjacent", distribution="probit"),
        lambda: cells(link="adjacent"),
    ),
    (
        f"{SETTINGS}_check_effects",
        "have one threshold",
        lambda: bd.Ordinal(categories=["yes", "no"], reference="p", by_threshold=["arm"]),
        lambda: bd.Ordinal(categories=["yes", "no"], reference="p"),
    ),
    (
        f"{SETTINGS}_check_effects",
        "is no term of the model",
        lambda: cells(by_threshold=["arms"]),
        lambda: cells(by_threshold=["arm"]),
    ),
    (
        f"{SETTINGS}_check_effects",
        "names a term twice",
        lambda: cells(by_threshold=["arm", "arm"]),
        lambda: cells(by_threshold=["arm"]),
    ),
    (
        f"{DATA}_terms_by_threshold",
        "is no term of the model",
        lambda: people(covariates="age", by_threshold=["agee"]),
        lambda: people(covariates="age", by_threshold=["age"]),
    ),
    (
        f"{DATA}_with_outcome",
        "empty throughout",
        lambda: people(PEOPLE.assign(outcome=None)),
        lambda: people(PEOPLE.assign(outcome=None), outcome="baseline"),
    ),
    (
        f"{ORDERED}:places_of_categories",
        "not among categories",
        lambda: cells(but(CELLS, {"outcome": (0, "remision")})),
        lambda: [cells(), cells(but(CELLS, {"outcome": (0, "remision")}), categories=["remision", *CATEGORIES])],
    ),
    (
        f"{ORDERED}:places_of_categories",
        "its threshold cannot be known",
        lambda: cells(categories=[*CATEGORIES, "worse"]),
        lambda: cells(categories=CATEGORIES),
    ),
    (
        f"{ORDERED}:places_of_categories",
        "leave it out of categories, and its rows out of the table",
        lambda: cells(CELLS.assign(people=[9, 0, 4, 4, 0, 8])),
        lambda: cells(CELLS[CELLS["outcome"] != "response"], categories=["remission", "neither"]),
    ),
    (f"{DATA}_arms", "name one of these", lambda: cells(reference="q"), lambda: cells(reference="p")),
    (
        f"{DATA}_arms",
        "nothing to compare",
        lambda: cells(CELLS[CELLS["arm"] == "p"]),
        lambda: cells(CELLS[CELLS["arm"] == "p"], reference=None),
    ),
    (
        f"{DATA}_visits",
        "leave visit out",
        lambda: people(PEOPLE[PEOPLE["visit"] == 2]),
        lambda: people(PEOPLE[PEOPLE["visit"] == 2], visit=None),
    ),
    (
        f"{DATA}_refuse_empty_cells",
        "leave that visit out",
        lambda: people(pd.concat([PEOPLE, PEOPLE[(PEOPLE["visit"] == 2) & (PEOPLE["arm"] == "p")].assign(visit=6)])),
        people,
    ),
    (
        f"{DATA}_refuse_empty_cells",
        "leave that arm out",
        lambda: cells(pd.concat([CELLS, CELLS[:1].assign(arm="b", people=0)])),
        cells,
    ),
    (f"{DATA}_read_predictors", "leave the moderator out", lambda: people(moderator="same"), people),
    (
        f"{MONOTONE}read_ordered",
        "text without an order",
        lambda: people(covariates="mo(stage)"),
        lambda: people(covariates="mo(stage)", level_order={"stage": "I < II < III"}),
    ),
    (
        f"{MONOTONE}read_ordered",
        "is not in level_order",
        lambda: people(covariates="mo(stage)", level_order={"stage": "I < II"}),
        lambda: people(covariates="mo(stage)", level_order=ORDER),
    ),
    (
        f"{MONOTONE}read_ordered",
        "no effect to estimate",
        lambda: people(covariates="age + mo(same)"),
        lambda: people(covariates="age"),
    ),
    (
        f"{MONOTONE}read_ordered",
        "use it as a number",
        lambda: people(covariates="mo(grade)"),
        lambda: people(covariates="grade"),
    ),
    (
        f"{MONOTONE}_stated",
        "has no order",
        lambda: people(covariates="mo(stage)", level_order={"stage": "I, II, III"}),
        lambda: people(covariates="mo(stage)", level_order=ORDER),
    ),
    (
        f"{MONOTONE}_stated",
        "names a level twice",
        lambda: people(covariates="mo(stage)", level_order={"stage": "I < II < I"}),
        lambda: people(covariates="mo(stage)", level_order=ORDER),
    ),
    (
        f"{MONOTONE}split_monotone",
        "multiplies two monotone effects",
        lambda: people(covariates="mo(stage) * mo(baseline)", level_order=ORDER),
        lambda: people(covariates="mo(stage)", level_order=ORDER),
    ),
    (
        f"{MONOTONE}split_monotone",
        "its own effect is missing",
        lambda: people(covariates="age + mo(stage):age", level_order=ORDER),
        lambda: people(covariates="mo(stage) * age", level_order=ORDER),
    ),
    (
        "models/parts/covariates:read_covariates",
        "without mo()",
        lambda: bd.Trial(reference="p", outcome="grade", baseline=None, covariates="mo(age)").prepare(OUTCOMES),
        lambda: bd.Trial(reference="p", outcome="grade", baseline=None, covariates="age").prepare(OUTCOMES),
    ),
    (
        "models/stepwise/settings:__post_init__",
        "keeps the posterior exact",
        lambda: bd.Stepwise(priors={"remission": {"dist": "Uniform", "lower": 0, "upper": 1}}),
        lambda: bd.Stepwise(priors={"remission": {"dist": "Beta", "alpha": 2, "beta": 2}}),
    ),
    (
        f"{STEPWISE}_refuse_intervals",
        "below the 30",
        lambda: steps(but(STEPS, {"most": (0, 29)}), remitted_at_most="most"),
        lambda: steps(remitted_at_most="most"),
    ),
    (
        f"{STEPWISE}_refuse_intervals",
        "who entered; correct one",
        lambda: steps(but(STEPS, {"most": (2, 13)}), remitted_at_most="most"),
        lambda: steps(but(STEPS, {"most": (2, 12)}), remitted_at_most="most"),
    ),
    (
        f"{STEPWISE}_refuse_intervals",
        "leave the step out",
        lambda: steps(STEPS.assign(entered=[900, 40, 12], most=[400, 11, 2]), remitted_at_most="most"),
        lambda: steps(without(STEPS.assign(entered=[900, 40, 12], most=[400, 11, 2]), 0), remitted_at_most="most"),
    ),
    (
        f"{STEPWISE}_follow_people",
        "were left of step",
        lambda: steps(but(STEPS, {"entered": (1, 61)})),
        lambda: [steps(but(STEPS, {"entered": (1, 60)})), steps(but(STEPS, {"entered": (1, 61)})[1:2])],
    ),
]
OUTCOMES = PEOPLE.assign(grade=[float(i * 7 % 11) for i in range(len(PEOPLE))])
