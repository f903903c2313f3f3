"""The register of models: a family's name -> its class; settings out and in."""

import dataclasses
import hashlib
import importlib
import inspect
import re
import secrets
import warnings
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bayesdep.data.errors import BadInput, Faults, did_you_mean
from bayesdep.models.model import Forest, Model
from bayesdep.models.parts.described import Described
from bayesdep.numerics.distributions import Prior

# The package's own: family -> module and class, imported only when asked for.
SHIPPED = {
    "correlation": ("bayesdep.models.correlation.model", "Correlation"),
    "counts": ("bayesdep.models.counts.model", "Counts"),
    "crossover": ("bayesdep.models.crossover.model", "Crossover"),
    "cytokines": ("bayesdep.models.cytokines.model", "Cytokines"),
    "items": ("bayesdep.models.items.model", "Items"),
    "meta": ("bayesdep.models.meta.model", "Meta"),
    "ordinal": ("bayesdep.models.ordinal.model", "Ordinal"),
    "patient-meta": ("bayesdep.models.patient_meta.model", "PatientMeta"),
    "response": ("bayesdep.models.response.model", "Response"),
    "screen": ("bayesdep.models.screen.model", "Screen"),
    "small-studies": ("bayesdep.models.small_studies.model", "SmallStudies"),
    "transitions": ("bayesdep.models.transitions.model", "Transitions"),
    "stepwise": ("bayesdep.models.stepwise.model", "Stepwise"),
    "trajectories": ("bayesdep.models.trajectories.model", "Trajectories"),
    "trial": ("bayesdep.models.trial.model", "Trial"),
}
# former family -> the family it is now: plans and saved fits that name the former one can still be read
FORMER = {"pooled": "patient-meta"}

REGISTERED: dict[str, type[Any]] = {}  # by the user, or loaded from an entry point
_GROUP = "bayesdep.models"  # of entry points
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# what every model has: the protocol's own names
PARTS = (*Model.__annotations__, *(name for name in vars(Model) if not name.startswith("_")))
METHODS = tuple(name for name in PARTS if inspect.isfunction(vars(Model).get(name)))


class UnknownFamily(BadInput):
    """There is no model family of that name, here and now."""


def register[M: type[Any]](model: M) -> M:
    """Make a model of your own known by its family, so that plans and saved fits can name it.

    It is known in this process, once the module that registers it has been imported. An installed package can name it
    in the entry-point group ``bayesdep.models`` instead (``adverse-events = "my_package:AdverseEvents"``); then it is
    imported when a plan or a saved fit names its family. ``docs/howto/your_own_model.md`` has an example.

    Parameters
    ----------
    model
        A frozen dataclass that has what :class:`~bayesdep.models.model.Model` asks for.

    Returns
    -------
    type
        The same class, so that this can stand above it as a decorator, ``@bd.register``.

    Raises
    ------
    BadInput
        When it lacks a part, naming it, or its family is that of another model.

    Examples
    --------
    >>> register(dict)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: dict cannot be registered: it is no frozen dataclass; put @bd.register above ...
    """
    _refuse_incomplete(model)
    family = model.family
    if family in SHIPPED or family in FORMER:
        raise BadInput(
            f"{model.__name__} cannot be registered: family = '{family}' is a model of this package; choose another"
        )
    other = REGISTERED.get(family)
    if other is not None and _path(other) != _path(model):  # the same class again is a cell that was run again
        raise BadInput(
            f"{model.__name__} cannot be registered: family = '{family}' is {_path(other)}; choose another family"
        )
    REGISTERED[family] = model
    if not hasattr(model, "_repr_html_"):
        model._repr_html_ = Described._repr_html_  # a notebook shows it as it shows the package's own
    return model


def _path(model: type[Any]) -> str:
    return f"{model.__module__}:{model.__qualname__}"


def _refuse_incomplete(model: Any) -> None:
    """Refuse what is no model, naming the part that it lacks."""
    start = f"{getattr(model, '__name__', repr(model))} cannot be registered"
    if not (isinstance(model, type) and dataclasses.is_dataclass(model) and _is_frozen(model)):
        raise BadInput(f"{start}: it is no frozen dataclass; put @bd.register above @dataclass(frozen=True)")
    fields = {f.name for f in dataclasses.fields(model)}
    shown = "as the documentation's page on a model of your own shows"
    lacking = [part for part in PARTS if not hasattr(model, part) and part not in fields]
    if lacking:
        them = "it" if len(lacking) == 1 else "them"
        names = " and ".join(f"'{part}'" for part in lacking)
        raise BadInput(f"{start}: it has no {names}; add {them}, {shown}")
    for part in METHODS:
        if not callable(getattr(model, part, None)):
            raise BadInput(f"{start}: its '{part}' is no method; make it one, {shown}")
    forest = inspect.getattr_static(model, "forest", None)
    if "forest" not in fields and not isinstance(forest, Forest) and not hasattr(forest, "__get__"):  # no property
        raise BadInput(
            f"{start}: its 'forest' is {forest!r}; make it a bayesdep.modelling.Forest, whose estimates may be NaN"
        )
    if "priors" not in fields:
        raise BadInput(f"{start}: its 'priors' is no field, so no plan can replace a prior; make it one")
    family = getattr(model, "family", None)
    if not isinstance(family, str) or not _NAME.fullmatch(family):
        raise BadInput(
            f"{start}: family = {family!r}, but lower-case letters, digits and '-' are needed, such as 'adverse-events'"
        )


