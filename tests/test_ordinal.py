"""Ordinal: its density against maximum likelihood in R, its data, estimands and refusals against the same by hand."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
from scipy import optimize

from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.ordinal.model import Ordinal

REFERENCES = Path(__file__).parent / "references"
LEVELS = ["Low", "Medium", "High"]
# R's coding: every factor against its first level
HOUSING = "C(Infl, 'Low') + C(Type, 'Tower') + C(Cont, 'Low')"


@functools.cache
def reference(model):
    table = pd.read_csv(REFERENCES / "ordinal_ml.csv").set_index(["model", "term"])["estimate"]
    return table.loc[model]


def housing():
    return pd.read_csv(REFERENCES / "housing.csv")


def maximum(model, table, start=None):
    """The point of largest likelihood, from the model's own density and its slope: no prior, nothing compiled."""
    data = model.prepare(table)
    graph = model.build(data)
    values = list(graph.value_vars)
    likelihood = graph.logp(vars=graph.observed_RVs, sum=True)
    f = pytensor.function(values, [likelihood, *pytensor.grad(likelihood, values)], mode=uncompiled())
    initial = graph.initial_point()
    shapes = [np.shape(initial[v.name]) for v in values]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])

    def split(x):
        return [part.reshape(s) for part, s in zip(np.split(x, ends[:-1]), shapes, strict=True)]

    def objective(x):
        found, *slopes = f(*split(x))
        return -float(found), -np.concatenate([np.ravel(s) for s in slopes])

    x = np.concatenate([np.ravel(initial[v.name]) for v in values]) if start is None else start
    best = optimize.minimize(objective, x, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500})
    at = dict(zip([v.name for v in values], split(best.x), strict=True))
    names = [*graph.named_vars]
    wanted = [graph[n] for n in names if n in ("threshold", "covariate_effect", "visit_effect", "patient_sd")]
    back = graph.replace_rvs_by_values(wanted)
    found = pytensor.function(values, back, mode=uncompiled(), on_unused_input="ignore")(*split(best.x))
    return data, dict(zip([v.name for v in wanted], found, strict=True)), -best.fun, at


def at_zero(data, found):
    """Thresholds and coefficients where covariates count from zero in their own units, as R has them."""
    slope = found["covariate_effect"] / data["covariate_sd"].values
    return slope


@pytest.mark.parametrize(
    ("link", "distribution", "model"),
    [
        ("cumulative", "logit", "polr logistic"), ("cumulative", "probit", "polr probit"),
        ("continuation", "logit", "vglm continuation"), ("adjacent", "logit", "vglm adjacent"),
    ],
)  # fmt: skip
def test_the_maximum_of_the_density_is_that_of_maximum_likelihood_in_r(link, distribution, model):
    settings = Ordinal(
        categories=LEVELS, outcome="Sat", count="Freq", covariates=HOUSING, link=link, distribution=distribution
    )
    data, found, *_ = maximum(settings, housing())
    slope = found["covariate_effect"] / data["covariate_sd"].values
    r = reference(model)
    by_name = dict(zip(data["covariate"].values, slope, strict=True))
    for name, value in by_name.items():
        factor, level = name.removeprefix("C(").split(",")[0], name.rsplit("[", 1)[1].removesuffix("]")
        assert value == pytest.approx(r[factor + level], abs=1e-3)
    # thresholds are of people at the covariates' means; VGAM's intercepts are minus thresholds
    means = pd.get_dummies(housing(), dtype=float).mul(1)
    weight = housing()["Freq"]
    shift = sum(
        v * np.average(means[f"{n.removeprefix('C(').split(',')[0]}_{n.rsplit('[', 1)[1][:-1]}"], weights=weight)
        for n, v in by_name.items()
    )
    sign = -1 if model.startswith("vglm") else 1
    terms = ["(Intercept):1", "(Intercept):2"] if sign < 0 else ["Low|Medium", "Medium|High"]
    np.testing.assert_allclose(found["threshold"] + shift, sign * r[terms].to_numpy(), atol=1e-3)
