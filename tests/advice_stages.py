"""Messages of staging systems and of models of stages, and their advice: see ``advice.py``."""

from typing import Any

import pandas as pd
from advice import but

import bayesdep as bd

PATIENTS = pd.DataFrame(
    {"subject": ["a", "b"], "duration_months": [8, 30], "severity": ["mild", "severe"],
     "failed_antidepressants": [1, 4], "augmentation": ["no", "yes"], "ect": ["no", "no"], "failed_classes": [1, 2], "failed_tca": ["no", "no"],
     "failed_maoi": ["no", "no"], "failed_ect": ["no", "no"]}
)  # fmt: skip
HISTORY = pd.DataFrame(
    {"subject": "a", "drug": [f"d{k}" for k in range(20)], "class": "SSRI", "adequate": "yes", "response": "no",
     "augmentation": "no", "ect": "no", "duration_months": 8, "severity": "mild"}
)  # fmt: skip
POINTS = pd.DataFrame({"item": ["work", "work"], "level": ["none", "much"], "points": [0, 2]})
WORK = pd.DataFrame({"work": ["none", "much"]})


def staged(frame: pd.DataFrame = PATIENTS, **how: Any) -> Any:
    return bd.stage(frame, **({"system": "maudsley"} | how))


def counted(frame: pd.DataFrame = HISTORY, **how: Any) -> Any:
    return staged(frame, **({"rows": "trials"} | how))


SYSTEM, VALUE = "data/staging:_system", "data/staging:_value"
ADVICE: list[tuple[str, str, Any, Any]] = [
    ("data/staging:stage", "write 'patients' or 'trials'", lambda: staged(rows="people"), staged),
    (
        "data/staging:_scored",
        "leave this patient out",
        lambda: staged(but(PATIENTS, {"failed_antidepressants": (0, 0)})),
        lambda: staged(PATIENTS[1:]),
    ),
    (SYSTEM, "did you mean 'maudsley'?", lambda: staged(system="maudsly"), staged),
    (SYSTEM, "leave it out for 'maudsley'", lambda: staged(reading="strict"), staged),
    (
        SYSTEM,
        "write 'strict' or 'highest'",
        lambda: staged(system="thase-rush", reading="strictly"),
        lambda: staged(system="thase-rush", reading="strict"),
    ),
    (
        SYSTEM,
        "give a table of them as points",
        lambda: staged(WORK, system="dm-trd"),
        lambda: staged(WORK, system="dm-trd", points=POINTS),
    ),
    (SYSTEM, "leave them out for 'maudsley'", lambda: staged(points=POINTS), staged),
    (
        "data/staging:_names",
        "did you mean 'ect'?",
        lambda: staged(PATIENTS.rename(columns={"ect": "ECT"}), columns={"etc": "ECT"}),
        lambda: staged(PATIENTS.rename(columns={"ect": "ECT"}), columns={"ect": "ECT"}),
    ),
    (
        "data/staging:_refuse_absent",
        "add it empty",
        lambda: staged(PATIENTS.drop(columns="ect")),
        lambda: staged(PATIENTS.assign(ect=None)),
    ),
    (
        "data/staging:_refuse_absent",
        "or use system = 'thase-rush'",
        lambda: staged(PATIENTS.drop(columns="ect")),
        lambda: staged(PATIENTS.drop(columns="ect"), system="thase-rush"),
    ),
    (VALUE, "did you mean 'severe'?", lambda: staged(but(PATIENTS, {"severity": (1, "sever")})), staged),
    (
        VALUE,
        "did you mean 'much'?",
        lambda: staged(but(WORK, {"work": (0, "mucch")}), system="dm-trd", points=POINTS),
        lambda: staged(WORK, system="dm-trd", points=POINTS),
    ),
    (
        VALUE,
        "empty it if it is missing",
        lambda: staged(but(PATIENTS, {"duration_months": (0, "?")})),
        lambda: staged(but(PATIENTS, {"duration_months": (0, None)})),
    ),
    (
        "data/staging:_yes_or_no",
        "empty it if it is missing",
        lambda: staged(but(PATIENTS, {"ect": (0, "?")})),
        lambda: staged(but(PATIENTS, {"ect": (0, None)})),
    ),
    (
        "data/staging:_read_trials",
        "use rows = 'patients'",
        lambda: counted(WORK, system="dm-trd", points=POINTS),
        lambda: counted(WORK, system="dm-trd", points=POINTS, rows="patients"),
    ),
    (
        "data/staging:_of_patient",
        "write the same in each of them",
        lambda: counted(but(HISTORY, {"severity": (3, "severe")})),
        counted,
    ),
    (
        "data/treatment_trials:count_trials",
        "fill some of them in",
        lambda: counted(HISTORY.assign(adequate=None)),
        lambda: counted(HISTORY.assign(adequate=[None] * 4 + ["yes"] * 16)),
    ),
    (
        "data/treatment_trials:read_class",
        "or 'other'",
        lambda: counted(HISTORY.assign(**{"class": "SARI"}), system="thase-rush"),
        lambda: counted(HISTORY.assign(**{"class": "other"}), system="thase-rush"),
    ),
]
