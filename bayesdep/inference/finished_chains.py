"""Finished chains of a fit, saved on disk while its other chains are sampled, and the fingerprint of a fit."""

import functools
import hashlib
import json
import platform
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files
from bayesdep.inference.settings import settings as chosen

VERSIONS = ("bayesdep", "pymc", "pytensor", "nutpie", "arviz-stats", "numpy", "scipy", "pandas", "xarray")
_COMPILERS = ("numba", "llvmlite")
# what is kept of a sampler's statistics: nutpie's names -> ArviZ's
STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "maxdepth_reached": "reached_max_treedepth",
    "depth": "tree_depth",
    "n_steps": "n_steps",
    "logp": "lp",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
}
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Chain:
    """Draws and sampler statistics of one chain.

    Parameters
    ----------
    draws
        By parameter, on the sampler's scale, shape (draws, ...).
    stats
        By statistic, shape (draws,).
    """

    draws: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class FinishedChains:
    """The folder of finished chains of one fit, each in a file that is complete or absent.

    Parameters
    ----------
    folder
        The folder, created with the first chain.
    take
        Whether to read the chains in the folder; otherwise they are sampled again.
    """

    folder: Path
    take: bool = True

    @property
    def count(self) -> int:
        """How many chains the folder holds."""
        return len(list(self.folder.rglob("*.npz"))) if self.folder.is_dir() else 0

    def chain(self, table: int, number: int) -> Chain | None:
        """Return a chain; None where its file is absent or incomplete.

        Parameters
        ----------
        table, number
            Version of the data, and chain, from 0.
        """
        if not self.take:
            return None
        try:
            with np.load(self._file(table, number)) as stored:  # holds a checksum of every array
                arrays = {name: stored[name] for name in stored.files}
        except _UNREADABLE:
            return None
        groups: dict[str, dict[str, np.ndarray]] = {"draws": {}, "stats": {}}
        for name, values in arrays.items():
            group, _, key = name.partition("/")
            groups[group][key] = values
        return Chain(**groups)

    def keep(self, table: int, number: int, chain: Chain) -> None:
        """Write a chain. If it cannot be written, the fit goes on; only resuming from this chain is impossible.

        Parameters
        ----------
        table, number
            As in :meth:`chain`.
        chain
            The chain.
        """
        arrays = {f"draws/{name}": values for name, values in chain.draws.items()}
        arrays |= {f"stats/{name}": values for name, values in chain.stats.items()}
        with suppress(OSError, BadInput):
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_files(self._file(table, number)) as (partial,), partial.open("wb") as opened:
                np.savez(opened, allow_pickle=False, **arrays)

    @property
    def again(self) -> "FinishedChains":
        """The folder of the chains of the next attempt with shorter steps, inside this one."""
        return replace(self, folder=self.folder / "again")

    def remove(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, table: int, number: int) -> Path:
        return self.folder / f"table-{table}-chain-{number}.npz"


def fingerprint(plan: str, data: xr.Dataset, settings: Mapping[str, Any], code: str = "") -> str:
    """Return a fingerprint that two runs share exactly if they have the same draws and the same report.

    Parameters
    ----------
    plan
        The plan's text.
    data
        The prepared data.
    settings
        The sampler's settings, the seed included.
    code
        For a user's own model, a text that changes with its code; empty for the package's models, whose code is part
        of the fingerprint anyway.

    Returns
    -------
    str
        A SHA-256 of these, of the package's own code, of the versions of the software and of the kind of processor.
    """
    from llvmlite.binding import get_host_cpu_name

    machine = [platform.python_version(), platform.system(), platform.machine(), get_host_cpu_name()]
    if chosen.compiler != "pytensor":
        machine.append(chosen.compiler)
    versions = {name: _version(name) for name in (*VERSIONS, *_COMPILERS)}
    description = json.dumps(
        [plan, dict(settings), versions, _source(), machine, data.attrs], sort_keys=True, default=repr
    )
    digest = hashlib.sha256(description.encode() + code.encode())
    for name, variable in sorted(data.variables.items(), key=lambda item: str(item[0])):
        values = np.asarray(variable.values)
        content = repr(values.tolist()).encode() if values.dtype.hasobject else np.ascontiguousarray(values).tobytes()
        digest.update(repr((name, variable.dims, values.dtype.str, values.shape, len(content))).encode() + content)
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@functools.cache
def _source() -> str:
    """SHA-256 of the package's code: it can change while its version does not."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package).as_posix()} {len(content)} ".encode() + content)
    return digest.hexdigest()
