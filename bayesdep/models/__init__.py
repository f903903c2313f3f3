"""One folder, one model: its settings, data, PyMC model, estimands and checks."""

import bayesdep.data.compile_cache  # noqa: F401  (settles where compiled code is kept before PyTensor is imported)
