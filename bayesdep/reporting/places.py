"""Directories that the package writes: which of them are its own, and which files may be replaced."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bayesdep.data.errors import BadInput
from bayesdep.data.files import beside, leftovers, others, retire, sole_writer, whole_files

MANIFEST = "manifest.json"
FAILED = "-failed"  # suffix of the directory of a fit that failed its gate
_WRITER = "bayesdep"
_LARGEST = 64 * 2**20  # bytes; a manifest has a few kilobytes
_FIGURES = "figures"
_RUN_FILES = ("posterior.nc", "summary.csv", "estimands.csv", "ledger.csv", "diagnostics.json", "report.html", MANIFEST)


@dataclass(frozen=True)
class Manifest:
    """The manifest of a directory that the package wrote.

    Parameters
    ----------
    what
        Its content: ``run demo/plan`` or ``comparison of demo``.
    failed
        Whether it is a fit that failed its gate.
    fingerprint
        Of plan, data, settings and versions; empty for a comparison.
    files
        SHA-256 of each file that the package wrote there, by relative path with ``/``, except the manifest itself.
    missing
        The reason why a file could not be made, by file.
    spreadsheet_safe
        Whether texts of its tables that begin like formulas are escaped.
    vector
        Whether its figures are there as PDF and SVG too.
    """

    what: str
    failed: bool
    fingerprint: str
    files: Mapping[str, str]
    missing: Mapping[str, str]
    spreadsheet_safe: bool = False
    vector: bool = True

    @classmethod
    def of(cls, directory: Path) -> "Manifest | None":
        """Read a directory's manifest; None where there is none, or it is not one of the package's."""
        file = directory / MANIFEST
        try:
            if file.is_symlink() or file.stat().st_size > _LARGEST:
                return None
            entries = json.loads(file.read_text(encoding="utf-8"))
            if entries["written_by"] != _WRITER:
                return None
            files, missing = dict(entries["files"]), dict(entries.get("missing", {}))
            if not all(_is_inside(path) and isinstance(digest, str) for path, digest in files.items()):
                return None
            is_safe = entries.get("spreadsheet_safe") is True
            named = str(entries["what"]), bool(entries["failed"]), str(entries["fingerprint"])
            has_vector = entries.get("vector") is not False  # runs of earlier versions do not say
            return cls(*named, files, missing, is_safe, has_vector)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    @property
    def replaceable(self) -> frozenset[str]:
        """The files that may be removed when the directory is replaced."""
        return frozenset(self.files) | {MANIFEST}

    def follows(self, earlier: "Manifest | None") -> bool:
        """Whether another run was written since an earlier look; an export into the same run does not count."""
        own = "posterior.nc"
        return earlier is None or self.files.get(own) != earlier.files.get(own)

    def is_whole(self, directory: Path, *files: str) -> bool:
        """Whether files, by default all that are listed, exist unchanged."""
        try:
            return all(digest(directory / path) == self.files[path] for path in files or self.files)
        except (OSError, KeyError):
            return False


def refit_file(name: str) -> str:
    """Return the file of a run that holds the fit under other priors of this name."""
    return f"sensitivity/{name}.nc"


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not PurePosixPath(path).is_absolute()


def digest(file: Path) -> str:
    """Return a file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_manifest(
    partial: Path,
    what: str,
    about: Mapping[str, Any],
    *,
    failed: bool = False,
    fingerprint: str = "",
    missing: Mapping[str, str] | None = None,
) -> None:
    """Write the manifest of a directory, the last of its files.

    Parameters
    ----------
    partial
        The directory, with every other file in it.
    what, failed, fingerprint, missing
        As :class:`Manifest` has them.
    about
        Further entries.
    """
    written = sorted(path for path in partial.rglob("*") if path.is_file())
    entries = {
        "written_by": _WRITER,
        "what": what,
        "failed": failed,
        "fingerprint": fingerprint,
        **about,
        "files": {path.relative_to(partial).as_posix(): digest(path) for path in written},
        "missing": dict(missing or {}),
    }
    (partial / MANIFEST).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def add_to_manifest(directory: Path, file: Path) -> None:
    """List a file that an export wrote into a run's directory, so that the next run replaces it.

    Parameters
    ----------
    directory
        A run's directory.
    file
        The file; one elsewhere is not listed.
    """
    place, manifest = file.resolve(), Manifest.of(directory)
    if manifest is None or place.parent != directory.resolve():
        return
    entries = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    entries["files"][place.name] = digest(place)
    with whole_files(directory / MANIFEST) as (partial,):
        partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Place:
    """A directory that may be written.

    Parameters
    ----------
    asked
        The path given by the user, for messages.
    path
        The same with all links followed.
    what
        The content to be written, as in manifests.
    """

    asked: Path
    path: Path
    what: str

    @classmethod
    def find(cls, directory: Path, what: str, *, inputs: Sequence[Path] = (), failures: bool = False) -> "Place":
        """Follow links, and refuse a directory that cannot be written, or contains files that must not be replaced.

        Parameters
        ----------
        directory
            Where to write.
        what
            The content to be written.
        inputs
            Files that are read for it, which must not be in it.
        failures
            Whether only an earlier failure of the same may be replaced.

        Returns
        -------
        Place
            With nothing written yet.

        Raises
        ------
        BadInput
            Saying what is in the directory.
        """
        try:
            place = cls(directory, _followed(directory), what)
            place._refuse_surroundings(inputs)
            place._refuse_contents(failures)
        except OSError as problem:
            reason = problem.strerror or problem
            raise BadInput(f"'{directory}' cannot be written ({reason}); give another with --out") from None
        return place

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the existing directory."""
        return Manifest.of(self.path)

    @property
    def others(self) -> list[str]:
        """Existing files that no run wrote, relative with ``/``."""
        manifest = self.manifest
        return others(self.path, manifest.replaceable if manifest else ()) if self.path.is_dir() else []

    @property
    def failures(self) -> Path:
        """The directory beside this one for a fit that fails its gate."""
        base = self.path if self.asked.is_symlink() else self.asked
        return base.with_name(f"{base.name}{FAILED}")

    def _refuse_surroundings(self, inputs: Sequence[Path]) -> None:
        asked, path = self.asked, self.path
        if Path.cwd().is_relative_to(path):
            raise BadInput(
                f"--out '{asked}' holds the folder this runs in, and would be replaced whole; give one inside it"
            )
        for file in inputs:
            if file.resolve().is_relative_to(path):
                raise BadInput(f"--out '{asked}' holds '{file}', which is read for this run; give another with --out")
        if path.exists() and not path.is_dir():
            raise BadInput(f"--out '{asked}' is a file; give a directory")
        if path.is_dir() and _is_mounted(path):
            raise BadInput(f"--out '{asked}' is a disk of its own, which cannot be replaced; give a folder inside it")
        parent = path.parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise BadInput(f"'{parent}' is not writable, so '{asked}' cannot be made there; give another with --out")

    def _refuse_contents(self, failures: bool) -> None:
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        asked, manifest = self.asked, self.manifest
        if manifest is None:
            raise BadInput(
                f"--out '{asked}' is not empty and is not an earlier run; give an empty or new directory (a run of an "
                "earlier version does not say which files are its own: move it away)"
            )
        if self.what.split()[0] != manifest.what.split()[0]:
            raise BadInput(f"--out '{asked}' holds a {manifest.what}; give another with --out")
        if failures and not (manifest.failed and manifest.what == self.what):
            holds = f"{'a failed' if manifest.failed else 'the'} {manifest.what}"
            raise BadInput(
                f"'{asked}', where this run goes if it fails its gate, holds {holds}; move that away, or give another "
                "place with --out"
            )
        for path in others(self.path, manifest.replaceable):
            is_figures = path == _FIGURES and ((self.path / path).is_symlink() or not (self.path / path).is_dir())
            if path.split("/")[0] in _RUN_FILES or is_figures:
                raise BadInput(
                    f"--out '{asked}' holds '{path}', which no run wrote but this one would; rename it, or give "
                    "another with --out"
                )

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Lock the directory against other processes, and remove incomplete files of killed ones.

        Yields
        ------
        bool
            Whether it is certain that no other writes here.
        """
        with sole_writer(self.path) as certain:
            if certain:
                self._settle()
            yield certain

    def _settle(self) -> None:
        for left in leftovers(self.path):
            if left.suffix == ".old" and not self.path.exists():
                left.rename(self.path)  # killed between the two steps of a replacement
                continue
            manifest = Manifest.of(left)
            if manifest is None:  # incomplete: it contains no files of others yet
                shutil.rmtree(left, ignore_errors=True)
            else:
                retire(left, self.path, manifest.replaceable)

    def kept_chains(self, fingerprint: str) -> Path:
        """Return the folder of a fit's finished chains."""
        return beside(self.path, f"{fingerprint[:16]}.chains")

    def every_chains(self) -> list[Path]:
        """List the folders of finished chains of all fits for this directory."""
        named = re.compile(re.escape(beside(self.path, "").name) + r"[0-9a-f]{16}\.chains")
        siblings = self.path.parent.iterdir() if self.path.parent.is_dir() else ()
        return [path for path in siblings if named.fullmatch(path.name) and path.is_dir()]

    def remove_failure(self) -> None:
        """Remove the files of an earlier failed run of the same plan, and the directory if it is then empty."""
        manifest = self.manifest
        if manifest is None or not manifest.failed or manifest.what != self.what:
            return
        with suppress(OSError):
            for path in (*manifest.files, MANIFEST):  # the manifest last: until then it lists the files to remove
                if (self.path / path).parent.resolve().is_relative_to(self.path):  # not through a link
                    (self.path / path).unlink(missing_ok=True)
            for folder in sorted({(self.path / path).parent for path in manifest.files}, reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            self.path.rmdir()


def _followed(directory: Path) -> Path:
    """Follow all links; refuse a broken one."""
    directory.exists()  # for example a name that is too long
    absolute = directory.absolute()
    for link in (absolute, *absolute.parents):
        if link.is_symlink() and not link.exists():
            target = Path(os.path.realpath(link))
            if link != absolute or target.is_symlink() or not target.parent.is_dir():
                raise BadInput(
                    f"'{link}' is a link to '{link.readlink()}', which is not there; give another with --out"
                )
    return Path(os.path.realpath(absolute))


def _is_mounted(path: Path) -> bool:
    """Whether a directory is a mount point, bind mounts of the same disk included."""
    if os.path.ismount(path):
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return False
    return any(line.split()[4] == str(path).replace(" ", "\\040") for line in lines)


@contextmanager
def held(*places: Place) -> Iterator[bool]:
    """Lock several directories at once; yield whether the locks are certain for all."""
    with ExitStack() as stack:
        certain = [stack.enter_context(place.held()) for place in places]
        yield all(certain)
