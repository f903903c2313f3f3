"""The folder of compiled code and rewritten graphs, to which nobody but the user can write.

PyTensor and numba store machine code and pickles on disk and execute them in later processes. So the folder must belong
to the user alone: it is created with mode 0700, and a folder that belongs to somebody else, that others may write to,
or that others could replace by another, is not used. In that case, and where no such folder can be written, a temporary
folder of the process is used, and one line on standard error says so.

Importing this module sets the folder, so the packages that import PyTensor import this module first. This package's own
files are also signed (:func:`seal`, :func:`unseal`) with a secret in the same folder, mode 0600: a hash as a file's
name would not suffice, since anybody can compute it.

Windows has no such modes: there the folder is in the user's profile (``%LOCALAPPDATA%``), to which other users have no
access; files are signed as well.
"""

import atexit
import configparser
import hashlib
import hmac
import importlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from bayesdep.data.errors import BadInput

_FLAGS, _NUMBA = "PYTENSOR_FLAGS", "NUMBA_CACHE_DIR"
_SECRET, _LENGTH = "secret", 32  # file name; its bytes, and those of a signature


def refusal(folder: Path) -> str | None:
    """Say why a folder is not private, or None where it is.

    Parameters
    ----------
    folder
        A folder that exists.

    Returns
    -------
    str or None
        A clause about the folder or one above it.
    """
    if not hasattr(os, "getuid"):
        return None
    # the owner of / has all rights; in a container its id may not be 0
    trusted = (os.getuid(), 0, Path("/").stat().st_uid)
    absolute, real = Path(os.path.abspath(folder)), folder.resolve()  # noqa: PTH100  (pathlib's resolve would skip the links, which are checked too)
    for path in (absolute, *absolute.parents, real, *real.parents):
        status = path.lstat()
        if status.st_uid not in trusted:
            return f"'{path}' belongs to another user"
        shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        kept_apart = status.st_mode & stat.S_ISVTX and path not in (
            absolute,
            real,
        )  # sticky bit, as in /tmp: nobody can move another user's files
        if shared and not stat.S_ISLNK(status.st_mode) and not kept_apart:
            return f"'{path}' can be written by other users"
    if real.stat().st_uid != os.getuid():
        return f"'{real}' belongs to another user"
    return None


def private_folder(wanted: Path) -> Path:
    """Make a folder private, or return a temporary one instead and say so.

    Parameters
    ----------
    wanted
        The folder. It is created if its parent exists.

    Returns
    -------
    pathlib.Path
        ``wanted``, or a new folder that is removed when this process ends.

    Raises
    ------
    BadInput
        When no temporary folder can be created either.
    """
    why = _make_private(wanted)
    if why is None:
        return wanted
    try:
        temporary = Path(tempfile.mkdtemp(prefix="bayesdep-"))
        also = refusal(temporary)
    except OSError as problem:
        also = str(problem.strerror or problem)
    if also is not None:
        raise BadInput(
            f"there is no private folder for compiled code: {why}, and {also}; set TMPDIR to one of your own"
        )
    atexit.register(_remove, temporary, os.getpid())
    os.environ.setdefault(
        "MPLCONFIGDIR", str(temporary / "matplotlib")
    )  # matplotlib's list of fonts, for which it would look for a folder of its own
    print(f"note: compiled code is kept in a temporary folder, for {why}", file=sys.stderr)
    return temporary


def _make_private(folder: Path) -> str | None:
    """Make a folder private; return the reason if that is impossible."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        why = refusal(folder)
        if why is None and hasattr(os, "getuid"):
            folder.chmod(0o700)
        if why is None and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            why = f"'{folder}' cannot be written"
    except OSError as problem:
        return f"'{folder}' cannot be written ({problem.strerror or problem})"
    return why


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a process forked from this one
        shutil.rmtree(folder, ignore_errors=True)


def settle() -> Path:
    """Set the folder where PyTensor and numba store code, before they are imported.

    Returns
    -------
    pathlib.Path
        The folder. It is PyTensor's own (``base_compiledir`` of its settings) where that is private, so that what was
        compiled before serves again.
    """
    imported = sys.modules.get("pytensor")
    if imported is not None:
        return _settle_late(Path(imported.config.base_compiledir))
    if os.environ.get("HOME") == "":  # programs disagree whether it means the working directory or the root
        del os.environ["HOME"]
    base, compiled = _asked("base_compiledir"), _asked("compiledir")
    wanted = base or _default()
    folder = private_folder(wanted)
    _set_flags(base_compiledir=folder)  # set explicitly: PyTensor must use the folder that was checked
    if compiled is not None and (folder != wanted or _make_private(compiled) is not None):
        _set_flags(compiledir=folder / "compiled")
    if _home() is None:  # PyTensor and other packages fail where there is no home
        os.environ["HOME"] = str(folder)
    numba = os.environ.get(_NUMBA)
    if numba is None or _make_private(Path(numba)) is not None:
        os.environ[_NUMBA] = str(folder / "numba-files")
    return folder


def _settle_late(base: Path) -> Path:
    """Set the folder when PyTensor is imported already: its own folder stays, numba's is read only when compiling."""
    folder = private_folder(base)
    if folder != base:
        cache = importlib.import_module("pytensor.link.numba.cache")
        cache.NUMBA_CACHE_PATH = folder / "numba"  # type: ignore[attr-defined]  # of a module, imported by name
        (folder / "numba").mkdir(exist_ok=True)
    return folder