def _is_frozen(model: Any) -> bool:
    return bool(model.__dataclass_params__.frozen)


def families() -> list[str]:
    """List every family that can be asked for: the package's, those registered, those of installed packages.

    Returns
    -------
    list of str
        Sorted. Nothing is imported for it.
    """
    return sorted({*SHIPPED, *REGISTERED, *(point.name for point in entry_points(group=_GROUP))})


def model_class(family: str) -> type[Any]:
    """Return the class of a model family.

    Parameters
    ----------
    family
        What a plan calls it.

    Returns
    -------
    type
        The model's dataclass.

    Raises
    ------
    UnknownFamily
        When there is no such family, naming the nearest one.
    BadInput
        When an installed package has it and cannot be imported.

    Examples
    --------
    >>> model_class("meta").__name__
    'Meta'
    """
    family = FORMER.get(family, family)
    if family in SHIPPED:
        module, name = SHIPPED[family]
        return getattr(importlib.import_module(module), name)
    if family not in REGISTERED:
        _load(family)
    return REGISTERED[family]


def _load(family: str) -> None:
    """Import the model of an installed package that has an entry point of this name."""
    points = {point.value: point for point in entry_points(group=_GROUP, name=family)}  # not twice the same
    if not points:
        raise UnknownFamily(
            f"model.family = '{family}' is not a model family here; {did_you_mean(family, families())}, or, if it is a "
            "model of your own, import the module that registers it or install its package"
        )
    if len(points) > 1:
        names = " and ".join(f"'{_distribution(point)}'" for point in points.values())
        raise BadInput(f"the installed packages {names} both have a model family '{family}'; uninstall one of them")
    (point,) = points.values()
    start = f"the model family '{family}' of the installed package '{_distribution(point)}' cannot be used"
    try:
        model = point.load()
        _refuse_incomplete(model)
    except Exception as problem:  # importing a module of somebody else can raise anything
        raise BadInput(f"{start} ({type(problem).__name__}: {problem}); update or uninstall that package") from problem
    if model.family != family:
        raise BadInput(f"{start} (its class says family = '{model.family}'); update or uninstall that package")
    REGISTERED[family] = model


def _distribution(point: EntryPoint) -> str:
    return str(point.dist.name) if point.dist is not None else point.value


def make_model(family: str, settings: Mapping[str, Any]) -> Model:
    """Build a model from its family and settings, as a plan or a saved fit states them.

    Parameters
    ----------
    family
        What a plan calls the family.
    settings
        Field values by name; ``priors`` as tables.

    Returns
    -------
    Model
        The checked model.

    Raises
    ------
    BadInput
        When a setting is unknown or impossible.
    """
    if family in FORMER:
        now = FORMER[family]
        warnings.warn(f"the family '{family}' is now called '{now}'; write '{now}'", DeprecationWarning, stacklevel=2)
    cls = model_class(family)
    known = [f.name for f in dataclasses.fields(cls)]
    faults = Faults()
    for name in settings:
        with faults:
            if name not in known:
                raise BadInput(f"model.{name}: the {family} family has no such setting; {did_you_mean(name, known)}")
    faults.refuse()
    return cls(**settings)


def settings_of(model: Model) -> dict[str, Any]:
    """Return the settings of a model in a form that TOML and JSON can hold.

    Parameters
    ----------
    model
        Any model.

    Returns
    -------
    dict
        Field values by name, priors as tables, such that :func:`make_model` restores the model.
    """
    fields = dataclasses.fields(model)  # type: ignore[arg-type]  # a protocol cannot say that models are dataclasses
    settings = {f.name: getattr(model, f.name) for f in fields}
    settings["priors"] = {k: v.to_dict() if isinstance(v, Prior) else v for k, v in model.priors.items()}
    return settings


def code_of(model: Model) -> str:
    """Return what tells the code of a model that is not this package's from an earlier state of it.

    Parameters
    ----------
    model
        Any model.

    Returns
    -------
    str
        Empty for the package's own models; else a SHA-256 of the source of its module, or of its class where it was
        written in a notebook. Where there is no source to read, never the same twice.
    """
    cls = type(model)
    if cls.__module__.startswith("bayesdep."):
        return ""
    for source in (inspect.getmodule(cls), cls):
        try:
            return hashlib.sha256(inspect.getsource(source).encode()).hexdigest()  # type: ignore[arg-type]  # None: TypeError
        except (OSError, TypeError):
            continue
    return secrets.token_hex()
