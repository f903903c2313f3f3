"""Names for types that no checker knows: what an array or tensor stands for."""

from typing import Any

import numpy as np

type Tensor = Any
"""A PyTensor variable. PyTensor is not typed, so type checkers accept anything here; the name is for readers."""

type Draws = np.ndarray
"""Posterior draws, chains one after the other, with the draws as first axis."""
