"""Leave-one-out cross-validation; where importance sampling fails, by sampling again without the unit."""

from dataclasses import replace
from typing import Any

import arviz_stats
import numpy as np
import xarray as xr

from bayesdep.data.errors import CannotCompare
from bayesdep.inference.fit import Fit
from bayesdep.inference.sample import sample_posterior
from bayesdep.inference.steps import Steps
from bayesdep.models.model import LeavesOut, ScoresUnits
from bayesdep.numerics.importance import GOOD_K

_MOST = 12  # units of one fit for which sampling is repeated; more indicate a problem of the model, not of units
_R_HAT = 1.01


def score_left_out_units(fit: Fit) -> Any:
    """Estimate the expected log predictive density of left-out units: by PSIS, and by refits where its Pareto k is bad.

    Parameters
    ----------
    fit
        A fit.

    Returns
    -------
    arviz_stats.ELPDData
        Pointwise. A unit that was left out by sampling again has a Pareto k of zero. Its k stays where that is
        impossible (the model cannot score a unit outside the fit), where too many units would need it, or where the
        refit does not converge.

    Raises
    ------
    CannotCompare
        When the fit is of several versions of the data.
    """
    if fit.tables > 1:
        raise CannotCompare(
            f"this fit is of {fit.tables} versions of the data, and values imputed for them depend on the outcomes "
            "to be left out, or are such outcomes; compare fits to one table each"
        )
    name = str(next(iter(fit.tree["log_likelihood"].data_vars)))
    loo = arviz_stats.loo(_scored(fit.tree), pointwise=True, var_name=name)
    bad = np.asarray(loo.pareto_k.values >= GOOD_K)
    model = fit.model
    can = isinstance(model, ScoresUnits) and model.left_out in fit.data.dims and loo.pareto_k.dims == (model.left_out,)
    if not can or not 0 < bad.sum() <= _MOST:
        return loo
    assert isinstance(model, ScoresUnits)
    one = fit.joint.isel(chain=[0], draw=[0])
    if model.log_likelihood(one, fit.data) is None:  # its scores are elements of the observed variable
        return loo
    wrapper = WithoutOne(fit)
    before = loo.pareto_k.copy(deep=True)
    exact = arviz_stats.reloo(wrapper, loo_orig=loo, var_name=name, k_threshold=GOOD_K, pointwise=True)
    for unit in wrapper.failed:
        exact.pareto_k.values[unit] = before.values[unit]
    return exact


def score_groups(fit: Fit, group: xr.DataArray, labels: np.ndarray) -> Any:
    """Estimate the expected log predictive density of groups of units that are independent given the parameters.

    Parameters
    ----------
    fit
        A fit that scores single units.
    group
        The number of each unit's group, with the unit's dim.
    labels
        Of the groups.

    Returns
    -------
    arviz_stats.ELPDData
        Pointwise, by PSIS alone; groups are in the order of ``labels``.
    """
    scores = next(iter(fit.tree["log_likelihood"].to_dataset().data_vars.values()))
    (unit,) = group.dims
    member = xr.DataArray(np.eye(len(labels))[group.values], {unit: group[unit], "group": labels}, (unit, "group"))
    summed = scores.dot(member, dim=[unit])
    tree = fit.tree.copy()
    tree["log_likelihood"] = xr.DataTree(summed.transpose("chain", "draw", ...).to_dataset(name="by_group"))
    return arviz_stats.loo(_scored(tree), pointwise=True, var_name="by_group")


def _scored(tree: xr.DataTree) -> xr.DataTree:
    """What leave-one-out reads, with the draws at which units were scored: all, or of large data some."""
    scores, posterior = (tree[name].to_dataset() for name in ("log_likelihood", "posterior"))
    if scores.sizes["draw"] == posterior.sizes["draw"]:
        return tree
    return xr.DataTree.from_dict({"posterior": posterior.sel(draw=scores["draw"].values), "log_likelihood": scores})


class WithoutOne(arviz_stats.SamplingWrapper):  # type: ignore[misc]  # arviz is not typed
    """The methods that ``arviz_stats.reloo`` needs: to leave a unit out, sample, and score it.

    The unit is removed from the prepared data, so variables centred at means of the complete table stay unchanged.
    """

    def __init__(self, fit: Fit) -> None:
        super().__init__(fit.model, idata_orig=fit.tree)
        self.fit = fit
        self.failed: list[int] = []
        self.labels = next(iter(fit.tree["log_likelihood"].data_vars.values()))[fit.model.left_out].values

    def sel_observations(self, idx: int) -> tuple[xr.Dataset, int]:
        """Return the data without a unit, and the unit's index."""
        label = self.labels[idx]
        if isinstance(self.fit.model, LeavesOut):
            return self.fit.model.without(self.fit.data, str(label)), int(idx)
        return self.fit.data.drop_sel({self.fit.model.left_out: [label]}), int(idx)

    def sample(self, data: xr.Dataset) -> xr.Dataset:
        """Sample as the fit was sampled in the end, with steps that may become shorter still."""
        manifest = self.fit.manifest
        how = {name: manifest[name] for name in ("draws", "tune", "chains", "seed")}
        steps = replace(Steps.from_dict(manifest), is_chosen=False) if "target_accept" in manifest else None
        return sample_posterior(self.fit.model, data, **how, steps=steps)

    def get_inference_data(self, posterior: xr.Dataset) -> xr.DataTree:
        """Return the draws as the tree that ArviZ expects."""
        return xr.DataTree.from_dict({"posterior": posterior})

    def log_likelihood__i(self, unit: int, tree: xr.DataTree) -> xr.DataArray:
        """Score the unit that was left out."""
        model = self.fit.model
        assert isinstance(model, ScoresUnits)
        asked = {model.left_out: [self.labels[unit]]}
        # the unit may be scored given the other units, with which it can share people
        data = self.fit.data if isinstance(model, LeavesOut) else self.fit.data.sel(asked)
        scored = model.log_likelihood(tree["posterior"].to_dataset(), data)
        assert scored is not None  # checked in leave-one-out of the full fit
        scored = scored.sel(asked)
        if not float(arviz_stats.rhat(scored.to_dataset(name="score"))["score"].max()) <= _R_HAT:
            self.failed.append(unit)
        return scored
