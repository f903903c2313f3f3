"""Calibration: stores that survive, ranks that are right, and what is wrong is seen."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdep as bd
from bayesdep.criticism import simulated_fits
from bayesdep.criticism.calibration import summarised
from bayesdep.criticism.simulated_fits import RANKS, Quantity
from bayesdep.inference.many_fits import FinishedFits, numbered_fits

PLANS = Path(__file__).parents[1] / "models"
QUICK = {"draws": 100, "tune": 100, "chains": 4, "workers": 1}


def schools():
    return bd.Meta(measure="difference", units="points", scale=100, study="school"), bd.load("eight_schools_rubin1981")


def same(one, other):
    """The same results to the last bit; how long they took is another matter."""
    pd.testing.assert_frame_equal(one.values, other.values, check_exact=True)
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    own = ["fit", "passed", "gate"]
    pd.testing.assert_frame_equal(one.fits[own], other.fits[own], check_exact=True)


def squares(number: int) -> dict[str, np.ndarray]:
    return {"square": np.array(number**2)}


# The store.


def test_finished_fits_are_not_made_again(tmp_path):
    store = FinishedFits(tmp_path)
    made = []

    def fit_one(number):
        made.append(number)
        return squares(number)

    numbered_fits(fit_one, 3, store=store, workers=1)
    found = numbered_fits(fit_one, 5, store=store, workers=1)
    assert made == [0, 1, 2, 3, 4]
    assert [int(x["square"]) for x in found] == [0, 1, 4, 9, 16]


def test_a_damaged_fit_is_made_again(tmp_path):
    store = FinishedFits(tmp_path)
    numbered_fits(squares, 3, store=store, workers=1)
    file = tmp_path / "fit-000001.npz"
    file.write_bytes(file.read_bytes()[:-30])
    found = numbered_fits(squares, 3, store=store, workers=1)
    assert [int(x["square"]) for x in found] == [0, 1, 4]
    assert store.read(1) == {"square": np.array(1)}


def test_fits_end_in_any_order_and_come_back_in_their_own(tmp_path):
    found = numbered_fits(squares, 20, store=FinishedFits(tmp_path), workers=2)
    assert [int(x["square"]) for x in found] == [k**2 for k in range(20)]
    assert len(list(tmp_path.glob("fit-*.npz"))) == 20


def test_a_stopped_calibration_goes_on_bit_for_bit(tmp_path):
    model, data = schools()
    whole = bd.calibrate(model, data, fits=6, **QUICK)
    said: list[str] = []
    bd.calibrate(model, data, fits=2, store=tmp_path, **QUICK)
    again = bd.calibrate(model, data, fits=6, store=tmp_path, say=said.append, **QUICK)
    assert "continues with 2 finished fits" in said[0]
    same(whole, again)


@pytest.mark.parametrize(("change", "named"), [({"seed": 2}, "seed"), ({"draws": 120}, "sampling")])
def test_a_change_starts_anew_and_says_so(tmp_path, change, named):
    model, data = schools()
    said: list[str] = []
    bd.calibrate(model, data, fits=2, store=tmp_path, **QUICK)
    bd.calibrate(model, data, fits=2, store=tmp_path, say=said.append, **QUICK | change)
    assert said[0].startswith("starts anew, since other fits in")
    assert named in said[0]
    assert len(list(tmp_path.iterdir())) == 2


def test_another_version_starts_anew(tmp_path, monkeypatch):
    model, data = schools()
    bd.calibrate(model, data, fits=2, store=tmp_path, **QUICK)
    (first,) = tmp_path.glob("*/about.json")
    about = json.loads(first.read_text())
    first.write_text(json.dumps(about | {"versions": about["versions"] | {"pymc": "0.0"}}))
    first.parent.rename(tmp_path / "0123456789abcdef")  # as a store of that version is called
    said: list[str] = []
    bd.calibrate(model, data, fits=2, store=tmp_path, say=said.append, **QUICK)
    assert "another versions" in said[0]


# Ranks and what follows from them.


def ranked(draws, truth, rng):
    return simulated_fits._ranked(Quantity("x", "estimand", truth, draws), rng)


def test_ranks_among_independent_draws_are_uniform():
    rng = np.random.default_rng(3)
    places = [ranked(rng.normal(size=(4, 100)), rng.normal(), rng)[2] for _ in range(400)]
    from scipy import stats

    assert stats.kstest(places, "uniform").pvalue > 1e-3


def test_ranks_of_correlated_draws_use_as_many_as_are_independent():
    """An AR(1) chain with correlation 0.98 of 4,000 draws is worth about 40."""
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(4, 1000)) * np.sqrt(1 - 0.98**2)
    chain = np.zeros((4, 1000))
    for k in range(1, 1000):
        chain[:, k] = 0.98 * chain[:, k - 1] + noise[:, k]
    rank, among, place, ess = ranked(chain, 0.1, rng)
    assert among == int(ess) < RANKS
    assert rank / (among + 1) <= place <= (rank + 1) / (among + 1)


def test_equal_draws_are_ranked_at_random():
    rng = np.random.default_rng(5)
    draws = rng.integers(0, 2, (4, 100)).astype(float)  # about half of them equal to the truth
    found = {ranked(draws, 1.0, rng)[0] for _ in range(300)}
    assert min(found) >= 30
    assert len(found) > 30


def judged(truths, lower, upper, passed=None, null=0.0):
    """Results of fits of one quantity, as they are kept."""
    made = []
    for k, (truth, low, high) in enumerate(zip(truths, lower, upper, strict=True)):
        mean = (low + high) / 2
        made.append(
            {
                "quantity": np.array(["x"]), "kind": np.array(["estimand"]), "units": np.array([""]),
                "truth": np.array([truth]), "null": np.array([null]), "is_discrete": np.array([False]),
                "rank": np.array([50]), "ranked_among": np.array([100]), "place": np.array([(k + 0.5) / len(truths)]),
                "ess": np.array([400.0]), "mean": np.array([mean]), "sd": np.array([(high - low) / 4]),
                "lower": np.array([low]), "upper": np.array([high]), "lower_half": np.array([mean - 0.1]),
                "upper_half": np.array([mean + 0.1]), "passed": np.array(True if passed is None else passed[k]),
                "gate": np.array(""), "seconds": np.array(1.0), "compilations": np.array(0), "compiling": np.array(0.0),
            }
        )  # fmt: skip
    about = {"model": "none", "sampling": {}, "versions": {}}
    return summarised(made, "prior", about, None)


def test_coverage_signs_and_width_are_counted():
    found = judged([1, 1, 1, -1], [0.5, 2, -1, 0.2], [1.5, 3, 1, 2.2], passed=[True, False, True, True])
    (row,) = found.table.itertuples()
    assert row.coverage == 0.5
    assert row.coverage_passed == pytest.approx(2 / 3)
    assert row.excludes_null == 0.75
    assert row.wrong_sign == 1  # of the last, whose interval lies above zero
    assert row.width == 1.5
    assert found.failed == 1
    assert not found.passed


def test_around_a_stated_truth_nothing_is_said_to_be_calibrated():
    """Intervals that miss their truth in all fits but one: that is described, and no verdict is given on it."""
    inside = judged([1, 2, 3], [0.5, 5, 5], [1.5, 6, 6])
    assert inside.verdict.startswith("Calibrated")
    found = dataclasses.replace(inside, around="design")
    assert found.passed
    assert "alibrated" not in found.verdict
    assert "described, not judged" in found.verdict
    assert any("33.3%" in sentence for sentence in found.sentences)


def test_few_draws_are_fewer_than_a_hundred_in_every_fit():
    found = judged([1, 2], [0.5, 1], [1.5, 3])
    few = dataclasses.replace(found, values=found.values.assign(ranked_among=40))
    assert found.table["few_draws"].item() == 0
    assert few.table["few_draws"].item() == 2
    assert any("fewer than 100 independent draws" in sentence for sentence in few.sentences)


def test_a_spread_is_not_said_to_exclude_zero():
    (row,) = judged([1, 2], [0.5, 1], [1.5, 3]).table.itertuples()
    assert np.isnan(row.excludes_null)


# Models that are wrong, and one that is right: exact posteriors, so that hundreds of fits take seconds.


class TwiceTheVariance(bd.Meta):
    """A meta-analysis whose data have twice the variance that it assumes."""

    def replicate(self, data, drawn, rng):
        made = super().replicate(data, drawn, rng)
        mean = float(drawn["mu"])
        return made.assign(effect=mean + np.sqrt(2) * (made["effect"] - mean))


class OtherPrior(bd.Meta):
    """A meta-analysis whose parameters come from another prior than its posterior has."""

    def build(self, data):
        swapped = {"mu": bd.Prior("Normal", mu=0, sigma=100), "tau": bd.Prior("HalfNormal", sigma=2)}
        return bd.Meta(measure="difference", units="points", scale=100, study="school", priors=swapped).build(data)


MANY = {"fits": 100, "draws": 125, "chains": 4, "tune": 0, "workers": 1}


@pytest.mark.sampling
def test_right_models_are_calibrated():
    """50 fits each of the models whose posteriors are exact; the level is that of all quantities together."""
    model, data = schools()
    found = bd.calibrate(model, data, **MANY)
    assert found.passed, found
    assert {"mu", "tau", "theta_new", "log likelihood"} <= set(found.table["quantity"])
    for plan in ("kiraly2017/fgf2_screen.toml", "raison2013/responders_unpooled.toml"):
        found = bd.calibrate(PLANS / plan, **MANY | {"fits": 50})
        assert found.passed, found


@pytest.mark.sampling
@pytest.mark.parametrize("wrong", [TwiceTheVariance, OtherPrior])
def test_wrong_models_are_caught(wrong):
    model, data = schools()
    settings = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init and f.name != "priors"}
    found = bd.calibrate(wrong(**settings), data, **MANY)
    assert not found.passed
    assert found.table["far_outside"].any()


class LimitMisread(bd.Correlation):
    """A marker whose limit of detection is read as twice what it is."""

    def replicate(self, data, drawn, rng):
        made = super().replicate(data, drawn, rng)
        hidden = np.isinf(made["log_lower"])
        return made.assign(log_upper=xr.where(hidden, made["log_upper"] + np.log(2), made["log_upper"]))


@pytest.mark.slow
def test_a_limit_misread_is_caught():
    """A third of the values lie below their limit; the right model beside it is not caught."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"subject": [f"s{i}" for i in range(60)], "il6": np.exp(rng.normal(0, 1, 60)), "lod": 0.7,
                          "score": rng.normal(20, 5, 60)})  # fmt: skip
    table["censored"] = np.where(table["il6"] < 0.7, "left", "")
    table["il6"] = table["il6"].clip(lower=0.7)
    about = {"score": "score", "value": "il6", "lod": "lod", "censored": "censored"}
    priors = {"marker_mean": bd.Prior("Normal", mu=0, sigma=0.25),
              "marker_sd": bd.Prior("LogNormal", mu=0.0, sigma=0.15)}  # fmt: skip
    how = {"fits": 100, "draws": 500, "tune": 500, "chains": 4, "workers": 1}
    wrong = bd.calibrate(LimitMisread(priors=priors, **about), table, **how)
    assert wrong.table["far_outside"].any()
    right = bd.calibrate(bd.Correlation(priors=priors, **about), table, **how)
    assert not right.table["far_outside"].any(), right


