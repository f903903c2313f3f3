"""Saved fits: cut and flipped, with groups missing, types changed, settings of another model, links to other files."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hostile.bases import BASES
from hostile.harness import DONE, REFUSED, Attempt

EITHER = (REFUSED, DONE, 1)  # 1: the gate that the fit carries has failed
WORDS = ("export", "run_of_fit", "--format", "json", "--out", "out/estimands.json")
PLACE = "run_of_fit/posterior.nc"
_MARK = b"\nbayesdep sha256 "
_TRAILER = len(_MARK) + 64


@functools.cache
def good_bytes() -> bytes:
    """Return the file of a small exact fit."""
    import tempfile

    import pandas as pd

    import bayesdep as bd

    base = BASES["screen"]
    fit = bd.fit(bd.Screen(**base.model), pd.DataFrame(base.table), draws=100, chains=2)
    with tempfile.TemporaryDirectory() as folder:
        return fit.save(Path(folder) / "fit.nc").read_bytes()


def hashed(content: bytes) -> bytes:
    """Return a file's content with its hash at the end, as if it had been saved so."""
    return content + _MARK + hashlib.sha256(content).hexdigest().encode()


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(good_bytes()))


def _edited(change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Edit the file with h5py, and give it the hash of what it is then, as someone would who means harm."""

    def write(path: Path) -> None:
        import h5py

        path.write_bytes(good_bytes()[:-_TRAILER])
        with h5py.File(path, "r+") as file:
            change(file)
        path.write_bytes(hashed(path.read_bytes()))

    return write


def _attribute(key: str, value: Any) -> Callable[[Any], object]:
    return lambda file: file.attrs.__setitem__(key, value)


def _manifest(**changes: Any) -> Callable[[Any], object]:
    def change(file: Any) -> None:
        manifest = json.loads(file.attrs["bayesdep_manifest"]) | changes
        file.attrs["bayesdep_manifest"] = json.dumps(manifest)

    return change


def _replaced(place: str, make: Callable[[Any, str], object]) -> Callable[[Any], object]:
    def change(file: Any) -> None:
        del file[place]
        make(file, place)

    return change


def flipped(content: bytes, seed: int, count: int) -> bytes:
    """Return bytes of which some are others."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    for at in rng.integers(0, len(changed), count):
        changed[at] = rng.integers(256)
    return bytes(changed)


def bytes_() -> Iterator[Attempt]:
    def attempt(name: str, content: Any, **how: Any) -> Attempt:
        return Attempt(f"fit: {name}", {PLACE: content, "out/there": ""}, WORDS, **{"codes": (REFUSED,)} | how)

    yield attempt("good", _bytes(lambda b: b), codes=(DONE, 1))
    yield attempt("without its hash", _bytes(lambda b: b[:-_TRAILER]), says="cut off, or another program")
    for share in (0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999):
        yield attempt(f"cut at {share}", _bytes(lambda b, share=share: b[: int(share * len(b))]))
    for less in (1, 10, 64, 79):
        yield attempt(f"cut by {less} bytes of its hash", _bytes(lambda b, less=less: b[:-less]))
    yield attempt("more bytes at its end", _bytes(lambda b: b + b"\0" * 1000))
    yield attempt("twice", _bytes(lambda b: b + b))
    yield attempt("its end first", _bytes(lambda b: b[::-1]))
    yield attempt("zeros", _bytes(lambda b: b"\0" * len(b)))
    yield attempt("only the signature", _bytes(lambda b: b[:8]))
    yield attempt(
        "a pickle", b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
    )
    yield attempt("classic NetCDF", b"CDF\x01" + b"\0" * 400)
    yield attempt("text", "no fit\n")
    for seed in range(20):
        yield attempt(
            f"flipped {seed}",
            _bytes(lambda b, seed=seed: flipped(b, seed, 1 + seed)),
            says="changed or damaged|not a saved fit",
        )
    for seed in range(20):
        yield attempt(
            f"flipped and hashed again {seed}",
            _bytes(lambda b, seed=seed: hashed(flipped(b[:-_TRAILER], seed, 1 + 4 * seed))),
            codes=EITHER,
        )


def edits() -> Iterator[Attempt]:
    def attempt(name: str, change: Callable[[Any], object], **how: Any) -> Attempt:
        return Attempt(f"fit: {name}", {PLACE: _edited(change), "out/there": ""}, WORDS, **{"codes": (REFUSED,)} | how)

    for group in ("posterior", "constant_data", "estimands"):
        yield attempt(f"no group {group}", lambda file, group=group: file.__delitem__(group))
    for group in ("prior", "sample_stats", "log_likelihood", "observed_data", "log_prior"):

        def without(file: Any, group: str = group) -> None:
            if group in file:
                del file[group]

        yield attempt(f"no group {group}", without, codes=EITHER)
    yield attempt("a group of its own", lambda file: file.create_group("canary"))
    yield attempt("a group below a group", lambda file: file.create_group("posterior/deeper"))

    def bomb_of_groups(file: Any) -> None:
        file.create_group("posterior/" + "/".join(["g"] * 5000))

    yield attempt("5,000 groups deep", bomb_of_groups)
    for key in ("bayesdep_family", "bayesdep_settings", "bayesdep_manifest"):
        yield attempt(f"no {key}", lambda file, key=key: file.attrs.__delitem__(key))
        for value in (3, "", "null", "[]", "{", "[" * 100_000, np.arange(3), b"\xff\xfe", "x" * 60_000, "{}"):
            shown = str(value)[:10]
            yield attempt(f"{key} is {shown} of {len(str(value))}", _attribute(key, value))
    for value in (3, "", "null", "[]", "{", "[" * 100_000, np.arange(3), '{"canary": {}}', '{"estimands": {"mu": 1}}'):
        yield attempt(f"left out is {str(value)[:10]}", _attribute("bayesdep_left_out", value))
    for family in BASES:
        if family != "screen":
            yield attempt(f"family {family}", _attribute("bayesdep_family", family))
    base = json.dumps
    for settings in (
        {"condition": "well"},
        {"condition": "nobody"},
        {"condition": 3.5},
        {"condition": "ill", "canary": 1},
        {"condition": "ill", "priors": {"sensitivity": {"dist": "os.system"}}},
        {"condition": "ill", "priors": []},
        {"condition": "ill", "group": "\x00"},
    ):
        yield attempt(f"settings {settings}", _attribute("bayesdep_settings", base(settings)), codes=EITHER)
    for key, values in {
        "gate": (None, {}, [], {"criteria": 3}, {"criteria": [{}]}, {"criteria": [{"name": 1}]}),
        "draws": (None, -1, 10**30, "100", 99, 1e300),
        "chains": (0, 3, [2]),
        "seed": (None, -1, "x"),
        "sampler": (None, "os.system", ["exact"]),
        "tables": (0, -1, "2", 7),
        "versions": (None, 3),
        "machine": (None, {"a": 1}),
    }.items():
        for value in values:
            odd = key in ("versions", "machine", "seed", "tables")
            yield attempt(f"manifest {key} = {value}", _manifest(**{key: value}), codes=EITHER if odd else (REFUSED,))

    def put(data: Any) -> Callable[[Any, str], object]:
        return lambda file, place: file.create_dataset(place, data=data)

    import h5py

    for place in ("posterior/sensitivity", "estimands/sensitivity", "constant_data/n"):
        for name, make in {
            "text": put(np.array(["a", "b"], dtype=h5py.string_dtype())),
            "a compound type": put(np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])),
            "bytes": put(np.void(b"\x80\x04canary")),
            "complex": put(np.zeros(3, complex)),
            "a number": put(1.0),
            "empty": put(h5py.Empty("f8")),
            "of another length": put(np.zeros((7, 3))),
            "a group": lambda file, place: file.create_group(place),
            "an external link": lambda file, place: file.__setitem__(place, h5py.ExternalLink("../posterior.nc", "/x")),
            "a soft link": lambda file, place: file.__setitem__(place, h5py.SoftLink("/canary")),
            "a link in a circle": lambda file, place: file.__setitem__(place, h5py.SoftLink(f"/{place}")),
            "stored in another file": lambda file, place: file.create_dataset(
                place, (10,), "f8", external=[("../thesis/chapter1.tex", 0, 80)]
            ),
            "8 EB of nothing": lambda file, place: file.create_dataset(place, (2, 2**59), "f8", chunks=(1, 1024)),
            "200 GB of nothing": lambda file, place: file.create_dataset(
                place, (2, 100, 2**27), "f8", chunks=(1, 1, 2**20), compression="gzip"
            ),
            "references": lambda file, place: file.create_dataset(
                place, data=np.array([file.ref], dtype=h5py.ref_dtype)
            ),
        }.items():
            yield attempt(f"{place} is {name}", _replaced(place, make))

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource("../posterior.nc", "x", (10,))
        del file["posterior/sensitivity"]
        file.create_virtual_dataset("posterior/sensitivity", layout)

    yield attempt("a virtual array", virtual)
    yield attempt(
        "not a number among draws", lambda file: file["posterior/sensitivity"].__setitem__(0, np.nan), codes=EITHER
    )
    yield attempt("infinite estimands", lambda file: file["estimands/sensitivity"].__setitem__(0, np.inf), codes=EITHER)


ATTEMPTS = [*bytes_(), *edits()]
