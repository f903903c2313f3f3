"""What is known to change nothing, or an answer in a known way: units, origin, names, symmetry, nothing added, doubles.

Every model of the register has an example here that says which of these transformations apply to it, and why not
where one does not. Units and origin are tried without a word on any parameter: both forms of the table are given the
same random numbers, so that parameters drawn from the prior differ by what the units make of them. Were a default
prior to depend on units, they would differ otherwise, or the density would.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import ancestors

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import from_prior
from bayesdep.models.register import SHIPPED, model_class

UNCOMPILED = Mode(linker="py", optimizer="fast_run").excluding(
    "fusion"
)  # Python takes no more than 32 operands at once
FACTORS = [2.0**10, 2.0**20]
DRAWS = 3


@dataclass(frozen=True)
class Example:
    """A model, a table, and the transformations that apply to them; text is the reason why one does not.

    Parameters
    ----------
    settings
        Of the model, by field.
    table
        The table.
    units
        From table, settings and factor to both in other units.
    densities
        From the prepared data to how many of its observed values have a density in the outcome's units.
    origin
        From a table to the same with another zero.
    exchange
        From a table and settings to the same with both arms' (or groups') places exchanged.
    turned
        Sampled variables that change their sign then.
    nothing
        Tables with something added that says nothing.
    twice
        From a table to one in which the same information stands twice.
    """

    settings: Mapping[str, Any]
    table: pd.DataFrame
    units: Callable[[pd.DataFrame, dict[str, Any], float], tuple[pd.DataFrame, dict[str, Any]]] | str
    origin: Callable[[pd.DataFrame], pd.DataFrame] | str
    exchange: Callable[[pd.DataFrame, dict[str, Any]], tuple[pd.DataFrame, dict[str, Any]]] | str
    nothing: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]]
    twice: Callable[[pd.DataFrame], pd.DataFrame] | str
    densities: Callable[[xr.Dataset], int] = lambda data: 0
    turned: tuple[str, ...] = ()
    family: str = ""


def multiplied(*columns: str, **settings: str) -> Any:
    """Columns (and settings, by kind: a number or a tuple of numbers) times the factor."""

    def change(table, own, factor):
        own = dict(own)
        for name in settings:
            value = own[name]
            own[name] = tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
        return table.assign(**{c: table[c] * factor for c in columns}), own

    return change


def moved(*columns: str, by: float = 512.0) -> Any:
    return lambda table: table.assign(**{c: table[c] + by for c in columns})


def swapped(column: str, a: str, b: str) -> Any:
    """The labels' places exchanged: who was ``a`` is called ``b``."""
    return lambda table, own: (table.assign(**{column: table[column].replace({a: b, b: a})}), own)


def with_blank_rows(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, pd.DataFrame([{}, {}])], ignore_index=True)


def again(**changed: Any) -> Any:
    """The first row once more, with other labels where they are given."""
    return lambda table: pd.concat([table, table.iloc[[0]].assign(**changed)], ignore_index=True)


def seen(name: str) -> Callable[[xr.Dataset], int]:
    return lambda data: int(np.isfinite(data[name].values).sum())


def trial_table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for i in range(24):
        baseline, arm, level = 24 + rng.integers(0, 9), ("placebo", "drug")[i % 2], rng.normal(0, 4)
        crp = round(float(np.exp(rng.normal(0.7, 1))), 2)
        for week in (1, 2, 4):
            if i % 7 == 3 and week == 4:
                continue
            rows.append({"subject": f"p{i}", "arm": arm, "visit": week, "baseline": float(baseline), "crp": crp,
                         "outcome": round(baseline - week + level + rng.normal(0, 3), 1)})  # fmt: skip
    return pd.DataFrame(rows)


def panel_table() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for i in range(16):
        for k, analyte in enumerate(("CRP", "IL-6", "TNF")):
            value = float(np.exp(rng.normal(k, 0.8)))
            limit = (0.2, 1.5, 3.0)[k]
            rows.append({"subject": f"s{i}", "group": ("HC", "TRD")[i % 2], "analyte": analyte,
                         "concentration": max(value, limit), "flag": "left" if value < limit else "none"})  # fmt: skip
    return pd.DataFrame(rows)


