"""The table of ArviZ's plots says which works for which model, and each is called."""

import re
import warnings
from functools import cache
from pathlib import Path

import arviz as az
import numpy as np
import pytest
import xarray as xr
from unsampled import made

import bayesdep as bd
from bayesdep.data.errors import BadInput

PAGE = (Path(__file__).parents[1] / "docs" / "howto" / "arviz.md").read_text(encoding="utf-8")
ROWS = [re.findall(r"`(plot_\w+)`", line.split("|")[1]) for line in PAGE.splitlines() if line.startswith("| `plot_")]
OF_PARAMETERS, SENSITIVITY, (ENERGY,), (KHAT,), OF_PREDICTIONS, (LOO_INTERVAL,), PAVA, (ROOTOGRAM,), _, _ = ROWS
FAMILIES = {
    "Trial": "trial", "Crossover": "crossover", "Cytokines": "cytokines", "PatientMeta": "patient-meta",
    "Response": "response", "Correlation": "correlation", "Ordinal": "ordinal", "Counts": "counts", "Screen": "screen",
    "Trajectories": "trajectories", "Transitions": "transitions", "Items": "items", "Meta": "meta",
    "SmallStudies": "small-studies", "Stepwise": "stepwise",
}  # fmt: skip
EXACT = ("Counts", "Screen", "Meta", "SmallStudies", "Stepwise")
OTHERS = {
    "Meta of counts": "meta-counts",
    "Responses over time": "responses",
}  # further settings of models that are named
IN_ORDER = ("Ordinal", "Transitions", "Items")  # whose observations are ordered categories
WITHOUT = {"Meta of clusters": "meta-clusters"}


@cache
def fit_of(model):
    # the prior of a panel is wide: between its draws ratios of densities overflow
    return made({**FAMILIES, **OTHERS, **WITHOUT}[model], **({"shrink": 0.1} if model == "Cytokines" else {}))


@pytest.fixture(autouse=True)
def quiet():
    """Parameters of these fits are draws from the prior: Pareto's k are high, and some statistics are not defined."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layouts and fonts, which are ArviZ's
        yield
    plt.close("all")


def draw(plot, tree, **how):
    assert getattr(az, plot)(tree, **how) is not None


def test_the_page_names_the_models_that_have_observations_and_no_others():
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{OF_PREDICTIONS[0]}`")]
    assert re.findall(r"`([A-Z]\w+)`", row) == list(FAMILIES)
    named = set(re.findall(r"`(plot_\w+)`", PAGE))
    assert named <= set(dir(az))


@pytest.mark.parametrize("model", ["Trial", "Cytokines", "Response", "PatientMeta"])
def test_the_plots_that_raised_are_drawn_with_no_more_than_the_tree(model):
    tree = fit_of(model).arviz
    for plot in ("plot_loo_pit", "plot_ppc_pit"):
        draw(plot, tree)


@pytest.mark.parametrize("model", [*FAMILIES, *OTHERS])
def test_groups_of_observations_agree_with_one_another(model):
    tree = fit_of(model).arviz
    observed, replicated, scores = (
        tree[name].to_dataset() for name in ("observed_data", "posterior_predictive", "log_likelihood")
    )
    assert set(observed.data_vars) == set(replicated.data_vars) <= set(scores.data_vars)
    for name, values in observed.items():
        assert replicated[name].dims == scores[name].dims == ("chain", "draw", *values.dims)
        assert replicated[name].dtype == values.dtype
        for other in (replicated[name], scores[name]):
            xr.testing.assert_equal(other[values.dims[0]], values[values.dims[0]])
        assert np.isfinite(values).all()
    assert set(scores["draw"].values) <= set(tree["posterior"]["draw"].values)


@pytest.mark.parametrize("model", list(WITHOUT))
def test_models_without_them_say_so(model):
    with pytest.raises(BadInput, match=r"no predictions of their own under this Meta; use bd\.check_predictions"):
        _ = fit_of(model).arviz
    assert len(bd.check_predictions(fit_of(model)))


def test_values_beyond_limits_are_drawn_within_them_and_others_stay():
    fit = fit_of("Cytokines")
    seen = fit.arviz["observed_data"]["log_concentration"].values
    lower, upper = fit.data["lower"].values, fit.data["upper"].values
    hidden = lower < upper
    assert hidden.any()
    assert ((lower <= seen) & (seen <= upper)).all()
    np.testing.assert_array_equal(seen[~hidden], lower[~hidden])
    assert len(np.unique(seen[hidden])) == hidden.sum()


@pytest.mark.sampling
@pytest.mark.parametrize("model", [*FAMILIES, *OTHERS])
def test_every_plot_that_the_page_names_is_drawn(model):
    fit = fit_of(model)
    names = sorted(map(str, fit.posterior.data_vars), key=lambda name: fit.posterior[name].size)[:2]
    for plot in OF_PARAMETERS:
        draw(plot, fit.tree, var_names=names)
    for plot in SENSITIVITY if model not in ("Counts", "Stepwise") else ():
        draw(plot, fit.tree, var_names=names)
    if model not in EXACT:
        draw(ENERGY, fit.tree)
    draw(KHAT, az.loo(fit.tree, pointwise=True))
    for variable in fit.arviz["observed_data"].data_vars:
        for plot in OF_PREDICTIONS:
            draw(plot, fit.arviz, var_names=variable)
    if model not in ("Response", "Correlation"):
        draw(LOO_INTERVAL, fit.arviz)
    if model in ("Response", "Counts", "Screen", *IN_ORDER, "Responses over time"):
        (variable,) = [n for n in fit.arviz["observed_data"].data_vars if n != "log_concentration"]
        for plot in PAVA:
            draw(plot, fit.arviz, var_names=variable, data_type="ordinal" if model in IN_ORDER else "binary")
    if model in (*IN_ORDER, "Meta of counts"):
        draw(ROOTOGRAM, fit.arviz)
