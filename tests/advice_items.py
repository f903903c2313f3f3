"""Messages of scales item by item, and their advice: see ``advice.py``."""

from typing import Any

import numpy as np
import pandas as pd
from advice import but

import bayesdep as bd

HIGHEST = {"mood": 4, "sleep": 2, "guilt": 4}
SCORES = pd.DataFrame(
    [
        {"subject": f"s{i}", "arm": "ap"[i % 2], "visit": week, "crp": 1.0 + i, "same": 2.0, "place": f"VIS{week + 1}"}
        | {"mood": (i + week) % 5, "sleep": (i + 2 * week) % 3, "guilt": (2 * i + week) % 5}
        for i in range(12) for week in (0, 2, 4)
    ]
)  # fmt: skip
LONG = SCORES.melt(["subject", "arm", "visit", "crp"], list(HIGHEST), "item", "score")
THREE = SCORES.assign(arm=np.where(SCORES["subject"].isin(["s0", "s1", "s2"]), "b", SCORES["arm"]))


def scores(frame: pd.DataFrame = SCORES, **settings: Any) -> Any:
    return bd.Items(**({"items": HIGHEST, "reference": "p"} | settings)).prepare(frame)


def long(frame: pd.DataFrame = LONG, **settings: Any) -> Any:
    return scores(frame, **({"item": "item"} | settings))


SETTINGS = "models/items/settings:"
DATA = "models/items/data:"
ADVICE: list[tuple[str, str, Any, Any]] = [
    (
        f"{SETTINGS}__post_init__",
        "at needs a moderator",
        lambda: scores(at=[1]),
        lambda: scores(at=[1], moderator="crp"),
    ),
    (
        f"{SETTINGS}__post_init__",
        "has no logarithm",
        lambda: scores(at=[0, 1], moderator="crp"),
        lambda: [scores(at=[1], moderator="crp"), scores(at=[0, 1], moderator="crp", moderator_form="linear")],
    ),
    (f"{SETTINGS}__post_init__", "a number above zero", lambda: scores(lkj=0.0), lambda: scores(lkj=1)),
    (f"{SETTINGS}_check_items", "3 or more", lambda: scores(items={"mood": 4, "sleep": 2}), scores),
    (f"{SETTINGS}_check_items", "a whole number from 1 to 20", lambda: scores(items=HIGHEST | {"mood": 0}), scores),
    (
        "models/parts/settings:_check_table",
        "a table of whole numbers",
        lambda: scores(items={"mood": "4", "sleep": 2, "guilt": 4}),
        scores,
    ),
    (
        f"{DATA}_scores",
        "is not in the table",
        lambda: scores(items=HIGHEST | {"work": 4}),
        lambda: [scores(), long()],
    ),
    (f"{DATA}_scores", "empty throughout", lambda: scores(SCORES.assign(**dict.fromkeys(HIGHEST, np.nan))), scores),
    (
        f"{DATA}_long_scores",
        "which items does not name",
        lambda: long(but(LONG, {"item": (3, "work")})),
        lambda: [long(but(LONG, {"item": (3, "work")}), items=HIGHEST | {"work": 4}), long()],
    ),
    (f"{DATA}_long_scores", "has no row of 'work'", lambda: long(items=HIGHEST | {"work": 4}), long),
    (
        f"{DATA}_checked",
        "scored 0 to 2",
        lambda: scores(but(SCORES, {"sleep": (1, 3)})),
        lambda: [scores(), scores(but(SCORES, {"sleep": (1, 3)}), items=HIGHEST | {"sleep": 3})],
    ),
    (
        f"{DATA}_checked",
        "empty it if it is missing",
        lambda: scores(but(SCORES, {"sleep": (1, -1)})),
        lambda: scores(but(SCORES, {"sleep": (1, None)})),
    ),
    (f"{DATA}_visits", "says no time", lambda: scores(visit="place"), scores),
    (
        f"{DATA}_times",
        "no two visits of which the last is after",
        lambda: scores(start=4),
        lambda: [scores(start=2), scores(start=-1), scores(SCORES.assign(visit=SCORES["visit"] + 5), start=4)],
    ),
    (f"{DATA}_arms", "reference = 'x'", lambda: scores(reference="x"), scores),
    (
        f"{DATA}_arms",
        "in everybody, so there is nothing",
        lambda: scores(SCORES[SCORES["arm"] == "p"]),
        scores,
    ),
    (
        f"{DATA}_refuse_arms_not_seen_after_start",
        "has a visit after start",
        lambda: scores(SCORES[(SCORES["arm"] == "p") | (SCORES["visit"] == 0)]),
        lambda: [
            scores(THREE[(THREE["arm"] != "b")]),
            scores(SCORES[(SCORES["arm"] == "p") | (SCORES["visit"] == 0)], start=-1),
        ],
    ),
    (f"{DATA}_moderator", "leave the moderator out", lambda: scores(moderator="same"), scores),
]