def _default() -> Path:
    """PyTensor's default folder."""
    local = os.environ.get("LOCALAPPDATA")
    if sys.platform == "win32" and local:
        return Path(local) / "PyTensor"
    return (_home() or Path(os.devnull)) / ".pytensor"


def _home() -> Path | None:
    """The user's home; None for a user without one, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _flags() -> dict[str, str]:
    pairs = (flag.partition("=") for flag in os.environ.get(_FLAGS, "").split(",") if flag.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _set_flags(**folders: Path) -> None:
    flags = _flags() | {name: str(folder) for name, folder in folders.items()}
    os.environ[_FLAGS] = ",".join(f"{name}={value}" if value else name for name, value in flags.items())


def _asked(setting: str) -> Path | None:
    """The folder named in PyTensor's settings: in its flags, or else in its configuration files."""
    folder = _flags().get(setting)
    if folder is None:
        files = os.environ.get("PYTENSORRC", "~/.pytensorrc").split(os.pathsep)
        known = {name: os.environ.get(name, "") for name in ("USER", "LSCRATCH", "TMPDIR", "TEMP", "TMP")}
        parser = configparser.ConfigParser(known | {"PID": str(os.getpid())})  # as PyTensor reads them
        try:
            parser.read([Path(file).expanduser() for file in files])
            folder = parser.get("global", setting, fallback=None)
        except (configparser.Error, OSError, RuntimeError, UnicodeError):  # PyTensor reports what is wrong with them
            return None
    return Path(folder).expanduser() if folder else None


def own_folder() -> Path:
    """Return the folder of this package's own files; it may not exist yet."""
    return folder / "bayesdep"


def seal(name: str, content: bytes) -> bytes | None:
    """Sign content, so that it is accepted only if this user wrote it, and under this name.

    Parameters
    ----------
    name
        The name for which it is signed.
    content
        Any bytes.

    Returns
    -------
    bytes or None
        A signature and the content; None where there is no secret to sign with.
    """
    secret = user_secret()
    return None if secret is None else signature(secret, name, content) + content


def unseal(name: str, file: Path) -> bytes | None:
    """Return the content of a file that :func:`seal` signed under this name; None for anything else.

    Parameters
    ----------
    name
        The name for which it was signed.
    file
        The file.

    Returns
    -------
    bytes or None
        The content.
    """
    sealed, secret = _own_bytes(file), user_secret()
    if sealed is None or secret is None:
        return None
    signed, content = sealed[:_LENGTH], sealed[_LENGTH:]
    return content if hmac.compare_digest(signed, signature(secret, name, content)) else None


def signature(secret: bytes, name: str, content: bytes) -> bytes:
    """Return what a file of the cache is signed with (HMAC with SHA-256).

    Parameters
    ----------
    secret
        The user's secret.
    name
        The name that the file is read by.
    content
        What the file holds.

    Returns
    -------
    bytes
        Of length 32.
    """
    return hmac.digest(secret, len(name).to_bytes(8) + name.encode() + content, hashlib.sha256)


def user_secret() -> bytes | None:
    """Return the user's secret, created if there is none.

    Returns
    -------
    bytes or None
        None where none can be stored.
    """
    file = own_folder() / _SECRET
    secret = _own_bytes(file, secret=True)
    if secret is not None and len(secret) == _LENGTH:
        return secret
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.unlink(missing_ok=True)
        new_secret = secrets.token_bytes(_LENGTH)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(new_secret)
    except OSError:  # another process is creating it, or the disk is full: nothing is stored this time
        return None
    return new_secret


def _own_bytes(file: Path, *, secret: bool = False) -> bytes | None:
    """Content of a file of this user; None for another user's file, a link, or a secret that others may read."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as source:
            status = os.fstat(handle)
            another = hasattr(os, "getuid") and status.st_uid != os.getuid()
            is_open = secret and hasattr(os, "getuid") and status.st_mode & 0o077
            if another or is_open or not stat.S_ISREG(status.st_mode):
                return None
            return source.read()
    except OSError:
        return None


folder = settle()
