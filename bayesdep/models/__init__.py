"""One folder, one model: its settings, data, PyMC model, estimands and checks."""

import bayesdep.data.compile_cache  # noqa: F401  (sets the folder of compiled code before PyTensor is imported)
