"""Simulation-based calibration of the panel: at the published design, and with repeated times in small.

Truths from the priors, uncensored logs from the story, the design's limits put on them, and the truths' ranks among
posterior draws. What the limits do to conclusions, method by method, is measured in benchmarks/evidence.py.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesdep as bd
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.cytokines import Cytokines
from bayesdep.models.parts.panel.cells import Cells

pytestmark = pytest.mark.slow


def panel_at_the_published_design():
    table = bd.simulate("kiraly2017", seed=11).table.query("time == 0")
    story = Cytokines(
        analyte="analyte", subject="subject", group="group", reference="HC", plate="plate", censored="censored",
        lod="lod", uloq="uloq",
    )  # fmt: skip
    return story, story.prepare(table), 200


def small_panel_with_times():
    """Four analytes, 24 people of two groups, three times: cells with two or three non-detects have latent effects."""
    rng = np.random.default_rng(12)
    rows = [
        {"subject": f"s{i}", "group": "ab"[i % 2], "time": t, "analyte": f"x{a}", "concentration": rng.lognormal()}
        for i in range(24)
        for t in (0, 4, 24)
        for a in range(4)
    ]
    table = pd.DataFrame(rows).assign(lod=[0.3, 0.6, 1.0, 1.6] * 72, uloq=8.0)
    story = Cytokines(
        analyte="analyte", subject="subject", group="group", reference="a", time="time", group_by_time=True, lod="lod",
        uloq="uloq", beyond_limit="censor",
    )  # fmt: skip
    return story, story.prepare(table), 120


def few_compilations(data, logs, fits):
    """Choose data sets with a few numbers of latent cells, from mostly detected to hardly: each is a compilation.

    What is chosen by the data alone stays calibrated: the truths' ranks are uniform given any data.
    """
    beyond = (logs < data["lod"].values) | (logs > data["uloq"].values)
    cells = Cells.read(data, integrate=True).of
    latent = (np.apply_along_axis(lambda b: np.bincount(cells, b), 1, beyond) > 1).sum(axis=1)
    bands = np.array_split(np.arange(25, latent.max() + 1), 6)
    common = [band[np.bincount(latent, minlength=latent.max() + 1)[band].argmax()] for band in bands]
    return np.concatenate([np.flatnonzero(latent == number)[: fits // 6] for number in common])


def censor(data, logs):
    """Put the limits of a panel on uncensored logs, in the order that a panel has."""
    kind = np.where(logs < data["lod"].values, 1, np.where(logs > data["uloq"].values, 2, 0))
    lower = np.where(kind == 1, -np.inf, np.where(kind == 2, data["uloq"].values, logs))
    upper = np.where(kind == 2, np.inf, np.where(kind == 1, data["lod"].values, logs))
    ends = {name: ("measurement", values) for name, values in (("lower", lower), ("upper", upper), ("kind", kind))}
    return data.assign(ends).isel(measurement=np.argsort(kind > 0, kind="stable"))


def calibrate(design, seed):
    story, data, fits = design()
    repeated = story.time is not None  # then there are latent cells, and many data sets to choose from
    prior = story.build(data)
    names = [name for name in story.slots if name in prior.named_vars]
    effects = [
        name for name in ("group_effect", "time_effect", "interaction", "residual_sd") if name in prior.named_vars
    ]
    wanted = [*names, *effects, "log_concentration"]
    sets = 50 * fits if repeated else fits
    drawn = dict(zip(wanted, from_prior([prior[n] for n in wanted], sets, seed=seed), strict=True))
    rng = np.random.default_rng(seed)
    places, hits = {}, {}
    for i in few_compilations(data, drawn["log_concentration"], fits) if repeated else range(fits):
        simulated = censor(data, drawn["log_concentration"][i])
        posterior = sample_posterior(story, simulated, draws=500, tune=500, chains=2, seed=i)
        for name in [*names, *effects]:
            truths = np.ravel(drawn[name][i])
            chains = posterior[name].values.reshape(1000, -1)
            for j in {0, len(truths) // 2, len(truths) - 1}:
                label = name if len(truths) == 1 else f"{name}[{j}]"
                thinned = chains[::10, j]
                places.setdefault(label, []).append(((thinned < truths[j]).sum() + rng.uniform()) / (len(thinned) + 1))
                lower, upper = np.quantile(chains[:, j], [0.025, 0.975])
                hits.setdefault(label, []).append(lower < truths[j] < upper)
    return places, hits


@pytest.mark.parametrize("design", [panel_at_the_published_design, small_panel_with_times])
def test_ranks_are_uniform_and_intervals_cover(design):
    places, hits = calibrate(design, seed=301)
    print()
    for name, values in places.items():
        p, share = stats.kstest(values, "uniform").pvalue, np.mean(hits[name])
        print(f"{name:24s} KS p {p:.3f}  coverage {share:.3f}")
    worst = min(stats.kstest(v, "uniform").pvalue for v in places.values())
    assert worst > 1e-3 / len(places) * 5, worst  # a few dozen names: Bonferroni at 0.5%
    for name, values in hits.items():  # exactly binomial: with 40 fits a normal one would be far off
        p = stats.binomtest(int(np.sum(values)), len(values), 0.95).pvalue
        assert p > 5e-3 / len(hits), (name, np.mean(values), p)