def marker_table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    logs = rng.normal(3, 0.8, 18)
    return pd.DataFrame(
        {"subject": [f"s{i}" for i in range(18)], "concentration": np.exp(np.maximum(logs, 2.4)),
         "flag": np.where(logs < 2.4, "left", "none"), "responder": [0, 1, 1] * 6,
         "score": rng.normal(15, 8, 18).round(2)}
    )  # fmt: skip


def crossover_table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        [{"subject": f"p{i}", "treatment": ("saline", "ketamine")[(i + p) % 2], "period": p + 1, "day": day,
          "outcome": round(rng.normal(30, 6), 2)}
         for i in range(12) for p in range(2) for day in (2, 10)]
    )  # fmt: skip


def stage_table() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    rows = []
    for i in range(20):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "age": 30.0 + rng.integers(30), "stage": i % 3}
        for week in (2, 6):
            rows.append(about | {"visit": week, "outcome": ("remission", "response", "neither")[rng.integers(3)]})
    return pd.DataFrame(rows)


def pooled_table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        [{"study": f"study {k}", "subject": f"{k}-{i}", "arm": ("saline", "ketamine")[i % 2],
        "age": 30.0 + rng.integers(30),
          "time": "1 day", "outcome": round(30 + 3 * k + 12 * (i % 2) + rng.normal(0, 20), 1)}
         for k in range(4) for i in range(14 + 2 * k)]
    )  # fmt: skip


def states_table() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    return pd.DataFrame(
        [{"subject": f"p{i}", "arm": ("saline", "ketamine")[i % 2], "visit": float(v), "state": "abc"[rng.integers(3)]}
         for i in range(15) for v in (0, 1, 2, 4) if v == 0 or (i + v) % 5]
    )  # fmt: skip


def courses_table(analytes: tuple[str, ...] = ("CRP", "IL-6")) -> pd.DataFrame:
    """Every row has a measurement and the visit's outcome, so that no label is missing."""
    rng, limit = np.random.default_rng(6), 0.5
    rows = []
    for i in range(20):
        level = rng.normal(0, 4)
        for time in (0, 1, 4):
            if i % 6 == 2 and time == 4:
                continue
            outcome = round(25 - time + level + rng.normal(0, 3), 1)
            for k, analyte in enumerate(analytes):
                value = float(np.exp(rng.normal(k / 2, 0.8)))
                rows.append({"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "time": time, "outcome": outcome,
                             "analyte": analyte, "concentration": max(value, limit),
                             "flag": "left" if value < limit else "none"})  # fmt: skip
    return pd.DataFrame(rows)


def levels_table() -> pd.DataFrame:
    """The same, with the second marker measured without a limit, and missing at times."""
    table = courses_table().drop(columns="flag")
    return table[(table["analyte"] == "CRP") | (np.arange(len(table)) % 5 > 0)]


def items_table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    rows = []
    for i in range(16):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "age": 30.0 + rng.integers(30)}
        rows += [about | {"visit": week, **{name: int(rng.integers(0, top + 1)) for name, top in ITEMS.items()}}
                 for week in (0.0, 2.0, 6.0)]  # fmt: skip
    return pd.DataFrame(rows)


ITEMS = {"mood": 4, "sleep": 2, "guilt": 4, "work": 3}
STUDIES = pd.DataFrame(
    {"study": ["a", "b", "c", "d"], "effect": [-4.5, -2.25, -6.75, 1.5], "se": [1.5, 1.25, 2.5, 2.0]}
)
BINOMIAL = pd.DataFrame(
    {"study": ["a", "b", "c", "d"], "events_treated": [5, 3, 0, 9], "n_treated": [20, 21, 18, 40],
     "events_control": [2, 4, 1, 6], "n_control": [22, 20, 19, 41]}
)  # fmt: skip
CELLS = pd.DataFrame(
    {"subgroup": ["low", "low", "high", "high"], "arm": ["drug", "placebo"] * 2, "events": [7, 12, 8, 3],
     "n": [17, 21, 13, 9]}
)  # fmt: skip
TWO_BY_TWO = pd.DataFrame({"responder": ["yes", "no"], "positives": [15, 1], "n": [19, 12]})
BY_SIZE = {
    "mu": {"dist": "Normal", "mu": 0, "sigma": 10},
    "tau": {"dist": "HalfNormal", "sigma": 5},
}


def studies_in_units(table, own, factor):
    priors = {name: {**prior, "sigma": prior["sigma"] * factor} for name, prior in own["priors"].items()}
    return table.assign(effect=table["effect"] * factor, se=table["se"] * factor), {**own, "priors": priors}


