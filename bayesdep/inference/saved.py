"""The file of a fit: NetCDF, made in memory, with a hash at its end; its content is checked when it is read."""

import hashlib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr

from bayesdep.data.budget import available_memory, refuse_beyond_memory
from bayesdep.data.errors import BadInput
from bayesdep.data.files import read_whole, whole_files

GROUPS = (
    *("posterior", "latent", "posterior_predictive", "prior", "prior_predictive", "log_likelihood", "log_prior"),
    *("sample_stats", "observed_data", "constant_data", "estimands"),
)
_NEEDED = ("posterior", "constant_data", "estimands")
_MARK = b"\nbayesdep sha256 "  # after the end of the NetCDF file, which NetCDF readers ignore
_TRAILER = len(_MARK) + 64
_PACKED = 100  # numbers from which an array is compressed
_TOGETHER = 2**20  # bytes of an array that are compressed together
_TEXT = 100  # bytes of a label in memory


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a tree to a file that is complete or absent.

    NetCDF's library is not given a file on disk: if the disk is full, it crashes when the process ends.

    Parameters
    ----------
    tree
        The tree.
    path
        The file.

    Raises
    ------
    BadInput
        When it cannot be written.
    """
    packed = {"zlib": True, "complevel": 4, "shuffle": True}
    encoding = {
        node.path: {
            name: packed | {"chunksizes": _chunk(x.shape, x.dtype.itemsize)}
            for name, x in node.to_dataset().variables.items()
            if x.dtype.kind in "fiub" and x.size > _PACKED
        }
        for node in tree.subtree
    }
    content = bytes(
        tree.to_netcdf(engine="h5netcdf", encoding=encoding)
    )  # a copy, since a view would outlive its memory
    with whole_files(path) as (partial,), partial.open("wb") as file:
        file.write(content)
        file.write(_MARK + hashlib.sha256(content).hexdigest().encode())


def _chunk(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The part of an array that is compressed together: as much as fits, whole rows of the last dims first.

    HDF5's own choice is a hundredth of it, which makes files an eighth larger.

    >>> _chunk((4, 1000, 41, 3), 8)
    (1, 1000, 41, 3)
    >>> _chunk((2, 10), 8), _chunk((3, 5, 200_000), 8)
    ((2, 10), (1, 1, 131072))
    """
    chunk = list(shape)
    for axis in range(len(shape)):
        rest = itemsize * math.prod(shape[axis + 1 :])
        chunk[axis] = min(shape[axis], max(1, _TOGETHER // rest))
        if rest <= _TOGETHER:
            break
    return tuple(chunk)


def read_tree(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read a tree that :func:`write_tree` wrote.

    Nothing but what has its hash at its end is given to NetCDF's library, which damaged files can keep busy forever.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    xarray.DataTree
        Every array in memory.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    BadInput
        In a clause that says what is wrong with the file: it was changed, cut off or not written here, contains
        something that no fit has (links to other files, types that are neither numbers nor text), or needs more memory
        than is free.
    """
    try:
        content = read_whole(path, available_memory() / 2)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise BadInput(str(problem.strerror)) from None
    content, mark, digest = content[:-_TRAILER], content[-_TRAILER:-64], content[-64:]
    if mark != _MARK:
        raise BadInput("its end is not that of one: it was cut off, or another program wrote it")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise BadInput("it was changed or damaged after it was saved")
    try:
        _refuse_foreign(content)
        with xr.open_datatree(io.BytesIO(content), engine="h5netcdf", phony_dims="sort") as stored:
            tree = stored.load()
        refuse_incomplete_text(tree)
        return tree
    except BadInput:
        raise
    except Exception as problem:  # arbitrary bytes can raise any error in the libraries
        raise BadInput(next(iter(str(problem).splitlines()), type(problem).__name__)) from None


def _refuse_foreign(content: bytes) -> None:
    """Refuse a file that refers to other files, contains something that no fit has, or is larger than memory."""
    import h5py

    with h5py.File(io.BytesIO(content), "r") as file:
        groups = [name for name, one in _members(file) if isinstance(one, h5py.Group)]
        if unknown := [name for name in groups if name not in GROUPS]:
            raise BadInput(f"it has a group '{unknown[0]}', which no fit has")
        if missing := [name for name in _NEEDED if name not in groups]:
            raise BadInput(f"it has no group '{missing[0]}'")
        needed = 0.0
        for group in groups:
            for name, array in _members(file[group]):
                if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
                    raise BadInput(f"'{group}/{name}' is not an array stored in the file")
                if array.dtype.kind not in "fiub" and h5py.check_string_dtype(array.dtype) is None:
                    raise BadInput(f"'{group}/{name}' holds neither numbers nor text")
                needed += float(array.size or 0) * (_TEXT if array.dtype.kind == "O" else array.dtype.itemsize)
        refuse_beyond_memory(needed, "it", "use a machine with more")


def refuse_incomplete_text(tree: xr.DataTree) -> None:
    """Refuse texts with bytes that are no characters: they could be written to no file and no terminal.

    Parameters
    ----------
    tree
        As it was read.

    Raises
    ------
    BadInput
        In a clause that names the group.
    """
    for node in tree.subtree:
        held = [node.attrs, *(v.attrs for v in node.variables.values())]
        texts = [str(x) for attrs in held for pair in attrs.items() for x in pair]
        texts += [str(x) for v in node.variables.values() if v.dtype.kind in "OU" for x in v.values.flat]
        for text in texts:
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise BadInput(f"a text in '{node.name or 'the file'}' holds an incomplete character")


def _members(group: Any) -> Iterator[tuple[str, Any]]:
    """Members of a group; links are refused, since they may lead to other files or in circles."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise BadInput(f"'{name}' is a link")
        yield name, group[name]
