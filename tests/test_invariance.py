"""What carries no information moves no answer: units, origins, names, orders, and which arm is called the reference.

Each family states in `CASES` which transformations apply to it; a family of the register that states none fails. The
transformation acts on the table and on the settings (limits, margins, cutoffs, explicit priors).

The joint density is compared at fixed points, without compilation and without knowing any model's parameters: both
versions are drawn from their own priors with one seed. Where the transformation is right in every prior, each draw is
the other's, times a power of the factor (or moved by its logarithm); the joint log densities then differ by the
Jacobian, which those powers and the number of scaled outcomes give. Any other relation is a fault.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from pymc.model.transform.conditioning import prune_vars_detached_from_observed

import bayesdep as bd
from bayesdep.inference.evaluate import from_prior, log_density
from bayesdep.models import _REGISTER

POINTS = 3
ANALYTES = ("IL-6", "IL-8", "TNF")


@dataclass(frozen=True)
class Case:
    """How a family is transformed.

    Parameters
    ----------
    make
        From a factor of the outcome's unit to a story and a table, priors and limits along.
    scaled
        How many numbers of the likelihood carry the unit, from the prepared data: what the Jacobian counts. A family
        that works on logarithms has none.
    labels
        Columns whose labels may be renamed, and the settings that name a label.
    states
        Which of `units`, `names`, `columns`, `spaces`, `rows` and `symmetry` apply; a reason for each that does not.
    """

    make: Callable[[float], tuple[object, pd.DataFrame]]
    scaled: Callable[[object], int]
    states: frozenset[str]
    not_stated: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


ALL = ("units", "names", "columns", "rows", "symmetry")


def rng(seed):
    return np.random.default_rng(seed)


def normal(mu, sigma, c=1.0):
    return bd.Prior("Normal", mu=mu * c, sigma=sigma * c)


def half(sigma, c=1.0):
    return bd.Prior("HalfNormal", sigma=sigma * c)


def meta(c):
    table = bd.load("eight_schools_rubin1981").rename(columns={"school": "study"})
    table = pd.DataFrame({"study": table["study"], "effect": table["effect"] * c, "se": table["se"] * c})
    return bd.Meta(measure="difference", units="points", priors={"mu": normal(0, 20, c), "tau": half(10, c)}), table


def small_studies(c):
    _, table = meta(c)
    priors = {"mu": normal(0, 20, c), "tau": half(10, c), "peese": bd.Prior("HalfCauchy", beta=0.1 / c)}
    return bd.SmallStudies(measure="difference", units="points", favours="positive", bias="peese", priors=priors), table


def counts(_):
    table = bd.load("raison2013_responders").rename(columns={"responders": "events"})
    return bd.Counts(control="placebo", pooling="none"), pd.DataFrame(table[["subgroup", "arm", "events", "n"]])


def screen(_):
    table = pd.DataFrame({"group": ["ill", "well"], "positives": [15, 1], "n": [19, 12]})
    return bd.Screen(condition="ill"), table


def trial(c):
    draw, n, visits = rng(1), 12, 3
    baseline = draw.normal(25, 5, n)
    outcome = 0.5 * baseline[:, None] + draw.normal(8, 4, (n, visits)) - np.array([0, 3])[np.arange(n) % 2, None]
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"p{i:02d}" for i in range(n)], visits),
            "arm": np.repeat(np.array(["placebo", "drug"])[np.arange(n) % 2], visits),
            "visit": np.tile([1, 2, 3], n),
            "baseline": np.repeat(baseline, visits) * c,
            "outcome": outcome.ravel() * c,
        }
    )
    return bd.Trial(reference="placebo", covariance="ar1", margin=3 * c, units="points"), table


def crossover(c):
    draw, n = rng(2), 10
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"p{i:02d}" for i in range(n)], 2),
            "period": np.tile([1, 2], n),
            "day": 1,
            "treatment": np.concatenate([("placebo", "drug") if i % 2 else ("drug", "placebo") for i in range(n)]),
            "outcome": draw.normal(25, 8, 2 * n) * c,
        }
    )
    return bd.Crossover(reference="placebo", margin=3 * c, units="points"), table


def cytokines(c):
    draw, n = rng(3), 10
    value = np.exp(draw.normal(1, 1, (n, len(ANALYTES))))
    limit = 1.0
    table = pd.DataFrame(
        {
            "subject": np.repeat([f"p{i:02d}" for i in range(n)], len(ANALYTES)),
            "analyte": np.tile(ANALYTES, n),
            "group": np.repeat(np.array(["HC", "TRD"])[np.arange(n) % 2], len(ANALYTES)),
            "concentration": np.maximum(value, limit).ravel() * c,
            "censored": np.where(value < limit, "left", "none").ravel(),
            "lod": limit * c,
        }
    )
    return bd.Cytokines(reference="HC", group="group", censored="censored", lod="lod"), table


def response(c):
    table = cytokines(c)[1].query("analyte == 'IL-6'").drop(columns=["analyte", "group"])
    table = table.assign(outcome=[1, 0, 1, 1, 0, 0, 1, 0, 1, 0])
    settings = {"censored": "censored", "lod": "lod", "cutoff": 2.0 * c, "predicts_when": "below", "outcome": "outcome"}
    return bd.Response(**settings), table


def correlation(c):
    table = response(c)[1].drop(columns="outcome").assign(score=rng(4).normal(15, 6, 10))
    priors = {"score_mean": normal(15, 10), "score_sd": half(15)}
    return bd.Correlation(score="score", censored="censored", lod="lod", priors=priors), table


def pooled(c):
    draw, size = rng(5), 16
    rows = {
        "study": np.repeat(["A", "B", "C"], size),
        "subject": [f"p{i:02d}" for i in range(3 * size)],
        "arm": np.tile(["control", "ketamine"], 3 * size // 2),
        "time": "rapid",
        "outcome": draw.normal(30, 20, 3 * size) * c,
    }
    return bd.Pooled(reference="control", units="points"), pd.DataFrame(rows)


def none(_):
    return 0


CASES = {
    "meta": Case(meta, lambda d: d.sizes["study"], frozenset(ALL), labels=("study",)),
    "small-studies": Case(small_studies, lambda d: d.sizes["study"], frozenset(ALL), labels=("study",)),
    "counts": Case(
        counts, none, frozenset({"names", "columns", "rows", "symmetry"}), {"units": "people have no unit"},
        ("subgroup", "arm"),
    ),
    "screen": Case(
        screen, none, frozenset({"names", "columns", "rows", "symmetry"}), {"units": "people have no unit"}, ("group",)
    ),
    "trial": Case(
        trial, lambda d: int(np.isfinite(d["outcome"]).sum()), frozenset({"units", "names", "columns"}),
        {"rows": "prepared alike: test_trial", "symmetry": "by fits"}, ("subject", "arm"),
    ),
    "crossover": Case(
        crossover, lambda d: int(np.isfinite(d["outcome"]).sum()), frozenset({"units", "names", "columns"}),
        {"rows": "by fits", "symmetry": "by fits"}, ("subject", "treatment"),
    ),
    "cytokines": Case(
        cytokines, none, frozenset({"units", "names", "columns"}), {"rows": "by fits", "symmetry": "by fits"},
        ("subject", "analyte", "group"),
    ),
    "response": Case(
        response, none, frozenset({"units", "names", "columns"}),
        {"rows": "by fits", "symmetry": "the outcome has a direction"}, ("subject",),
    ),
    "correlation": Case(
        correlation, none, frozenset({"units", "names", "columns"}),
        {"rows": "by fits", "symmetry": "two measurements, no arms"}, ("subject",),
    ),
    "pooled": Case(
        pooled, none, frozenset({"units", "names", "columns"}), {"rows": "by fits", "symmetry": "by fits"},
        ("study", "subject", "arm"),
    ),
}  # fmt: skip


def having(word):
    return sorted(name for name, case in CASES.items() if word in case.states)


def test_every_family_states_what_applies_to_it_and_why_the_rest_does_not():
    assert set(CASES) == set(_REGISTER)
    for name, case in CASES.items():
        assert case.states, name
        assert set(case.states) | set(case.not_stated) == set(ALL), name


# The joint density at fixed points.


def joint(story, table):
    """Draws of all that is sampled from its prior, with the joint log density of each draw and the data."""
    data = story.prepare(table)
    core = prune_vars_detached_from_observed(story.build(data))
    values = from_prior(core.free_RVs, POINTS, seed=7)
    given = dict(zip(core.free_RVs, values, strict=True))
    prior = log_density(core.free_RVs, {rv: rv for rv in core.free_RVs}, given)
    seen = log_density(core.observed_RVs, core.rvs_to_values, given)
    total = sum(np.reshape(x, (POINTS, -1)).sum(axis=1) for x in (*prior, *seen))
    return data, {rv.name: x for rv, x in given.items()}, total


@functools.cache
def untransformed(family):
    return joint(*CASES[family].make(1.0))


def power_of(before, after, factor, name):
    """The power of the factor that parameters carry: 0 also where they are logarithms, moved by that of the factor."""
    moved = (after - before) / np.log(factor)
    if np.allclose(moved, np.round(moved.flat[0]), atol=1e-9) and np.round(moved.flat[0]) != 0:
        return 0
    ratio = np.divide(after, before, out=np.ones_like(before), where=before != 0)
    power = np.log(np.abs(ratio)) / np.log(factor)
    assert np.allclose(power, np.round(power.flat[0]), atol=1e-9), name
    return int(np.round(power.flat[0]))


def dimensions(draws):
    """How many of a parameter's numbers are free: one less in each row whose numbers sum to zero."""
    rows = draws[0].size // draws.shape[-1] if draws.ndim > 1 and draws.shape[-1] > 1 else 0
    held = rows > 0 and np.allclose(draws.sum(axis=-1), 0, atol=1e-9 * np.abs(draws).max())
    return draws[0].size - (rows if held else 0)


