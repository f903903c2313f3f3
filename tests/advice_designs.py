"""The table of ``advice.py`` continued: designs, people who are counted twice, files and generators."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from advice import (
    ARMS,
    MEANS,
    ONE,
    PATIENTS,
    PEOPLE,
    PERIODS,
    STUDIES,
    VISITS,
    arms,
    but,
    counts,
    crossover,
    means,
    meta,
    panel,
    pooled,
    response,
    trial,
    without,
)

import bayesdep as bd
from bayesdep.data import budget
from bayesdep.data.budget import refuse_beyond_memory
from bayesdep.data.compile_cache import private_folder
from bayesdep.data.files import sole_writer, whole_directory, whole_files
from bayesdep.data.scales import convert_trials, fit_conversion
from bayesdep.data.sources import read_source
from bayesdep.data.toml_text import read_toml
from bayesdep.designs.kiraly2017 import draw_kiraly2017
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.designs.raison2013 import draw_raison2013
from bayesdep.designs.resized import resized
from bayesdep.models.parts.priors import parse_prior
from bayesdep.models.patient_meta.events import count_events

NORMAL = bd.Prior("Normal", mu=0, sigma=1)
STUDENT = bd.Prior("StudentT", nu=4, mu=0, sigma=1)
_FOLDER = tempfile.TemporaryDirectory(prefix="advice")  # gone with the process
FOLDER = Path(_FOLDER.name)
(FOLDER / "a file").write_text("synthetic", encoding="utf-8")
(FOLDER / "broken.parquet").write_bytes(b"PAR1 and no more")
STUDIES.to_parquet(FOLDER / "whole.parquet")
STUDIES.to_csv(FOLDER / "text.csv", index=False)
STUDIES[["study", "effect"]][:2].to_csv(FOLDER / "short.csv", index=False)
(FOLDER / "folder.csv").mkdir()


def write_file(folder: Path) -> None:
    with whole_files(folder / "x.txt") as (partial,):
        partial.write_text("x", encoding="utf-8")


def write_directory(folder: Path) -> None:
    with whole_directory(folder / "run") as partial:
        (partial / "x.txt").write_text("x", encoding="utf-8")


def write_alone(*folders: Path) -> None:
    with ExitStack() as held:
        for folder in folders:
            held.enter_context(sole_writer(folder))


def folder_for_code(temporary: Path) -> None:
    """Ask for a private folder where none can be, while temporary ones are made in another."""
    usual, fonts = tempfile.tempdir, os.environ.get("MPLCONFIGDIR")
    tempfile.tempdir = str(temporary)
    try:
        private_folder(FOLDER / "a file" / "cache")
    finally:
        tempfile.tempdir = usual
        if fonts is None:
            os.environ.pop("MPLCONFIGDIR", None)


def with_memory(free: float, call: Any) -> Any:
    """Call where so many bytes are free."""
    usual = budget.available_memory
    budget.available_memory = lambda: free
    try:
        return call()
    finally:
        budget.available_memory = usual


def exactly(frame: pd.DataFrame) -> float:
    """The exact engine's answer, of which the spread is on a grid."""
    model = bd.Meta(measure="standardised-difference")
    return float(model.exact(model.prepare(frame)).marginals["mu", ()].mean)


def mixed(frame: pd.DataFrame, **settings: Any) -> Any:
    return meta(frame, **({"input": "mixed", "measure": "standardised-difference"} | settings))


def by_arms(frame: pd.DataFrame, **settings: Any) -> Any:
    base = {"input": "arms", "measure": "log-odds-ratio", "reference": "placebo"}
    return meta(frame, **(base | settings))


def small(frame: pd.DataFrame = STUDIES, **settings: Any) -> Any:
    base = {"measure": "standardised-difference", "favours": "positive"}
    return bd.SmallStudies(**(base | settings)).prepare(frame)


def without_a_study(data: Any) -> Any:
    """Prepared patients, those of the last study without an outcome, as when it is left out."""
    return data.assign(outcome=data["outcome"].where(data["study_of"] < data.sizes["study"] - 1))


def converted(frame: pd.DataFrame, where: Any) -> Any:
    given = {"given": ("base", "outcome"), "to": ("base_2", "outcome_2"), "improvement": "improvement"}
    return convert_trials(frame, bd.HRSD_17_TO_MADRS, where=where, subject=("study", "subject"), sets=2, **given)


