"""The compile cache: private or not used, and nothing in it runs that this user did not sign for that very place."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytensor.tensor as pt
import pytest
from pytensor.graph.fg import FunctionGraph

from bayesdep.data import compile_cache
from bayesdep.data.compile_cache import private_folder, refusal, seal, unseal
from bayesdep.data.errors import BadInput
from bayesdep.inference import cached_rewrite as module
from bayesdep.inference.cached_rewrite import cached_rewrite

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes and owners are of POSIX")


@pytest.fixture
def private(tmp_path, monkeypatch):
    """A private cache of its own for a test."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(compile_cache, "folder", folder)
    return folder


def kept(power):
    """Have a graph rewritten; return whether it had to be."""
    x = pt.vector("x")
    made = []

    def rewrite():
        made.append(power)
        return FunctionGraph([x], [2 * x**power], clone=True)

    cached_rewrite([x], [x**power], power, rewrite)
    return bool(made)


class Canary:
    """Runs when it is read: a pickle names a function and its arguments."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def only_file(folder):
    (file,) = folder.glob("bayesdep/*/*.pickle")
    return file


def test_a_canary_sings_when_its_pickle_is_read(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "sang")))
    assert (tmp_path / "sang").exists()


@pytest.mark.parametrize("signed", ["nothing", "zeros", "an old signature", "a signature of another secret"])
def test_a_planted_pickle_is_not_read(private, tmp_path, signed):
    assert kept(2)
    assert not kept(2)
    file, planted = only_file(private), pickle.dumps(Canary(tmp_path / "sang"))
    before = {
        "nothing": b"",
        "zeros": bytes(32),
        "an old signature": file.read_bytes()[:32],
        "a signature of another secret": compile_cache.signature(bytes(32), module.signed_name(file), planted),
    }[signed]
    file.write_bytes(before + planted)
    assert kept(2)
    assert not (tmp_path / "sang").exists()
    assert not kept(2)  # a good one stands in its place


def test_a_valid_file_of_another_key_is_not_read(private, monkeypatch):
    """Files exchanged by somebody who cannot sign: each is signed for its own place."""
    for power in (2, 3):
        kept(power)
    one, other = sorted(private.glob("bayesdep/*/*.pickle"))
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    read = []
    monkeypatch.setattr(module.pickle, "loads", lambda content: read.append(content))
    assert kept(2)
    assert not read


@posix
def test_a_file_of_another_user_is_not_read(private, monkeypatch):
    file = private / "kept"
    file.write_bytes(seal("name", b"content"))
    assert unseal("name", file) == b"content"
    assert unseal("other", file) is None
    link = private / "link"
    link.symlink_to(file)
    assert unseal("name", link) is None
    secret = compile_cache.user_secret()
    me = os.getuid()
    monkeypatch.setattr(compile_cache, "user_secret", lambda: secret)
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert unseal("name", file) is None


@posix
def test_the_secret_is_the_users_alone(private):
    assert compile_cache.user_secret() == compile_cache.user_secret()
    (file,) = private.rglob("secret")
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) == 32
    for spoil in (lambda: file.chmod(0o644), lambda: file.write_bytes(b"short")):
        before = file.read_bytes()
        spoil()
        assert compile_cache.user_secret() not in (None, before)  # one that others may have read is not used again
        assert file.stat().st_mode & 0o777 == 0o600


def other(path, monkeypatch):
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    return path


UNSAFE = {
    "everybody may write": (lambda p, m: p.chmod(0o777) or p, "can be written by other users"),
    "the group may write": (lambda p, m: p.chmod(0o770) or p, "can be written by other users"),
    "everybody may write, none may move": (lambda p, m: p.chmod(0o1777) or p, "can be written by other users"),
    "it can be put aside": (lambda p, m: p.parent.chmod(0o777) or p, "can be written by other users"),
    "another's": (other, "belongs to another user"),
    "a link into another's": (lambda p, m: linked(p), "can be written by other users"),
    "a file": (lambda p, m: (p.rmdir(), p.touch()) and p, "cannot be written"),
    "below a file": (lambda p, m: (p.rmdir(), p.touch()) and p / "below", "cannot be written"),
    "not there, nor the one above": (lambda p, m: p / "no" / "such", "cannot be written"),
}


def linked(path):
    (path.parent / "open").mkdir()
    (path.parent / "open" / "inner").mkdir(mode=0o700)
    (path.parent / "open").chmod(0o777)
    path.rmdir()
    path.symlink_to(path.parent / "open" / "inner")
    return path


@posix
@pytest.mark.parametrize(("spoil", "why"), UNSAFE.values(), ids=list(UNSAFE))
def test_a_folder_that_is_not_private_is_not_used(tmp_path, monkeypatch, capsys, spoil, why):
    folder = tmp_path / "above" / "cache"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    folder.parent.chmod(0o755)
    assert private_folder(folder) == folder
    assert capsys.readouterr().err == ""
    temporary = tmp_path / "temporary"
    monkeypatch.setattr(compile_cache.tempfile, "mkdtemp", lambda prefix: (temporary.mkdir(mode=0o700), temporary)[1])
    monkeypatch.setattr(compile_cache.atexit, "register", lambda *a: None)
    monkeypatch.setenv("MPLCONFIGDIR", "untouched")
    wanted = spoil(folder, monkeypatch)
    if spoil is other:  # then no folder here is the user's, and there is nowhere to go
        with pytest.raises(BadInput, match=r"no private folder.*belongs to another user.*set TMPDIR"):
            private_folder(wanted)
        return
    assert private_folder(wanted) == temporary
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert said.startswith("note: ")


@posix
def test_a_folder_is_made_for_the_user_alone(tmp_path):
    before = os.umask(0)
    try:
        made = private_folder(tmp_path / "new")
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)  # as PyTensor makes it: others could read it, not write
    assert private_folder(made) == made
    assert made.stat().st_mode & 0o777 == 0o700
    assert refusal(made) is None


PLACES = """
import bayesdep.models, numba, pytensor
from pytensor.link.numba.cache import NUMBA_CACHE_PATH
from bayesdep.data.compile_cache import folder
places = [pytensor.config.base_compiledir, pytensor.config.compiledir, NUMBA_CACHE_PATH, numba.config.CACHE_DIR]
assert all(str(place).startswith(str(folder)) for place in places), places
assert folder.stat().st_mode & 0o777 == 0o700
print(folder)
"""
COMPILES = f"""{PLACES}
import pymc as pm
from bayesdep.inference.compile_once import compile_once
import bayesdep
with pm.Model() as model:
    pm.Normal("x")