@pytest.mark.sampling
def test_calibration_around_data_and_at_a_stated_truth():
    model, data = schools()
    found = bd.calibrate(model, data, around="data", **MANY | {"fits": 20, "draws": 300, "tune": 300})
    assert not found.table["far_outside"].any(), found
    assert int(found.fits["compilations"].sum()) == 1  # the other nineteen fits use the same density
    model = bd.read_plan(PLANS / "ketamine_trials" / "madrs_rapid.toml").model
    found = bd.calibrate(model, trials(1).table, around="design", simulate=trials, **MANY | {"fits": 40})
    assert found.table.set_index("quantity").loc["mu", "coverage"] >= 0.85  # 0.95 less three standard errors
    assert found.table["p_uniform"].isna().all()


def trials(seed: int):
    return bd.simulate("ketamine_trials", seed=seed)


# What is refused.


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"fits": 1}, "fits = 1, but a whole number of at least 2"),
        ({"fits": 5, "around": "posterior"}, "around = 'posterior' is not a choice"),
        ({"fits": 5, "around": "design"}, "around = 'design' needs a simulator"),
        ({"fits": 5, "workers": 0}, "workers = 0"),
    ],
)
def test_impossible_requests_are_refused(how, said):
    model, data = schools()
    with pytest.raises(bd.BadInput, match=said):
        bd.calibrate(model, data, **how)


def test_the_command_writes_its_report(command, tmp_path):
    plan = PLANS / "ketamine_trials" / "madrs_rapid.toml"
    code, out, err = command("calibrate", plan, "--fits", 10, "--draws", 100, "--workers", 1, "--out", tmp_path / "c")
    assert code in (0, 1), err
    assert "Ranks of" in out
    page = (tmp_path / "c" / "report.html").read_text()
    assert "SYNTHETIC DATA" in page
    assert "theta[Murrough 2013]" in page
    said = f"bayesdep calibrate {plan.as_posix()} --fits 10 --around prior --seed 1 --elements 5 --draws 100 --out"
    assert f"{said} {(tmp_path / 'c').as_posix()}" in page
    assert len(list((tmp_path / "c-fits").glob("*/fit-*.npz"))) == 10
    assert {p.name for p in (tmp_path / "c").iterdir()} >= {"quantities.csv", "fits.csv", "values.csv", "ranks.png"}
