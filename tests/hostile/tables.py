"""Tables: every column of every family damaged in every way; files that are no tables; tables of absurd size."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hostile.bases import BASES, Base
from hostile.harness import DONE, REFUSED, Attempt
from hostile.text import table, toml

EITHER = (REFUSED, DONE)

Column = list[Any]


def _first(value: Any) -> Callable[[Column], Column]:
    return lambda cells: [value, *cells[1:]]


def _all(value: Any) -> Callable[[Column], Column]:
    return lambda cells: [value] * len(cells)


def _times(factor: float) -> Callable[[Column], Column]:
    return lambda cells: [c * factor if isinstance(c, (int, float)) else c for c in cells]


# What is done to one column, by name; the rest of the table stays good.
DAMAGE: dict[str, Callable[[Column], Column]] = {
    "blank": _all(""),
    "blank first": _first(""),
    "infinite": _first("inf"),
    "minus infinite": _first("-inf"),
    "1e200": _first(1e200),
    "-1e200": _first(-1e200),
    "all 1e200": _all(1e200),
    "1e-200": _first(1e-200),
    "denormal": _first(5e-324),
    "all denormal": _all(5e-324),
    "1e308": _first(1e308),
    "beyond floats": _first("1e400"),
    "times 1e150": _times(1e150),
    "times 1e-170": _times(1e-170),
    "all zero": _all(0),
    "all one": _all(1),
    "all equal text": _all("x"),
    "negative": lambda cells: [-abs(c) if isinstance(c, (int, float)) else c for c in cells],
    "mixed": lambda cells: [c if i % 2 else f"text {i}" for i, c in enumerate(cells)],
    "truth": lambda cells: [("true", "false")[i % 2] for i in range(len(cells))],
    "dates": lambda cells: [f"2026-01-{1 + i % 28:02d}" for i in range(len(cells))],
    "shuffled": lambda cells: cells[::-1],
    "each its own": lambda cells: [f"v{i}" for i in range(len(cells))],
    "NUL": _first("a\x00b"),
    "escape": _first("\x1b[2J\x1b[31m"),
    "long": _first("x" * 200_000),
    "formula": _first("=cmd|'/c calc'!A1"),
    "script": _first("<script>alert(1)</script>"),
    "mathtext": _first("$x^{$ \\frac"),
    "right to left": _first("\u202eabc"),
    "huge digits": _first("9" * 5000),
    "integer beyond 64 bits": _first(2**70),
    "complex": _first("1+2j"),
    "nan": _all("nan"),
}


def _attempt(base: Base, name: str, content: Any, **how: Any) -> Attempt:
    return Attempt(
        f"{base.family}: {name}",
        {"plan.toml": toml(base.plan()), "table.csv": content},
        **{"codes": EITHER, "seconds": 40.0} | how,
    )


def every_column(families: Iterable[str] = BASES, step: int = 1) -> Iterator[Attempt]:
    """Every column of families, damaged in every way (or in every so manieth)."""
    turn = 0
    for base in (BASES[family] for family in families):
        for column in base.table:
            for name, damage in DAMAGE.items():
                turn += 1
                if turn % step == 0:
                    damaged = base.table | {column: damage(list(base.table[column]))}
                    yield _attempt(base, f"{column} {name}", table(damaged))


def every_table() -> Iterator[Attempt]:
    """Whole tables of every family: no rows, one, rows twice, columns twice, none, a hundred thousand rows."""
    for base in BASES.values():
        text = table(base.table)
        header, *rows = text.splitlines()
        yield _attempt(base, "no row", header + "\n", codes=(REFUSED,))
        yield _attempt(base, "one row", f"{header}\n{rows[0]}\n")
        yield _attempt(base, "two rows", f"{header}\n{rows[0]}\n{rows[1]}\n")
        yield _attempt(base, "every row twice", "\n".join([header, *rows, *rows]) + "\n")
        yield _attempt(base, "every column twice", "\n".join(f"{line},{line}" for line in [header, *rows]) + "\n")
        yield _attempt(base, "empty file", "", codes=(REFUSED,))
        yield _attempt(base, "no header", "\n".join(rows) + "\n")
        yield _attempt(base, "ragged", "\n".join([header, rows[0] + ",,,,1", rows[1][:-3], *rows[2:]]) + "\n")
        yield _attempt(base, "one quotation mark", text.replace(",", ',"', 1), codes=EITHER)
        yield _attempt(base, "60,000 rows", "\n".join([header, *(rows * (60_000 // len(rows)))]) + "\n")


def no_tables() -> Iterator[Attempt]:
    """Files that are no tables."""
    base = BASES["meta"]
    text = table(base.table)
    wide = 20_000
    contents: dict[str, Any] = {
        "NULs": b"\x00" * 4096,
        "binary": bytes(range(256)) * 100,
        "UTF-16 without its mark": text.encode("utf-16-le"),
        "half a UTF-16 character": text.encode("utf-16")[:-1],
        "UTF-32": text.encode("utf-32"),
        "an escape in the header": text.replace("effect", "eff\x1b[31mect"),
        "one line of 30 MB": "study,effect,se\nOslo," + "9" * 30_000_000 + ",1\n",
        "a field of 200,000 letters": "study,effect,se\n" + "x" * 200_000 + ",1,1\n",
        "20,000 columns": ",".join(f"c{i}" for i in range(wide)) + "\n" + ",".join(["1"] * wide) + "\n",
        "only delimiters": ",,,,,,,,,,\n" * 1000,
        "only line breaks": "\n" * 100_000,
        "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "a zip file": b"PK\x03\x04" + b"\x00" * 200,
    }
    for name, content in contents.items():
        yield _attempt(base, f"no table: {name}", content, codes=(REFUSED,))
    yield _attempt(base, "header with byte order mark", b"\xef\xbb\xbf" + text.encode(), codes=(DONE,))


def _parquet(frame: pd.DataFrame, **how: Any) -> Callable[[Path], object]:
    return lambda path: frame.to_parquet(path, **how)


def _arrow(make: Callable[[], Any], **how: Any) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        import pyarrow.parquet as pq

        pq.write_table(make(), path, **how)

    return write


def _bomb(rows: int) -> Callable[[Path], object]:
    """A file of some kilobytes that says it holds a great many rows, and does."""

    def write(path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        one = 2_000_000
        schema = pa.schema([("study", pa.string()), ("effect", pa.float64()), ("se", pa.float64())])
        same = pa.table(
            {
                "study": pa.DictionaryArray.from_arrays(pa.array(np.zeros(one, "int32")), pa.array(["Oslo"])).cast(
                    pa.string()
                ),
                "effect": np.zeros(one),
                "se": np.ones(one),
            },
            schema=schema,
        )
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for _ in range(rows // one):
                writer.write_table(same, row_group_size=one)

    return write


def _nested(depth: int) -> Callable[[], Any]:
    def make() -> Any:
        import pyarrow as pa

        kind: Any = pa.float64()
        for _ in range(depth):
            kind = pa.list_(kind)
        return pa.table({"study": ["a", "b"], "effect": pa.array([None, None], kind), "se": [1.0, 1.0]})

    return make


def _extension() -> Any:
    import pyarrow as pa

    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": b"\x80\x04cos\nsystem\n.",
    }
    field = pa.field("effect", pa.float64(), metadata=metadata)
    return pa.table(
        [pa.array(["a", "b"]), pa.array([1.0, 2.0]), pa.array([1.0, 1.0])],
        schema=pa.schema([pa.field("study", pa.string()), field, pa.field("se", pa.float64())]),
    )


def _pandas_metadata(text: bytes) -> Callable[[], Any]:
    def make() -> Any:
        import pyarrow as pa

        table = pa.table({"study": ["a", "b"], "effect": [1.0, 2.0], "se": [1.0, 1.0]})
        return table.replace_schema_metadata({b"pandas": text})

    return make


def parquet() -> Iterator[Attempt]:
    """Parquet files: bombs, damage, nesting, types that no table of measurements has."""
    base = BASES["meta"]
    plan = base.plan()
    plan["data"]["source"] = "table.parquet"
    frame = pd.DataFrame(base.table)

    def attempt(name: str, content: Any, **how: Any) -> Attempt:
        return Attempt(
            f"parquet: {name}", {"plan.toml": toml(plan), "table.parquet": content}, **{"codes": EITHER} | how
        )

    def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            frame.to_parquet(path)
            path.write_bytes(change(path.read_bytes()))

        return write

    yield attempt("good", _parquet(frame), codes=(DONE,))
    for rows in (20_000_000, 200_000_000):
        yield attempt(f"{rows:,} rows in a small file", _bomb(rows), codes=(REFUSED,), megabytes=1500)
    for depth in (1, 5, 60):
        yield attempt(f"lists {depth} deep", _arrow(_nested(depth)), codes=(REFUSED,))
    yield attempt("an extension type with a pickle", _arrow(_extension))
    for text in (
        b"{",
        b"[]",
        b"null",
        b'{"columns": 3, "index_columns": "x"}',
        b'{"index_columns": [{"kind": "range"}]}',
        b"[" * 100_000,
        b'{"columns": [], "index_columns": [{"kind": "range", "start": 0, "stop": 1e18, "step": 1}]}',
    ):
        yield attempt(f"metadata {text[:40]!r} of {len(text)}", _arrow(_pandas_metadata(text)))
    for at in (1, 4, 8, 100, 300, 700, 1000):
        yield attempt(f"cut at {at} bytes", damaged(lambda content, at=at: content[:at]), codes=(REFUSED,))
        yield attempt(f"without its first {at} bytes", damaged(lambda content, at=at: content[at:]))
    rng = np.random.default_rng(11)
    for trial in range(20):
        where = rng.integers(0, 2000, 8)

        def flip(content: bytes, where: Any = where) -> bytes:
            flipped = bytearray(content)
            for at in where:
                flipped[at % len(flipped)] ^= 0xFF
            return bytes(flipped)

        yield attempt(f"flipped {trial}", damaged(flip))
    odd = {
        "objects": [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}],
        "bytes": [b"\xff\xfe", b"b", b"c", b"d"],
        "lists": [[1], [2], [], [3]],
        "times": list(pd.to_datetime(["2026-01-01"] * 4)),
        "durations": list(pd.to_timedelta([1, 2, 3, 4], unit="h")),
        "categories": pd.Categorical(["a", "b", "a", "b"]),
        "truths": [True, False, True, False],
        "no names": [None, None, None, None],
        "far": [1e200, -1e200, 5e-324, 1.0],
    }
    for name, cells in odd.items():
        for column in base.table:
            yield attempt(f"{column} of {name}", _parquet(frame.assign(**{column: cells})))
    yield attempt("no columns", _parquet(frame[[]]), codes=(REFUSED,))
    yield attempt("no rows", _parquet(frame.iloc[:0]), codes=(REFUSED,))
    yield attempt("text in place of it", lambda path: path.write_text("study,effect,se\n"), codes=(REFUSED,))


def sizes() -> Iterator[Attempt]:
    """Tables whose units, crossed with one another, would need more memory than any machine has."""

    def rows(columns: dict[str, Any]) -> str:
        return pd.DataFrame(columns).to_csv(index=False)

    n = 30_000
    number = np.arange(n)
    each = [f"u{i}" for i in number]
    ones = np.round(1 + number % 7 + 0.5, 3)
    yield _attempt(
        BASES["trial"],
        "every row a patient and a visit of its own",
        rows(
            {
                "subject": each,
                "arm": np.where(number % 2, "drug", "placebo"),
                "visit": number,
                "day": number,
                "baseline": ones,
                "crp": ones,
                "outcome": ones + number % 3,
            }
        ),
        megabytes=3000,
    )
    yield _attempt(
        BASES["cytokines"],
        "every row a person and an analyte of its own",
        rows(
            {
                "subject": each,
                "group": np.where(number % 2, "ill", "well"),
                "analyte": each,
                "plate": 1,
                "unit": "pg/mL",
                "lod": 0.1,
                "concentration": ones,
            }
        ),
        megabytes=3000,
    )
    yield _attempt(
        BASES["counts"],
        "every row an arm and a subgroup of its own",
        rows({"subgroup": each, "arm": [f"a{i}" for i in number], "events": 1, "n": 10}),
        megabytes=3000,
    )
    yield _attempt(
        BASES["crossover"],
        "every row a patient, a period and a day of its own",
        rows(
            {
                "subject": each,
                "period": number,
                "treatment": np.where(number % 2, "ketamine", "placebo"),
                "day": number,
                "outcome": ones,
            }
        ),
        megabytes=3000,
    )
    yield _attempt(
        BASES["patient-meta"],
        "every row a study and a time of its own",
        rows(
            {
                "study": each,
                "subject": each,
                "arm": np.where(number % 2, "control", "ketamine"),
                "time": "rapid",
                "baseline": ones,
                "age": ones,
                "outcome": ones + number % 3,
            }
        ),
        megabytes=3000,
    )
    yield _attempt(
        BASES["response"],
        "30,000 people",
        rows({"subject": each, "concentration": ones, "score": ones, "responder": np.where(number % 2, "yes", "no")}),
        megabytes=3000,
    )
    for family in ("meta", "small-studies"):
        yield _attempt(
            BASES[family], "30,000 studies", rows({"study": each, "effect": ones, "se": ones}), megabytes=3000
        )
        yield _attempt(
            BASES[family],
            "errors of every size",
            rows({"study": each[:40], "effect": ones[:40], "se": 10.0 ** np.linspace(-40, 40, 40)}),
            megabytes=3000,
        )


ATTEMPTS = [*every_column(step=7), *every_table(), *no_tables(), *parquet(), *sizes()]
