"""What helps where a fit failed its gate, as far as it is known."""

import dataclasses
import math

import xarray as xr

from bayesdep.inference.diagnostics import ESS, Gate
from bayesdep.inference.steps import Steps
from bayesdep.models.model import KnowsPosterior, KnowsRemedies, Model

_MARGIN = 1.25  # draws asked for, over those that would have been enough
_SHORTER_STEPS, _LONGER = (0.97, 0.99), 12
_MOST = 10  # times as many draws, beyond which more draws are no remedy


def advised(gate: Gate, model: Model, data: xr.Dataset, draws: int, steps: Steps | None) -> Gate:
    """Add to a failed verdict what would help.

    Parameters
    ----------
    gate
        The verdict.
    model
        The model.
    data
        Its prepared data.
    draws
        How many a chain had.
    steps
        How the sampler walked; None where none did.

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
    own = model.remedies(data, gate.units) if isinstance(model, KnowsRemedies) else ""
    found = [own] if own else []
    shorter = [accept for accept in _SHORTER_STEPS if accept > steps.target_accept]
    if ("divergences" in failed or "E-BFMI" in failed) and shorter:
        found.append(f"shorter steps, target_accept = {shorter[0]}")
    if "saturated trees" in failed and steps.max_tree_depth < _LONGER:
        found.append(f"longer trajectories, max_tree_depth = {_LONGER}")
    short = [value for name, value in failed.items() if name.startswith("ESS")]
    if short and not found and 0 < ESS / max(min(short), 1e-9) < _MOST:
        enough = math.ceil(_MARGIN * draws * ESS / min(short) / 100) * 100
        found.append(f"more draws, draws = {enough}")
    elif not found and "R-hat" in failed:
        found.append("longer chains, tune = 2000 and draws = 2000, or else a simpler model")
    return dataclasses.replace(gate, remedy="; ".join(found))
