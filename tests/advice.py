"""The table of messages and advice: an input that is refused, and the same input with the message's advice applied.

Each entry: the function that refuses (module:function), a piece of its message, the input, the input with the advice
applied. The tables are synthetic and small; nothing is sampled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesdep as bd
from bayesdep.data import sources, times
from bayesdep.data.detection import add_limits, read_detection
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.labelled import label_draws
from bayesdep.models.parts.covariates import read_covariates
from bayesdep.models.parts.priors import parse_prior

RNG = np.random.default_rng(12)
STUDIES = pd.DataFrame({"study": list("abcd"), "effect": [0.1, 0.5, 0.2, 0.4], "se": [0.2, 0.1, 0.3, 0.2],
                        "country": ["x", "x", "y", "y"]})  # fmt: skip
ARMS = pd.DataFrame({"study": list("abc"), "events_treated": [3, 4, 5], "n_treated": [20, 30, 25],
                     "events_control": [5, 2, 6], "n_control": [22, 31, 25]})  # fmt: skip
MEANS = pd.DataFrame({"study": list("abc"), "mean_treated": [3.0, 4.0, 5.0], "sd_treated": [2.0, 2.0, 2.0],
                      "n_treated": [20, 30, 25], "mean_control": [4.0, 4.5, 5.5], "sd_control": [2.0, 2.0, 2.0],
                      "n_control": [20, 30, 25], "design": ["parallel", "parallel", "crossover"]})  # fmt: skip
EVENTS = pd.DataFrame({"subgroup": ["f", "f", "m", "m"], "arm": ["d", "p"] * 2, "events": [3, 4, 5, 6], "n": [20] * 4})
PEOPLE = [f"s{i}" for i in range(16)]
VISITS = pd.DataFrame(
    [{"subject": s, "arm": "dp"[i % 2], "visit": v, "baseline": 20.0 + i, "crp": 1.0 + i, "day": v + i / 20,
      "outcome": float(15 + i % 5 + v)} for i, s in enumerate(PEOPLE) for v in (1, 2, 3)]
)  # fmt: skip
PERIODS = pd.DataFrame(
    [{"subject": s, "treatment": "dp"[(i + p) % 2], "period": p + 1, "day": d, "outcome": float(RNG.normal(20, 5)),
      "b": 20.0 + i} for i, s in enumerate(PEOPLE) for p in (0, 1) for d in (1, 2)]
)  # fmt: skip
WELLS = pd.DataFrame(
    [{"subject": s, "group": ["HC", "TRD"][i % 2], "analyte": a, "plate": ["p", "q"][i // 2 % 2], "time": t,
      "value": float(np.exp(RNG.normal())), "responder": int(i % 3 == 0), "score": float(i),
      "age": 20.0 + i, "row": "x"} for i, s in enumerate(PEOPLE) for a in ("IL-6", "TNF") for t in ("Day 0", "Day 1")]
)  # fmt: skip
ONE = WELLS[WELLS["time"] == "Day 0"]
TNF = ONE[ONE["analyte"] == "TNF"]
PATIENTS = pd.DataFrame(
    [{"study": k, "subject": f"{i}", "arm": ["c", "k"][i % 2], "time": t, "outcome": float(RNG.normal()),
      "age": 40.0 + i, "base": 20.0 + i, "two": 80.0 + 2 * i, "same": 1.0}
     for k in "abcdef" for i in range(24) for t in ("24 h", "week 1")]
)  # fmt: skip


BELOW = VISITS.assign(crp=[f"<{4:g}" if x < 4 else x for x in VISITS["crp"]], limit=4.0)


def regressors(**settings: Any) -> Any:
    """What the regression of a trial's completed visits has, its moderator below a limit in three patients."""
    model = bd.Trial(**{"reference": "p", "subject": "subject", "visit": "visit"} | settings)
    return model.regressors(model.prepare(BELOW))


def but(frame: pd.DataFrame, at: dict[str, tuple[int, Any]] | None = None, **columns: Any) -> pd.DataFrame:
    """The table with other columns, or with one cell of a column changed."""
    frame = frame.reset_index(drop=True).assign(**columns)
    for name, (row, value) in (at or {}).items():
        if value is None or isinstance(value, str):
            frame[name] = frame[name].astype(object)
        frame.loc[row, name] = value
    return frame


def without(frame: pd.DataFrame, *rows: int) -> pd.DataFrame:
    return frame.reset_index(drop=True).drop(index=list(rows)).reset_index(drop=True)


def meta(frame: pd.DataFrame = STUDIES, **settings: Any) -> Any:
    return bd.Meta(**({"measure": "standardised-difference"} | settings)).prepare(frame)


def arms(frame: pd.DataFrame = ARMS, **settings: Any) -> Any:
    return meta(frame, **({"measure": "log-risk-ratio", "input": "counts"} | settings))


def means(frame: pd.DataFrame = MEANS, **settings: Any) -> Any:
    return meta(frame, **({"input": "means"} | settings))


def counts(frame: pd.DataFrame = EVENTS, **settings: Any) -> Any:
    return bd.Counts(**({"control": "p"} | settings)).prepare(frame)


def trial(frame: pd.DataFrame = VISITS, **settings: Any) -> Any:
    return bd.Trial(**({"reference": "p"} | settings)).prepare(frame)


def mixture(**changed: Any) -> bd.Prior:
    return bd.Prior("NormalMixture", **{"weights": [0.8, 0.2], "mu": [0, 0], "sigma": [1, 5]} | changed)


def crossover(frame: pd.DataFrame = PERIODS, **settings: Any) -> Any:
    return bd.Crossover(**({"reference": "p"} | settings)).prepare(frame)


def panel(frame: pd.DataFrame = ONE, **settings: Any) -> Any:
    return bd.Cytokines(
        **(
            {"reference": "HC", "group": "group", "value": "value", "subject": "subject", "analyte": "analyte"}
            | settings
        )
    ).prepare(frame)


def response(frame: pd.DataFrame = ONE, **settings: Any) -> Any:
    base = {"outcome": "responder", "analyte": "analyte", "value": "value", "effects": "student"}
    return bd.Response(**(base | settings)).prepare(frame)


def correlation(frame: pd.DataFrame = TNF, **settings: Any) -> Any:
    return bd.Correlation(**({"score": "score", "value": "value"} | settings)).prepare(frame)


def replicated(model: Any, frame: pd.DataFrame) -> Any:
    """Data like a table's, drawn from the model's prior."""
    data = model.prepare(frame)
    graph = model.build(data)
    variables = [*graph.unobserved_RVs, *graph.observed_RVs]
    drawn = dict(zip([rv.name for rv in variables], from_prior(variables, 1, seed=1), strict=True))
    return model.replicate(data, label_draws(drawn, graph, sample_dims=()), np.random.default_rng(1))


def pooled(frame: pd.DataFrame = PATIENTS, **settings: Any) -> Any:
    return bd.PatientMeta(**({"reference": "c", "time": "time"} | settings)).prepare(frame)


def covariates(formula: str, frame: pd.DataFrame | None = None, **settings: Any) -> Any:
    frame = (
        pd.DataFrame({"age": np.arange(20.0), "my col": np.arange(20.0) ** 2, "sex": list("fm") * 10})
        if frame is None
        else frame
    )
    return read_covariates(frame, formula, **settings)


def synthetic_table(design: str, seed: int) -> pd.DataFrame:
    return bd.simulate(design, seed=seed).table


def source(text: str = "table.csv", folder: Path = Path(), **settings: Any) -> Any:
    return sources.read_source(text, folder=folder, **settings)


P_VALUES = pd.DataFrame(
    {"study": ["a", "b"], "p_value": [0.2, 0.4], "direction": [0, 1], "n_treated": [9, 9], "n_control": [9, 9]}
)
REVERSED = ONE.assign(flag=0).reset_index(drop=True)
REVERSED.loc[[0, 3, 8], ["value", "flag"]] = [10_000.0, 1]
SITES = pd.DataFrame({"age": np.arange(20.0), **{k: [f"{k}{i % 5}" for i in range(20)] for k in "xyz"}})
MISSPELT = VISITS.assign(arm=VISITS["arm"].replace({"p": "placebo"}))
MISSPELT.loc[MISSPELT["subject"] == "s1", "arm"] = "placebp"
CODED = but(but(VISITS, {"outcome": (0, 999.0)}), {"outcome": (4, 999.0)})

