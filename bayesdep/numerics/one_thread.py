"""Linear algebra of many small matrices on one thread: several only wait for one another, and may round otherwise."""

from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController

_LIBRARIES: list[ThreadpoolController] = []


def one_thread() -> AbstractContextManager[object]:
    """Let libraries of linear algebra use one thread inside a ``with`` block.

    Returns
    -------
    contextlib.AbstractContextManager
        For ``with``.

    Examples
    --------
    >>> import numpy as np
    >>> with one_thread():
    ...     float(np.linalg.det(np.eye(3)))
    1.0
    """
    if not _LIBRARIES:
        import scipy.linalg  # noqa: F401  (its libraries are found once they are loaded)

        _LIBRARIES.append(ThreadpoolController())
    limit: AbstractContextManager[object] = _LIBRARIES[0].limit(limits=1, user_api="blas")
    return limit
