"""Default priors are multiples of the outcome's scale: its value by hand, and what units do to priors."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import graph_inputs
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame, provenance
from bayesdep.models.model import Check, Forest, estimand
from bayesdep.models.parts.priors import Slot, fill_slots, parse_prior
from bayesdep.models.parts.scale import check_scale, in_outcome_units, priors_of, scale_of, with_one_scale
from bayesdep.numerics.distributions import Prior

MULTIPLES = {
    "Normal": {"mu": -0.3, "sigma": 1.7},
    "StudentT": {"nu": 4, "mu": 0.5, "sigma": 0.8},
    "Cauchy": {"alpha": -1, "beta": 2.5},
    "HalfNormal": {"sigma": 0.5},
    "HalfCauchy": {"beta": 0.5},
    "Exponential": {"lam": 3.0},
    "Gamma": {"alpha": 2, "beta": 0.1},
    "LogNormal": {"mu": -1.2, "sigma": 0.9},
    "LogStudentT": {"nu": 5, "mu": -1.2, "sigma": 0.9},
    "Uniform": {"lower": -2, "upper": 0.5},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneMean:
    """Values scatter around a mean; the mean per person is in the outcome's units over the size's."""

    family: ClassVar[str] = "one-mean"
    primary_estimands: ClassVar[tuple[str, ...]] = ("mean",)
    target_accept: ClassVar[float] = 0.8
    left_out: ClassVar[str] = "person"
    words: ClassVar[str] = "Values scatter around their mean."
    scale: float | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_scale(self.scale)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    @property
    def slots(self):
        width = Prior("Normal", mu=0, sigma=2, times_scale=True)
        return {
            "mu": Slot(width, "real", "the mean", "points"),
            "slope": Slot(width, "real", "the slope", "points per kg", per="size_sd"),
            "sd": Slot(Prior("HalfNormal", sigma=1, times_scale=True), "positive", "the sd", "points"),
            "share": Slot(Prior("Beta", alpha=2, beta=2), "unit", "a share", "share"),
        }

    @property
    def formula(self):
        return [f"{name} ~ {prior}" for name, prior in self.priors.items()]

    @property
    def forest(self):
        return Forest(("mean",), None, None, lambda data: (np.array([np.nan]), np.array([np.nan])))

    def prepare(self, table):
        y = table["y"].to_numpy(float)
        scale = scale_of(y, np.zeros(len(y)), stated=self.scale, where="column 'y'")
        size = table["size"].to_numpy(float)
        return xr.Dataset(
            {"y": ("person", y), "size": ("person", size), "scale": scale, "size_sd": size.std()},
            {"person": np.arange(len(y)).astype(str)},
            provenance(as_frame(table)),
        )

    def build(self, data):
        import pymc as pm

        prior = priors_of(self, data)
        with pm.Model(coords={"person": data["person"].values}) as model:
            mu, slope, sd = (prior[name].rv(name) for name in ("mu", "slope", "sd"))
            share = prior["share"].rv("share")
            size = pm.Data("size", data["size"].values, dims="person")
            pm.Normal("y", mu + slope * size, sd / share, observed=pm.Data("y_data", data["y"].values), dims="person")
        return model

    def estimands(self, posterior, data):
        return xr.Dataset({"mean": estimand(posterior["mu"], "mean", "points")})

    def checks(self, data):
        return [Check("mean", "y", lambda y: y.mean(-1), "points")]


def table(seed=0, n=12):
    import pandas as pd

    rng = np.random.default_rng(seed)
    return pd.DataFrame({"y": rng.normal(50, 8, n), "size": rng.normal(70, 5, n)})


@pytest.mark.parametrize("name", MULTIPLES)
def test_a_prior_in_units_is_that_of_the_variable_times_the_scale(name):
    prior = Prior(name, times_scale=True, **MULTIPLES[name])
    grid = prior.scipy.ppf(np.linspace(0.02, 0.98, 25))
    for scale in (2.0**10, 0.013):
        there = prior.in_units(scale)
        assert not there.times_scale
        np.testing.assert_allclose(there.scipy.cdf(scale * grid), prior.scipy.cdf(grid), rtol=0, atol=1e-12)
        np.testing.assert_allclose(there.scipy.logpdf(scale * grid) + math.log(scale), prior.scipy.logpdf(grid))
        assert there.in_units(17.0) is there  # what is in units stays there


def test_a_share_has_no_scale():
    with pytest.raises(
        BadInput, match="Beta prior: times_scale = True, but its values have no unit; leave times_scale"
    ):
        Prior("Beta", alpha=1, beta=1, times_scale=True)
    with pytest.raises(BadInput, match="times_scale = 1, but true or false is needed"):
        Prior("Normal", mu=0, sigma=1, times_scale=1)
    with pytest.raises(BadInput, match=r"priors\.share is times_scale, but a share is in share, which no scale"):
        OneMean(priors={"share": Prior("Uniform", lower=0, upper=1, times_scale=True)})


def test_the_flag_survives_a_plans_form_and_is_not_there_unless_set():
    prior = Prior("StudentT", nu=4, mu=0, sigma=0.7, times_scale=True)
    assert prior.to_dict() == {"dist": "StudentT", "nu": 4, "mu": 0, "sigma": 0.7, "times_scale": True}
    assert parse_prior("mu", prior.to_dict()) == prior
    assert parse_prior("mu", {"dist": "StudentT", "nu": 4, "mu": 0, "sigma": 0.7}) != prior
    assert "times_scale" not in Prior("Normal", mu=0, sigma=1).to_dict()
    assert repr(prior) == "StudentT(nu=4, mu=0, sigma=0.7) times scale"


def test_the_scale_is_the_pooled_sd_within_groups_by_hand():
    y = np.array([1.0, 3.0, 5.0, np.nan, 10.0, 14.0, 100.0])
    group = np.array([0, 0, 0, 0, 1, 1, 2])  # the last is alone in a group and says nothing
    by_hand = math.sqrt((4 + 0 + 4 + 4 + 4 + 0) / (6 - 3))
    assert scale_of(y, group, stated=None, where="y") == pytest.approx(by_hand, rel=1e-15)
    moved = y + np.array([7, 7, 7, 7, -900, -900, 3])  # what sets groups apart says nothing of the scale
    assert scale_of(moved, group, stated=None, where="y") == pytest.approx(by_hand, rel=1e-12)
    assert scale_of(y * 2**20, group, stated=None, where="y") == scale_of(y, group, stated=None, where="y") * 2**20
    assert scale_of(y, group, stated=7, where="y") == 7.0


def test_no_spread_is_refused_with_a_remedy_that_works():
    y, group = np.array([0.1 + 0.2, 0.3, 0.3, 0.6, 0.6]), np.array([0, 0, 0, 1, 1])
    with pytest.raises(BadInput, match=r"column 'y' is the same in everybody of a group.*scale = NUMBER"):
        scale_of(y, group, stated=None, where="column 'y'")
    assert scale_of(y, group, stated=2.0, where="column 'y'") == 2.0
    with pytest.raises(BadInput, match=r"column 'y': no group has two people there.*scale = NUMBER"):
        scale_of(np.array([1.0, 2.0]), np.array([0, 1]), stated=None, where="column 'y'")


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(BadInput, match=r"scale = .*, but a number above zero is needed"):
        OneMean(scale=scale)


def test_the_graph_gets_numbers_in_the_outcomes_units_as_shared_values():
    model = OneMean(priors={"mu": Prior("Normal", mu=1, sigma=3)})
    data = model.prepare(table())
    scale, size_sd = float(data["scale"]), float(data["size_sd"])
    assert scale == pytest.approx(np.std(data["y"].values, ddof=1))
    graph = model.build(data)
    inputs = [v for rv in graph.free_RVs for v in graph_inputs([rv]) if isinstance(v, SharedVariable)]
    numbers = {v.name: float(v.get_value()) for v in inputs if v.name and "." in v.name}
    assert (numbers["mu.mu"], numbers["mu.sigma"]) == (1, 3)  # the user's, in the outcome's units
    assert numbers["slope.sigma"] == pytest.approx(2 * scale / size_sd, rel=1e-14)
    assert numbers["sd.sigma"] == pytest.approx(scale, rel=1e-14)
    with pytest.raises(ValueError, match=r"a model builds from priors_of"):
        model.priors["sd"].rv("sd")


def test_what_people_read_is_in_the_outcomes_units():
    model = OneMean(scale=8)
    data = model.prepare(table())
    told = in_outcome_units(model, data)
    assert told.formula[0] == "mu ~ Normal(mu=0, sigma=16)"
    assert model.formula[0] == "mu ~ Normal(mu=0, sigma=2) times scale"
    assert told.priors["share"] == model.priors["share"]
    given = OneMean(priors={n: Prior("HalfNormal", sigma=1) for n in ("mu", "slope", "sd")})
    assert in_outcome_units(given, data) is given


def test_versions_of_a_table_have_one_scale_whatever_their_order():
    model = OneMean()
    one, other = (model.prepare(table(seed)) for seed in (1, 2))
    expected = math.sqrt(float(one["scale"]) * float(other["scale"]))
    for versions in ([one, other], [other, one]):
        joined = with_one_scale(model, versions)
        assert [float(x["scale"]) for x in joined] == pytest.approx([expected] * 2, rel=1e-14)
        assert float(joined[0]["size_sd"]) == float(joined[1]["size_sd"])
        assert joined[0]["y"].equals(versions[0]["y"])
    assert with_one_scale(model, [one])[0].identical(one)


@pytest.mark.sampling
def test_prior_draws_the_report_and_several_versions_keep_to_the_scale(tmp_path):
    model = OneMean(scale=1000)
    fit = bd.fit(model, [table(1), table(2)], draws=100, tune=200, chains=2, seed=1)
    assert float(fit.data["scale"]) == 1000
    drawn = fit.tree["prior"]["mu"].values.ravel()
    assert stats.kstest(drawn, stats.norm(0, 2000).cdf).pvalue > 0.001
    text = bd.report(fit, tmp_path / "report.html", figures={}).read_text(encoding="utf-8")
    assert "mu ~ Normal(mu=0, sigma=2000)" in text
    assert "Normal(mu=0, sigma=2000) (Normal(mu=0, sigma=2) times scale, and scale is 1000)" in text
    assert '<td class=" ">-3919.9 to 3919.9</td><td class=" ">points</td>' in text
