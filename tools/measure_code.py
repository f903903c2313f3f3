"""Measure how the package is laid out: imports between its folders, cycles, lengths of files and functions.

Run `python tools/measure_code.py [FOLDER]`, where FOLDER holds `bayesdep/` (this checkout if none is named); it prints
Markdown. `tests/test_architecture.py` takes its import graph from here. Nothing is imported: files are read as text.
"""

import ast
import statistics
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "bayesdep"
LONG = 40  # lines of a function's body, from which on it is counted as long


@dataclass(frozen=True)
class Function:
    """A function or method, its first line, and the lines of its body without the docstring."""

    module: str
    name: str
    line: int
    body: int


def modules(root: Path) -> dict[str, Path]:
    """Return every module of the package: its dotted name and its file. Packages go by their folder's name."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    names = [".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return dict(zip(names, files, strict=True))


def folder_of(module: str, path: Path) -> str:
    """Return the folder of a module inside the package, `models/trial`; of a module at its top, the module's name."""
    parts = module.split(".")[1:]
    inside = parts if path.name == "__init__.py" else parts[:-1]
    return "/".join(inside) or (parts[0] if parts else PACKAGE)


def imported(module: str, path: Path, known: Set[str]) -> set[str]:
    """Return the package's modules that a module imports, wherever in it the import stands and whenever it runs."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {_module(alias.name, known) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # a relative import
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            found |= {_module(f"{base}.{alias.name}", known) for alias in node.names}
    return {name for name in found if name is not None and name != module}


def _module(name: str, known: Set[str]) -> str | None:
    """The module that a dotted name is, or that has it as its last part."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def import_graph(root: Path) -> dict[str, set[str]]:
    """Return what every module of the package imports of it."""
    files = modules(root)
    return {name: imported(name, path, files.keys()) for name, path in files.items()}


def cycles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return every group of modules that import one another, directly or by way of others.

    Examples
    --------
    >>> cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d", "a"}})
    [['b', 'c']]
    """
    reached = {name: _reached(name, graph) for name in graph}
    groups = {frozenset(b for b in reached[a] if a in reached.get(b, ())) for a in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reached(start: str, graph: Mapping[str, Set[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        new = set(graph.get(ahead.pop(), ())) - reached
        reached |= new
        ahead.extend(new)
    return reached


def functions(module: str, path: Path) -> Iterator[Function]:
    """Yield every function and method of a file, those inside others too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield Function(module, node.name, node.lineno, length)


def parameters_of_any_type(path: Path) -> int:
    """Count the parameters whose type is `Any` and nothing else."""
    count = 0
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.arg):
            count += isinstance(node.annotation, ast.Name) and node.annotation.id == "Any"
    return count


def report(root: Path) -> str:
    """Return all measurements as Markdown."""
    files, graph = modules(root), import_graph(root)
    folder = {name: folder_of(name, path) for name, path in files.items()}
    count = {place: sum(folder[name] == place and path.name != "__init__.py" for name, path in files.items())
             for place in sorted(set(folder.values()))}  # fmt: skip
    arrows = {(folder[a], folder[b]) for a, others in graph.items() for b in others if folder[a] != folder[b]}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in files.items()
               if path.name != "__init__.py"}  # fmt: skip
    longest = max(lengths, key=lambda name: lengths[name])
    every = [function for name, path in files.items() for function in functions(name, path)]
    long = [function for function in every if function.body > LONG]
    largest = max(every, key=lambda function: function.body)
    lines = [
        "| measure | value |",
        "| --- | --- |",
        f"| modules | {len(lengths)} in {sum(n > 0 for n in count.values())} folders |",
        f"| imports between modules | {sum(map(len, graph.values()))} |",
        f"| arrows between folders | {len(arrows)} |",
        f"| cycles of modules | {len(cycles(graph))}, of {sum(map(len, cycles(graph)))} modules |",
        f"| lines per file | median {statistics.median(lengths.values()):g}, most {lengths[longest]} (`{longest}`) |",
        f"| functions | {len(every)} |",
        f"| with a body over {LONG} lines | {len(long)}, {len(long) / len(every):.1%} |",
        f"| longest body | {largest.body} lines (`{largest.module}.{largest.name}`) |",
        f"| parameters of type `Any` | {sum(map(parameters_of_any_type, files.values()))} |",
        "",
        *[f"- cycle: {', '.join(f'`{name}`' for name in group)}" for group in cycles(graph)],
        "",
        "| folder | modules | imports from |",
        "| --- | --- | --- |",
        *[f"| {place} | {n} | {', '.join(sorted(b for a, b in arrows if a == place))} |" for place, n in count.items()],
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]))
