"""Mathematics in which no model is imported: censored normals, covariances, quadrature, marginals, mixtures."""

import bayesdep.data.compile_cache  # noqa: F401  (settles where compiled code is kept before PyTensor is imported)