ADVICE: list[tuple[str, str, Any, Any]] = [
    # tables
    ("data/tables:as_frame", "not a table", lambda: meta([1, 2]), meta),
    ("data/tables:as_frame", "have one name", lambda: meta(pd.concat([STUDIES, STUDIES[["se"]]], axis=1)), meta),
    (
        "data/tables:as_frame",
        "have one name ('1')",
        lambda: meta(STUDIES.rename(columns={"effect": 1, "se": "1"}), effect="1"),
        lambda: meta(STUDIES.rename(columns={"effect": 1, "se": 2}), effect="1", se="2"),
    ),
    ("data/tables:as_frame", "has no rows", lambda: meta(STUDIES[:0]), meta),
    ("data/tables:refuse_missing_columns", "is not in the table", lambda: meta(se="SE"), lambda: meta(se="se")),
    (
        "data/tables:_refuse",
        "is empty; fill it in",
        lambda: meta(but(STUDIES, {"se": (1, np.nan)})),
        lambda: meta(but(STUDIES, {"se": (1, 0.1)})),
    ),
    (
        "data/tables:_refuse",
        "leave such rows out",
        lambda: meta(but(STUDIES, {"study": (1, " ")})),
        lambda: meta(but(STUDIES, {"study": (1, None)}).dropna(subset=["study"])),
    ),
    (
        "data/tables:_refuse",
        "where a number above zero is needed; write numbers only",
        lambda: meta(but(STUDIES, {"se": (1, "0,1")})),
        lambda: meta(but(STUDIES, {"se": (1, 0.1)})),
    ),
    (
        "data/tables:_refuse",
        "correct it or leave the row out",
        lambda: meta(but(STUDIES, {"se": (1, -0.1)})),
        lambda: meta(without(STUDIES, 1)),
    ),
    (
        "data/tables:refuse_duplicates",
        "keep one row",
        lambda: meta(but(STUDIES, {"study": (1, "a")})),
        lambda: meta(without(STUDIES, 1)),
    ),
    (
        "data/tables:refuse_more_events_than_people",
        "cannot be more",
        lambda: arms(but(ARMS, {"events_treated": (0, 21)})),
        lambda: arms(but(ARMS, {"events_treated": (0, 19)})),
    ),
    (
        "data/tables:refuse_more_events_than_people",
        "is 0; leave",
        lambda: arms(but(ARMS, {"n_treated": (0, 0)})),
        lambda: arms(without(ARMS, 0)),
    ),
    # times
    (
        "data/times:order_of_times",
        "is not in",
        lambda: panel(WELLS, time="time", baseline="day 0"),
        lambda: panel(WELLS, time="time", baseline="Day 0"),
    ),
    (
        "data/times:order_of_times",
        "no order that can be known",
        lambda: panel(but(WELLS, time=["before", "after"] * 32), time="time"),
        lambda: panel(but(WELLS, time=["before", "after"] * 32), time="time", baseline="before"),
    ),
    (
        "data/times:order_of_times",
        "in their order in times",
        lambda: pooled(but(PATIENTS, time=["early", "late"] * 144)),
        lambda: pooled(but(PATIENTS, time=["early", "late"] * 144), times=["early", "late"]),
    ),
    (
        "data/times:order_of_times",
        "write them as numbers",
        lambda: crossover(but(PERIODS, day=["first", "second"] * 32)),
        lambda: crossover(but(PERIODS, day=[1, 2] * 32)),
    ),
    (
        "data/times:_refuse_same",
        "same unit in all labels",
        lambda: panel(but(WELLS, time=["Day 7", "week 1"] * 32), time="time"),
        lambda: panel(but(WELLS, time=["Day 7", "Day 8"] * 32), time="time"),
    ),
    (
        "data/times:_in_stated_order",
        "is not in",
        lambda: times.order_of_times(["a", "b"], order=["a", "c"]),
        lambda: times.order_of_times(["a", "b"], order=["a", "b"]),
    ),
    (
        "data/times:_in_stated_order",
        "twice; name each",
        lambda: times.order_of_times(["a", "b"], order=["a", "b", "b"]),
        lambda: times.order_of_times(["a", "b"], order=["a", "b"]),
    ),
    (
        "data/times:_in_stated_order",
        "name all times",
        lambda: times.order_of_times(["a", "b"], order=["a"]),
        lambda: times.order_of_times(["a", "b"], order=["a", "b"]),
    ),
    # limits
    (
        "data/detection:add_limits",
        "to say whose they are",
        lambda: add_limits(ONE, pd.DataFrame({"lod": [1.0]})),
        lambda: add_limits(ONE, pd.DataFrame({"analyte": ["TNF", "IL-6"], "lod": 1.0})),
    ),
    (
        "data/detection:add_limits",
        "name at least one",
        lambda: add_limits(ONE, pd.DataFrame({"analyte": ["TNF", "IL-6"]})),
        lambda: add_limits(ONE, pd.DataFrame({"analyte": ["TNF", "IL-6"], "lod": 1.0})),
    ),
    (
        "data/detection:add_limits",
        "leave it out of one",
        lambda: add_limits(but(ONE, lod=1.0), pd.DataFrame({"analyte": ["TNF", "IL-6"], "lod": 1.0})),
        lambda: add_limits(ONE, pd.DataFrame({"analyte": ["TNF", "IL-6"], "lod": 1.0})),
    ),
    (
        "data/detection:add_limits",
        "keep one of them",
        lambda: add_limits(ONE, pd.DataFrame({"analyte": ["TNF", "IL-6", "TNF"], "lod": 1.0})),
        lambda: add_limits(ONE, pd.DataFrame({"analyte": ["TNF", "IL-6"], "lod": 1.0})),
    ),
    ("data/flags:read_flags", "no column of flags", lambda: panel(flag_codes={"x": "left"}), panel),
    # sources
    (
        "data/sources:refuse_unclear",
        "is missing; say what",
        lambda: sources.refuse_unclear("path", None, {}),
        lambda: sources.refuse_unclear("path", "the trials", {}),
    ),
    (
        "data/sources:refuse_unclear",
        "remove it, or write source",
        lambda: sources.refuse_unclear("a.csv", "the trials", {}),
        lambda: sources.refuse_unclear("a.csv", None, {}),
    ),
    (
        "data/sources:refuse_unclear",
        "add a value or remove it",
        lambda: sources.refuse_unclear("a.csv", None, {"x": []}),
        lambda: sources.refuse_unclear("a.csv", None, {"x": [1]}),
    ),
    (
        "data/sources:refuse_unclear",
        "is needed",
        lambda: sources.refuse_unclear("a.csv", None, {"x": {"y": 1}}),
        lambda: sources.refuse_unclear("a.csv", None, {"x": "y"}),
    ),
    (
        "data/sources:_read_from",
        "add one, for example seed = 1",
        lambda: source("simulate:raison2013", simulate=synthetic_table),
        lambda: source("simulate:raison2013", simulate=synthetic_table, seed=1),
    ),
    (
        "data/sources:_read_from",
        "is not understood; give",
        lambda: source("table.txt"),
        lambda: source("published:bcg_colditz1994"),
    ),
    (
        "data/sources:_read_given",
        "--data PATH",
        lambda: source("path", expects="x"),
        lambda: source("path", expects="x", data=STUDIES),
    ),
    (
        "data/sources:_read_given",
        "save the table as",
        lambda: source("path", expects="x", data="x.txt"),
        lambda: source("path", expects="x", data=STUDIES),
    ),
    (
        "data/sources:_refuse_unknown_columns",
        "which is not in the table",
        lambda: source("published:bcg_colditz1994", keep={"Year": 1948}),
        lambda: source("published:bcg_colditz1994", keep={"year": 1948}),
    ),
    (
        "data/sources:_keep_where",
        "correct the condition",
        lambda: source("published:bcg_colditz1994", keep="year > 2100"),
        lambda: source("published:bcg_colditz1994", keep="year > 1950"),
    ),
    (
        "data/sources:refuse_unclear",
        "a condition in quotes",
        lambda: sources.refuse_unclear("a.csv", None, 3),
        lambda: sources.refuse_unclear("a.csv", None, "year > 3"),
    ),
    (
        "data/conditions:_cells",
        "did you mean",
        lambda: source("published:bcg_colditz1994", keep="yaer > 1950"),
        lambda: source("published:bcg_colditz1994", keep="year > 1950"),
    ),
    (
        "data/conditions:_refuse_unlike",
        "did you mean",
        lambda: source("published:bcg_colditz1994", keep="allocation == 'Random'"),
        lambda: source("published:bcg_colditz1994", keep="allocation == 'random'"),
    ),
    (
        "data/sources:_has_one_of",
        "is in no row",
        lambda: source("published:bcg_colditz1994", keep={"allocation": "Random"}),
        lambda: source("published:bcg_colditz1994", keep={"allocation": "random"}),
    ),
    (
        "data/sources:_refuse_unknown_columns",
        "names column",
        lambda: source("published:bcg_colditz1994", require=["Year"]),
        lambda: source("published:bcg_colditz1994", require=["year"]),
    ),
    ("data/published:table_file", "did you mean", lambda: bd.load("bcg_colditz"), lambda: bd.load("bcg_colditz1994")),
    (
        "designs/register:simulate",
        "did you mean",
        lambda: bd.simulate("raison2031", seed=1),
        lambda: bd.simulate("raison2013", seed=1),
    ),
    # settings and priors
    (
        "models/parts/settings:check_settings",
        "units is an empty text",
        lambda: crossover(units=" "),
        lambda: (crossover(units="points"), crossover()),
    ),
    ("models/parts/settings:_check", "is not a choice", lambda: counts(pooling="non"), lambda: counts(pooling="none")),
    (
        "models/parts/settings:_check_table",
        "a table of text",
        lambda: panel(flag_codes={1: "left"}, censored="c"),
        panel,
    ),
    ("models/parts/settings:_check", "a list of", lambda: pooled(moderators="age"), lambda: pooled(moderators=["age"])),
    ("models/parts/settings:_check", "is needed", lambda: crossover(margin="3"), lambda: crossover(margin=3)),
    (
        "numerics/distributions:__init__",
        "there is no distribution",
        lambda: bd.Prior("Norml", mu=0, sigma=1),
        lambda: bd.Prior("Normal", mu=0, sigma=1),
    ),
    (
        "numerics/distributions:__init__",
        "no parameter",
        lambda: bd.Prior("Normal", mu=0, sigm=1),
        lambda: bd.Prior("Normal", mu=0, sigma=1),
    ),
    (
        "numerics/distributions:__init__",
        "is missing; give",
        lambda: bd.Prior("Normal", mu=0),
        lambda: bd.Prior("Normal", mu=0, sigma=1),
    ),
    (
        "numerics/distributions:__init__",
        "prior: why = 3, but text is needed",
        lambda: bd.Prior("Normal", mu=0, sigma=1, why=3),
        lambda: bd.Prior("Normal", mu=0, sigma=1, why="three trials of the same drug"),
    ),
    (
        "numerics/distributions:_check_number",
        "must be a finite number",
        lambda: bd.Prior("Normal", mu=np.inf, sigma=1),
        lambda: bd.Prior("Normal", mu=0, sigma=1),
    ),
    (
        "numerics/distributions:_check_number",
        "must be above zero",
        lambda: bd.Prior("Normal", mu=0, sigma=-1),
        lambda: bd.Prior("Normal", mu=0, sigma=1),
    ),
    (
        "numerics/distributions:__init__",
        "swap them",
        lambda: bd.Prior("Uniform", lower=1, upper=0),
        lambda: bd.Prior("Uniform", lower=0, upper=1),
    ),
    (
        "numerics/distributions:__init__",
        "weights add to 0.8, but they must add to 1",
        lambda: mixture(weights=[0.5, 0.3]),
        lambda: mixture(weights=[0.7, 0.3]),
    ),
    (
        "numerics/distributions:_check_components",
        "but a list is needed, of one number per component",
        lambda: mixture(sigma=1),
        lambda: mixture(sigma=[1, 2]),
    ),
    (
        "numerics/distributions:_check_components",
        "give one of each per component",
        lambda: mixture(weights=[0.5, 0.3, 0.2]),
        mixture,
    ),
    (
        "numerics/distributions:_check_components",
        "merge some",
        lambda: mixture(weights=[1 / 21] * 21, mu=[0] * 21, sigma=[1] * 21),
        lambda: mixture(weights=[1 / 20] * 20, mu=[0] * 20, sigma=[1] * 20),
    ),
    (
        "models/parts/priors:parse_prior",
        "write it as { dist",
        lambda: parse_prior("mu", 3),
        lambda: parse_prior("mu", {"dist": "Normal", "mu": 0, "sigma": 1}),
    ),
    (
        "models/parts/priors:fill_slots",
        "no such parameter",
        lambda: meta(priors={"Mu": bd.Prior("Normal", mu=0, sigma=1)}),
        lambda: meta(priors={"mu": bd.Prior("Normal", mu=0, sigma=1)}),
    ),
    (
        "models/parts/priors:_fill",
        "choose a distribution on that range",
        lambda: meta(priors={"tau": bd.Prior("Normal", mu=0, sigma=1)}),
        lambda: meta(priors={"tau": bd.Prior("HalfNormal", sigma=1)}),
    ),
    (
        "models/parts/priors:_fill",
        "give a prior in those units",
        lambda: meta(measure="difference", units="points"),
        lambda: meta(
            measure="difference",
            units="points",
            priors={"mu": bd.Prior("Normal", mu=0, sigma=9), "tau": bd.Prior("HalfNormal", sigma=9)},
        ),
    ),
    ("models/parts/scale:check_scale", "or leave it out", lambda: crossover(scale=0), lambda: crossover(scale=7)),
    # covariates
    (
        "models/parts/covariates:_refuse_infinite_or_constant",
        "correct that row",
        lambda: covariates("log(age)"),
        lambda: covariates("log(age + 1)"),
    ),
    (
        "models/parts/covariates:_refuse_infinite_or_constant",
        "leave it out",
        lambda: covariates("age + I(0 * age)"),
        lambda: covariates("age"),
    ),
    (
        "models/parts/covariates:_refuse_combinations",
        "leave one of them out",
        lambda: covariates("age + I(2 * age)"),
        lambda: covariates("age"),
    ),
    (
        "models/parts/covariates:_refuse_combinations",
        "leave it out of covariates",
        lambda: covariates("age + sex", beside={"the arm": np.array(list("xy") * 10)}),
        lambda: covariates("age", beside={"the arm": np.array(list("xy") * 10)}),
    ),
    (
        "models/parts/covariates:refuse_covariates_of",
        "leave it out of covariates",
        lambda: panel(covariates="age + group"),
        lambda: panel(covariates="age"),
    ),
    (
        "models/parts/formulas:_unknown",
        "there is no function",
        lambda: covariates("lgo(age + 1)"),
        lambda: covariates("log(age + 1)"),
    ),
    (
        "models/parts/formulas:_refuse_sides",
        "without '~'",
        lambda: covariates("sex ~ age"),
        lambda: covariates("age"),
    ),
    ("data/grammar:__init__", "write a shorter one", lambda: covariates("age + " * 2000), lambda: covariates("age")),
    (
        "data/grammar:_refusal",
        "in backticks",
        lambda: covariates("my col", pd.DataFrame({"age": np.arange(9.0)})),
        lambda: covariates("`my col`"),
    ),
    ("data/grammar:_refusal", "write it as in", lambda: covariates("age +"), lambda: covariates("age + sex")),
    ("data/grammar:refuse", "write I(2 * age)", lambda: covariates("2 * age"), lambda: covariates("I(2 * age)")),
    ("data/grammar:refuse", "write I(age ** 2)", lambda: covariates("age ** 9"), lambda: covariates("I(age ** 2)")),
    ("data/grammar:refuse", "in parentheses", lambda: covariates("I(age**2**2)"), lambda: covariates("I((age**2)**2)")),
    ("data/grammar:refuse", "take it out", lambda: covariates("log(poly(age))"), lambda: covariates("poly(age, 2)")),
    ("data/grammar:refuse", "from 1 to 50", lambda: covariates("bs(age, df=99)"), lambda: covariates("bs(age, df=5)")),
    (
        "models/parts/covariates:_read",
        "in backticks",
        lambda: covariates("my col"),
        lambda: covariates("`my col`"),
    ),
    (
        "models/parts/covariates:_refuse_no_terms",
        "or leave it out",
        lambda: covariates("1"),
        lambda: read_covariates(STUDIES, None),
    ),
    (
        "models/parts/covariates:_refuse_no_terms",
        "without 0 and - 1",
        lambda: covariates("0 + age"),
        lambda: covariates("age"),
    ),
    (
        "models/parts/covariates:_refuse_other_levels",
        "add it",
        lambda: covariates("C(sex, levels=['m'])"),
        lambda: covariates("C(sex, levels=['m', 'f'])"),
    ),
    (
        "models/parts/covariates:_refuse_other_levels",
        "leave one out",
        lambda: covariates("C(sex, levels=['m', 'f', 'm'])"),
        lambda: covariates("C(sex, levels=['m', 'f'])"),
    ),
    (
        "models/parts/covariates:_refuse_other_levels",
        "known: f, m",
        lambda: covariates("C(sex, 'x')"),
        lambda: covariates("C(sex, 'm')"),
    ),
    (
        "models/parts/covariates:_refuse_too_many",
        "leave it out",
        lambda: covariates("age + x:y:z", SITES),
        lambda: covariates("age", SITES),
    ),
    (
        "models/parts/covariates:_numbers",
        "write it by itself",
        lambda: covariates("log(sex)"),
        lambda: covariates("sex"),
    ),
    ("models/parts/covariates:_used", "did you mean", lambda: covariates("aeg"), lambda: covariates("age")),
    (
        "models/parts/covariates:_used",
        "fill it in",
        lambda: covariates("x", pd.DataFrame({"x": [1.0, np.nan, 3.0]})),
        lambda: covariates("x", pd.DataFrame({"x": [1.0, 2.0, 3.0]})),
    ),
    (
        "models/parts/covariates:_refuse_text",
        "decimal point",
        lambda: covariates("x", pd.DataFrame({"x": ["1,5", "2,5", "3,1"]})),
        lambda: covariates("x", pd.DataFrame({"x": [1.5, 2.5, 3.1]})),
    ),
    (
        "models/parts/covariates:_refuse_text",
        "correct that cell",
        lambda: covariates("x", pd.DataFrame({"x": [*map(str, range(9)), "?"]})),
        lambda: covariates("x", pd.DataFrame({"x": np.arange(9.0)})),
    ),
    (
        "models/parts/covariates:_refuse_text",
        "turn the column into numbers",
        lambda: covariates("x", pd.DataFrame({"x": [*map(str, range(9))]})),
        lambda: covariates("x", pd.DataFrame({"x": np.arange(9.0)})),
    ),
    (
        "models/parts/covariates:_refuse_text",
        "leave it out",
        lambda: covariates("age + x", pd.DataFrame({"x": list("abcdefgh"), "age": range(8)})),
        lambda: covariates("age"),
    ),
    (
        "models/parts/covariates:_evaluate",
        "cannot be evaluated",
        lambda: covariates("bs(age, df=2)"),
        lambda: covariates("bs(age, df=4)"),
    ),
    # meta-analyses
    (
        "models/meta/studies:check_studies",
        "give at least two",
        lambda: meta(STUDIES[:1]),
        lambda: meta(STUDIES[:2]),
    ),
    (
        "models/meta/studies:refuse_impossible_counts",
        "leave the row out",
        lambda: means(but(MEANS[:2], {"n_treated": (0, 1)})),
        lambda: means(
            but(pd.concat([MEANS[:2], MEANS[:1].assign(study="z", mean_control=4.2)]), {"n_treated": (0, 20)})
        ),
    ),
    (
        "models/meta/studies:correlations_of",
        "correct it",
        lambda: means(but(MEANS, {"design": (0, "open")}), design="design", correlation=0.5),
        lambda: means(design="design", correlation=0.5),
    ),
    (
        "models/meta/studies:correlations_of",
        "state one",
        lambda: means(design="design"),
        lambda: means(design="design", correlation=0.5),
    ),
    (
        "models/meta/studies:correlations_of",
        "those who were in both",
        lambda: means(but(MEANS, {"n_treated": (2, 24)}), design="design", correlation=0.5),
        lambda: means(design="design", correlation=0.5),
    ),
    (
        "models/meta/studies:clusters_of",
        "has one cluster",
        lambda: meta(but(STUDIES, country="x"), cluster="country"),
        meta,
    ),
    (
        "models/meta/studies:clusters_of",
        "has no cluster with two",
        lambda: meta(but(STUDIES, country=list("wxyz")), cluster="country"),
        meta,
    ),
    (
        "models/meta/settings:_refuse_contradictions",
        "is not available from",
        lambda: arms(measure="standardised-difference"),
        lambda: arms(measure="risk-difference"),
    ),
    (
        "models/meta/settings:_refuse_more_than_binomial",
        "likelihood = 'binomial' needs",
        lambda: meta(likelihood="binomial"),
        lambda: arms(likelihood="binomial", measure="log-odds-ratio"),
    ),
    (
        "models/meta/settings:_refuse_wrong_units",
        "cannot name a dimension",
        lambda: meta(unit="my unit"),
        lambda: meta(unit="trial"),
    ),
    (
        "models/meta/settings:_refuse_contradictions",
        "such as 4",
        lambda: meta(nu=0, heterogeneity="student-t"),
        lambda: meta(nu=4, heterogeneity="student-t"),
    ),
    ("models/meta/settings:_refuse_useless_control_risk", "needs none", lambda: meta(control_risk=0.2), meta),
    (
        "models/meta/settings:_refuse_useless_design",
        "between -1 and 1",
        lambda: means(design="design", correlation=2.0),
        lambda: means(design="design", correlation=0.5),
    ),
    # counts, screen, correlation, response
    ("models/counts/data:_refuse_no_comparison", "is no arm", lambda: counts(control="P"), counts),
    (
        "models/counts/data:_refuse_no_comparison",
        "needs a second one",
        lambda: counts(EVENTS[EVENTS["arm"] == "p"]),
        counts,
    ),
    (
        "models/counts/data:_refuse_no_comparison",
        "use pooling = 'none'",
        lambda: counts(EVENTS[:2]),
        lambda: counts(EVENTS[:2], pooling="none"),
    ),
    (
        "models/counts/data:_rows_of_cells",
        "leave the subgroup out",
        lambda: counts(pd.concat([EVENTS, but(EVENTS[:1], subgroup="x")])),
        counts,
    ),
    (
        "models/counts/settings:__post_init__",
        "needs subgroups",
        lambda: counts(subgroup=None),
        lambda: counts(subgroup="subgroup"),
    ),
    (
        "models/screen/data:prepare",
        "two rows, so keep two",
        lambda: bd.Screen(condition="a").prepare(pd.DataFrame({"group": list("abc"), "positives": 1, "n": 5})),
        lambda: bd.Screen(condition="a").prepare(pd.DataFrame({"group": list("ab"), "positives": 1, "n": 5})),
    ),
    (
        "models/screen/data:prepare",
        "is no group",
        lambda: bd.Screen(condition="A").prepare(pd.DataFrame({"group": list("ab"), "positives": 1, "n": 5})),
        lambda: bd.Screen(condition="a").prepare(pd.DataFrame({"group": list("ab"), "positives": 1, "n": 5})),
    ),
    (
        "models/correlation/data:prepare",
        "check which rows",
        lambda: correlation(but(TNF, score=1.0)),
        correlation,
    ),
    (
        "models/correlation/data:prepare",
        "name the column of what was measured",
        lambda: correlation(but(TNF, copied=3 - 2 * np.log(TNF["value"].to_numpy())), score="copied"),
        correlation,
    ),
    (
        "models/trial/refusals:refuse_no_residual",
        "name the column of what was measured",
        lambda: trial(but(VISITS, copied=VISITS["baseline"] / 2 - VISITS["visit"]), outcome="copied"),
        trial,
    ),
    (
        "models/cytokines/data:_refuse_no_residual",
        "leave it out",
        lambda: panel(pd.concat([ONE, but(TNF, analyte="IL-9", value=(TNF["group"] == "HC").to_numpy() + 1.0)])),
        lambda: panel(ONE),
    ),
    (
        "models/cytokines/data:_refuse_no_residual",
        "and the column of analytes out",
        lambda: panel(pd.concat([TNF, but(TNF, analyte="IL-9", value=(TNF["group"] == "HC").to_numpy() + 1.0)])),
        lambda: panel(TNF, analyte=None),
    ),
    (
        "models/cytokines/data:_refuse_no_residual",
        "name the column of what was measured",
        lambda: panel(but(TNF, copied=(TNF["group"] == "HC").to_numpy() + 1.0), value="copied", analyte=None),
        lambda: panel(TNF, analyte=None),
    ),
    (
        "models/patient_meta/data:_refuse_no_residual",
        "name the column of what was measured",
        lambda: pooled(but(PATIENTS, copied=(PATIENTS["arm"] == "k").to_numpy() + 1.0), outcome="copied"),
        pooled,
    ),
    (
        "models/response/outcome:read_outcome",
        "with event",
        lambda: response(but(ONE, responder=np.repeat(["y", "n"], 16))),
        lambda: response(but(ONE, responder=np.repeat(["y", "n"], 16)), event="y"),
    ),
    (
        "models/response/outcome:read_outcome",
        "is no label",
        lambda: response(but(ONE, responder=np.repeat(["y", "n"], 16)), event="Y"),
        lambda: response(but(ONE, responder=np.repeat(["y", "n"], 16)), event="y"),
    ),
    ("models/response/outcome:read_outcome", "in everybody", lambda: response(but(ONE, responder=0)), response),
    (
        "models/response/settings:__post_init__",
        "is missing; say how many",
        lambda: response(effects="horseshoe"),
        lambda: response(effects="horseshoe", expected_nonzero=1),
    ),
    ("models/response/settings:__post_init__", "leave it out", lambda: response(expected_nonzero=1), response),
    (
        "models/response/data:_refuse_number_of_analytes",
        "a smaller number",
        lambda: response(effects="horseshoe", expected_nonzero=9),
        lambda: response(effects="horseshoe", expected_nonzero=1),
    ),
    (
        "models/parts/people:_rows_of_values",
        "add it, or leave",
        lambda: response(without(ONE, 0)),
        lambda: response(without(ONE, 0, 1)),
    ),
    (
        "models/parts/people:_refuse_nothing_measured",
        "one value throughout",
        lambda: response(ONE.assign(value=np.where(ONE["analyte"] == "TNF", 1.0, ONE["value"]))),
        lambda: response(ONE[ONE["analyte"] != "TNF"], effects="none", predicts_when="below"),
    ),
    # panels
    (
        "models/cytokines/settings:_refuse_contradictions",
        "group to compare with",
        lambda: panel(group=None),
        lambda: panel(group="group"),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "or leave baseline out",
        lambda: panel(baseline="Day 0"),
        panel,
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "such as 1.1",
        lambda: panel(equivalence=0.9),
        lambda: panel(equivalence=1.1),
    ),
    ("models/cytokines/data:_with_first", "is not in column", lambda: panel(reference="hc"), panel),
    (
        "data/tables:refuse_duplicates",
        "name the column of times",
        lambda: panel(WELLS),
        lambda: panel(WELLS, time="time"),
    ),
    (
        "models/cytokines/data:_refuse_inconsistent",
        "correct the row",
        lambda: panel(but(ONE, {"group": (0, "TRD")})),
        panel,
    ),
    ("models/cytokines/data:_refuse_one_level", "leave the column out", lambda: panel(plate="row"), panel),
    (
        "models/cytokines/data:_refuse_one_level",
        "nothing to pool over",
        lambda: panel(TNF),
        lambda: panel(TNF, analyte=None),
    ),
    (
        "models/cytokines/data:_refuse_plates_of_one_group",
        "leave the plate out",
        lambda: panel(but(ONE, plate=ONE["group"].to_numpy()), plate="plate"),
        panel,
    ),
    # trials
    ("models/trial/data:_arms", "name one of these", lambda: trial(reference="P"), trial),
    ("models/trial/data:_arms", "check which rows", lambda: trial(VISITS[VISITS["arm"] == "p"]), trial),
    (
        "data/tables:numbers_or_empty",
        "name the right column",
        lambda: trial(but(VISITS, x=np.nan), outcome="x"),
        trial,
    ),
    (
        "models/trial/refusals:refuse_visits_without_an_arm",
        "leave that visit out",
        lambda: trial(VISITS[(VISITS["visit"] < 3) | (VISITS["arm"] == "d")]),
        lambda: trial(VISITS[VISITS["visit"] < 3]),
    ),
    (
        "models/trial/data:_refuse_unordered",
        "correct one of them",
        lambda: trial(but(VISITS, {"day": (1, 0.5)}), day="day"),
        lambda: trial(day="day"),
    ),
    ("models/parts/people:rows_of_people", "correct one of them", lambda: trial(but(VISITS, {"arm": (0, "p")})), trial),
    (
        "models/trial/moderator:read_moderator",
        "leave the moderator out",
        lambda: trial(but(VISITS, crp=1.0), moderator="crp"),
        trial,
    ),
    # crossovers
    ("models/crossover/data:_treatments", "name one of these", lambda: crossover(reference="P"), crossover),
    (
        "data/tables:numbers_or_empty",
        "name the right column",
        lambda: crossover(but(PERIODS, x=np.nan), outcome="x"),
        crossover,
    ),
    (
        "models/crossover/data:_who_had_what",
        "correct one of the",
        lambda: crossover(but(PERIODS, {"treatment": (0, "p")})),
        crossover,
    ),
    ("models/crossover/data:_read_rows", "leave before out", lambda: crossover(before="none"), crossover),
    (
        "models/crossover/data:_with_baseline",
        "leave it out",
        lambda: crossover(but(PERIODS, b=1.0), baseline="b"),
        crossover,
    ),
    ("models/crossover/settings:__post_init__", "is the reference too", lambda: crossover(before="p"), crossover),
    (
        "models/crossover/settings:__post_init__",
        "leave out one of them",
        lambda: crossover(before="x", baseline="b"),
        lambda: crossover(baseline="b"),
    ),
    (
        "models/crossover/settings:__post_init__",
        "points above zero",
        lambda: crossover(margin=0),
        lambda: crossover(margin=1),
    ),
    ("models/crossover/settings:__post_init__", "lkj", lambda: crossover(lkj=0), lambda: crossover(lkj=2)),
    # pooled patients
    (
        "models/patient_meta/data:_times",
        "is not in column",
        lambda: pooled(times=["24h"]),
        lambda: pooled(times=["24 h"]),
    ),
    (
        "models/patient_meta/data:_times",
        "name it in time",
        lambda: pooled(PATIENTS[PATIENTS["time"] == "24 h"], time=None, times=["24 h"]),
        lambda: pooled(times=["24 h"]),
    ),
    (
        "models/patient_meta/data:_times",
        "name one or two",
        lambda: pooled(but(PATIENTS, time=[*["24 h", "week 1"] * 143, "24 h", "week 2"])),
        lambda: pooled(but(PATIENTS, time=[*["24 h", "week 1"] * 143, "24 h", "week 2"]), times=["24 h", "week 1"]),
    ),
    ("models/patient_meta/data:_two_arms", "name one of these", lambda: pooled(reference="C"), pooled),
    (
        "models/patient_meta/data:_two_arms",
        "keep two of them",
        lambda: pooled(but(PATIENTS, arm=[*["x"] * 2, *PATIENTS["arm"][2:]])),
        pooled,
    ),
    (
        "models/patient_meta/data:_standardised_baseline",
        "leave it out",
        lambda: pooled(but(PATIENTS, base=1.0), baseline="base"),
        pooled,
    ),
    ("models/patient_meta/data:_scale_of_outcomes", "name the right column", lambda: pooled(outcome="same"), pooled),
    ("models/patient_meta/moderators:_scales_of", "leave it out", lambda: pooled(moderators=["same"]), pooled),
    (
        "models/patient_meta/moderators:refuse_collinear",
        "leave one out",
        lambda: pooled(moderators=["age", "two"], split=False),
        lambda: pooled(moderators=["age"], split=False),
    ),
    (
        "models/patient_meta/settings:_refuse_moderators",
        "name each once",
        lambda: pooled(moderators=["age", "age"]),
        lambda: pooled(moderators=["age"]),
    ),
    (
        "models/patient_meta/settings:_refuse_moderators",
        "needs moderators",
        lambda: pooled(effects="normal"),
        lambda: pooled(effects="normal", moderators=["age"]),
    ),
    (
        "models/patient_meta/settings:_refuse_moderators",
        "say how many",
        lambda: pooled(effects="horseshoe", moderators=["age"]),
        lambda: pooled(effects="horseshoe", moderators=["age"], expected_nonzero=1),
    ),
    (
        "models/patient_meta/settings:_refuse_events",
        "leave one out",
        lambda: pooled(at_least=0.5, at_most=1.0, times=["24 h"]),
        lambda: pooled(at_least=0.5, times=["24 h"]),
    ),
    (
        "models/patient_meta/settings:_refuse_events",
        "name one time",
        lambda: pooled(at_least=0.5),
        lambda: pooled(at_least=0.5, times=["24 h"]),
    ),
    # further ones of the same functions
    (
        "data/detection:read_detection",
        "write 'refuse' or 'censor'",
        lambda: read_detection(ONE, value="value", analyte=ONE["analyte"].to_numpy(), beyond_limit="drop"),
        lambda: read_detection(ONE, value="value", analyte=ONE["analyte"].to_numpy(), beyond_limit="censor"),
    ),
    (
        "data/flags:_meanings",
        "write detected, left",
        lambda: panel(but(ONE, c="d"), censored="c", flag_codes={"d": "below"}),
        lambda: panel(but(ONE, c="d"), censored="c", flag_codes={"d": "detected"}),
    ),
    (
        "data/limit_text:refuse",
        "which is not understood; write a number",
        lambda: panel(but(ONE, {"value": (0, "low")})),
        panel,
    ),
    (
        "data/sources:_keep",
        "leave out or correct one",
        lambda: source("published:bcg_colditz1994", keep={"year": 1948, "allocation": "systematic"}),
        lambda: source("published:bcg_colditz1994", keep={"year": 1948}),
    ),
    (
        "data/sources:_read_file",
        "check the path",
        lambda: source("nowhere.csv"),
        lambda: source("published:bcg_colditz1994"),
    ),
    (
        "data/sources:_add_limits",
        "give a .csv",
        lambda: source("published:bcg_colditz1994", limits="limits.txt"),
        lambda: source("published:bcg_colditz1994"),
    ),
    (
        "models/correlation/settings:__post_init__",
        "use a Uniform",
        lambda: correlation(priors={"rho": bd.Prior("Normal", mu=0, sigma=1)}),
        lambda: correlation(priors={"rho": bd.Prior("Uniform", lower=-1, upper=1)}),
    ),
    (
        "models/counts/settings:__post_init__",
        "use Beta",
        lambda: counts(pooling="none", priors={"risk": bd.Prior("Uniform", lower=0, upper=1)}),
        lambda: counts(pooling="none", priors={"risk": bd.Prior("Beta", alpha=1, beta=1)}),
    ),
    (
        "models/counts/data:_refuse_impossible_counts",
        "is 0; leave",
        lambda: counts(but(EVENTS, {"n": (0, 0), "events": (0, 0)})),
        lambda: counts(EVENTS[2:], pooling="none"),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "leave one of them out",
        lambda: panel(analyte_family="row", pooling="none"),
        lambda: panel(pooling="none"),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "name it in",
        lambda: panel(WELLS, time="time", subject=None),
        lambda: panel(WELLS, time="time"),
    ),
    (
        "models/crossover/data:_baseline_of",
        "or leave before out",
        lambda: crossover(pd.concat([PERIODS, but(PERIODS[:1], treatment="before", period=0)]), before="before"),
        crossover,
    ),
    (
        "models/crossover/data:_refuse_periods",
        "correct the numbers",
        lambda: crossover(but(PERIODS, {"period": (0, 3)})),
        crossover,
    ),
    (
        "models/crossover/data:_refuse_periods",
        "use the trial family",
        lambda: crossover(PERIODS[PERIODS["period"] == 1]),
        crossover,
    ),
    (
        "models/crossover/data:_treatments",
        "check which rows",
        lambda: crossover(PERIODS[PERIODS["treatment"] == "p"]),
        crossover,
    ),
    (
        "models/crossover/data:_who_had_what",
        "each treatment once",
        lambda: crossover(
            but(PERIODS, {"treatment": (0, "p"), "subject": (0, "s0")}).assign(
                treatment=lambda f: np.where(f["subject"] == "s0", "p", f["treatment"])
            )
        ),
        crossover,
    ),
    (
        "models/crossover/data:_who_had_what",
        "cannot be told apart",
        lambda: crossover(but(PERIODS, treatment=np.where(PERIODS["period"] == 1, "d", "p"))),
        crossover,
    ),
    (
        "models/meta/studies:correlations_of",
        "the counts of its arms",
        lambda: arms(but(ARMS, design=["parallel", "parallel", "crossover"]), design="design"),
        lambda: arms(but(ARMS, design=["parallel", "parallel", "crossover"])[:2], design="design"),
    ),
    (
        "models/meta/settings:_refuse_more_than_binomial",
        "leave one of the two out",
        lambda: arms(likelihood="binomial", measure="log-odds-ratio", heterogeneity="student-t"),
        lambda: arms(likelihood="binomial", measure="log-odds-ratio"),
    ),
    (
        "models/meta/settings:_refuse_contradictions",
        "leave one of them out",
        lambda: meta(cluster="country", heterogeneity="student-t"),
        lambda: meta(cluster="country"),
    ),
    (
        "models/meta/settings:_refuse_useless_control_risk",
        "a probability between",
        lambda: arms(control_risk=2.0),
        lambda: arms(control_risk=0.2),
    ),
    (
        "models/meta/settings:_refuse_useless_design",
        "correlation needs input",
        lambda: meta(correlation=0.5),
        lambda: means(design="design", correlation=0.5),
    ),
    ("models/meta/settings:_refuse_useless_design", "leave it out", lambda: meta(design="country"), meta),
    (
        "models/parts/people:_refuse_nothing_measured",
        "detected in nobody",
        lambda: response(ONE.assign(value=np.where(ONE["analyte"] == "TNF", "<1", ONE["value"].astype(str)))),
        lambda: response(ONE[ONE["analyte"] != "TNF"], effects="none", predicts_when="below"),
    ),
    (
        "data/tables:numbers_or_empty",
        "name the right column",
        lambda: pooled(but(PATIENTS, x=np.nan), outcome="x"),
        pooled,
    ),
    (
        "models/patient_meta/data:_refuse_no_outcome",
        "leave that time out",
        lambda: pooled(but(PATIENTS, outcome=np.where(PATIENTS["time"] == "24 h", np.nan, PATIENTS["outcome"]))),
        lambda: pooled(times=["week 1"]),
    ),
    (
        "models/patient_meta/data:_scale_of_outcomes",
        "give another at_least",
        lambda: pooled(at_least=99, times=["24 h"]),
        lambda: pooled(at_least=0.1, times=["24 h"]),
    ),
    (
        "models/patient_meta/data:_refuse_one_study",
        "give more",
        lambda: pooled(PATIENTS[PATIENTS["study"] == "a"]),
        pooled,
    ),
    (
        "models/patient_meta/data:_those_compared",
        "give studies with both arms",
        lambda: pooled(but(PATIENTS, arm=np.where(PATIENTS["study"] < "d", "c", "k"))),
        pooled,
    ),
    (
        "models/patient_meta/replicates:replicate",
        "use 'omit'",
        lambda: replicated(
            bd.PatientMeta(reference="c", moderators=["age"], missing_moderators="impute", split=False, imputations=2),
            PATIENTS,
        ),
        lambda: replicated(
            bd.PatientMeta(reference="c", moderators=["age"], missing_moderators="omit", split=False), PATIENTS
        ),
    ),
    (
        "models/trial/replicates:replicate",
        "calibrate the same model without",
        lambda: replicated(
            bd.Trial(reference="p", moderator="crp", moderator_lod="limit", moderator_model="log-normal"), BELOW
        ),
        lambda: replicated(bd.Trial(reference="p", moderator="crp"), VISITS),
    ),
    (
        "models/patient_meta/settings:_refuse_to_impute",
        "20 are usual",
        lambda: pooled(moderators=["age"], missing_moderators="impute", split=False, imputations=1),
        lambda: pooled(moderators=["age"], missing_moderators="impute", split=False, imputations=2),
    ),
    (
        "models/patient_meta/settings:_refuse_to_impute",
        "needs moderators",
        lambda: pooled(missing_moderators="impute"),
        pooled,
    ),
    (
        "models/patient_meta/settings:_refuse_to_impute",
        "set split = False",
        lambda: pooled(moderators=["age"], missing_moderators="impute", split=True),
        lambda: pooled(moderators=["age"], missing_moderators="impute", split=False, imputations=2),
    ),
    (
        "models/patient_meta/settings:_refuse_contradictions",
        "study_levels = 'random'",
        lambda: pooled(moderators=["age"], combined=["age"], split=False, effects="normal"),
        lambda: pooled(moderators=["age"], combined=["age"], split=False, effects="normal", study_levels="random"),
    ),
    (
        "models/patient_meta/settings:_refuse_contradictions",
        "add it there",
        lambda: pooled(moderators=["age"], combined=["base"], split=False, effects="normal", study_levels="random"),
        lambda: pooled(
            moderators=["age", "base"], combined=["base"], split=False, effects="normal", study_levels="random"
        ),
    ),
    (
        "models/patient_meta/settings:_refuse_moderators",
        "the horseshoe's",
        lambda: pooled(moderators=["age"], expected_nonzero=1, effects="normal"),
        lambda: pooled(moderators=["age"], effects="normal"),
    ),
    (
        "models/patient_meta/settings:_refuse_contradictions",
        "number above zero",
        lambda: pooled(lkj=0),
        lambda: pooled(lkj=2),
    ),
    (
        "models/patient_meta/data:prepare",
        "a smaller number",
        lambda: pooled(moderators=["age"], effects="horseshoe", expected_nonzero=99, split=False),
        lambda: pooled(moderators=["age"], effects="horseshoe", expected_nonzero=1, split=False),
    ),
    (
        "numerics/distributions:__init__",
        "true or false",
        lambda: bd.Prior("Normal", mu=0, sigma=1, times_scale="yes"),
        lambda: bd.Prior("Normal", mu=0, sigma=1, times_scale=True),
    ),
    (
        "numerics/distributions:__init__",
        "leave times_scale out",
        lambda: bd.Prior("Beta", alpha=1, beta=1, times_scale=True),
        lambda: bd.Prior("Beta", alpha=1, beta=1),
    ),
    (
        "models/parts/priors:_fill",
        "leave times_scale out",
        lambda: meta(priors={"mu": bd.Prior("Normal", mu=0, sigma=1, times_scale=True)}),
        lambda: meta(priors={"mu": bd.Prior("Normal", mu=0, sigma=1)}),
    ),
    (
        "models/parts/published_priors:heterogeneity_prior",
        "no published prior",
        lambda: bd.heterogeneity_prior("Turner 2015", outcome="pains", comparison="pharmacological against control"),
        lambda: bd.heterogeneity_prior("Turner 2015", outcome="pain", comparison="pharmacological against control"),
    ),
    (
        "models/response/outcome:read_outcome",
        "two are needed",
        lambda: response(but(ONE, responder=[*["a"] * 10, *["b"] * 10, *["c"] * 12]), event="a"),
        lambda: response(but(ONE, responder=[*["a"] * 10, *["b"] * 22]), event="a"),
    ),
    (
        "models/response/settings:__post_init__",
        "cutoff",
        lambda: response(cutoff=-1.0),
        lambda: response(TNF, effects="none", cutoff=1.0, predicts_when="below"),
    ),
    (
        "models/response/settings:__post_init__",
        "needs several analytes",
        lambda: response(analyte=None, predicts_when="below"),
        lambda: response(analyte="analyte"),
    ),
    (
        "models/response/settings:__post_init__",
        "a number above zero",
        lambda: response(effects="horseshoe", expected_nonzero=0),
        lambda: response(effects="horseshoe", expected_nonzero=1),
    ),
    (
        "models/response/data:_refuse_number_of_analytes",
        "leave out cutoff",
        lambda: response(effects="none", cutoff=1.0, predicts_when="below"),
        lambda: response(effects="none"),
    ),
    (
        "models/response/data:_refuse_number_of_analytes",
        "use effects = 'none'",
        lambda: response(TNF, predicts_when="below"),
        lambda: response(TNF, effects="none", predicts_when="below"),
    ),
    (
        "models/screen/settings:__post_init__",
        "use Beta",
        lambda: bd.Screen(condition="a", priors={"sensitivity": bd.Prior("Uniform", lower=0, upper=1)}),
        lambda: bd.Screen(condition="a", priors={"sensitivity": bd.Prior("Beta", alpha=1, beta=1)}),
    ),
    (
        "models/small_studies/settings:__post_init__",
        "rising order",
        lambda: bd.SmallStudies(measure="difference", favours="positive", units="u", steps=[0.5, 0.1]),
        lambda: bd.SmallStudies(measure="standardised-difference", favours="positive", steps=[0.1, 0.5]),
    ),
    (
        "models/small_studies/settings:__post_init__",
        "name one or two",
        lambda: bd.SmallStudies(measure="standardised-difference", favours="positive", steps=[0.1, 0.2, 0.5]),
        lambda: bd.SmallStudies(measure="standardised-difference", favours="positive", steps=[0.1, 0.5]),
    ),
    (
        "models/trial/settings:_check_moderator",
        "needs a moderator",
        lambda: trial(subgroups=["> 5"]),
        lambda: trial(moderator="crp", subgroups=["> 5"]),
    ),
    (
        "models/trial/settings:__post_init__",
        "use 'toeplitz'",
        lambda: trial(heterogeneous=False, covariance="unstructured"),
        lambda: trial(heterogeneous=False, covariance="toeplitz"),
    ),
    (
        "models/trial/settings:_check_rates",
        "leave them out",
        lambda: trial(better="higher", response=0.5),
        lambda: trial(better="higher"),
    ),
    ("models/trial/settings:_check_numbers", "such as", lambda: trial(margin=0), lambda: trial(margin=1)),
    (
        "models/trial/settings:_check_moderator_model",
        "needs a moderator",
        lambda: trial(moderator_model="log-normal"),
        lambda: trial(moderator="crp", moderator_model="log-normal"),
    ),
    (
        "models/trial/settings:_check_moderator_model",
        "add moderator_model",
        lambda: trial(BELOW, moderator="crp", moderator_lod="limit"),
        lambda: trial(BELOW, moderator="crp", moderator_lod="limit", moderator_model="log-normal"),
    ),
    (
        "models/trial/censored_moderator:read_with_limits",
        "leave it out",
        lambda: trial(but(BELOW, crp="<9"), moderator="crp", moderator_model="log-normal"),
        lambda: trial(but(BELOW, crp="<9")),
    ),
    (
        "models/trial/censored_moderator:_refuse_unclear_side",
        "choose a threshold outside",
        lambda: trial(BELOW, moderator="crp", moderator_model="log-normal", moderator_form="threshold", threshold=3.0),
        lambda: trial(BELOW, moderator="crp", moderator_model="log-normal", moderator_form="threshold", threshold=5.0),
    ),
    (
        "models/trial/moderator:_members_beyond_limits",
        "choose a value outside",
        lambda: trial(BELOW, moderator="crp", moderator_model="log-normal", subgroups=["> 3"]),
        lambda: trial(BELOW, moderator="crp", moderator_model="log-normal", subgroups=["> 5"]),
    ),
    (
        "models/trial/completion:regressors",
        "fit without the moderator",
        lambda: regressors(moderator="crp", moderator_model="log-normal"),
        regressors,
    ),
    (
        "models/trial/moderator:_threshold",
        "choose one inside",
        lambda: trial(moderator="crp", threshold=99.0, moderator_form="threshold"),
        lambda: trial(moderator="crp", threshold=5.0, moderator_form="threshold"),
    ),
    (
        "models/trial/settings:parse_subgroup",
        "a sign and a value",
        lambda: trial(moderator="crp", subgroups=["5"]),
        lambda: trial(moderator="crp", subgroups=["> 5"]),
    ),
    (
        "models/trial/moderator:read_subgroups",
        "leave it out",
        lambda: trial(moderator="crp", subgroups=["> 99"]),
        lambda: trial(moderator="crp", subgroups=["> 5"]),
    ),
    (
        "models/trial/refusals:refuse_visits_without_time",
        "use time = 'visits'",
        lambda: trial(but(VISITS, visit=VISITS["visit"] - 1), time="weeks"),
        lambda: trial(but(VISITS, visit=VISITS["visit"] - 1)),
    ),
    (
        "data/labels:refuse_lookalikes",
        "write them alike",
        lambda: trial(but(VISITS, arm=np.where(VISITS["subject"] == "s1", "P", VISITS["arm"]))),
        trial,
    ),
    (
        "data/labels:refuse_lookalikes",
        "are the same number; write them alike",
        lambda: trial(but(VISITS, visit=["1.0", *VISITS["visit"].astype(str)[1:]])),
        lambda: trial(but(VISITS, visit=VISITS["visit"].astype(str))),
    ),
    (
        "data/labels:lone_labels",
        "did you mean",
        lambda: trial(
            but(
                VISITS,
                arm=np.where(VISITS["subject"] == "s1", "placeb", np.where(VISITS["arm"] == "p", "placebo", "drug")),
            ),
            reference="placebo",
        ),
        lambda: trial(but(VISITS, arm=np.where(VISITS["arm"] == "p", "placebo", "drug")), reference="placebo"),
    ),
    (
        "data/times:refuse_actual_times",
        "name that one as visit",
        lambda: trial(but(VISITS, visit=VISITS["day"] + np.arange(48) / 997)),
        lambda: trial(day="day"),
    ),
    (
        "models/trial/refusals:refuse_subject_as_covariate",
        "leave it out",
        lambda: trial(covariates="subject"),
        trial,
    ),
    (
        "models/trial/refusals:refuse_constant_baseline",
        "baseline = None",
        lambda: trial(but(VISITS, baseline=20.0)),
        lambda: trial(but(VISITS, baseline=20.0), baseline=None),
    ),
    (
        "models/parts/outcomes:refuse_without_news",
        "name the right column",
        lambda: trial(but(VISITS, outcome=3.0)),
        trial,
    ),
    (
        "models/parts/outcomes:refuse_without_news",
        "is the baseline itself",
        lambda: trial(but(VISITS, outcome=np.where(VISITS["visit"] == 1, VISITS["baseline"], VISITS["outcome"]))),
        lambda: trial(VISITS[VISITS["visit"] > 1]),
    ),
    (
        "models/parts/outcomes:refuse_without_news",
        "no spread there",
        lambda: trial(but(VISITS, outcome=np.where(VISITS["visit"] == 1, 0.0, VISITS["outcome"]))),
        lambda: trial(VISITS[VISITS["visit"] > 1]),
    ),
    (
        "models/trial/refusals:refuse_aliased_covariates",
        "leave it out",
        lambda: trial(but(VISITS, copy=VISITS["arm"]), covariates="copy"),
        trial,
    ),
    (
        "models/trial/refusals:refuse_visits_without_time",
        "name them by weeks",
        lambda: trial(but(VISITS, visit=[f"V{v}" for v in VISITS["visit"]]), time="weeks"),
        lambda: trial(but(VISITS, visit=[f"week {v}" for v in VISITS["visit"]]), time="weeks"),
    ),
    # tables
    (
        "data/flags:refuse_reversed_codes",
        'flag_codes = {"1" = "right"}',
        lambda: panel(REVERSED, censored="flag"),
        lambda: panel(REVERSED, censored="flag", flag_codes={"1": "right"}),
    ),
    (
        "data/labels:lone_labels",
        "did you mean 'placebo'?",
        lambda: trial(MISSPELT, reference="placebo"),
        lambda: trial(MISSPELT.replace("placebp", "placebo"), reference="placebo"),
    ),
    (
        "data/labels:refuse_lookalikes",
        "write them alike",
        lambda: trial(but(VISITS, {"arm": (0, "D")})),
        lambda: trial(VISITS),
    ),
    (
        "data/missing:declare_missing",
        "missing names column 'outcom'",
        lambda: trial(bd.read_table(VISITS, missing={"outcom": ["7"]})),
        lambda: trial(bd.read_table(VISITS, missing={"outcome": ["7"]})),
    ),
    (
        "data/tables:refuse_code",
        'missing=["999"]',
        lambda: trial(CODED),
        lambda: trial(bd.read_table(CODED, missing=["999"])),
    ),
    (
        "models/cytokines/data:_refuse_repeats",
        "leave replicates out",
        lambda: panel(replicates=True),
        lambda: panel(),
    ),
    (
        "models/cytokines/data:_refuse_repeats",
        "keep one of them",
        lambda: panel(pd.concat([WELLS, ONE[:1]]), replicates=True),
        lambda: panel(WELLS, replicates=True),
    ),
    (
        "models/cytokines/data:_refuse_copies",
        "keep one row of each sample",
        lambda: panel(pd.concat([ONE, but(ONE, row="y")]), replicates=True),
        lambda: panel(ONE),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "state both, such as expected_nonzero",
        lambda: panel(effects="horseshoe"),
        lambda: panel(effects="horseshoe", expected_nonzero=1),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "above zero is needed, such as 5",
        lambda: panel(effects="horseshoe", expected_nonzero=0),
        lambda: panel(effects="horseshoe", expected_nonzero=1),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "use pooling = 'partial'",
        lambda: panel(effects="student", pooling="none"),
        lambda: panel(effects="student", pooling="partial"),
    ),
    (
        "models/cytokines/data:prepare",
        "or else use effects = 'normal'",
        lambda: panel(effects="horseshoe", expected_nonzero=50),
        lambda: panel(effects="normal"),
    ),
    (
        "models/cytokines/settings:_refuse_contradictions",
        "leave time out or keep one row a time",
        lambda: panel(WELLS, time="time", replicates=True),
        lambda: panel(WELLS, time="time"),
    ),
    (
        "models/meta/studies:read_studies",
        "write -1 or 1",
        lambda: bd.Meta(measure="standardised-difference", input="p-value").prepare(P_VALUES),
        lambda: bd.Meta(measure="standardised-difference", input="p-value").prepare(P_VALUES.assign(direction=[-1, 1])),
    ),
]