NO_ORIGIN = "concentrations, shares and ratios have a zero"
EXAMPLES = {
    "correlation": Example(
        {"censored": "flag"}, marker_table(), multiplied("score"), moved("score"),
        "a correlation has no arms", {"blank rows": with_blank_rows}, again(),
        densities=seen("score"),
    ),
    "counts": Example(
        {"control": "placebo"}, CELLS, "counts have no units", NO_ORIGIN,
        swapped("arm", "drug", "placebo"), {"blank rows": with_blank_rows}, again(),
        turned=("effect_mean", "effect_latent"),
    ),
    "crossover": Example(
        {"reference": "saline"}, crossover_table(), multiplied("outcome"), moved("outcome"),
        swapped("treatment", "saline", "ketamine"), {"blank rows": with_blank_rows}, again(),
        densities=seen("outcome"),
        turned=("treatment_effect", "treatment_effect_standardised"),
    ),
    "cytokines": Example(
        {"subject": "subject", "analyte": "analyte", "group": "group", "reference": "HC", "censored": "flag"},
        panel_table(), multiplied("concentration"), NO_ORIGIN, swapped("group", "HC", "TRD"),
        {"blank rows": with_blank_rows}, again(), turned=("group_mean_standardised", "group_effect_1_latent"),
    ),
    "meta": Example(
        {"measure": "difference", "units": "points", "priors": BY_SIZE}, STUDIES, studies_in_units,
        "an effect has a zero", lambda table, own: (table.assign(effect=-table["effect"]), own),
        {"blank rows": with_blank_rows}, again(), densities=seen("effect"), turned=("mu", "mu_standardised"),
    ),
    "meta of counts": Example(
        {"measure": "log-odds-ratio", "input": "counts", "likelihood": "binomial"}, BINOMIAL, "counts have no units",
        NO_ORIGIN, lambda table, own: (table.rename(columns={f"{w}_{a}": f"{w}_{b}" for w in ("events", "n")
                                                             for a, b in (("treated", "control"), ("control",
                                                             "treated"))}), own),
        {"blank rows": with_blank_rows}, again(), turned=("mu", "theta_latent"), family="meta",
    ),
    "ordinal": Example(
        {"categories": ("remission", "response", "neither"), "reference": "placebo", "subject": "subject",
         "visit": "visit", "covariates": "age + mo(stage)"},
        stage_table(), multiplied("age"), moved("age"), swapped("arm", "placebo", "drug"),
        {"blank rows": with_blank_rows}, again(), turned=("arm_effect", "arm_effect_standardised"),
    ),
    "items": Example(
        {"items": ITEMS, "reference": "placebo", "moderator": "age", "moderator_form": "linear"},
        items_table(), multiplied("age", "visit"), moved("age"), swapped("arm", "placebo", "drug"),
        {"blank rows": with_blank_rows}, again(),
        turned=("arm_effect", "arm_by_moderator", "departure_latent", "departure_by_moderator_latent"),
    ),
    "patient-meta": Example(
        {"reference": "saline", "moderators": ("age",)}, pooled_table(), multiplied("outcome"), moved("outcome"),
        swapped("arm", "saline", "ketamine"), {"blank rows": with_blank_rows}, again(), turned=("effect",
        "interaction"),
        # without ``densities``: outcomes are standardised, and have a density in their sds
    ),
    "response": Example(
        {"censored": "flag", "predicts_when": "above"}, marker_table(), multiplied("concentration"), NO_ORIGIN,
        "who responds is no arm", {"blank rows": with_blank_rows}, again(),
    ),
    "screen": Example(
        {"condition": "yes", "group": "responder", "positives": "positives"}, TWO_BY_TWO, "counts have no units",
        NO_ORIGIN,
        "sensitivity and specificity have a direction", {"blank rows": with_blank_rows}, again(),
    ),
    "small-studies": Example(
        {"measure": "difference", "units": "points", "favours": "negative", "priors": BY_SIZE}, STUDIES,
        studies_in_units, "an effect has a zero", "one-sided selection has a direction",
        {"blank rows": with_blank_rows}, again(),
        densities=seen("effect"),
    ),
    "transitions": Example(
        {"states": ["a", "b", "c"], "reference": "saline"}, states_table(), multiplied("visit"), moved("visit"),
        swapped("arm", "saline", "ketamine"), {"blank rows": with_blank_rows}, again(), turned=("effect",),
    ),
    "stepwise": Example(
        {}, pd.DataFrame({"step": [1, 2, 3], "entered": [90, 40, 12], "remitted": [30, 11, 2]}),
        "counts have no units", NO_ORIGIN, "steps have an order, and none is another's opposite",
        {"blank rows": with_blank_rows}, again(),
    ),
    "trajectories": Example(
        {"reference": "placebo", "value": "concentration", "analyte": "analyte", "censored": "flag",
         "association": ("change", "baseline")},
        courses_table(), multiplied("outcome", "concentration"), moved("outcome"),
        swapped("arm", "placebo", "drug"), {"blank rows": with_blank_rows}, again(), densities=seen("outcome"),
        turned=("arm_effect", "arm_change_standardised", "marker_arm_effect", "marker_arm_change_standardised",
        "association_difference_mean",
        "association_difference_latent"),
    ),
    "trajectories of a shared factor": Example(
        {"reference": "placebo", "value": "concentration", "analyte": "analyte", "censored": "flag",
         "association": ("change",), "shared_factor": True, "positive_loading": "IL-6"},
        courses_table(("CRP", "IL-6", "TNF")), multiplied("outcome", "concentration"), moved("outcome"),
        swapped("arm", "placebo", "drug"), {"blank rows": with_blank_rows}, again(), densities=seen("outcome"),
        turned=("arm_effect", "arm_change_standardised", "marker_arm_effect", "marker_arm_change_standardised",
        "association_difference"),
        family="trajectories",
    ),
    "trajectories of a drug level": Example(
        {"reference": "placebo", "value": "concentration", "analyte": "analyte", "exact": ("IL-6",),
         "association": ("change", "baseline")},
        levels_table(), multiplied("outcome", "concentration"), moved("outcome"),
        swapped("arm", "placebo", "drug"), {"blank rows": with_blank_rows}, again(), densities=seen("outcome"),
        turned=("arm_effect", "arm_change_standardised", "marker_arm_effect", "marker_arm_change_standardised",
        "association_difference_mean",
        "association_difference_latent"), family="trajectories",
    ),
    "trial": Example(
        {"reference": "placebo", "units": "points", "baseline": "baseline"}, trial_table(),
        multiplied("outcome"), moved("outcome"), swapped("arm", "placebo", "drug"),
        {"blank rows": with_blank_rows}, again(), densities=seen("outcome"), turned=("arm_effect",
        "arm_effect_departure"),
    ),
}  # fmt: skip


