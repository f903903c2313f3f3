"""What the tests of several rooms share, none itself a test: trials to read, and parameters at points of a model."""

import numpy as np
import xarray as xr

import bayesdep as bd
from bayesdep.inference.computation import Computation
from bayesdep.inference.evaluate import at_draws
from bayesdep.inference.native import to_constrained

BCG = {
    "study": "trial",
    "events_treated": "tb_vaccinated",
    "n_treated": "n_vaccinated",
    "events_control": "tb_control",
    "n_control": "n_control",
}


def bcg_log_risk_ratios():
    """BCG's log risk ratios and standard errors, by hand."""
    table = bd.load("bcg_colditz1994")
    a, n1, c, n0 = (table[v].to_numpy(float) for v in ("tb_vaccinated", "n_vaccinated", "tb_control", "n_control"))
    return np.log(a / n1) - np.log(c / n0), np.sqrt(1 / a - 1 / n1 + 1 / c - 1 / n0)


def eight_schools():
    """The schools' effects and standard errors."""
    table = bd.load("eight_schools_rubin1981")
    return table["effect"].to_numpy(float), table["se"].to_numpy(float)


def same_computation(one, other):
    """Whether one compiled sampler serves both models."""
    return Computation.of(one).same_as(Computation.of(other))


def as_posterior(model, values):
    """Named values with a leading axis of draws as the posterior of one chain, with the model's dims and coords."""
    dims = model.named_vars_to_dims
    posterior = xr.Dataset({k: (("chain", "draw", *dims.get(k, ())), v[None]) for k, v in values.items()})
    coords = {d: list(model.coords[d]) for ds in dims.values() for d in ds if d in posterior.dims}
    return posterior.assign_coords(coords)


def posterior_at(model, points):
    """Every parameter, on its own scale, at unconstrained points of the model."""
    raw = {rv.name: np.stack([p[model.rvs_to_values[rv].name] for p in points]) for rv in model.free_RVs}
    values = to_constrained(model, raw)
    found = at_draws(model.deterministics, {model[k]: v for k, v in values.items()}) if model.deterministics else []
    return as_posterior(model, values | {v.name: x for v, x in zip(model.deterministics, found, strict=True)})
