"""Tables, figures, reports and exports."""

import bayesdep.data.compile_cache  # noqa: F401  (sets the folder of compiled code before PyTensor is imported)
