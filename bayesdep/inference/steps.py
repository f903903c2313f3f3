"""Settings of NUTS: target acceptance rate and maximum tree depth."""

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.model import KnowsCare, Model

MAX_TREE_DEPTH = 10
TREE_DEPTHS = (5, 15)
TARGET_ACCEPTS = (0.97, 0.99)  # of shorter steps, in the order in which they are tried and advised


@dataclass(frozen=True)
class Steps:
    """Settings of NUTS.

    Parameters
    ----------
    target_accept
        Target acceptance rate.
    max_tree_depth
        Maximum number of doublings of a trajectory.
    is_chosen
        Whether the user chose the target acceptance rate, which is then kept whatever happens.
    """

    target_accept: float
    max_tree_depth: int
    is_chosen: bool = field(default=True, compare=False)

    @property
    def shorter(self) -> "Steps | None":
        """The settings of a second attempt with shorter steps; None where there is none to be made."""
        larger = [x for x in TARGET_ACCEPTS if x > self.target_accept]
        return None if self.is_chosen or not larger else replace(self, target_accept=larger[0])

    @classmethod
    def of(
        cls, model: Model, target_accept: float | None, max_tree_depth: int | None, data: xr.Dataset | None = None
    ) -> "Steps":
        """Return the settings given, or the model's defaults (for its data); refuse impossible ones."""
        default = (
            model.target_accept_for(data) if data is not None and isinstance(model, KnowsCare) else model.target_accept
        )
        accept: Any = default if target_accept is None else target_accept
        depth: Any = MAX_TREE_DEPTH if max_tree_depth is None else max_tree_depth
        if isinstance(accept, bool) or not isinstance(accept, numbers.Real) or not 0.5 < float(accept) < 1:
            raise BadInput(f"target_accept = {accept!r}, but a number above 0.5 and below 1 is needed, such as 0.97")
        least, most = TREE_DEPTHS
        if isinstance(depth, bool) or not isinstance(depth, numbers.Integral) or not least <= int(depth) <= most:
            raise BadInput(f"max_tree_depth = {depth!r}, but a whole number from {least} to {most} is needed")
        return cls(float(accept), int(depth), is_chosen=target_accept is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a manifest has them."""
        return {"target_accept": self.target_accept, "max_tree_depth": self.max_tree_depth}

    @classmethod
    def from_dict(cls, manifest: Mapping[str, Any]) -> "Steps":
        """Restore the settings from a manifest."""
        return cls(manifest["target_accept"], manifest["max_tree_depth"])
