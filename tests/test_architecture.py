"""How the package is laid out: imports go leftward and in no circle, one folder is one model, the map is complete."""

import ast
from pathlib import Path

import measure_code
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesdep"
ROOMS = ("data", "numerics", "designs", "models", "inference", "criticism", "reporting", "plan", "cli", "__main__")
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent == PACKAGE)
GRAPH = measure_code.import_graph(ROOT)
FAMILIES = sorted(p.name for p in (PACKAGE / "models").iterdir() if (p / "__init__.py").exists() and p.name != "parts")
MOST_LINES = 60  # of a function's body, its docstring not counted
# file of a model's folder -> the function that it holds; what a model has beside these goes by its own names
FILES = {"data": "prepare", "estimands": "estimands", "checks": "checks"}


def family_of(module: str) -> str | None:
    """The model's folder that a module lies in."""
    parts = module.split(".")
    return parts[2] if parts[1:2] == ["models"] and len(parts) > 2 and parts[2] in FAMILIES else None


# Rooms and cycles.


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def imported_rooms(source: str) -> set[str]:
    """Rooms that a module imports from, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {room_of(name) for name in names if name.startswith("bayesdep.")}
    return {room for room in found if room in ROOMS}


def rightward(room: str, source: str) -> set[str]:
    return {other for other in imported_rooms(source) if ROOMS.index(other) > ROOMS.index(room)}


@pytest.mark.parametrize("path", [p for p in MODULES if p != PACKAGE / "__init__.py"], ids=str)
def test_imports_go_leftward(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in ROOMS, f"{path.name} stands in no known room"
    assert not rightward(room, path.read_text()), f"{path.relative_to(ROOT)} imports from a room to its right"


def test_a_rightward_import_is_seen() -> None:
    assert rightward("models", "def f():\n    from bayesdep.inference.fit import Fit") == {"inference"}
    assert rightward("data", "import bayesdep.plan") == {"plan"}
    assert rightward("reporting", "from bayesdep.inference.fit import Fit") == set()


def test_no_modules_import_one_another() -> None:
    # The package itself names what is public and imports it when asked, so what imports the package is no cycle.
    graph = {name: others - {"bayesdep"} for name, others in GRAPH.items()}
    assert measure_code.cycles(graph) == []


def test_an_import_for_types_alone_counts(tmp_path: Path) -> None:
    package = tmp_path / "bayesdep" / "models"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    (package / "means.py").write_text("if TYPE_CHECKING:\n    from bayesdep.models.trial import Trial\n")
    (package / "trial.py").write_text("def build():\n    from .means import expected\n")
    graph = measure_code.import_graph(tmp_path)
    assert graph["bayesdep.models.means"] == {"bayesdep.models.trial"}
    assert measure_code.cycles(graph) == [["bayesdep.models.means", "bayesdep.models.trial"]]


# One folder is one model.


def test_no_part_imports_a_model() -> None:
    parts = [name for name in GRAPH if name.startswith(("bayesdep.models.parts", "bayesdep.numerics"))]
    assert parts
    assert {name: found for name in parts if (found := {o for o in GRAPH[name] if family_of(o)})} == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_no_file_of_a_model_imports_the_model(family: str) -> None:
    model = f"bayesdep.models.{family}.model"
    assert model in GRAPH
    assert [name for name, others in GRAPH.items() if family_of(name) == family and model in others] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_import_nothing_of_their_folder(family: str) -> None:
    assert {other for other in GRAPH[f"bayesdep.models.{family}.settings"] if family_of(other) == family} == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_file_holds_the_same_thing_in_every_folder(family: str) -> None:
    folder = PACKAGE / "models" / family
    for file, function in FILES.items():
        defined = [node.name for node in ast.parse((folder / f"{file}.py").read_text()).body
                   if isinstance(node, ast.FunctionDef)]  # fmt: skip
        assert function in defined, f"{family}/{file}.py has no function '{function}'"
    classes = {name: [node.name for node in ast.parse((folder / f"{name}.py").read_text()).body
                      if isinstance(node, ast.ClassDef)] for name in ("settings", "model")}  # fmt: skip
    (model,) = (name for name in classes["model"] if f"{name}Settings" in classes["settings"])
    assert not model.startswith("_")


# Sizes and names.


def test_no_function_is_longer_than_a_page() -> None:
    files = measure_code.modules(ROOT)
    every = [function for name, path in files.items() for function in measure_code.functions(name, path)]
    assert len(every) > 1000
    assert [f"{f.module}.{f.name}: {f.body} lines" for f in every if f.body > MOST_LINES] == []


def test_the_lines_of_a_body_are_counted_without_the_docstring(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        'def f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    y = (\n        x\n    )\n\n    return y\n'
    )
    (function,) = measure_code.functions("example", file)
    assert (function.name, function.line, function.body) == ("f", 1, 5)


def test_the_map_names_every_module_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = {word.strip("`") for word in text.split() if word.startswith("`bayesdep/") and word.endswith(".py`")}
    assert named == {p.relative_to(ROOT).as_posix() for p in MODULES}


def test_public_names_are_what_the_package_promises() -> None:
    import bayesdep as bd

    for name in bd.__all__:
        assert getattr(bd, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bd.nonsense  # noqa: B018  (the access is the test)
