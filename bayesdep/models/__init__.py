"""One file, one generative story, one PyMC model; and the register that plans and saved fits look them up in."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import bayesdep.data.compile_cache  # noqa: F401  (settles where compiled code is kept before PyTensor is imported)
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.models.parts.priors import Prior
from bayesdep.models.story import Story

# family -> module and class; imported only when asked for
_REGISTER = {
    "correlation": ("bayesdep.models.correlation", "Correlation"),
    "counts": ("bayesdep.models.counts", "Counts"),
    "crossover": ("bayesdep.models.crossover", "Crossover"),
    "cytokines": ("bayesdep.models.cytokines", "Cytokines"),
    "meta": ("bayesdep.models.meta", "Meta"),
    "pooled": ("bayesdep.models.pooled", "Pooled"),
    "response": ("bayesdep.models.response", "Response"),
    "screen": ("bayesdep.models.screen", "Screen"),
    "small-studies": ("bayesdep.models.small_studies", "SmallStudies"),
    "trial": ("bayesdep.models.trial", "Trial"),
}


def story_class(family: str) -> type[Any]:
    """Return the class of a model family.

    Parameters
    ----------
    family
        What a plan calls it.

    Returns
    -------
    type
        The story's dataclass.

    Raises
    ------
    BadInput
        When there is no such family, naming the nearest one.

    Examples
    --------
    >>> story_class("meta").__name__
    'Meta'
    """
    if family not in _REGISTER:
        raise BadInput(f"model.family = '{family}' is not a model family; {did_you_mean(family, _REGISTER)}")
    module, name = _REGISTER[family]
    return getattr(importlib.import_module(module), name)


def make_story(family: str, settings: Mapping[str, Any]) -> Story:
    """Build a story from its family and settings, as a plan or a saved fit states them.

    Parameters
    ----------
    family
        What a plan calls the family.
    settings
        Field values by name; ``priors`` as tables.

    Returns
    -------
    Story
        The checked story.

    Raises
    ------
    BadInput
        When a setting is unknown or impossible.
    """
    cls = story_class(family)
    known = [f.name for f in dataclasses.fields(cls)]
    for name in settings:
        if name not in known:
            raise BadInput(f"model.{name}: the {family} family has no such setting; {did_you_mean(name, known)}")
    return cls(**settings)


def settings_of(story: Story) -> dict[str, Any]:
    """Return the settings of a story in a form that TOML and JSON can hold.

    Parameters
    ----------
    story
        Any story.

    Returns
    -------
    dict
        Field values by name, priors as tables, such that :func:`make_story` restores the story.
    """
    fields = dataclasses.fields(story)  # type: ignore[arg-type]  # a protocol cannot say that stories are dataclasses
    settings = {f.name: getattr(story, f.name) for f in fields}
    settings["priors"] = {k: v.to_dict() if isinstance(v, Prior) else v for k, v in story.priors.items()}
    return settings