MANY = ONE.loc[ONE.index.repeat(400)].reset_index(drop=True)
WITH_TOTAL = pd.DataFrame(
    {"subgroup": ["f", "f", "m", "m", "x", "x", "ITT", "ITT"], "arm": ["d", "p"] * 4,
     "events": [3, 4, 5, 6, 1, 2, 9, 12], "n": [20, 20, 22, 21, 8, 9, 50, 50]}
)  # fmt: skip
SHARED = pd.DataFrame(
    {"study": ["a, low", "a, high", "b"], "events_treated": [3, 6, 5], "n_treated": [20, 22, 25],
     "events_control": [5, 5, 2], "n_control": [21, 21, 25], "control": ["a", "a", "b"], "site": ["x", "y", "z"]}
)  # fmt: skip
SHARED_MEANS = pd.DataFrame(
    {"study": ["a, low", "a, high", "b"], "mean_treated": [3.0, 4.0, 5.0], "sd_treated": 2.0, "n_treated": 20,
     "mean_control": [4.25, 4.25, 5.5], "sd_control": [2.1, 2.1, 2.0], "n_control": [31, 31, 30],
     "control": ["a", "a", "b"]}
)  # fmt: skip
BY_ARM = pd.DataFrame(
    {"study": ["a", "a", "a", "b", "b"], "arm": ["placebo", "low", "high", "placebo", "low"], "events": [5, 3, 6, 2, 4],
     "n": [20, 21, 22, 23, 24]}
)  # fmt: skip
MIXED = pd.DataFrame(
    {"study": list("abc"), "effect": [0.3, np.nan, 0.2], "se": [0.2, np.nan, 0.1],
     "mean_treated": [np.nan, 4.0, np.nan], "sd_treated": [np.nan, 2.0, np.nan], "n_treated": [np.nan, 30, np.nan],
     "mean_control": [np.nan, 4.5, np.nan], "sd_control": [np.nan, 2.0, np.nan], "n_control": [np.nan, 30, np.nan],
     "control": ["a", "b", "c"]}
)  # fmt: skip
COVARIANCE = [[0.04, 0.01, 0, 0], [0.01, 0.01, 0, 0], [0, 0, 0.09, 0], [0, 0, 0, 0.04]]
WIDE_VISITS = VISITS.assign(
    site=[f"c{int(s[1:]) % 4}" for s in VISITS["subject"]], one="only", own=VISITS["baseline"] ** 2
)
THREE_ARMS = VISITS.assign(arm=["abc"[int(s[1:]) % 3] for s in VISITS["subject"]])
THREE_PERIODS = pd.DataFrame(
    [{"subject": s, "treatment": "pde"[(i + p * (1 + i % 2)) % 3], "period": p + 1,
      "outcome": float(20 + i % 5 - p + i * (p + 2) % 3)}
     for i, s in enumerate(PEOPLE) for p in range(3)]
)  # fmt: skip
WITHOUT_E = THREE_PERIODS[THREE_PERIODS["treatment"] != "e"].reset_index(drop=True)
SCALES = but(PATIENTS, base=20.0, base_2=25.0, outcome=18.0 + np.arange(288) % 7, outcome_2=24.0, improvement=10.0)
PAIRS = pd.DataFrame({"id": np.repeat(np.arange(8), 2), "x": np.arange(16.0), "y": np.arange(16.0) ** 1.1})
OF_STUDIES = but(PATIENTS, marker=[{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}.get(k, np.nan) for k in PATIENTS["study"]])
FEW = but(PATIENTS, marker=np.where(PATIENTS["study"] == "a", PATIENTS["age"] % 11, np.nan))
APART = VISITS.assign(
    outcome=VISITS["outcome"].where(
        (VISITS["visit"] == 2) | ((VISITS["visit"] == 1) == (VISITS["subject"].str[1:].astype(int) % 4 < 2))
    )
)
FIRST_OF_TWO = VISITS.assign(outcome=VISITS["outcome"].where((VISITS["visit"] > 1) | (VISITS.index < 6)))
ONE_DAY = PERIODS[PERIODS["day"] == 1].reset_index(drop=True)
LATE = (PERIODS["day"] == 2) & (PERIODS["period"] == 2)
TWO_DAYS = THREE_PERIODS.loc[THREE_PERIODS.index.repeat(2)].reset_index(drop=True)
TWO_DAYS = TWO_DAYS.assign(day=[1, 2] * len(THREE_PERIODS))
SECOND = (TWO_DAYS["day"] == 2) & (TWO_DAYS["period"] == 2)
SAME_ORDER = ONE_DAY["subject"].str[1:].astype(int) % 2 == 0
NO_SECOND = SAME_ORDER | (ONE_DAY["period"] == 1)
EXACT = 20.0 + PERIODS["subject"].str[1:].astype(int) % 5 - PERIODS["period"]  # by patient and period alone
EITHER = (PERIODS["day"] == 1) == (PERIODS["subject"].str[1:].astype(int) % 4 < 2)
THREE_GROUPS = ONE.assign(group=[["HC", "MDD", "TRD"][int(s[1:]) % 3] for s in ONE["subject"]])
PUBLISHED = {"paper": "Turner 2015", "outcome": "pain", "comparison": "pharmacological against control"}
COMBINED = {"moderators": ["age"], "combined": ["age"], "split": False, "effects": "normal", "study_levels": "random"}
IMPUTED = {"moderators": ["marker"], "missing_moderators": "impute", "split": False, "imputations": 2}

VISITS_OF_TWO = pd.DataFrame({"subject": ["a", "a", "b"], "arm": ["p", "p", "d"], "visit": [1, 2, 1]})

NORMAL, CAUCHY = bd.Prior("Normal", mu=0, sigma=9), bd.Prior("Cauchy", alpha=0, beta=9)

