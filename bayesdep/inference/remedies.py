"""Remedies for a fit that failed its convergence check, where one is known."""

import dataclasses
import math

import xarray as xr

from bayesdep.inference.diagnostics import ESS, MAX_TREE_DEPTH_REACHED, Gate
from bayesdep.inference.steps import TARGET_ACCEPTS, Steps
from bayesdep.models.model import KnowsPosterior, KnowsRemedies, Model

_MARGIN = 1.25  # ratio of the draws advised to those that would just suffice
_TREE_DEPTH = 12  # that is advised
_MOST = 10  # where more than this many times the draws would be needed, more draws are not advised


def add_remedy(gate: Gate, model: Model, data: xr.Dataset, draws: int, steps: Steps | None) -> Gate:
    """Add to a failed verdict the settings that would help.

    Parameters
    ----------
    gate
        The verdict.
    model
        The model.
    data
        Its prepared data.
    draws
        How many draws each chain had.
    steps
        The settings of NUTS; None where it was not used.

    Returns
    -------
    Gate
        The same, with its remedy.
    """
    if gate.passed or steps is None:
        return gate
    failed = {c.name: c.value for c in gate.criteria if not c.passed}
    if isinstance(model, KnowsPosterior) and model.exact(data) is not None:
        return dataclasses.replace(gate, remedy="the exact posterior, sampler = 'exact'")
    of_model = model.remedies(data, gate.units) if isinstance(model, KnowsRemedies) else ""
    remedies = [of_model] if of_model else []
    larger = [accept for accept in TARGET_ACCEPTS if accept > steps.target_accept]
    if ("divergences" in failed or "E-BFMI" in failed) and larger:
        remedies.append(f"shorter steps, target_accept = {larger[0]}")
    if MAX_TREE_DEPTH_REACHED in failed and steps.max_tree_depth < _TREE_DEPTH:
        remedies.append(f"longer trajectories, max_tree_depth = {_TREE_DEPTH}")
    short = [value for name, value in failed.items() if name.startswith("ESS")]
    if short and not remedies and 0 < ESS / max(min(short), 1e-9) < _MOST:
        enough = math.ceil(_MARGIN * draws * ESS / min(short) / 100) * 100
        remedies.append(f"more draws, draws = {enough}")
    elif not remedies and "R-hat" in failed:
        remedies.append("longer chains, tune = 2000 and draws = 2000, or else a simpler model")
    return dataclasses.replace(gate, remedy="; ".join(remedies))
