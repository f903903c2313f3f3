"""From a model and its data to a posterior: sampling, convergence, saved fits."""

import bayesdep.data.compile_cache  # noqa: F401  (sets the folder of compiled code before PyTensor is imported)
