"""How the package is laid out: imports go leftward and in no circle, one folder is one model, the map is complete."""

import ast
from pathlib import Path

import measure_code
import pytest

from bayesdep.models.register import FORMER, SHIPPED

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesdep"
SUBPACKAGES = (
    "data", "numerics", "designs", "models", "modelling", "inference", "criticism", "reporting", "plan_keys", "plan",
    "planning", "commands", "cli", "__main__",
)  # fmt: skip
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent == PACKAGE)
GRAPH = measure_code.import_graph(ROOT)
FAMILIES = sorted(p.name for p in (PACKAGE / "models").iterdir() if (p / "__init__.py").exists() and p.name != "parts")
MOST_LINES = 60  # of a function's body, its docstring not counted
FILES = ("settings", "data", "model", "estimands", "checks")  # that every model's folder has, beside its own


def family_of(module: str) -> str | None:
    """The model's folder that a module lies in."""
    parts = module.split(".")
    return parts[2] if parts[1:2] == ["models"] and len(parts) > 2 and parts[2] in FAMILIES else None


# Subpackages and cycles.


def subpackage_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def subpackage_of_path(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_subpackages(source: str) -> set[str]:
    """Subpackages that a module imports from, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {subpackage_of(name) for name in names if name.startswith("bayesdep.")}
    return {subpackage for subpackage in found if subpackage in SUBPACKAGES}


def rightward(subpackage: str, source: str) -> set[str]:
    return {other for other in imported_subpackages(source) if SUBPACKAGES.index(other) > SUBPACKAGES.index(subpackage)}


@pytest.mark.parametrize("path", [p for p in MODULES if p != PACKAGE / "__init__.py"], ids=str)
def test_imports_go_leftward(path: Path) -> None:
    subpackage = subpackage_of_path(path)
    assert subpackage in SUBPACKAGES, f"{path.name} stands in no known subpackage"
    assert not rightward(subpackage, path.read_text()), (
        f"{path.relative_to(ROOT)} imports from a subpackage to its right"
    )


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


def test_only_the_public_names_import_a_model() -> None:
    models = {f"bayesdep.models.{family}.model" for family in FAMILIES}
    assert {name for name, others in GRAPH.items() if others & models} == {"bayesdep"}  # the register has them as text


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_import_nothing_of_their_folder(family: str) -> None:
    assert {other for other in GRAPH[f"bayesdep.models.{family}.settings"] if family_of(other) == family} == set()


def defined(family: str, file: str) -> dict[str, ast.stmt]:
    """The classes and functions of a file of a model's folder."""
    body = ast.parse((PACKAGE / "models" / family / f"{file}.py").read_text()).body
    return {node.name: node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_file_holds_the_same_thing_in_every_folder(family: str) -> None:
    """Settings as a class, a table's way to data as `prepare`, and the public class, which adds methods to settings."""
    missing = [file for file in FILES if not (PACKAGE / "models" / family / f"{file}.py").exists()]
    assert missing == []
    (settings,) = (name for name in defined(family, "settings") if name.endswith("Settings"))
    public = defined(family, "model")[settings.removesuffix("Settings")]
    assert isinstance(public, ast.ClassDef)
    assert settings in [base.id for base in public.bases if isinstance(base, ast.Name)]
    prepare = defined(family, "data")["prepare"]
    assert isinstance(prepare, ast.FunctionDef)
    assert [argument.arg for argument in prepare.args.args][:2] == ["settings", "table"]


# What a fit gets, its model lists; nobody asks which model it is.


def models_read_by(module: str) -> set[str]:
    """Modules of models' folders that a module of another subpackage imports, save what it may.

    ``reporting/figures/<family>.py``, and ``<family>_<what>.py`` beside it, draw from what their own family has:
    settings, and functions that take these. The model's class itself nobody imports.
    """
    stem = module.rsplit(".", 1)[-1] if module.startswith("bayesdep.reporting.figures.") else ""
    found = {other for other in GRAPH[module] if family_of(other)}
    own = {other for other in found if stem and f"{stem}_".startswith(f"{family_of(other)}_")}
    return found - {other for other in own if not other.endswith(".model")}


@pytest.mark.parametrize(
    "module", [m for m in GRAPH if subpackage_of(m) in ("inference", "criticism", "reporting", "plan")]
)
def test_nothing_beyond_models_knows_a_model(module: str) -> None:
    assert models_read_by(module) == set()


def test_a_figure_may_read_its_own_family_but_not_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "bayesdep.reporting.figures.trial_checks"
    for other, expected in (
        ("bayesdep.models.trial.means", set()),
        ("bayesdep.models.trial.model", {"bayesdep.models.trial.model"}),
        ("bayesdep.models.meta.estimands", {"bayesdep.models.meta.estimands"}),
        ("bayesdep.models.parts.scale", set()),
    ):
        monkeypatch.setitem(GRAPH, module, {other})
        assert models_read_by(module) == expected
    monkeypatch.setitem(GRAPH, "bayesdep.criticism.dropout", {"bayesdep.models.trial.means"})
    assert models_read_by("bayesdep.criticism.dropout") == {"bayesdep.models.trial.means"}


def decides_by_family(source: str) -> list[str]:
    """Questions for one family: ``model.family == "trial"``, ``isinstance(model, Trial)``."""
    families, classes = set(SHIPPED) | set(FORMER), {name for _, name in SHIPPED.values()}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            asks = any(isinstance(n, ast.Attribute | ast.Name) and "family" in ast.unparse(n) for n in ast.walk(node))
            found += [ast.unparse(node)] if asks and texts & families else []
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            named = {n.id if isinstance(n, ast.Name) else n.attr for n in ast.walk(node.args[1])
                     if isinstance(n, ast.Name | ast.Attribute)}  # fmt: skip
            found += [ast.unparse(node)] if named & classes else []
    return found


@pytest.mark.parametrize(
    "path", [p for p in MODULES if subpackage_of_path(p) in ("inference", "criticism", "reporting")], ids=str
)
def test_nothing_asks_which_model_a_fit_is_of(path: Path) -> None:
    assert decides_by_family(path.read_text()) == []


def test_a_question_for_a_family_is_seen() -> None:
    assert (
        len(decides_by_family("if fit.model.family in ('meta', 'small-studies') or isinstance(m, bd.Trial): pass")) == 2
    )
    assert decides_by_family("if isinstance(m, LeavesOut) and a.family == b.family: pass") == []


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
