"""Commands: paths that are no files, files that are no plans or runs, options out of range."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile.bases import BASES
from hostile.harness import DONE, REFUSED, Attempt
from hostile.text import table, toml

EITHER = (REFUSED, DONE)
BASE = BASES["screen"]
GOOD: dict[str, Any] = {"plan.toml": toml(BASE.plan()), "table.csv": table(BASE.table)}


def _link(target: str) -> Any:
    return lambda path: path.symlink_to(target)


def _unreadable(path: Path) -> None:
    path.write_text("secret")
    path.chmod(0)


# What may lie where a file is expected.
PLACES: dict[str, Any] = {
    "nothing": None,
    "a folder": lambda path: path.mkdir(),
    "a FIFO": lambda path: os.mkfifo(path),
    "a link to nowhere": _link("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to /dev/zero": _link("/dev/zero"),
    "a link to /dev/full": _link("/dev/full"),
    "a link to /proc/self/mem": _link("/proc/self/mem"),
    "a link to a folder": _link("/"),
    "an empty file": "",
    "a sparse file of 1 TB": lambda path: (path.touch(), os.truncate(path, 2**40)),
}
NAMES = (
    "a" * 300,
    "a/" * 3000,
    "no\nbreak.toml",
    "\u202eabc.toml",
    "-",
    "~",
    "$HOME",
    "*",
    "%s%n",
    "\x1b[31m.toml",
    "é" * 200,
)


def paths() -> Iterator[Attempt]:
    """Every place for a file, with everything that is none in it."""
    for name, content in PLACES.items():
        lies = {} if content is None else {"place.toml": content}
        yield Attempt(f"run {name}", lies, ("run", "place.toml"))
        yield Attempt(f"check {name}", lies, ("check", "place.toml"))
        yield Attempt(f"new --out {name}", GOOD | lies, ("new", "table.csv", "--out", "place.toml"), codes=EITHER,
                      writes=() if lies else ("place.toml",))  # fmt: skip
        yield Attempt(f"compare {name}", GOOD | lies, ("compare", "plan.toml", "place.toml"))
        for suffix in (".csv", ".parquet"):
            given = {} if content is None else {f"given{suffix}": content}
            plan = BASE.plan()
            plan["data"] |= {"source": "path", "expects": "a table"}
            yield Attempt(
                f"run --data {name} ({suffix})",
                given | {"plan.toml": toml(plan)},
                ("run", "plan.toml", "--data", f"given{suffix}"),
            )
            plan = BASE.plan()
            plan["data"]["source"] = f"given{suffix}"
            yield Attempt(f"source is {name} ({suffix})", given | {"plan.toml": toml(plan)})
            table_of = {} if content is None else {f"given{suffix}": content}
            yield Attempt(f"new from {name} ({suffix})", table_of, ("new", f"given{suffix}"))
        limits = {} if content is None else {"limits.csv": content}
        plan = BASES["cytokines"].plan()
        plan["data"]["limits"] = "limits.csv"
        yield Attempt(
            f"limits is {name}", limits | {"plan.toml": toml(plan), "table.csv": table(BASES["cytokines"].table)}
        )
        run = {} if content is None else {"arun/posterior.nc": content}
        yield Attempt(f"export of {name}", run | {"arun/manifest.json": "{}"}, ("export", "arun", "--format", "csv"))
        models = {} if content is None else {"models/place.toml": content}
        yield Attempt(f"reproduce with {name}", models | {"models/x.txt": ""}, ("reproduce", "--models", "models"))


def names() -> Iterator[Attempt]:
    """Names that no file has, for every argument that is one."""
    for name in NAMES:
        shown = repr(name[:20])
        yield Attempt(f"run {shown}", GOOD, ("run", "--", name))
        yield Attempt(f"run --data {shown}", GOOD, ("run", "plan.toml", f"--data={name}"))
        yield Attempt(
            f"run --out {shown}", GOOD, ("run", "plan.toml", f"--out={name}/x\x01y"), codes=EITHER, writes=(name,)
        )
        yield Attempt(f"export {shown}", GOOD, ("export", "--format", "csv", "--", name))
        yield Attempt(f"export --format {shown}", GOOD, ("export", "thesis", f"--format={name}"))
        yield Attempt(f"reproduce --models {shown}", GOOD, ("reproduce", f"--models={name}"))
        yield Attempt(f"check {shown}", GOOD, ("check", "--", name))
        yield Attempt(f"new {shown}", GOOD, ("new", "--", name))
        yield Attempt(f"new --out {shown}", GOOD, ("new", "table.csv", f"--out={name}"), codes=EITHER, writes=(name,))
        yield Attempt(f"new --family {shown}", GOOD, ("new", "table.csv", f"--family={name}"))
        yield Attempt(f"explain {shown}", GOOD, ("explain", "--", name))
        yield Attempt(f"plans copy {shown}", GOOD, ("plans", "copy", "--", name))
        yield Attempt(f"datasets {shown}", GOOD, ("datasets", "--", name))
        yield Attempt(f"simulate {shown}", GOOD, ("simulate", "--seed", "1", "--out", "out/x.csv", "--", name))


def options() -> Iterator[Attempt]:
    """Options out of range, of the wrong type, twice, without a value; words that are none."""
    numbers = ("-1", "0", "1e3", "nan", "", "9" * 30, "9" * 5000, "x", "1_000", "١٢", "0x10", " 7", "2.5", "true")
    for option in ("draws", "tune", "chains", "seed"):
        for number in numbers:
            yield Attempt(f"--{option}={number[:30]}", GOOD, ("run", "plan.toml", f"--{option}={number}"), codes=EITHER)
    for number in numbers:
        yield Attempt(
            f"simulate --seed={number[:30]}",
            {},
            ("simulate", "raison2013", f"--seed={number}", "--out", "out/x.csv"),
            codes=EITHER,
        )
    for words in (
        (),
        ("",),
        ("run",),
        ("run", "plan.toml", "plan.toml"),
        ("run", "plan.toml", "--draws"),
        ("run", "plan.toml", "--nonsense"),
        ("run", "--", "--help"),
        ("no-such-command",),
        ("\x1b[31m",),
        ("run", "plan.toml", "--out", "."),
        ("run", "plan.toml", "--out", ".."),
        ("run", "plan.toml", "--out", "/"),
        ("run", "plan.toml", "--out", "thesis"),
        ("run", "plan.toml", "--out", "plan.toml"),
        ("run", "plan.toml", "--out", "/dev/null"),
        ("run", "plan.toml", "--out", "/dev/null/x"),
        ("run", "plan.toml", "--out", "/proc/x"),
        ("run", "plan.toml", "--out", "home"),
        ("run", "plan.toml", "--out", "../outside"),
        ("run", "plan.toml", "--out", ""),
        ("new",),
        ("new", "plan.toml"),
        ("new", "thesis"),
        ("new", "table.csv", "--out", "plan.toml"),
        ("new", "table.csv", "--out", "table.csv", "--force"),
        ("new", "table.csv", "--out", "thesis", "--force"),
        ("new", "table.csv", "--out", "/dev/null"),
        ("new", "table.csv", "--out", "/proc/x.toml"),
        ("check",),
        ("check", "thesis"),
        ("check", "table.csv"),
        ("explain", "trial.__class__"),
        ("explain", "..."),
        ("plans",),
        ("plans", "copy"),
        ("plans", "copy", "../models"),
        ("plans", "copy", "raison2013", "--to", "plan.toml"),
        ("plans", "copy", "raison2013", "--to", "/proc"),
        ("compare",),
        ("compare", "plan.toml"),
        ("compare", "thesis"),
        ("compare", "plan.toml", "plan.toml"),
        ("export",),
        ("export", "thesis", "--format", "csv"),
        ("export", ".", "--format", "csv"),
        ("export", "plan.toml", "--format", "csv"),
        ("datasets", "../../etc/passwd"),
        ("datasets", "bcg_colditz1994.csv"),
        ("simulate", "raison2013", "--seed", "1", "--out", "thesis"),
        ("simulate", "raison2013", "--seed", "1", "--out", "/dev/full"),
        ("simulate", "raison2013", "--seed", "1", "--out", "/dev/null/x.csv"),
        ("simulate", "os.system", "--seed", "1", "--out", "out/x.csv"),
        ("stage", "plan.toml", "--system", "maudsley", "--out", "out/x.csv"),
        ("stage", "thesis", "--system", "maudsley", "--out", "out/x.csv"),
        ("stage", "table.csv", "--system", "maudsley", "--out", "table.csv"),
        ("stage", "table.csv", "--system", "os.system", "--out", "out/x.csv"),
        ("reproduce", "--models", "thesis"),
        ("reproduce", "--models", "plan.toml"),
        ("reproduce", "--out", "plan.toml", "--models", "."),
    ):
        yield Attempt(f"words {' '.join(words)!r}", GOOD, words)


def sources() -> Iterator[Attempt]:
    """Sources that are not what they say, or lie where nothing of a plan's is."""
    for source in (
        "published:../../../../etc/passwd",
        "published:",
        "published:nowhere",
        "published:/etc/passwd",
        "simulate:../x",
        "simulate:",
        "simulate:os",
        "http://localhost:9/x.csv",
        "s3://bucket/x.parquet",
        "file:///etc/passwd",
        "ftp://localhost/x.csv",
        "zip://x.csv",
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "table.csv\x00.parquet",
        "table.CSV ",
        "x" * 4000 + ".csv",
        "a/" * 3000 + "x.csv",
        "table.csv.gz",
        "path",
        "//server/share.csv",
        "C:\\x.csv",
    ):
        plan = BASE.plan()
        plan["data"] |= {"source": source, "seed": 1}
        yield Attempt(f"source {source[:40]!r}", GOOD | {"plan.toml": toml(plan)})


ATTEMPTS = [*paths(), *names(), *options(), *sources()]
