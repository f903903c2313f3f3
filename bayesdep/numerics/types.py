"""Names for types that no checker knows: what an array or tensor stands for."""

from typing import Any

import numpy as np

type Tensor = Any
"""A PyTensor variable. PyTensor is not typed, so for a type checker it is anything; a reader learns what is meant."""

type Draws = np.ndarray
"""Posterior draws, chains one after the other, with the draws as first axis."""
