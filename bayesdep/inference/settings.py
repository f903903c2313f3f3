"""What holds for every fit of a process, whatever its plan: how densities are compiled."""

import os

from bayesdep.data.errors import BadInput

COMPILERS = ("pytensor", "llvm")
_VARIABLE = "BAYESDEP_COMPILER"


class Settings:
    """Settings of a process: ``bayesdep.settings``.

    Examples
    --------
    >>> Settings().compiler in COMPILERS
    True
    """

    def __init__(self) -> None:
        self._compiler: str | None = None

    @property
    def compiler(self) -> str:
        """How a log density is compiled.

        ``"pytensor"`` (the default) is PyTensor's own way, numba; ``"llvm"`` takes seconds where that takes half a
        minute. Both compute the same density, but not to the last digit, so draws of a seed differ. The environment
        variable ``BAYESDEP_COMPILER`` chooses for processes that set nothing.
        """
        return self._compiler or _checked(os.environ.get(_VARIABLE) or "pytensor", _VARIABLE)

    @compiler.setter
    def compiler(self, name: str) -> None:
        self._compiler = _checked(name, "settings.compiler")

    def __repr__(self) -> str:
        return f"Settings(compiler={self.compiler!r})"


def _checked(name: str, what: str) -> str:
    if name not in COMPILERS:
        raise BadInput(f"{what} = {name!r} is not a choice; use one of {', '.join(COMPILERS)}")
    return name


settings = Settings()
