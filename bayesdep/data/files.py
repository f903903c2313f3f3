"""Files and directories that are written whole or not at all."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayesdep.data.errors import BadInput


def read_whole(path: str | os.PathLike[str], at_most: float = float("inf")) -> bytes:
    """Return the content of a file, and of nothing else that may lie at its place.

    Parameters
    ----------
    path
        The file.
    at_most
        Bytes it may have.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    OSError
        When it is not there, cannot be read, is no file (a folder, a pipe, a device, which may never end) or is larger;
        ``strerror`` says which.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a NUL in its name
        raise FileNotFoundError(0, "no file can have that name", str(path)) from None
    with os.fdopen(number, "rb") as file:
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(0, "it is a folder, a pipe or a device, not a file", str(path))
        if state.st_size > at_most:
            raise OSError(0, f"it has {state.st_size:,} bytes, and {at_most:,.0f} are the most", str(path))
        return file.read()


@contextmanager
def whole_files(*paths: str | os.PathLike[str]) -> Iterator[list[Path]]:
    """Give a place beside each file to write to, and put them all in place only when the block ends well.

    Parameters
    ----------
    *paths
        The files; existing ones are replaced.

    Yields
    ------
    list of pathlib.Path
        Where to write each. They vanish when the block raises, whatever it raises.

    Raises
    ------
    BadInput
        When the operating system refuses.
    """
    finals = [Path(path) for path in paths]
    partials = [_partial(path, os.getpid()) for path in finals]
    try:
        yield partials
        for partial, final in zip(partials, finals, strict=True):
            partial.replace(final)
    except OSError as problem:
        reason = problem.strerror or problem
        raise BadInput(f"'{finals[0]}' cannot be written ({reason}); choose another place") from None
    finally:
        for partial in partials:
            with suppress(OSError):  # nor can a file be removed where none can be written
                partial.unlink(missing_ok=True)


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Give a fresh directory to write to, and put it in place only when the block ends well.

    Parameters
    ----------
    directory
        Where the result is to stand; an earlier one is replaced.

    Yields
    ------
    pathlib.Path
        The directory to write to. It vanishes when the block raises, whatever it raises.

    Raises
    ------
    BadInput
        When it cannot be written, for want of room, say.
    """
    directory = directory.absolute()
    partial = _partial(directory, os.getpid())
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    try:
        partial.mkdir(parents=True)
        yield partial
        try:
            if directory.exists():
                directory.rename(old)
            partial.rename(directory)
        except BaseException:  # an interrupt in between, too, must not cost the earlier run
            if old.exists() and not directory.exists():
                old.rename(directory)
            raise
    except OSError as problem:
        raise BadInput(
            f"'{directory}' cannot be written ({problem.strerror or problem}); choose another place"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_partials(folder: Path, pid: int) -> None:
    """Remove what a process that was killed left half-written.

    Parameters
    ----------
    folder
        The folder under which it wrote.
    pid
        The process, which must have ended.
    """
    for left in folder.rglob(_partial(Path("*"), pid).name):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _partial(final: Path, pid: int) -> Path:
    return final.with_name(f".{final.name}.{pid}.partial")
