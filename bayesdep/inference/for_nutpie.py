"""A density as nutpie's sampler takes it: by its address, or as a Python function where that is not possible.

A call by address leaves Python's lock alone, so chains run side by side, and costs nothing. It stands on names that are
not part of nutpie's public API. Where a version lacks one, the same density is called through Python
(``nutpie.compiled_pyfunc.from_pyfunc``): the same draws, more slowly.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.inference.native import Bound
from bayesdep.inference.notes import say_slower

_DIM = "unconstrained_parameter"  # as nutpie calls the dim of the vector


def for_nutpie(ready: Bound, start: Callable[[int], np.ndarray] | None = None) -> Any:
    """Return what ``nutpie.sample`` takes.

    Parameters
    ----------
    ready
        A density with its data.
    start
        Maps a seed to a starting point; by default ``ready.near``.

    Returns
    -------
    nutpie.sample.CompiledModel
        Its draws are of the unconstrained variables.
    """
    start = start or ready.near
    if ready.density.logp is not None:
        try:
            from bayesdep.inference.nutpie_address import AtAddress

            model = AtAddress({}, ready, start)
            model._make_model(None)  # a signature of another version fails here
            return model
        except (ImportError, AttributeError, TypeError) as problem:
            say_slower("nutpie calls the density through Python, which is slower", problem)
    return _through_python(ready, start)


def _through_python(ready: Bound, start: Callable[[int], np.ndarray]) -> Any:
    from nutpie.compiled_pyfunc import from_pyfunc

    def logp() -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        return ready.evaluator()  # each chain has its own memory

    def expand(*_: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        return ready.pieces

    return from_pyfunc(
        ready.n_dim, logp, expand, [np.dtype("float64")] * len(ready.density.names), list(ready.density.shapes),
        list(ready.density.names), coords={_DIM: pd.Index(range(ready.n_dim))}, make_initial_point_fn=start,
    )  # fmt: skip
