"""Messages of the register of models, and their advice: see ``advice.py``."""

import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import bayesdep as bd
from bayesdep.models import register
from bayesdep.models.model import Forest
from bayesdep.models.register import make_model, model_class

CODE = """
import dataclasses
@dataclasses.dataclass(frozen=True)
class Given:
    priors: dict = dataclasses.field(default_factory=dict)
    family = "given"
    target_accept = slots = left_out = primary_estimands = words = formula = None
    forest = property(lambda self: None)
    prepare = build = estimands = checks = lambda self: None
"""


def given(name: str = "Given", frozen: bool = True, without: str = "", field: bool = True, **constants: Any) -> type:
    """A class that has every part of a model, and can do nothing."""
    parts: dict[str, Any] = dict.fromkeys(register.PARTS, "")
    parts |= {method: lambda self: None for method in register.METHODS}
    parts |= {"family": "given", "forest": Forest((), None, None, lambda data: (data, data)), **constants}
    fields: list[Any] = [("priors", dict, dataclasses.field(default_factory=dict))] if field else []
    kept = {part: value for part, value in parts.items() if part != without and not (field and part == "priors")}
    return dataclasses.make_dataclass(name, fields, namespace=kept, frozen=frozen)


def registered(*models: type) -> None:
    """Register classes one after another, and forget them."""
    known = dict(register.REGISTERED)
    try:
        for model in models:
            bd.register(model)
    finally:
        register.REGISTERED.clear()
        register.REGISTERED.update(known)


def installed(*names: str, family: str = "given", at: str = "given_by_{}:Given") -> None:
    """Ask for a family of packages that are installed while it lasts."""
    folder = Path(tempfile.mkdtemp())
    known = dict(register.REGISTERED)
    sys.path.insert(0, str(folder))
    try:
        for name in names:
            about = folder / f"{name}-1.0.dist-info"
            about.mkdir()
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            (about / "entry_points.txt").write_text(f"[bayesdep.models]\n{family} = {at.format(name)}\n")
            (folder / f"given_by_{name}.py").write_text(CODE)
        model_class(family)
    finally:
        sys.path.remove(str(folder))
        shutil.rmtree(folder)
        for name in names:
            sys.modules.pop(f"given_by_{name}", None)
        register.REGISTERED.clear()
        register.REGISTERED.update(known)


INCOMPLETE, LOAD = "models/register:_refuse_incomplete", "models/register:_load"
ADVICE: list[tuple[str, str, Any, Any]] = [
    (LOAD, "did you mean", lambda: model_class("metta"), lambda: model_class("meta")),
    (LOAD, "or install its package", lambda: model_class("given"), lambda: installed("mine")),
    (LOAD, "uninstall one of them", lambda: installed("mine", "yours"), lambda: installed("mine")),
    (LOAD, "update or uninstall", lambda: installed("mine", at="given_by_{}:Gone"), lambda: installed("mine")),
    (LOAD, "its class says family", lambda: installed("mine", family="other"), lambda: installed("mine")),
    (
        "models/register:make_model",
        "did you mean",
        lambda: make_model("counts", {"contrl": "p"}),
        lambda: make_model("counts", {"control": "p"}),
    ),
    (
        "models/register:register",
        "is a model of this package; choose another",
        lambda: registered(given(family="meta")),
        lambda: registered(given()),
    ),
    (
        "models/register:register",
        "choose another family",
        lambda: registered(given(), given("Other")),
        lambda: registered(given(), given("Other", family="other")),
    ),
    (
        INCOMPLETE,
        "put @bd.register above @dataclass(frozen=True)",
        lambda: registered(given(frozen=False)),
        lambda: registered(given()),
    ),
    (INCOMPLETE, "it has no 'words'; add it", lambda: registered(given(without="words")), lambda: registered(given())),
    (
        INCOMPLETE,
        "make it a bayesdep.modelling.Forest",
        lambda: registered(given(forest=None)),
        lambda: registered(given()),
    ),
    (INCOMPLETE, "make it one", lambda: registered(given(build="a graph")), lambda: registered(given())),
    (INCOMPLETE, "make it one", lambda: registered(given(field=False)), lambda: registered(given())),
    (
        INCOMPLETE,
        "lower-case letters",
        lambda: registered(given(family="Given events")),
        lambda: registered(given(family="given-events")),
    ),
]