ADVICE: list[tuple[str, str, Any, Any]] = [
    (
        "designs/register:_people",
        "leave people out",
        lambda: bd.simulate("bcg_trials", seed=1, people=5),
        lambda: bd.simulate("bcg_trials", seed=1),
    ),
    (
        "designs/resized:resized",
        "give a larger n",
        lambda: resized(VISITS_OF_TWO, 1, np.random.default_rng(1), unit=["subject"], strata=["arm"]),
        lambda: resized(VISITS_OF_TWO, 2, np.random.default_rng(1), unit=["subject"], strata=["arm"]),
    ),
    # files
    ("data/files:whole_files", "choose another", lambda: write_file(FOLDER / "a file"), lambda: write_file(FOLDER)),
    (
        "data/files:whole_directory",
        "choose another place",
        lambda: write_directory(FOLDER / "a file"),
        lambda: write_directory(FOLDER),
    ),
    (
        "data/sources:_read_file",
        "check that the file is whole",
        lambda: read_source("broken.parquet", folder=FOLDER),
        lambda: read_source("whole.parquet", folder=FOLDER),
    ),
    (
        "data/sources:_choose",
        "did you mean 'd'",
        lambda: trial(bd.read_table(VISITS, labels_meant=["dd"])),
        lambda: trial(bd.read_table(VISITS, labels_meant=["d"])),
    ),
    # limits
    (
        "data/limit_text:refuse_two_limits",
        "correct one of them",
        lambda: panel(but(ONE, {"lod": (0, 0.002)}, lod=0.001), lod="lod", plate="plate"),
        lambda: panel(but(ONE, lod=0.001), lod="lod", plate="plate"),
    ),
    # generators of synthetic data, and scales
    (
        "designs/kiraly2017:draw_kiraly2017",
        "at least one control",
        lambda: draw_kiraly2017(np.random.default_rng(1), people=(0, 3)),
        lambda: draw_kiraly2017(np.random.default_rng(1), people=(1, 1)),
    ),
    (
        "designs/kiraly2017:draw_kiraly2017",
        "with 0, the baseline",
        lambda: draw_kiraly2017(np.random.default_rng(1), times=(4, 24)),
        lambda: draw_kiraly2017(np.random.default_rng(1), times=(0, 4)),
    ),
    (
        "designs/kiraly2017:draw_kiraly2017",
        "for each of the 41 analytes",
        lambda: draw_kiraly2017(np.random.default_rng(1), log_ratio=np.zeros(3)),
        lambda: draw_kiraly2017(np.random.default_rng(1), log_ratio=np.zeros(41)),
    ),
    (
        "designs/price2022:_sample",
        "at least one",
        lambda: draw_price2022(np.random.default_rng(1), studies=0),
        lambda: draw_price2022(np.random.default_rng(1), studies=1, patients=20),
    ),
    (
        "designs/price2022:_sample",
        "give more patients",
        lambda: draw_price2022(np.random.default_rng(1), studies=4, patients=5),
        lambda: draw_price2022(np.random.default_rng(1), studies=4, patients=80),
    ),
    (
        "designs/raison2013:_coefficients",
        "three finite numbers",
        lambda: draw_raison2013(np.random.default_rng(1), moderation=[1.0, 2.0]),
        lambda: draw_raison2013(np.random.default_rng(1), moderation=[1.0, 2.0, 0.0]),
    ),
    (
        "designs/raison2013:draw_raison2013",
        "at least one patient",
        lambda: draw_raison2013(np.random.default_rng(1), people=(0, 5)),
        lambda: draw_raison2013(np.random.default_rng(1), people=(1, 1)),
    ),
    (
        "data/scales:fit_conversion",
        "people with different scores",
        lambda: fit_conversion(PAIRS[:4], given="x", to="y", subject="id", source="synthetic"),
        lambda: fit_conversion(PAIRS, given="x", to="y", subject="id", source="synthetic"),
    ),
    (
        "data/scales:convert_trials",
        "correct the condition",
        lambda: converted(SCALES, SCALES["study"] == "A"),
        lambda: converted(SCALES, SCALES["study"] == "a"),
    ),
    (
        "data/scales:convert_trials",
        "leave the row out",
        lambda: converted(but(SCALES, {"outcome": (0, np.nan)}), SCALES["study"] == "a"),
        lambda: converted(without(SCALES, 0), SCALES["study"][1:].to_numpy() == "a"),
    ),
    # priors
    (
        "models/parts/contrasts:refuse_without_correlation",
        "use a Normal",
        lambda: panel(THREE_GROUPS, priors={"group_mean": STUDENT}),
        lambda: panel(THREE_GROUPS, priors={"group_mean": NORMAL}),
    ),
    (
        "models/parts/published_priors:refuse_priors_of_other_measures",
        "one of its own",
        lambda: arms(measure="log-odds-ratio", priors={"mu": PUBLISHED}),
        lambda: arms(measure="log-odds-ratio", priors={"mu": NORMAL}),
    ),
    (
        "models/parts/published_priors:refuse_priors_of_other_measures",
        "in the units of these effects",
        lambda: meta(priors={"tau": PUBLISHED}),
        lambda: meta(priors={"tau": bd.Prior("HalfNormal", sigma=1)}),
    ),
    (
        "models/patient_meta/settings:_refuse_other_priors",
        "or leave combined out",
        lambda: bd.PatientMeta(reference="c", **COMBINED, priors={"effect": STUDENT}),
        lambda: bd.PatientMeta(reference="c", **COMBINED, priors={"effect": NORMAL}),
    ),
    (
        "models/parts/priors:parse_prior",
        "no published prior",
        lambda: parse_prior("tau", PUBLISHED | {"outcome": "pains"}),
        lambda: parse_prior("tau", PUBLISHED | {"outcome": "pain"}),
    ),
    (
        "models/parts/priors:parse_prior",
        "write it as { paper",
        lambda: parse_prior("tau", {"paper": "Turner 2015", "outcomes": "pain"}),
        lambda: parse_prior(
            "tau", {"paper": "Turner 2015", "outcome": "pain", "comparison": "pharmacological against control"}
        ),
    ),
    (
        "models/parts/priors:parse_prior",
        "there is no distribution",
        lambda: parse_prior("mu", {"dist": "Norml", "mu": 0, "sigma": 1}),
        lambda: parse_prior("mu", {"dist": "Normal", "mu": 0, "sigma": 1}),
    ),
    (
        "models/trial/refusals:refuse_priors_by_reference",
        "use Normal",
        lambda: trial(THREE_ARMS, reference="a", priors={"arm_effect": STUDENT}),
        lambda: trial(THREE_ARMS, reference="a", priors={"arm_effect": NORMAL}),
    ),
    (
        "models/trial/settings:_check_departures",
        'write { dist = "Normal", mu = 0, sigma = NUMBER }',
        lambda: trial(priors={"arm_effect_departure": STUDENT}),
        lambda: trial(priors={"arm_effect_departure": {"dist": "Normal", "mu": 0, "sigma": 2}}),
    ),
    # scales
    (
        "models/parts/scale:scale_of",
        "no group has two people",
        lambda: trial(FIRST_OF_TWO, covariance="ar1"),
        lambda: trial(FIRST_OF_TWO, covariance="ar1", scale=5),
    ),
    (
        "models/parts/scale:scale_of",
        "is the same in everybody of a group",
        lambda: trial(
            but(VISITS, outcome=np.where(VISITS["visit"] == 1, 5.0 * (VISITS["arm"] == "d"), VISITS["outcome"]))
        ),
        lambda: trial(
            but(VISITS, outcome=np.where(VISITS["visit"] == 1, 5.0 * (VISITS["arm"] == "d"), VISITS["outcome"])),
            scale=5,
        ),
    ),
    (
        "models/response/settings:__post_init__",
        "above zero is needed, on",
        lambda: response(scale=0),
        lambda: response(scale=1),
    ),
    (
        "models/meta/settings:_refuse_wrong_units",
        "so leave it out",
        lambda: meta(scale=3),
        meta,
    ),
    (
        "models/meta/settings:_refuse_wrong_units",
        "for example units = 'MADRS points'",
        lambda: means(measure="difference"),
        lambda: means(measure="difference", units="MADRS points"),
    ),
    (
        "models/meta/settings:_refuse_wrong_units",
        "has its own, so leave it out",
        lambda: meta(units="points"),
        meta,
    ),
    (
        "models/response/settings:__post_init__",
        "predicts_when is missing",
        lambda: bd.Response(outcome="responder", value="value", analyte=None),
        lambda: bd.Response(outcome="responder", value="value", analyte=None, predicts_when="above"),
    ),
    (
        "models/response/data:_refuse_number_of_analytes",
        "as predicts_when = 'below'",
        lambda: response(ONE[ONE["analyte"] == "TNF"], effects="none"),
        lambda: response(ONE[ONE["analyte"] == "TNF"], effects="none", predicts_when="below"),
    ),
    (
        "models/trial/settings:_check_moderator",
        "such as threshold = 5",
        lambda: trial(moderator="crp", moderator_form="threshold"),
        lambda: trial(moderator="crp", moderator_form="threshold", threshold=5),
    ),
    (
        "models/trial/settings:_check_moderator",
        "belongs to moderator_form = 'threshold'; leave it out",
        lambda: trial(moderator="crp", threshold=5),
        lambda: trial(moderator="crp"),
    ),
    (
        "models/meta/data:_scale",
        "state a typical sd of the outcome as scale",
        lambda: mixed(without(MIXED, 1), measure="difference", units="points"),
        lambda: mixed(without(MIXED, 1), measure="difference", units="points", scale=7),
    ),
    # meta-analyses: what rows hold
    (
        "models/meta/studies:check_studies",
        "give at least two",
        lambda: by_arms(BY_ARM[3:]),
        lambda: by_arms(BY_ARM),
    ),
    (
        "models/meta/studies:refuse_impossible_counts",
        "leave the row out",
        lambda: means(but(MEANS, {"n_control": (1, 1)})),
        lambda: means(without(MEANS, 1)),
    ),
    (
        "models/meta/studies:_refuse_empty_cells",
        "needs no correction",
        lambda: arms(but(ARMS, {"events_treated": (0, 0)}), measure="log-odds-ratio"),
        lambda: arms(but(ARMS, {"events_treated": (0, 0)}), measure="log-odds-ratio", likelihood="binomial"),
    ),
    (
        "models/meta/studies:_refuse_empty_cells",
        "needs no correction",
        lambda: arms(but(ARMS, {"events_treated": (0, 0)}), measure="log-risk-ratio"),
        lambda: arms(but(ARMS, {"events_treated": (0, 0)}), measure="log-odds-ratio", likelihood="binomial"),
    ),
    (
        "models/meta/studies:_refuse_empty_cells",
        "and a control_risk",
        lambda: arms(but(ARMS, events_treated=0, events_control=0), measure="risk-difference"),
        lambda: arms(
            but(ARMS, events_treated=0, events_control=0),
            measure="log-odds-ratio",
            likelihood="binomial",
            control_risk=0.1,
        ),
    ),
    (
        "models/meta/studies:_refuse_empty_cells",
        "needs no correction",
        lambda: by_arms(but(BY_ARM, {"events": (1, 0)})),
        lambda: by_arms(but(BY_ARM, {"events": (1, 0)}), likelihood="binomial"),
    ),
    (
        "models/meta/studies:_refuse_empty_cells",
        "needs no correction",
        lambda: arms(but(SHARED, {"events_treated": (0, 0)}), measure="log-odds-ratio", control_group="control"),
        lambda: arms(
            but(SHARED, {"events_treated": (0, 0)}),
            measure="log-odds-ratio",
            control_group="control",
            likelihood="binomial",
        ),
    ),
    (
        "models/meta/studies:_refuse_empty_cells",
        "of family = 'meta'",
        lambda: small(but(ARMS, {"events_treated": (0, 0)}), input="counts", measure="log-odds-ratio"),
        lambda: arms(but(ARMS, {"events_treated": (0, 0)}), measure="log-odds-ratio", likelihood="binomial"),
    ),
    (
        "models/meta/mixed_rows:refuse_other_forms",
        "take input = 'mixed'",
        lambda: meta(MIXED),
        lambda: mixed(MIXED),
    ),
    (
        "models/meta/mixed_rows:_choose_forms",
        "fill it in, or leave",
        lambda: mixed(but(MIXED, {"sd_control": (1, None)})),
        lambda: mixed(without(but(MIXED, {"sd_control": (1, None)}), 1)),
    ),
    (
        "models/meta/mixed_rows:read_mixed",
        "empty the cells of the other",
        lambda: mixed(but(but(MIXED, {"effect": (1, 0.9)}), {"se": (1, 0.2)})),
        lambda: mixed(MIXED),
    ),
    (
        "models/meta/mixed_rows:_refuse_mixed_controls",
        "state their covariance",
        lambda: mixed(but(MIXED, control=["a", "a", "c"]), control_group="control"),
        lambda: mixed(MIXED, covariance={"a": {"b": 0.01}}),
    ),
    (
        "models/meta/data:_refuse_no_comparison",
        "did you mean 'placebo'",
        lambda: by_arms(BY_ARM, reference="placebos"),
        lambda: by_arms(BY_ARM),
    ),
    (
        "models/meta/data:_refuse_no_comparison",
        "leave its rows out",
        lambda: by_arms(pd.concat([BY_ARM, but(BY_ARM[1:2], study="c")])),
        lambda: by_arms(BY_ARM),
    ),
    # meta-analyses: people who are counted twice
    (
        "models/meta/shared_people:groups_of_controls",
        "give the groups two labels",
        lambda: arms(but(SHARED, {"events_control": (1, 6)}), control_group="control"),
        lambda: arms(but(SHARED, {"events_control": (1, 6)}, control=list("abc")), control_group="control"),
    ),
    (
        "models/meta/shared_people:refuse_repeated_controls",
        "name the column that says so as control_group",
        lambda: means(SHARED_MEANS),
        lambda: means(SHARED_MEANS, control_group="control"),
    ),
    (
        "models/meta/shared_people:refuse_repeated_controls",
        "every row has a label of its own, such as the study's",
        lambda: means(SHARED_MEANS),
        lambda: means(SHARED_MEANS, control_group="study"),
    ),
    (
        "models/meta/shared_people:refuse_repeated_controls",
        "every row has a label of its own, such as the study's",
        lambda: small(SHARED_MEANS, input="means"),
        lambda: small(SHARED_MEANS, input="means", control_group="study"),
    ),
    (
        "models/parts/stated_covariance:read_covariance",
        "or give a square matrix",
        lambda: meta(covariance=[[0.04, 0.01]]),
        lambda: meta(covariance=COVARIANCE),
    ),
    (
        "models/parts/stated_covariance:read_covariance",
        'write it as { "trial A" = { "trial B" = 0.02 } }',
        lambda: meta(covariance="0.01"),
        lambda: meta(covariance={"a": {"b": 0.01}}),
    ),
    (
        "models/parts/stated_covariance:_from_labels",
        "use the labels of the table",
        lambda: meta(covariance={"a": {"B": 0.01}}),
        lambda: meta(covariance={"a": {"b": 0.01}}),
    ),
    (
        "models/parts/stated_covariance:_from_labels",
        "give it once",
        lambda: meta(covariance={"a": {"b": 0.01}, "b": {"a": 0.015}}),
        lambda: meta(covariance={"a": {"b": 0.01}}),
    ),
    (
        "models/parts/stated_covariance:covariance_of_rows",
        "give one row for each",
        lambda: meta(covariance=[[0.04, 0.01], [0.01, 0.01]]),
        lambda: meta(covariance=COVARIANCE),
    ),
    (
        "models/parts/stated_covariance:covariance_of_rows",
        "is not symmetric",
        lambda: meta(covariance=[[0.04, 0.015, 0, 0], *COVARIANCE[1:]]),
        lambda: meta(covariance=COVARIANCE),
    ),
    (
        "models/parts/stated_covariance:_not_the_square",
        "by their labels",
        lambda: meta(covariance=[[0.05, 0.01, 0, 0], *COVARIANCE[1:]]),
        lambda: meta(covariance=COVARIANCE),
    ),
    (
        "models/parts/stated_covariance:refuse_impossible_covariance",
        "or leave cluster out",
        lambda: meta(covariance={"a": {"c": 0.01}}, cluster="country"),
        lambda: meta(covariance={"a": {"c": 0.01}}),
    ),
    (
        "models/parts/stated_covariance:refuse_impossible_covariance",
        "correct the correlation",
        lambda: meta(covariance={"a": {"b": 0.02}}),
        lambda: meta(covariance={"a": {"b": 0.01}}),
    ),
    (
        "models/small_studies/data:prepare",
        "use family = 'meta'",
        lambda: small(SHARED_MEANS, input="means", control_group="control"),
        lambda: means(SHARED_MEANS, control_group="control"),
    ),
    (
        "models/small_studies/settings:__post_init__",
        "set at least one of them to 'average'",
        lambda: small(pooled_effect="absent", spread="absent", bias="absent"),
        lambda: small(pooled_effect="average", spread="absent", bias="absent"),
    ),
    (
        "models/meta/settings:_refuse_contradictory_sharing",
        "and two arms a study; leave it out",
        lambda: meta(midpoint_correlation=True),
        meta,
    ),
    (
        "models/meta/settings:_refuse_wrong_reference",
        "such as reference = 'placebo'",
        lambda: by_arms(BY_ARM, reference=None),
        lambda: by_arms(BY_ARM, reference="placebo"),
    ),
    (
        "models/meta/settings:_refuse_wrong_reference",
        "where every row is an arm; leave it out",
        lambda: arms(reference="placebo"),
        arms,
    ),
    (
        "models/meta/settings:_refuse_wrong_reference",
        "share its reference arm; leave it out",
        lambda: by_arms(BY_ARM, control_group="study"),
        lambda: by_arms(BY_ARM),
    ),
    (
        "models/meta/settings:_refuse_contradictory_sharing",
        "as within_correlation",
        lambda: meta(control_group="country", cluster="country"),
        lambda: meta(within_correlation=0.5, cluster="country"),
    ),
    (
        "models/meta/settings:_refuse_contradictory_sharing",
        "whose arms are single; leave it out",
        lambda: meta(BY_ARM, input="events", measure="log-odds", control_group="arm"),
        lambda: meta(without(BY_ARM, 1, 2, 4), input="events", measure="log-odds"),
    ),
    (
        "models/meta/settings:_refuse_contradictory_sharing",
        "state one, such as covariance",
        lambda: meta(within_correlation=0.5, covariance={"a": {"b": 0.01}}, cluster="country"),
        lambda: meta(covariance={"a": {"b": 0.01}}, cluster="country"),
    ),
    (
        "models/meta/settings:_refuse_contradictory_sharing",
        "between -1 and 1 is needed",
        lambda: meta(within_correlation=1.5, cluster="country"),
        lambda: meta(within_correlation=0.5, cluster="country"),
    ),
    (
        "models/meta/settings:_refuse_contradictory_sharing",
        "leave one of them out",
        lambda: meta(covariance={"a": {"b": 0.01}}, heterogeneity="student-t"),
        lambda: meta(covariance={"a": {"b": 0.01}}),
    ),
    # trials
    (
        "models/trial/settings:__post_init__",
        "or False where there is none",
        lambda: trial(baseline=True),
        lambda: trial(baseline=False),
    ),
    (
        "models/trial/settings:_check_moderator",
        "a value above zero is needed where",
        lambda: trial(moderator="crp", at=[0.0]),
        lambda: trial(moderator="crp", at=[1.0]),
    ),
    (
        "models/trial/settings:_check_rates",
        "or leave response and remission out",
        lambda: trial(baseline=None, response=0.5),
        lambda: trial(response=0.5),
    ),
    (
        "models/trial/moderator:_spline",
        "or moderator_form = 'log'",
        lambda: trial(but(VISITS, crp=1.0 + (VISITS["subject"] == "s1")), moderator="crp", moderator_form="log-spline"),
        lambda: trial(but(VISITS, crp=1.0 + (VISITS["subject"] == "s1")), moderator="crp", moderator_form="log"),
    ),
    (
        "models/trial/refusals:refuse_uninformative_levels",
        "one level, which a random effect cannot tell apart; leave it out",
        lambda: trial(WIDE_VISITS, covariates="own + (1 | one)"),
        lambda: trial(WIDE_VISITS, covariates="own"),
    ),
    (
        "data/grammar:refuse",
        "one random effect is possible",
        lambda: trial(WIDE_VISITS, covariates="(1 | site) + (1 | one)"),
        lambda: trial(WIDE_VISITS, covariates="own + (1 | site)"),
    ),
    (
        "models/trial/refusals:refuse_visits_without_time",
        "name a column of days as day",
        lambda: trial(but(VISITS, visit=[f"V{v}" for v in VISITS["visit"]]), covariance="spatial-power"),
        lambda: trial(but(VISITS, visit=[f"V{v}" for v in VISITS["visit"]]), covariance="spatial-power", day="day"),
    ),
    (
        "models/trial/refusals:refuse_visits_without_time",
        "use covariance = 'ar1'",
        lambda: trial(but(VISITS, visit=[f"V{v}" for v in VISITS["visit"]]), covariance="spatial-power"),
        lambda: trial(but(VISITS, visit=[f"V{v}" for v in VISITS["visit"]]), covariance="ar1"),
    ),
    (
        "models/trial/refusals:refuse_unknown_correlations",
        "use covariance = 'ar1'",
        lambda: trial(APART),
        lambda: trial(APART, covariance="ar1"),
    ),
    (
        "models/trial/refusals:refuse_unknown_correlations",
        "or leave out one of the visits",
        lambda: trial(APART),
        lambda: trial(APART[APART["visit"] < 3]),
    ),
    (
        "models/trial/refusals:refuse_unknown_correlations",
        "visits 2 apart",
        lambda: trial(APART, covariance="toeplitz"),
        lambda: trial(APART, covariance="ar1"),
    ),
    (
        "models/trial/response:visit_of",
        "did you mean 'last'",
        lambda: trial(response=0.5, response_when="lst"),
        lambda: trial(response=0.5, response_when="last"),
    ),
    # crossovers
    (
        "models/crossover/design:_refuse_unknown_before",
        "and an empty outcome",
        lambda: crossover(without(THREE_PERIODS, 0), day=None, carry_over=True),
        lambda: crossover(but(THREE_PERIODS, {"outcome": (0, np.nan)}), day=None, carry_over=True),
    ),
    (
        "models/crossover/design:_refuse_empty",
        "leave that day out",
        lambda: crossover(but(PERIODS, outcome=PERIODS["outcome"].where(~LATE))),
        lambda: crossover(PERIODS[PERIODS["day"] == 1]),
    ),
    (
        "models/crossover/design:_refuse_empty",
        "use the trial family for one of the periods",
        lambda: crossover(but(ONE_DAY, outcome=ONE_DAY["outcome"].where(ONE_DAY["period"] == 1)), day=None),
        lambda: bd.Trial(reference="p", arm="treatment", visit="period", baseline="b").prepare(
            ONE_DAY[ONE_DAY["period"] == 1]
        ),
    ),
    (
        "models/crossover/design:_refuse_empty",
        "nobody has an outcome in period 3; leave its rows out",
        lambda: crossover(
            but(THREE_PERIODS, outcome=THREE_PERIODS["outcome"].where(THREE_PERIODS["period"] < 3)), day=None
        ),
        lambda: crossover(THREE_PERIODS[THREE_PERIODS["period"] < 3], day=None),
    ),
    (
        "models/crossover/design:_refuse_empty",
        "nobody has an outcome in period 2 on day 2; leave that day out",
        lambda: crossover(but(TWO_DAYS, outcome=TWO_DAYS["outcome"].where(~SECOND))),
        lambda: crossover(TWO_DAYS[TWO_DAYS["day"] == 1]),
    ),
    (
        "models/crossover/design:_refuse_empty",
        "nobody has an outcome after 'e'; leave its rows out and number each patient's periods anew",
        lambda: crossover(
            but(THREE_PERIODS, outcome=THREE_PERIODS["outcome"].where(THREE_PERIODS["treatment"] != "e")), day=None
        ),
        lambda: crossover(but(WITHOUT_E, period=WITHOUT_E.groupby("subject")["period"].rank().astype(int)), day=None),
    ),
    (
        "models/crossover/design:_refuse_confounded",
        "check which rows are kept",
        lambda: crossover(but(ONE_DAY, outcome=ONE_DAY["outcome"].where(SAME_ORDER)), day=None),
        lambda: crossover(ONE_DAY, day=None),
    ),
    (
        "models/crossover/design:_refuse_confounded",
        "leave carry_over out",
        lambda: crossover(but(ONE_DAY, outcome=ONE_DAY["outcome"].where(NO_SECOND)), day=None, carry_over=True),
        lambda: crossover(but(ONE_DAY, outcome=ONE_DAY["outcome"].where(NO_SECOND)), day=None),
    ),
    (
        "models/crossover/design:_refuse_exact",
        "leave that day out",
        lambda: crossover(but(PERIODS, outcome=PERIODS["outcome"].where(PERIODS["day"] != 1, EXACT))),
        lambda: crossover(PERIODS[PERIODS["day"] != 1]),
    ),
    (
        "models/crossover/design:_refuse_exact",
        "name the column of what was measured",
        lambda: crossover(ONE_DAY.assign(copied=20.0 - ONE_DAY["period"]), outcome="copied", day=None),
        lambda: crossover(ONE_DAY, day=None),
    ),
    (
        "models/crossover/design:_refuse_rare_pairs",
        "use days = 'apart'",
        lambda: crossover(but(PERIODS, outcome=PERIODS["outcome"].where(EITHER)), days="joint"),
        lambda: crossover(but(PERIODS, outcome=PERIODS["outcome"].where(EITHER)), days="apart"),
    ),
    # pooled patients
    (
        "models/patient_meta/events:count_events",
        "leave it out",
        lambda: count_events(without_a_study(pooled(PATIENTS, times=["24 h"], at_least=0.5))),
        lambda: count_events(pooled(PATIENTS[PATIENTS["study"] != "f"], times=["24 h"], at_least=0.5)),
    ),
    (
        "models/patient_meta/imputation:_refuse_unknowable",
        "to draw it for the others from; leave it out",
        lambda: pooled(FEW, **IMPUTED),
        lambda: pooled(FEW),
    ),
    (
        "models/patient_meta/imputation:_refuse_unknowable",
        "leave it or those studies out",
        lambda: pooled(OF_STUDIES, **IMPUTED),
        lambda: pooled(OF_STUDIES[OF_STUDIES["study"] < "e"], **IMPUTED),
    ),
    (
        "models/patient_meta/moderators:_those_who_have_all",
        "are the least; leave it out",
        lambda: pooled(FEW, moderators=["marker"]),
        lambda: pooled(FEW),
    ),
    (
        "models/patient_meta/settings:_refuse_to_impute",
        "leave combined out",
        lambda: bd.PatientMeta(reference="c", **(COMBINED | IMPUTED | {"combined": ["marker"]})),
        lambda: bd.PatientMeta(reference="c", **IMPUTED),
    ),
    (
        "models/patient_meta/settings:_refuse_events",
        "leave out at_least and at_most, or combined",
        lambda: bd.PatientMeta(reference="c", **COMBINED, at_least=0.5),
        lambda: bd.PatientMeta(reference="c", **COMBINED),
    ),
    # what a machine refuses
    (
        "data/budget:refuse_beyond_memory",
        "use a smaller one",
        lambda: refuse_beyond_memory(2.0**60, "a table", "use a smaller one"),
        lambda: refuse_beyond_memory(2.0**20, "a table", "use a smaller one"),
    ),
    (
        "data/compile_cache:private_folder",
        "set TMPDIR to one of your own",
        lambda: folder_for_code(FOLDER / "nowhere"),
        lambda: folder_for_code(FOLDER),
    ),
    (
        "data/files:sole_writer",
        "give another with --out",
        lambda: write_alone(FOLDER / "a file" / "run"),
        lambda: write_alone(FOLDER / "run"),
    ),
    (
        "data/files:sole_writer",
        "give another place with --out",
        lambda: write_alone(FOLDER / "run", FOLDER / "run"),
        lambda: write_alone(FOLDER / "run", FOLDER / "other run"),
    ),
    (
        "data/labels:refuse_no_text",
        "take it out",
        lambda: meta(but(STUDIES, {"study": (1, "b\x00")})),
        meta,
    ),
    (
        "data/sources:_read_file",
        "leave out the rows and columns that are not needed",
        lambda: with_memory(2000, lambda: read_source("text.csv", folder=FOLDER)),
        lambda: with_memory(2000, lambda: read_source("short.csv", folder=FOLDER)),
    ),
    (
        "data/tables:read_columns",
        "split the table",
        lambda: panel(but(MANY, analyte=[f"a{i}" for i in range(len(MANY))])),
        panel,
    ),
    (
        "numerics/spread_grid:_grid",
        "the standard error that is out of line",
        lambda: exactly(but(STUDIES, {"effect": (1, 1e9)}, se=1e-50)),
        lambda: exactly(STUDIES),
    ),
    (
        "data/sources:_read_file",
        "check the path",
        lambda: read_source("folder.csv", folder=FOLDER),
        lambda: read_source("text.csv", folder=FOLDER),
    ),
    ("data/toml_text:read_toml", "64 are the most", lambda: read_toml(f"x = {2**70}"), lambda: read_toml("x = 2")),
    (
        "data/toml_text:read_toml",
        "correct it",
        lambda: read_toml(f"x = 1{'0' * 5000}"),
        lambda: read_toml("x = 10"),
    ),
    ("data/toml_text:read_toml", "correct that line", lambda: read_toml("x = "), lambda: read_toml("x = 1")),
    ("data/toml_text:read_toml", "split it", lambda: read_toml("# x\n" * 2**19), lambda: read_toml("# x\n" * 9)),
    (
        "data/toml_text:read_toml",
        "flatter",
        lambda: read_toml(f"x = {'[' * 30}{']' * 30}"),
        lambda: read_toml("x = [[]]"),
    ),
    # people who would count twice, and outcomes that are something else
    (
        "data/tables:refuse_totals",
        "leave it out, or rename it",
        lambda: meta(but(STUDIES, {"study": (3, "Total")})),
        lambda: meta(STUDIES[:3]),
    ),
    (
        "data/tables:refuse_totals",
        "is the sum of the others",
        lambda: counts(WITH_TOTAL),
        lambda: counts(WITH_TOTAL[WITH_TOTAL["subgroup"] != "ITT"]),
    ),
    (
        "models/trial/refusals:refuse_scores_for_changes",
        "say so with change = True",
        lambda: trial(but(VISITS, outcome=VISITS["outcome"] - VISITS["baseline"] - 5), response=0.5),
        lambda: trial(but(VISITS, outcome=VISITS["outcome"] - VISITS["baseline"] - 5), response=0.5, change=True),
    ),
    (
        "models/trial/refusals:refuse_scores_for_changes",
        "leave change out",
        lambda: trial(response=0.5, change=True),
        lambda: trial(response=0.5),
    ),
    (
        "models/trial/settings:_check_control",
        "use one, or leave control_prior out",
        lambda: trial(control_prior="last", priors={"control_mean": NORMAL, "visit_mean": CAUCHY}),
        lambda: (
            trial(control_prior="last", priors={"control_mean": NORMAL, "visit_mean": NORMAL}),
            trial(priors={"visit_mean": CAUCHY}),
        ),
    ),
    # numbers that no computer word holds well
    (
        "numerics/distributions:_check_number",
        "or 0, is needed; change it",
        lambda: bd.Prior("Normal", mu=0, sigma=1e300),
        lambda: bd.Prior("Normal", mu=0, sigma=1e9),
    ),
    (
        "models/parts/settings:_refuse_unworkable",
        "or 0, is needed; change it",
        lambda: trial(margin=1e300),
        lambda: trial(margin=1e3),
    ),
]