def model_of(name: str, settings: Mapping[str, Any]) -> Any:
    return model_class(EXAMPLES[name].family or name)(**settings)


def names_with(attribute: str) -> list[str]:
    return [name for name, example in EXAMPLES.items() if not isinstance(getattr(example, attribute), str)]


def forward(model: Any, rv: Any, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """A variable's value on the sampler's scale."""
    transform, x = model.rvs_to_transforms[rv], np.asarray(values[rv.name], float)
    if transform is None:
        return x
    found = transform.forward(pt.as_tensor_variable(x), *rv.owner.inputs)
    above = set(ancestors([found]))
    return found.eval({v: values[v.name] for v in model.free_RVs if v in above and v is not rv}, mode=UNCOMPILED)


def densities(model: Any, draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """The joint log density of data and parameters, all on their natural scale, at every draw."""
    f = model.compile_logp(jacobian=False, mode=UNCOMPILED)
    found = []
    for k in range(DRAWS):
        values = {name: x[k] for name, x in draws.items()}
        found.append(float(f({model.rvs_to_values[rv].name: forward(model, rv, values) for rv in model.free_RVs})))
    return np.array(found)


def drawn(model: Any, seed: int = 11) -> dict[str, np.ndarray]:
    """Draws of the prior, and of what is drawn given data and parameters, by the names of the free variables."""
    names = [rv.name for rv in model.free_RVs]
    return dict(zip(names, from_prior([model[n] for n in names], DRAWS, seed=seed), strict=True))


def compared(model: Any, one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """The log Jacobian between two forms of the same draws: each number of one is a + b times that of the other."""
    total = 0.0
    for rv in model.free_RVs:
        x, y = one[rv.name], other[rv.name]
        b = (y[1] - y[0]) / (x[1] - x[0])
        np.testing.assert_allclose(y[2], y[0] + b * (x[2] - x[0]), rtol=1e-6, atol=1e-9 * np.abs(y).max())
        free = forward(model, rv, {name: draw[0] for name, draw in one.items()}).size  # a sum of zero takes one away
        total += float(np.log(np.abs(b)).mean()) * free
    return total


def test_every_model_says_what_changes_nothing():
    assert {e.family or name for name, e in EXAMPLES.items()} == set(SHIPPED)
    for example in EXAMPLES.values():
        assert example.nothing
        for reason in (example.units, example.origin, example.exchange, example.twice):
            assert callable(reason) or len(reason.split()) > 3


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", names_with("units"))
def test_units(name, factor):
    """To 1e-10 of the log density's own size, which is a sum of many terms of both signs in double precision."""
    example = EXAMPLES[name]
    model = model_of(name, example.settings)
    table, settings = example.units(example.table, dict(example.settings), factor)
    other = model_of(name, settings)
    one_data, other_data = model.prepare(example.table), other.prepare(table)
    one, two = model.build(one_data), other.build(other_data)
    draws, there = drawn(one), drawn(two)
    jacobian = compared(one, draws, there) + example.densities(one_data) * np.log(factor)
    np.testing.assert_allclose(densities(two, there) + jacobian, densities(one, draws), rtol=1e-10)


@pytest.mark.parametrize("name", names_with("origin"))
def test_origin(name):
    example = EXAMPLES[name]
    model = model_of(name, example.settings)
    one_data, other_data = model.prepare(example.table), model.prepare(example.origin(example.table))
    one, two = model.build(one_data), model.build(other_data)
    draws, there = drawn(one), drawn(two)
    np.testing.assert_allclose(densities(two, there) + compared(one, draws, there), densities(one, draws), rtol=1e-9)


@pytest.mark.parametrize("name", names_with("exchange"))
def test_exchanging_arms_or_groups_changes_the_sign_of_what_compares_them(name):
    """The joint density is the same at effects of the other sign: neither place is favoured, by prior or likelihood."""
    example = EXAMPLES[name]
    model = model_of(name, example.settings)
    table, settings = example.exchange(example.table, dict(example.settings))
    other = model_of(name, settings)
    one_data, other_data = model.prepare(example.table), other.prepare(table)
    one, two = (prune_vars_detached_from_observed(m) for m in (model.build(one_data), other.build(other_data)))
    draws = drawn(one)
    assert set(example.turned) & set(draws)
    turned = {n: -x if n in example.turned else x for n, x in draws.items()}
    np.testing.assert_allclose(densities(two, turned), densities(one, draws), rtol=1e-10)


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Both have the same numbers under the same labels, whatever their order."""
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        x, y = one[name], other[name]
        if str(name).endswith("_of") and str(name)[:-3] in one.coords and x.dtype.kind == "i":
            of = str(name)[:-3]
            x, y = (v.copy(data=d[of].values[v.values]) for v, d in ((x, one), (y, other)))
        labelled = [d for d in x.dims if d in x.coords and x[d].dtype.kind in "UOT"]  # a number of a row is no label
        assert {str(d): sorted(map(str, x[d].values)) for d in labelled} == {
            str(d): sorted(map(str, y[d].values)) for d in labelled
        }
        y = y.sel({d: x[d] for d in labelled}).transpose(*x.dims)
        if labelled == list(x.dims):
            if x.dtype.kind in "fiu":
                np.testing.assert_allclose(y.values, x.values, rtol=1e-9, atol=1e-9)
            else:
                assert (y.values == x.values).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_order_of_rows_and_columns_and_spaces_around_labels_are_no_information(name):
    example = EXAMPLES[name]
    model, table = model_of(name, example.settings), example.table
    changed = table.sample(frac=1, random_state=5)[table.columns[::-1]].reset_index(drop=True)
    texts = [c for c in table.columns if table[c].dtype == object or str(table[c].dtype) in ("str", "string")]
    spaced = changed.assign(
        **{c: [f" {v}" if i % 3 == 0 else f"{v} " for i, v in enumerate(changed[c])] for c in texts}
    )
    same(model.prepare(table), model.prepare(spaced))


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, e in EXAMPLES.items() for k in e.nothing])
def test_what_says_nothing_changes_nothing(name, kind):
    example = EXAMPLES[name]
    model = model_of(name, example.settings)
    try:
        found = model.prepare(example.nothing[kind](example.table))
    except BadInput:
        return  # a refusal is an answer
    same(model.prepare(example.table), found)


@pytest.mark.parametrize("name", names_with("twice"))
def test_the_same_information_twice_is_refused_or_counted_once(name):
    example = EXAMPLES[name]
    model = model_of(name, example.settings)
    try:
        found = model.prepare(example.twice(example.table))
    except BadInput:
        return
    same(model.prepare(example.table), found)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_things_are_called_is_no_information(name):
    """Every label in capitals behind a letter, which keeps their order; settings that name one follow."""
    example = EXAMPLES[name]
    table = example.table
    texts = [c for c in table.columns if table[c].dtype.kind == "O" or str(table[c].dtype) == "str"]
    texts = [c for c in texts if c not in ("flag", "time", "responder")]
    labels = {str(v) for c in texts for v in table[c]}

    def called(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(called(one) for one in value)
        return f"x {value.upper()}" if isinstance(value, str) and value in labels else value

    follow = {k: called(v) for k, v in example.settings.items()}
    renamed = table.assign(**{c: ["x " + str(v).upper() for v in table[c]] for c in texts})
    one, two = (model_of(name, s) for s in (example.settings, follow))
    first, second = one.build(one.prepare(table)), two.build(two.prepare(renamed))
    draws, there = drawn(first), drawn(second)
    for variable, x in draws.items():
        np.testing.assert_array_equal(there[variable], x)
    np.testing.assert_allclose(densities(second, there), densities(first, draws), rtol=1e-12)


SAMPLED = ["cytokines", "crossover", "meta", "patient-meta", "trial"]
MARKERS = ["correlation", "response"]
FITS = [pytest.param(name, 1e6, marks=pytest.mark.sampling) for name in SAMPLED]
FITS += [pytest.param(name, 1e3, marks=pytest.mark.sampling) for name in MARKERS]
FITS += [pytest.param(name, factor, marks=pytest.mark.slow) for name in SAMPLED for factor in (10.0, 1e3)]
FITS += [pytest.param(name, factor, marks=pytest.mark.slow) for name in MARKERS for factor in (10.0, 1e6)]
# of an sd that may be zero 500 draws a chain have a tail ESS of 310 to 550, by chance
HOW = {"draws": 800, "tune": 500, "chains": 4, "seed": 3, "sampler": "nutpie"}


def away(a: np.ndarray, b: np.ndarray, moved: float = 0.0) -> float:
    """How far the mean of b is from that of a, moved by so much, in Monte Carlo errors; both (chain, draw)."""
    effective = [array_stats.ess(v, chain_axis=0, draw_axis=1, method="mean") for v in (a, b)]
    return abs(b.mean() - a.mean() - moved) / np.hypot(a.std() / np.sqrt(effective[0]), b.std() / np.sqrt(effective[1]))


@pytest.mark.parametrize(("name", "factor"), FITS)
def test_a_fit_in_other_units_passes_and_says_the_same(name, factor):
    """Estimands are the other's times a power of the factor, or moved by its logarithm, but for Monte Carlo error."""
    example = EXAMPLES[name]
    table, settings = example.units(example.table, dict(example.settings), factor)
    one = bd.fit(model_of(name, example.settings), example.table, **HOW)
    other = bd.fit(model_of(name, settings), table, **HOW)
    assert (one.gate.passed, other.gate.passed) == (True, True), (one.gate.sentence, other.gate.sentence)
    compared_with = 0
    for estimand, x in one.estimands.data_vars.items():
        y = other.estimands[estimand]
        for at in np.ndindex(*x.shape[2:]):
            a, b = x.values[(..., *at)], y.values[(..., *at)]
            if not np.isfinite(a).all() or np.ptp(a) == 0:
                continue
            power = round(np.log(b.std() / a.std()) / np.log(factor))
            b = b / factor**power
            logs = (b.mean() - a.mean()) / np.log(factor)
            moved = np.log(factor) * round(logs) if power == 0 and abs(round(logs)) <= 1 else 0.0
            compared_with += 1
            # 5: hundreds are compared
            assert away(a, b, moved) < 5, (estimand, at, power, a.mean(), b.mean())
    assert compared_with


@pytest.mark.sampling
def test_counts_sampled_with_their_arms_exchanged_turn_round():
    example = EXAMPLES["counts"]
    table, settings = example.exchange(example.table, dict(example.settings))
    one, other = (bd.fit(model_of("counts", s), t, **HOW) for s, t in ((example.settings, example.table),
                                                                      (settings, table)))  # fmt: skip
    assert (one.gate.passed, other.gate.passed) == (True, True), (one.gate.sentence, other.gate.sentence)
    for name, sign in (("risk_difference", -1), ("risk_difference_overall", -1), ("effect_sd", 1)):
        x, y = one.estimands[name], sign * other.estimands[name]
        for at in np.ndindex(*x.shape[2:]):
            assert away(x.values[(..., *at)], y.values[(..., *at)]) < 4.5, (name, at)


# Answers, exactly where they are known.


def medians(model, table):
    summary = bd.summarise_exact(model.exact(model.prepare(table)))
    keys = list(summary.columns[: summary.columns.get_loc("mean")])
    return summary.set_index(keys)[["median", "lower", "upper"]]


EXACT = ["counts without pooling", "meta", "screen", "small-studies"]


def known(name):
    """A model whose posterior is known without sampling, and its table."""
    settings = dict(EXAMPLES[name.split()[0]].settings) | ({"pooling": "none"} if "without" in name else {})
    return model_of(name.split()[0], settings), EXAMPLES[name.split()[0]].table


@pytest.mark.parametrize("name", EXACT)
def test_the_order_of_rows_moves_no_answer(name):
    model, table = known(name)
    shuffled = table.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(
        medians(model, shuffled).sort_index(), medians(model, table).sort_index(), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("factor", [10.0, 1e3, 1e6])
@pytest.mark.parametrize("name", ["meta", "small-studies"])
def test_units_scale_the_answer_and_nothing_else(name, factor):
    example = EXAMPLES[name]
    table, settings = example.units(example.table, dict(example.settings), factor)
    found, other = (medians(model_of(name, s), t) for s, t in ((example.settings, example.table), (settings, table)))
    share = found.index.get_level_values("estimand") == "i2"  # per cent
    expected = found * factor
    expected.loc[share] = found.loc[share]
    pd.testing.assert_frame_equal(other, expected, rtol=1e-6)
    assert share.sum() == (name == "meta")


def mirrored(found, other, names, *, invert=False):
    """That intervals change their sign, or invert, and their ends change places."""
    for name in names:
        one, two = (np.asarray(x.loc[[name]], float) for x in (found, other))
        turned = (1 / two if invert else -two)[:, [0, 2, 1]]
        np.testing.assert_allclose(np.sort(one, axis=0), np.sort(turned, axis=0), rtol=1e-6, atol=1e-8, err_msg=name)


def test_exchanged_arms_turn_a_meta_analysis_round():
    model, table = known("meta")
    turned = medians(model, table.assign(effect=-table["effect"]))
    found = medians(model, table)
    mirrored(found, turned, ["mu", "theta", "theta_new"])
    pd.testing.assert_frame_equal(found.loc[["tau"]], turned.loc[["tau"]], rtol=1e-6)


def test_exchanged_arms_and_favours_turn_publication_bias_round():
    model, table = known("small-studies")
    other = dataclasses.replace(model, favours="positive")
    mirrored(medians(model, table), medians(other, table.assign(effect=-table["effect"])), ["mu"])


def test_exchanged_arms_turn_counts_round():
    model, table = known("counts without pooling")
    treated = next(a for a in table["arm"] if a != "placebo")
    other = medians(dataclasses.replace(model, control=treated), table)
    found = medians(model, table)
    mirrored(found, other, ["risk_difference"])
    mirrored(found, other, ["risk_ratio", "odds_ratio"], invert=True)


def test_positives_and_negatives_exchanged_exchange_sensitivity_and_specificity():
    """Those without the condition taken for those with it, and negative tests for positive ones."""
    model, table = known("screen")
    turned = table.assign(positives=table["n"] - table["positives"])
    other = medians(dataclasses.replace(model, condition="no"), turned)
    found = medians(model, table)
    for one, two in (("sensitivity", "specificity"), ("specificity", "sensitivity"), ("youden", "youden")):
        np.testing.assert_allclose(found.loc[[one]], other.loc[[two]], rtol=1e-9)
