"""The table of ``advice.py`` continued: trajectories, their design, and the joining of visits and markers."""

from typing import Any

import numpy as np
import pandas as pd
from advice import but

import bayesdep as bd
from bayesdep.designs.rct2025 import draw_rct2025

RNG = np.random.default_rng(15)
SCORES = pd.DataFrame(
    [{"subject": f"s{i}", "arm": "pd"[i % 2], "time": t, "age": 30.0 + i, "outcome": float(RNG.normal(20, 5))}
     for i in range(12) for t in (0, 1, 2, 5)]
)  # fmt: skip
BLOOD = pd.DataFrame(
    [{"subject": f"s{i}", "arm": "pd"[i % 2], "time": t, "age": 30.0 + i, "marker": m,
      "value": float(np.exp(RNG.normal()))}
     for i in range(12) for t in (0, 2, 5) for m in ("IL-6", "BDNF")]
)  # fmt: skip
BOTH = pd.concat([SCORES, BLOOD], ignore_index=True)
THREE = pd.concat([BOTH, but(BLOOD[BLOOD["marker"] == "IL-6"], marker="CRP", value=2.0)], ignore_index=True)
THREE.loc[THREE["marker"] == "CRP", "value"] = np.exp(RNG.normal(size=int((THREE["marker"] == "CRP").sum())))
SHARED = {"shared_factor": True, "positive_loading": "CRP"}
CLINIC = SCORES.rename(columns={"outcome": "score"})
LABORATORY = BLOOD.drop(columns=["arm", "age"])
EVENT = but(SCORES, outcome=((SCORES["time"] == 5) & (SCORES.index % 8 < 4)).astype(float))
YES = but(SCORES, outcome=np.arange(len(SCORES)) % 2)
STAGES = but(SCORES, outcome=np.arange(len(SCORES)) % 3)


def curve(frame: pd.DataFrame = SCORES, **settings: Any) -> Any:
    return bd.Trajectories(**({"reference": "p"} | settings)).prepare(frame)


def joint(frame: pd.DataFrame = BOTH, **settings: Any) -> Any:
    return curve(frame, **({"value": "value", "analyte": "marker", "association": ["value"]} | settings))


def predicted(patient: pd.DataFrame, **settings: Any) -> Any:
    """Ask for a prediction, of a model fitted to nothing: two draws from the prior."""
    from common import prior_draws

    model = bd.Trajectories(reference="p", value="value", analyte="marker", association=["value"], **settings)
    data = model.prepare(pd.concat([YES, BLOOD], ignore_index=True) if "kind" in settings else BOTH)
    return model.predict(prior_draws(model.build(data), count=2), data, patient, at=[5.0])


def completed(frame: pd.DataFrame, **settings: Any) -> Any:
    """What the regression of completed visits has."""
    model = bd.Trajectories(**({"reference": "p"} | settings))
    return model.regressors(model.prepare(frame))


LINE = but(
    BLOOD, value=np.exp2(1 + BLOOD["age"].to_numpy() / 30 + BLOOD["time"].to_numpy() * (BLOOD["age"].to_numpy() % 4))
)
ONE = BOTH[(BOTH["subject"] == "s0") & (BOTH["time"] < 3)]
EARLY = but(SCORES, {"time": (0, -1)})
ACTUAL = but(SCORES, time=SCORES["time"] + np.arange(len(SCORES)) / 1000)
NO_PLACEBO = BOTH[BOTH["marker"].isna() | (BOTH["marker"] != "IL-6") | (BOTH["arm"] == "d")]
SETTINGS, DATA = "models/trajectories/settings", "models/trajectories/data"
SUBGROUPS, COMPLETION = "models/trajectories/subgroups", "models/trajectories/completion"
REFUSALS, PREDICTION, VISITS = "models/trajectories/refusals", "models/trajectories/prediction", "data/visits"
BELOW = but(
    BOTH, value=np.where(BOTH["marker"].eq("BDNF") & BOTH["value"].lt(0.4), "<0.4", BOTH["value"].astype(object))
)
TWICE = pd.concat([SCORES, SCORES.iloc[[0]]], ignore_index=True)