@pytest.mark.parametrize("factor", [2.0**10, 2.0**20, 1e-3])
@pytest.mark.parametrize("family", having("units"))
def test_density_is_the_same_in_other_units(family, factor):
    """1e-10 of the density's own size; a power of two changes no digit, a thousandth rounds."""
    case = CASES[family]
    data, before, density = untransformed(family)
    _, after, other = joint(*case.make(factor))
    powers = sum(power_of(x, after[name], factor, name) * dimensions(x) for name, x in before.items())
    jacobian = (powers + case.scaled(data)) * np.log(factor)
    np.testing.assert_allclose(other + jacobian, density, rtol=1e-10, atol=1e-10 * np.abs(density).max())


@pytest.mark.parametrize("family", having("columns"))
def test_density_is_the_same_whatever_the_order_of_columns(family):
    story, table = CASES[family].make(1.0)
    _, _, density = untransformed(family)
    np.testing.assert_array_equal(joint(story, table[table.columns[::-1]])[2], density)


@pytest.mark.parametrize("family", having("names"))
def test_density_is_the_same_whatever_things_are_called(family):
    """Every label in capitals behind a letter, which keeps their order; settings that name one follow."""
    story, table = CASES[family].make(1.0)
    _, _, density = untransformed(family)
    renamed = table.assign(**{c: "x " + table[c].astype(str).str.upper() for c in CASES[family].labels})
    follow = {
        name: "x " + getattr(story, name).upper()
        for name in ("reference", "control", "condition")
        if getattr(story, name, None) is not None
    }
    np.testing.assert_array_equal(joint(dataclasses.replace(story, **follow), renamed)[2], density)


