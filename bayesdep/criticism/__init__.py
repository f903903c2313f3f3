"""Criticism of a fit: predictive checks, sensitivity, influence, comparison, missing data."""

import bayesdep.data.compile_cache  # noqa: F401  (sets the folder of compiled code before PyTensor is imported)
