"""A density that nutpie's sampler calls by its address: the part that needs names that nutpie keeps private."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from nutpie._lib import ExpandFunc, LogpFunc, PyMcModel, PySampler, PyVariable
from nutpie.sample import CompiledModel

from bayesdep.inference.native import Bound


@dataclass(frozen=True)
class AtAddress(CompiledModel):  # type: ignore[misc]  # nutpie is not typed
    """A density with one model's data, in the form that ``nutpie.sample`` takes.

    Parameters
    ----------
    ready
        The density with its data.
    start
        Maps a seed to a starting point.
    """

    ready: Bound
    start: Callable[[int], np.ndarray]

    @property
    def n_dim(self) -> int:
        """Length of the sampler's vector."""
        return self.ready.n_dim

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the variables."""
        return dict(zip(self.ready.density.names, self.ready.density.shapes, strict=True))

    @property
    def coords(self) -> dict[str, Any]:
        """Coordinates of the dims that nutpie adds itself."""
        return {"unconstrained_parameter": pd.Index(range(self.n_dim))}

    def _make_sampler(
        self,
        settings: Any,
        init_mean: Any,
        cores: int,
        progress_type: Any,
        extra_callback: Any,
        extra_callback_rate: Any,
        store: Any,
    ) -> Any:
        model = self._make_model(init_mean)
        return PySampler.from_pymc(settings, cores, model, progress_type, extra_callback, extra_callback_rate, store)

    def _make_model(self, init_mean: Any) -> Any:  # noqa: ARG002  (nutpie's signature)
        table, density = self.ready.table(), self.ready.density
        alive = (self, table)  # the C function reads their memory, so they must live as long as the model
        n = self.n_dim
        lengths = {"unconstrained_parameter": n}
        kinds = ["float64"] * len(density.names)
        variables = PyVariable.new_variables(list(density.names), kinds, list(density.shapes), lengths, {})
        return PyMcModel(
            LogpFunc(density.logp.address, table.ctypes.data, alive),
            ExpandFunc(n, n, density.copy.address, table.ctypes.data, alive),
            variables,
            n,
            lengths,
            self.coords,
            self.start,
            _no_adapter,
        )


def _no_adapter(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("transform adaptation is not used")