# Answers, exactly where they are known.


def medians(story, table):
    summary = bd.summarise_exact(story.exact(story.prepare(table)))
    keys = list(summary.columns[: summary.columns.get_loc("mean")])
    return summary.set_index(keys)[["median", "lower", "upper"]]


@pytest.mark.parametrize("family", having("rows"))
def test_order_of_rows_moves_no_answer(family):
    story, table = CASES[family].make(1.0)
    shuffled = table.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(
        medians(story, shuffled).sort_index(), medians(story, table).sort_index(), rtol=1e-6, atol=1e-9
    )


def mirrored(found, other, names, *, invert=False):
    """That intervals change their sign, or invert, and their ends change places."""
    for name in names:
        one, two = (np.asarray(x.loc[[name]], float) for x in (found, other))
        turned = (1 / two if invert else -two)[:, [0, 2, 1]]
        np.testing.assert_allclose(np.sort(one, axis=0), np.sort(turned, axis=0), rtol=1e-6, atol=1e-8, err_msg=name)


def test_exchanged_arms_turn_a_meta_analysis_round():
    story, table = meta(1.0)
    turned = medians(story, table.assign(effect=-table["effect"]))
    found = medians(story, table)
    mirrored(found, turned, ["mu", "theta", "theta_new"])
    pd.testing.assert_frame_equal(found.loc[["tau"]], turned.loc[["tau"]], rtol=1e-6)


def test_exchanged_arms_and_favours_turn_publication_bias_round():
    story, table = small_studies(1.0)
    other = dataclasses.replace(story, favours="negative")
    mirrored(medians(story, table), medians(other, table.assign(effect=-table["effect"])), ["mu"])


def test_exchanged_arms_turn_counts_round():
    story, table = counts(1.0)
    treated = next(a for a in table["arm"] if a != "placebo")
    other = medians(dataclasses.replace(story, control=treated), table)
    found = medians(story, table)
    mirrored(found, other, ["risk_difference"])
    mirrored(found, other, ["risk_ratio", "odds_ratio"], invert=True)


def test_positives_and_negatives_exchanged_exchange_sensitivity_and_specificity():
    """Those without the condition taken for those with it, and negative tests for positive ones."""
    story, table = screen(1.0)
    turned = table.assign(positives=table["n"] - table["positives"])
    other = medians(dataclasses.replace(story, condition="well"), turned)
    found = medians(story, table)
    for one, two in (("sensitivity", "specificity"), ("specificity", "sensitivity"), ("youden", "youden")):
        np.testing.assert_allclose(found.loc[[one]], other.loc[[two]], rtol=1e-9)