for compiler in ("llvm", "pytensor"):
    bayesdep.settings.compiler = compiler
    compile_once(model)
assert list(folder.glob("bayesdep/*/*.pickle")) and list(NUMBA_CACHE_PATH.iterdir())
assert list(folder.glob("bayesdep/machine-code/*"))
"""


def settled(code, **environment):
    taken = ("PYTENSOR_FLAGS", "PYTENSORRC", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "HOME")
    bare = {k: v for k, v in os.environ.items() if k not in taken}
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()), done.stderr


@posix
@pytest.mark.sampling
def test_without_a_home_a_model_compiles_in_a_temporary_folder(tmp_path):
    """PyTensor by itself ends with a traceback on import."""
    folder, said = settled(COMPILES, HOME=str(tmp_path / "no" / "home"), TMPDIR=str(tmp_path))
    assert folder.parent == tmp_path
    assert said.startswith("note: compiled code is kept in a temporary folder, for '")
    assert said.count("\n") == 1
    assert not folder.exists()  # gone with the process
    assert not (tmp_path / "no").exists()


@posix
@pytest.mark.sampling
def test_pytensors_and_numbas_own_caches_follow(tmp_path):
    """An open base_compiledir is left alone, whoever names it, and numba's place too."""
    shared, numba = tmp_path / "shared", tmp_path / "numba"
    for place in (shared, numba):
        place.mkdir()
        place.chmod(0o777)
    flags = f"floatX=float64,base_compiledir={shared}"
    folder, said = settled(
        PLACES, PYTENSOR_FLAGS=flags, NUMBA_CACHE_DIR=str(numba), TMPDIR=str(tmp_path), HOME=str(tmp_path)
    )
    assert folder.parent == tmp_path
    assert "can be written by other users" in said
    assert not list(shared.iterdir())
    assert not list(numba.iterdir())
    settings = tmp_path / "settings"
    settings.write_text(f"[global]\nbase_compiledir = {shared}\n")
    folder, said = settled(PLACES, PYTENSORRC=str(settings), TMPDIR=str(tmp_path), HOME=str(tmp_path))
    assert folder.parent == tmp_path
    assert not list(shared.iterdir())


@posix
@pytest.mark.sampling
def test_where_pytensor_came_first_an_open_folder_gets_no_more_code(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    first = "import pytensor" + PLACES.replace("pytensor.config.base_compiledir, pytensor.config.compiledir, ", "")
    first = first.replace(", numba.config.CACHE_DIR", "")
    flags = f"base_compiledir={shared}"
    folder, said = settled(first, PYTENSOR_FLAGS=flags, TMPDIR=str(tmp_path), HOME=str(tmp_path))
    assert folder.parent == tmp_path
    assert "can be written by other users" in said
