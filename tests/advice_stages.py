"""Messages of staging systems and of models of stages, and their advice: see ``advice.py``."""

from typing import Any

import pandas as pd
from advice import but

import bayesdep as bd

PATIENTS = pd.DataFrame(
    {"subject": ["a", "b"], "duration_months": [8, 30], "severity": ["mild", "severe"],
     "failed_antidepressants": [1, 4], "augmentation": ["no", "yes"], "ect": ["no", "no"], "failed_classes": [1, 2],
     "failed_tca": ["no", "no"], "failed_maoi": ["no", "no"], "failed_ect": ["no", "no"]}
)  # fmt: skip
HISTORY = pd.DataFrame(
    {"subject": "a", "drug": [f"d{k}" for k in range(20)], "class": "SSRI", "adequate": "yes", "response": "no",
     "augmentation": "no", "ect": "no", "duration_months": 8, "severity": "mild"}
)  # fmt: skip
POINTS = pd.DataFrame({"item": ["work", "work"], "level": ["none", "much"], "points": [0, 2]})
WORK = pd.DataFrame({"work": ["none", "much"]})


VISITS = pd.DataFrame(
    [{"subject": s, "arm": "dp"[i % 2], "visit": v, "state": "abc"[(i + v) % 3], "age": 30.0 + i % 5, "month": f"V{v}"}
     for i, s in enumerate("klmnopqr") for v in (0, 1, 2)]
)  # fmt: skip
SHARES = pd.DataFrame(
    {"before": ["c", "c", "c", "b", "b"], "after": ["a", "b", "c", "a | b", "c"], "share": [10, 20, 70, 60, 40],
     "n": [50, 50, 50, 20, 20], "months": [6, 6, 6, 6, 6], "arm": ["d", "d", "d", "p", "p"]}
)  # fmt: skip
CHANGE = but(VISITS, {"state": (0, "a")})


def transitions(frame: pd.DataFrame = VISITS, **how: Any) -> Any:
    return bd.Transitions(**({"states": ["a", "b", "c"], "reference": "p"} | how)).prepare(frame)


def shares(frame: pd.DataFrame = SHARES, **how: Any) -> Any:
    return bd.Transitions(**({"states": ["a", "b", "c"], "input": "shares"} | how)).prepare(frame)


def counts(frame: pd.DataFrame = SHARES, **how: Any) -> Any:
    return shares(frame, **({"input": "counts"} | how))


def staged(frame: pd.DataFrame = PATIENTS, **how: Any) -> Any:
    return bd.stage(frame, **({"system": "maudsley"} | how))


def counted(frame: pd.DataFrame = HISTORY, **how: Any) -> Any:
    return staged(frame, **({"rows": "trials"} | how))


