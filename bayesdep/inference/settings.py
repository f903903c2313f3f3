"""What holds for every fit of a process, whatever its plan: how densities are compiled."""

import os

from bayesdep.data.errors import BadInput

COMPILERS = ("llvm", "pytensor")
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

        ``"llvm"`` (the default) takes seconds where ``"pytensor"``, PyTensor's own way by numba, takes half a minute.
        Both compute the same density, but not to the last digit, so draws of a seed may differ. What ``"llvm"`` does
        not know is compiled by PyTensor, which one line on standard error says. The environment variable
        ``BAYESDEP_COMPILER`` chooses for processes that set nothing.
        """
        return self._compiler or _checked(os.environ.get(_VARIABLE) or COMPILERS[0], _VARIABLE)

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
