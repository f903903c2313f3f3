"""What helps where a fit failed its gate, as far as it is known."""

import dataclasses
import math

import xarray as xr

from bayesdep.inference.diagnostics import ESS, Gate
from bayesdep.models.story import KnowsPosterior, KnowsRemedies, Story

_MARGIN = 1.25  # draws asked for, over those that would have been enough
_MOST = 10  # times as many draws, beyond which more draws are no remedy


def advised(gate: Gate, model: Story, data: xr.Dataset, draws: int, *, sampled: bool) -> Gate:
    """Add to a failed verdict what would help.

    Parameters
    ----------
    gate
        The verdict.
    model
        The story.
    data
        Its prepared data.
    draws
        How many a chain had.
    sampled
        Whether a sampler drew them.

    Returns
    -------
    Gate
        The same, with its remedy.
    """
    if gate.passed or not sampled:
        return gate
    failed = {c.name: c.value for c in gate.criteria if not c.passed}
    if isinstance(model, KnowsPosterior) and model.exact(data) is not None:
        return dataclasses.replace(gate, remedy="the exact posterior, sampler = 'exact'")
    own = model.remedies(gate.units) if isinstance(model, KnowsRemedies) else ""
    found = [own] if own else []
    if "divergences" in failed or "E-BFMI" in failed:
        found.append("shorter steps, target_accept = 0.97")
    if "saturated trees" in failed:
        found.append("longer trajectories, max_tree_depth = 12")
    short = [value for name, value in failed.items() if name.startswith("ESS")]
    if short and not found and 0 < ESS / max(min(short), 1e-9) < _MOST:
        enough = math.ceil(_MARGIN * draws * ESS / min(short) / 100) * 100
        found.append(f"more draws, draws = {enough}")
    elif not found and "R-hat" in failed:
        found.append("longer chains, tune = 2000 and draws = 2000, or else a simpler model")
    return dataclasses.replace(gate, remedy="; ".join(found))