SYSTEM, VALUE = "data/staging:_system", "data/staging:_value"
STATES, NUMBERS = "models/transitions/settings:_check_states", "models/transitions/settings:_check_numbers"
AGAINST, DATA = "models/transitions/settings:_refuse_contradictions", "models/transitions/data:"
CELLS = "models/transitions/published_cells:"
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
    # transitions
    (
        "models/transitions/settings:place_of",
        "add it to states, in its order",
        lambda: transitions(states=["a", "b"]),
        transitions,
    ),
    (STATES, "at least two states", lambda: transitions(states=["a"]), transitions),
    (STATES, "name each state once", lambda: transitions(states=["a", "b", "c", "c"]), transitions),
    (
        STATES,
        "rename it",
        lambda: transitions(VISITS.replace("c", "c|d"), states=["a", "b", "c|d"]),
        lambda: transitions(VISITS.replace("c", "c or d"), states=["a", "b", "c or d"]),
    ),
    (
        STATES,
        "which is not one of the states",
        lambda: transitions(remission=["d"]),
        lambda: transitions(remission=["a"]),
    ),
    (STATES, "leave out the states that can be left", lambda: transitions(absorbing=list("abc")), transitions),
    (NUMBERS, "a number above zero is needed", lambda: transitions(step=0), lambda: transitions(step=1)),
    (NUMBERS, "a number of log odds", lambda: transitions(delta=float("nan")), lambda: transitions(delta=0.5)),
    (
        "models/transitions/settings:_check_row",
        "such as alpha = 1, beta = 2",
        lambda: transitions(priors={"row": bd.Prior("Beta", alpha=1, beta=1)}),
        lambda: transitions(priors={"row": bd.Prior("Beta", alpha=1, beta=2)}),
    ),
    (
        AGAINST,
        "use effects = 'shared'",
        lambda: transitions(effects="free", covariates="age"),
        lambda: transitions(effects="shared", covariates="age"),
    ),
    (
        AGAINST,
        "as reference",
        lambda: transitions(effects="by-state", reference=None),
        lambda: transitions(effects="by-state"),
    ),
    (AGAINST, "leave it out for input = 'shares'", lambda: shares(covariates="age"), shares),
    (AGAINST, "does not have; leave it out", lambda: shares(delta=1.0), shares),
    (AGAINST, "leave it out where a row is a visit", lambda: transitions(horizon=3.0), transitions),
    (
        AGAINST,
        "name a reference",
        lambda: transitions(delta=1.0, reference=None),
        lambda: transitions(delta=1.0),
    ),
    (DATA + "_visits", "add a later visit", lambda: transitions(VISITS[VISITS["visit"] == 0]), transitions),
    (
        DATA + "_steps",
        "leave step out",
        lambda: transitions(visit="month", step=2.0),
        lambda: transitions(visit="month"),
    ),
    (DATA + "whole_steps", "a length that divides", lambda: transitions(step=0.4), lambda: transitions(step=0.5)),
    (DATA + "whole_steps", "state a longer step", lambda: transitions(step=0.001), lambda: transitions(step=0.1)),
    (
        DATA + "_refuse_change_after_absorbing",
        "leave 'a' out of absorbing",
        lambda: transitions(CHANGE, absorbing=["a"]),
        lambda: transitions(CHANGE),
    ),
    (
        DATA + "_refuse_states_nobody_has",
        "leave it out of states",
        lambda: transitions(states=["a", "b", "c", "d"]),
        transitions,
    ),
    (
        DATA + "_seen",
        "check which rows are kept",
        lambda: transitions(VISITS.groupby("subject").sample(1, random_state=1)),
        transitions,
    ),
    (DATA + "_places_of_arms", "is no arm", lambda: transitions(reference="q"), transitions),
    (
        DATA + "_places_of_arms",
        "leave reference out",
        lambda: transitions(VISITS.assign(arm="p")),
        lambda: transitions(VISITS.assign(arm="p"), reference=None),
    ),
    (
        DATA + "_start",
        "leave that visit out",
        lambda: transitions(VISITS.assign(state=VISITS["state"].where(VISITS["visit"] > 0))),
        lambda: transitions(VISITS[VISITS["visit"] > 0]),
    ),
    (
        CELLS + "read_cells",
        "leave the state out of absorbing",
        lambda: shares(absorbing=["b"]),
        shares,
    ),
    (
        CELLS + "_collect",
        "leave these rows out",
        lambda: counts(SHARES.assign(n=[5, 6, 7, 0, 0])),
        lambda: counts(SHARES[:3]),
    ),
    (
        CELLS + "_refuse_overlap",
        "as interval",
        lambda: counts(pd.concat([SHARES, SHARES.assign(months=12)])),
        lambda: counts(pd.concat([SHARES, SHARES.assign(months=12)]), interval="months"),
    ),
    (
        CELLS + "_people_of",
        "write their number in each of the rows",
        lambda: shares(but(SHARES, {"n": (0, 49)})),
        shares,
    ),
    (
        CELLS + "_people_of",
        "add the missing state",
        lambda: shares(SHARES.drop(index=1)),
        shares,
    ),
]
