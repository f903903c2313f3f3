"""The house keeps its rooms: imports go leftward and the map is complete."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesdep"
ROOMS = ("data", "numerics", "designs", "models", "inference", "criticism", "reporting", "plan", "cli", "__main__")
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent == PACKAGE)


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