ADVICE: list[tuple[str, str, Any, Any]] = [
    (
        f"{REFUSALS}:refuse_no_residual",
        "leave the marker out",
        lambda: joint(pd.concat([SCORES, BLOOD[BLOOD["marker"] == "BDNF"], LINE[LINE["marker"] == "IL-6"]])),
        lambda: joint(pd.concat([SCORES, BLOOD[BLOOD["marker"] == "BDNF"]])),
    ),
    (
        f"{REFUSALS}:refuse_no_residual",
        "name the column of what was measured",
        lambda: curve(but(SCORES, copied=SCORES["age"] - SCORES["time"] * (SCORES["age"] % 5)), outcome="copied"),
        curve,
    ),
    # settings
    (f"{SETTINGS}:__post_init__", "or False", lambda: curve(arm=True), lambda: curve(arm=False, reference=None)),
    (f"{SETTINGS}:__post_init__", "such as 2", lambda: curve(lkj=0), lambda: curve(lkj=2)),
    (
        f"{SETTINGS}:_check_association",
        "did you mean 'value'",
        lambda: joint(association=["values"]),
        lambda: joint(association=["value"]),
    ),
    (
        f"{SETTINGS}:_check_association",
        "name each once",
        lambda: joint(association=["value", "value"]),
        lambda: joint(association=["value"]),
    ),
    (
        f"{SETTINGS}:_check_association",
        "or leave it out",
        lambda: curve(association=["value"]),
        lambda: joint(association=["value"]),
    ),
    (
        f"{SETTINGS}:_check_association",
        "use deviations = 'slope'",
        lambda: joint(association=["change"], deviations="level"),
        lambda: joint(association=["change"], deviations="slope"),
    ),
    (
        f"{SETTINGS}:_check_association",
        "leave it out",
        lambda: joint(association=["value", "change", "area"]),
        lambda: joint(association=["value", "change"]),
    ),
    (
        f"{SETTINGS}:_check_association",
        "with pooling = 'partial'",
        lambda: joint(effects="student", pooling="none"),
        lambda: joint(effects="student", pooling="partial"),
    ),
    (
        f"{SETTINGS}:_check_exact",
        "name one, such as association = 'value'",
        lambda: joint(exact="BDNF", association=()),
        lambda: joint(exact="BDNF", association="value"),
    ),
    (
        f"{SETTINGS}:_check_exact",
        "leave exact out",
        lambda: joint(pd.concat([YES, BLOOD], ignore_index=True), exact="BDNF", kind="response"),
        lambda: joint(pd.concat([YES, BLOOD], ignore_index=True), kind="response"),
    ),
    (
        f"{SETTINGS}:_check_exact",
        "use association = 'value' or 'change'",
        lambda: joint(exact="BDNF", association="slope"),
        lambda: joint(exact="BDNF", association="change"),
    ),
    (
        f"{SETTINGS}:_check_kind",
        "leave categories out",
        lambda: curve(categories=["well", "ill"]),
        curve,
    ),
    (
        "models/parts/categories:refuse_categories",
        "write them from the best to the worst",
        lambda: curve(STAGES, kind="ordinal", categories=[0, 2, 1]),
        lambda: curve(STAGES, kind="ordinal", categories=[0, 1, 2]),
    ),
    (
        "models/parts/categories:places_of_categories",
        "or add it to categories",
        lambda: curve(STAGES, kind="ordinal", categories=[0, 1]),
        lambda: curve(STAGES, kind="ordinal", categories=[0, 1, 2]),
    ),
    (
        "models/parts/categories:places_of_categories",
        "leave it out of categories",
        lambda: curve(STAGES, kind="ordinal", categories=[0, 1, 2, 3]),
        lambda: curve(STAGES, kind="ordinal", categories=[0, 1, 2]),
    ),
    (
        f"{DATA}:_categories_of_rows",
        "name the right one",
        lambda: curve(but(BOTH, outcome=np.nan), kind="ordinal", categories=[0, 1], value="value", analyte="marker"),
        lambda: curve(
            but(BOTH, outcome=np.where(BOTH["marker"].isna(), BOTH.index % 2, np.nan)),
            kind="ordinal",
            categories=[0, 1],
            value="value",
            analyte="marker",
        ),
    ),
    (
        f"{SETTINGS}:_check_shared_factor",
        "set shared_factor = True",
        lambda: joint(THREE, positive_loading="CRP"),
        lambda: joint(THREE, positive_loading="CRP", shared_factor=True),
    ),
    (
        f"{SETTINGS}:_check_shared_factor",
        "name it as analyte",
        lambda: joint(THREE, **SHARED, analyte=None),
        lambda: joint(THREE, **SHARED, analyte="marker"),
    ),
    (
        f"{SETTINGS}:_check_shared_factor",
        "such as positive_loading = 'CRP'",
        lambda: joint(THREE, shared_factor=True),
        lambda: joint(THREE, shared_factor=True, positive_loading="CRP"),
    ),
    (
        f"{SETTINGS}:_check_shared_factor",
        "leave effects out",
        lambda: joint(THREE, **SHARED, effects="student"),
        lambda: joint(THREE, **SHARED),
    ),
    (
        "models/trajectories/factor:coords_of_factor",
        "leave shared_factor and positive_loading out",
        lambda: joint(**SHARED | {"positive_loading": "IL-6"}),
        joint,
    ),
    (
        "models/trajectories/factor:coords_of_factor",
        "did you mean 'CRP'",
        lambda: joint(THREE, **SHARED | {"positive_loading": "crp"}),
        lambda: joint(THREE, **SHARED),
    ),
    (
        f"{SETTINGS}:_check_courses",
        "such as period = 24",
        lambda: curve(ACTUAL, course="cyclic"),
        lambda: curve(ACTUAL, course="cyclic", period=24),
    ),
    (f"{SETTINGS}:_check_courses", "leave it out", lambda: curve(period=24), curve),
    (
        f"{SETTINGS}:_check_courses",
        "above zero is needed, such as 24",
        lambda: curve(ACTUAL, course="cyclic", period=-1),
        lambda: curve(ACTUAL, course="cyclic", period=24),
    ),
    (
        f"{SETTINGS}:_check_courses",
        "leave autocorrelation out",
        lambda: curve(YES, kind="response", autocorrelation=True),
        lambda: curve(YES, kind="response"),
    ),
    (f"{SETTINGS}:_check_columns", "name their column as arm", lambda: curve(arm=None), curve),
    (
        f"{SETTINGS}:_check_columns",
        "name the arm that the others are compared with",
        lambda: curve(reference=None),
        lambda: curve(reference=None, arm=None),
    ),
    (
        f"{SETTINGS}:_check_columns",
        "leave equal_baseline out too",
        lambda: curve(arm=None, reference=None, equal_baseline=True),
        lambda: curve(arm=None, reference=None),
    ),
    (f"{SETTINGS}:_check_columns", "name the column of concentrations", lambda: curve(BOTH, analyte="marker"), joint),
    # data
    (
        f"{DATA}:prepare",
        "use family = 'trial'",
        lambda: curve(SCORES[SCORES["time"] == 0]),
        lambda: bd.Trial(reference="p", visit="time", baseline=None).prepare(SCORES[SCORES["time"] == 0]),
    ),
    (f"{DATA}:_is_marker", "leave value out", lambda: joint(but(SCORES, marker=None, value=1.0)), curve),
    (
        f"{DATA}:_times",
        "with a unit like 'week 4'",
        lambda: curve(but(SCORES, time=[f"V{t}" for t in SCORES["time"]])),
        lambda: curve(but(SCORES, time=[f"week {t}" for t in SCORES["time"]])),
    ),
    (f"{DATA}:_times", "leave such rows out", lambda: curve(EARLY), lambda: curve(EARLY[EARLY["time"] >= 0])),
    (
        f"{DATA}:_arms",
        "name one of these",
        lambda: curve(reference="placebo"),
        lambda: curve(reference="p"),
    ),
    (
        f"{DATA}:_arms",
        "leave arms out",
        lambda: curve(SCORES[SCORES["arm"] == "p"]),
        lambda: curve(SCORES[SCORES["arm"] == "p"], arm=None, reference=None),
    ),
    (f"{DATA}:_course", "use course = 'linear'", lambda: curve(ACTUAL), lambda: curve(ACTUAL, course="linear")),
    (
        f"{DATA}:_course",
        "use course = 'visits'",
        lambda: curve(SCORES[SCORES["time"] < 2], course="quadratic"),
        lambda: curve(SCORES[SCORES["time"] < 2], course="visits"),
    ),
    (
        f"{DATA}:_course",
        "leave equal_baseline out",
        lambda: joint(BOTH[(BOTH["time"] > 0) | BOTH["marker"].notna()], equal_baseline=True),
        lambda: joint(BOTH[(BOTH["time"] > 0) | BOTH["marker"].notna()]),
    ),
    (
        f"{DATA}:_outcomes",
        "leave it out",
        lambda: curve(
            but(SCORES, time=np.arange(12).repeat(4) % 4, subject=[f"q{i}" for i in range(48)]),
            course="linear",
            autocorrelation=True,
        ),
        lambda: curve(
            but(SCORES, time=np.arange(12).repeat(4) % 4, subject=[f"q{i}" for i in range(48)]), course="linear"
        ),
    ),
    (f"{DATA}:_refuse_two_outcomes", "keep one of them", lambda: curve(TWICE), curve),
    # what cannot be answered
    (
        f"{REFUSALS}:refuse_arms_without",
        "leave the marker out",
        lambda: joint(NO_PLACEBO),
        lambda: joint(BOTH[BOTH["marker"] != "IL-6"]),
    ),
    (
        f"{REFUSALS}:refuse_arms_without",
        "use a course that joins the times",
        lambda: curve(SCORES[(SCORES["time"] < 5) | (SCORES["arm"] == "d")]),
        lambda: curve(SCORES[(SCORES["time"] < 5) | (SCORES["arm"] == "d")], course="linear"),
    ),
    (
        f"{REFUSALS}:refuse_markers",
        "detected in nobody",
        lambda: joint(but(BOTH, value=np.where(BOTH["marker"] == "IL-6", "<0.1", BOTH["value"].astype(object)))),
        lambda: joint(BOTH[BOTH["marker"] != "IL-6"]),
    ),
    (
        f"{REFUSALS}:refuse_markers",
        "has one value throughout",
        lambda: joint(but(BOTH, value=np.where(BOTH["marker"] == "IL-6", 2.0, BOTH["value"]))),
        lambda: joint(BOTH[BOTH["marker"] != "IL-6"]),
    ),
    (
        f"{REFUSALS}:refuse_other_than_yes_or_no",
        "use kind = 'score'",
        lambda: curve(kind="response"),
        lambda: curve(kind="score"),
    ),
    (
        f"{REFUSALS}:refuse_other_than_yes_or_no",
        "check it",
        lambda: curve(but(SCORES, outcome=1), kind="response"),
        lambda: curve(YES, kind="response"),
    ),
    (
        f"{REFUSALS}:refuse_unknown_exact",
        "did you mean 'BDNF'",
        lambda: joint(exact="BDNV"),
        lambda: joint(exact="BDNF"),
    ),
    (
        f"{REFUSALS}:refuse_inexact",
        "leave 'BDNF' out of exact",
        lambda: joint(BELOW, exact=["IL-6", "BDNF"]),
        lambda: joint(BELOW, exact=["IL-6"]),
    ),
    (
        f"{REFUSALS}:refuse_two_values",
        "keep one of them",
        lambda: predicted(pd.concat([ONE, ONE[ONE["marker"] == "BDNF"]], ignore_index=True), exact="BDNF"),
        lambda: predicted(ONE, exact="BDNF"),
    ),
    # events
    (
        f"{DATA}:_refuse_no_intervals",
        "end of the planned interval",
        lambda: curve(but(ACTUAL, outcome=EVENT["outcome"].to_numpy()), kind="event", course="linear"),
        lambda: curve(EVENT, kind="event", course="linear"),
    ),
    (
        f"{REFUSALS}:refuse_after_event",
        "leave rows after the event out",
        lambda: curve(YES, kind="event"),
        lambda: curve(YES[(YES["outcome"] == 0) | (YES["time"] == 1)].query("time < 2"), kind="event"),
    ),
    # subgroups
    (
        f"{SETTINGS}:_check_subgroups",
        "write one before the = sign",
        lambda: curve(subgroups={" ": "age < 36"}),
        lambda: curve(subgroups={"young": "age < 36"}),
    ),
    (
        f"{SETTINGS}:_check_subgroups",
        "name the column of arms",
        lambda: curve(reference=None, arm=None, subgroups={"young": "age < 36"}),
        lambda: curve(subgroups={"young": "age < 36"}),
    ),
    (
        f"{SUBGROUPS}:_refuse_changing",
        "one value per patient",
        lambda: curve(subgroups={"severe": "outcome > 20"}),
        lambda: curve(
            SCORES.assign(first=SCORES.groupby("subject")["outcome"].transform("first")),
            subgroups={"severe": "first > 18"},
        ),
    ),
    (
        f"{SUBGROUPS}:_refuse_few",
        "widen it",
        lambda: curve(subgroups={"young": "age < 33"}),
        lambda: curve(subgroups={"young": "age < 36"}),
    ),
    (
        f"{SUBGROUPS}:_refuse_few",
        "leave it out",
        lambda: curve(subgroups={"adult": "age >= 18"}),
        curve,
    ),
    (
        f"{SUBGROUPS}:_refuse_arms",
        "widen it",
        lambda: curve(subgroups={"on d": "arm == 'd'"}),
        lambda: curve(subgroups={"on d, or young": "arm == 'd' or age < 36"}),
    ),
    # prediction
    (
        f"{PREDICTION}:predict",
        "fit one without",
        lambda: predicted(ONE, kind="response"),
        lambda: predicted(ONE),
    ),
    (
        f"{PREDICTION}:_read_patient",
        "one arm of those fitted",
        lambda: predicted(but(ONE, arm="x")),
        lambda: predicted(ONE),
    ),
    (
        f"{PREDICTION}:_read_patient",
        "pass the rows of one",
        lambda: predicted(BOTH[BOTH["arm"] == "p"]),
        lambda: predicted(ONE),
    ),
    (
        f"{PREDICTION}:_markers_of",
        "did you mean 'IL-6'",
        lambda: predicted(but(ONE, marker=ONE["marker"].replace("IL-6", "IL-66").to_numpy())),
        lambda: predicted(ONE),
    ),
    (
        f"{COMPLETION}:regressors",
        "give a fit of scores by arm",
        lambda: completed(YES, kind="response"),
        lambda: completed(SCORES),
    ),
    (
        f"{COMPLETION}:regressors",
        "write the planned time in every row",
        lambda: completed(ACTUAL, course="linear"),
        lambda: completed(SCORES, course="linear"),
    ),
    # joining
    (
        f"{VISITS}:join_markers",
        "leave their rows out",
        lambda: bd.join_markers(CLINIC[CLINIC["subject"] != "s3"], LABORATORY),
        lambda: bd.join_markers(CLINIC[CLINIC["subject"] != "s3"], LABORATORY[LABORATORY["subject"] != "s3"]),
    ),
    (
        f"{VISITS}:_refuse_other_values",
        "rename it",
        lambda: bd.join_markers(CLINIC, but(BLOOD, age=BLOOD["age"] + 1)),
        lambda: bd.join_markers(CLINIC, but(BLOOD, age=BLOOD["age"] + 1).rename(columns={"age": "age at blood"})),
    ),
    (
        f"{VISITS}:_matched",
        "such as 0.5",
        lambda: bd.join_markers(CLINIC, LABORATORY, tolerance=-1),
        lambda: bd.join_markers(CLINIC, LABORATORY, tolerance=0.5),
    ),
    (
        f"{VISITS}:_matched",
        "widen it",
        lambda: bd.join_markers(CLINIC, but(LABORATORY, time=LABORATORY["time"] + 0.4), tolerance=0.1),
        lambda: bd.join_markers(CLINIC, but(LABORATORY, time=LABORATORY["time"] + 0.4), tolerance=0.5),
    ),
    # the design
    (
        "designs/rct2025:draw_rct2025",
        "at least one patient",
        lambda: draw_rct2025(np.random.default_rng(1), people=(0, 3)),
        lambda: draw_rct2025(np.random.default_rng(1), people=(1, 3)),
    ),
    (
        "designs/rct2025:draw_rct2025",
        "write 'none' or 'il1ra'",
        lambda: draw_rct2025(np.random.default_rng(1), effects="all"),  # type: ignore[arg-type]  # refused
        lambda: draw_rct2025(np.random.default_rng(1), effects="il1ra"),
    ),
]
