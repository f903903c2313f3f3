"""Mathematics in which no model is imported: censored normals, covariances, quadrature, marginals, mixtures."""

import bayesdep.data.compile_cache  # noqa: F401  (sets the folder of compiled code before PyTensor is imported)
