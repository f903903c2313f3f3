"""Can the posterior be believed?"""

import bayesdep.data.compile_cache  # noqa: F401  (settles where compiled code is kept before PyTensor is imported)
