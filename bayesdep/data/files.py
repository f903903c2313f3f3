"""Files and directories that are written completely or not at all, by one process at a time."""

import ctypes
import errno
import hashlib
import itertools
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayesdep.data.errors import BadInput

_LONGEST = 180  # longest name, in bytes: with prefix and ending it fits into a file name (255)
_session = secrets.token_hex(4)  # processes in two containers can have the same id and write to a shared folder
_numbers = itertools.count()


def session() -> str:
    """Return the identifier that this process and its workers put into names of temporary files."""
    return _session


def join_session(word: str) -> None:
    """Use the identifier of the parent process, which can then remove this worker's temporary files.

    Parameters
    ----------
    word
        As :func:`session` returned it there.
    """
    global _session
    _session = word


def read_whole(path: str | os.PathLike[str], at_most: float = float("inf")) -> bytes:
    """Return the content of a regular file.

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
        When it does not exist, cannot be read, is not a regular file (a folder, a pipe, a device) or is larger;
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
    """Give a temporary path beside each file, and move all into place only if the block ends without an error.

    Parameters
    ----------
    *paths
        The files; existing ones are replaced, and links to files are followed.

    Yields
    ------
    list of pathlib.Path
        Where to write each. They are removed when the block raises any exception.

    Raises
    ------
    BadInput
        When the operating system refuses.
    """
    finals = [Path(os.path.realpath(path)) for path in paths]
    partials = [_partial(path) for path in finals]
    try:
        yield partials
        for partial, final in zip(partials, finals, strict=True):
            partial.replace(final)
    except OSError as problem:
        reason = problem.strerror or problem
        raise BadInput(f"'{Path(paths[0])}' cannot be written ({reason}); choose another place") from None
    finally:
        for partial in partials:
            with suppress(OSError):  # where no file can be written, none can be removed
                partial.unlink(missing_ok=True)


@contextmanager
def whole_directory(directory: Path, replaceable: Collection[str] = ()) -> Iterator[Path]:
    """Give a new directory to write to, and move it into place only if the block ends without an error.

    Parameters
    ----------
    directory
        Where the result is to stand; a link to a directory is followed.
    replaceable
        Files of the existing directory, relative to it with ``/``, that are removed when the new one is moved into
        place. All others stay where they are, the same files.

    Yields
    ------
    pathlib.Path
        The directory to write to. It is removed when the block raises any exception.

    Raises
    ------
    BadInput
        When it cannot be written (the disk is full, for example), or when a file that stays has the name of a new
        one.
    """
    final = Path(os.path.realpath(directory))
    partial = _partial(final)
    inode = None
    try:
        partial.mkdir(parents=True)
        inode = partial.stat().st_ino
        yield partial
        _put_in_place(partial, final, replaceable)
    except OSError as problem:
        reason = problem.strerror or problem
        raise BadInput(f"'{directory}' cannot be written ({reason}); choose another place") from None
    finally:
        if inode is not None and partial.exists():
            if partial.stat().st_ino == inode:
                shutil.rmtree(partial, ignore_errors=True)
            else:  # exchanged: this is the earlier directory
                retire(partial, final, replaceable)


def _put_in_place(new: Path, final: Path, replaceable: Collection[str]) -> None:
    """Move a complete directory into place; it takes over the other files of an existing one."""
    if not final.exists():
        new.rename(final)
        return
    shutil.copymode(final, new)
    for path in others(final, replaceable):
        _share(final / path, new / path)
    if not _exchange(new, final):
        old = beside(final, f"{_session}-{os.getpid()}-{next(_numbers)}.old")
        final.rename(old)
        try:
            new.rename(final)
        except BaseException:  # an interrupt in between must not lose the earlier directory
            if not final.exists():
                old.rename(final)
            raise
        old.rename(new)


def others(folder: Path, listed: Collection[str]) -> list[str]:
    """List everything in a folder except some files.

    Parameters
    ----------
    folder
        A folder.
    listed
        Files in it, relative with ``/``.

    Returns
    -------
    list of str
        Every other file, link and empty folder, relative with ``/``, in order.

    Raises
    ------
    OSError
        When a folder in it is the mount point of another disk, whose files cannot be taken over.
    """
    paths = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        if os.path.ismount(place):
            raise OSError(errno.EXDEV, "it holds a folder of another disk")
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        paths += [Path(place) / name for name in (*files, *linked)]
        if not folders and not files and Path(place) != folder:
            paths.append(Path(place))
    relative = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [path for path in relative if path not in listed]


def _refuse(problem: OSError) -> None:
    raise problem


def _share(old: Path, new: Path) -> None:
    """Give a file a second name (a hard link); copy it where the file system has no hard links."""
    if old.is_dir() and not old.is_symlink():
        new.mkdir(parents=True, exist_ok=True)
        return
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, f"'{old.name}' there is not to be replaced, but has the name of a new file")
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError:
        shutil.copy2(old, new, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories in one step; return whether the system can."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    current_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename is None:
        return False
    if rename(current_folder, os.fsencode(one), current_folder, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV):
        return False
    raise OSError(number, os.strerror(number))


def retire(old: Path, final: Path, listed: Collection[str]) -> None:
    """Remove a directory that another has replaced; files of others that were added meanwhile move to the new one.

    Parameters
    ----------
    old
        The directory.
    final
        The directory that replaced it.
    listed
        The old directory's own files, relative with ``/``.
    """
    with suppress(OSError):
        for path in others(old, listed):
            if not os.path.lexists(final / path):
                (final / path).parent.mkdir(parents=True, exist_ok=True)
                (old / path).rename(final / path)
    shutil.rmtree(old, ignore_errors=True)


def leftovers(directory: Path) -> list[Path]:
    """List temporary directories that killed processes left beside a directory.

    Parameters
    ----------
    directory
        The directory, links resolved.

    Returns
    -------
    list of pathlib.Path
        Earlier directories that were about to be replaced (``*.old``) first.
    """
    name = re.escape(beside(directory, "").name)
    ours = re.compile(name + r"[0-9a-f]{8}-\d+-\d+\.(partial|old)")
    siblings = directory.parent.iterdir() if directory.parent.is_dir() else ()
    return sorted((p for p in siblings if ours.fullmatch(p.name)), key=lambda p: (p.suffix, p.name))


def remove_partials(folder: Path, pid: int) -> None:
    """Remove incomplete files of a worker process that was killed.

    Parameters
    ----------
    folder
        The folder under which it wrote.
    pid
        The process, which must have ended.
    """
    for left in folder.rglob(f".*.{_session}-{pid}-*.partial"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextmanager
def sole_writer(directory: Path) -> Iterator[bool]:
    """Lock a directory for writing, so that one process at a time writes it.

    Parameters
    ----------
    directory
        The directory, links resolved. Folders above it are created, and removed again if they stay empty.

    Yields
    ------
    bool
        Whether it is certain that no other process writes there; some network disks cannot tell.

    Raises
    ------
    BadInput
        When another process has the lock, or no file can be created beside the directory.
    """
    lock = beside(directory, "lock")
    new_folders = [folder for folder in lock.parents if not folder.exists()]
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle, certain = _locked(lock)
    except BlockingIOError:
        raise BadInput(
            f"another run is writing '{directory}'; wait until it has ended, or give another place with --out"
        ) from None
    except OSError as problem:
        raise BadInput(f"'{directory}' cannot be written ({problem.strerror}); give another with --out") from None
    try:
        yield certain
    finally:
        if os.name == "nt":  # there an open file cannot be removed
            os.close(handle)
        with suppress(OSError):
            lock.unlink()
        if os.name != "nt":
            os.close(handle)
        for folder in new_folders:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _locked(lock: Path) -> tuple[int, bool]:
    """Open a file and lock it; the lock ends with the process, for whatever reason."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(handle)
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle, True
        except FileNotFoundError:
            pass  # its owner has just removed it
        except OSError as problem:
            if problem.errno not in (errno.EAGAIN, errno.EACCES):
                return handle, False
            os.close(handle)
            raise BlockingIOError(problem.errno, "locked") from None
        os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def beside(final: Path, ending: str) -> Path:
    """Return a hidden place beside a file or directory.

    Parameters
    ----------
    final
        The file or directory.
    ending
        What the path is for.

    Returns
    -------
    pathlib.Path
        On the same disk and with its name, shortened if that is nearly as long as a file name can be.
    """
    encoded = os.fsencode(final.name)
    name = final.name if len(encoded) <= _LONGEST else hashlib.sha256(encoded).hexdigest()[:32]
    return final.with_name(f".{name}.{ending}")


def _partial(final: Path) -> Path:
    return beside(final, f"{_session}-{os.getpid()}-{next(_numbers)}.partial")
