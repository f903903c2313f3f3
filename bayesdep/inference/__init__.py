"""A model and its data become a posterior."""

import bayesdep.data.compile_cache  # noqa: F401  (settles where compiled code is kept before PyTensor is imported)
