"""A fit: the model, its data, every draw, and a manifest of how the draws were made."""

import copy
import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.read_data import as_read
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.latent import join_latent
from bayesdep.inference.left_out import fill_in, leave_out
from bayesdep.inference.named_estimands import Estimands
from bayesdep.inference.numbers import SAMPLERS, check_numbers
from bayesdep.inference.primary import Primary, default_primary, primary_of, read_primary
from bayesdep.inference.ropes import Rope, refuse_unknown_ropes, ropes_of
from bayesdep.inference.saved import read_tree, write_tree
from bayesdep.models.model import ExactPosterior, Imputes, KnowsPosterior, Model
from bayesdep.models.register import UnknownFamily, make_model, settings_of

if TYPE_CHECKING:
    from bayesdep.inference.predictive import CheckResult
    from bayesdep.inference.shown import Shown
    from bayesdep.inference.verdict import ModelVerdict


@dataclass(frozen=True, eq=False)
class Fit:
    """A posterior with the model, the data and the sampler settings that it comes from.

    Parameters
    ----------
    model
        The generative model.
    data
        The prepared data.
    tree
        ArviZ groups: ``posterior``, ``latent`` (where latent values are many, at some of the draws), ``prior``,
        ``prior_predictive``, ``posterior_predictive``,
        ``log_likelihood`` (by the unit that leave-one-out leaves out; of large data at some of the draws),
        ``log_prior``, ``sample_stats`` (when sampled), ``observed_data``, ``constant_data``; and ``estimands``.
    manifest
        Sampler, seed, numbers of draws (for each of ``tables`` versions of the data), versions of software, timings in
        seconds, machine and the gate's verdict.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> fit.gate.passed, fit.synthetic
    (True, False)
    >>> fit.estimands["mu"].dims
    ('chain', 'draw')
    """

    model: Model
    data: xr.Dataset
    tree: xr.DataTree
    manifest: dict[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", as_read(self.data))  # shows no patient in a notebook

    @property
    def gate(self) -> Gate:
        """The convergence check (gate): the verdict on the sampling."""
        return Gate.from_dict(self.manifest["gate"])

    @property
    def attrs(self) -> dict[Any, Any]:
        """Attributes of every table made from the fit: both parts of the verdict; whether the data are simulated."""
        return {
            "gate": self.gate.sentence,
            "gate_passed": self.gate.passed,
            "model": self.verdict.sentence,
            "model_passed": self.verdict.passed,
            "synthetic": self.synthetic,
        }

    @functools.cached_property
    def verdict(self) -> "ModelVerdict":
        """The verdict on the model: primary estimands against their priors, data against replicates."""
        from bayesdep.inference.verdict import check_model

        return check_model(self.model, self.data, self.tree, self.check_results, seed=int(self.manifest["seed"]))

    @functools.cached_property
    def check_results(self) -> "list[CheckResult]":
        """The model's predictive checks; none where nothing was predicted."""
        from bayesdep.inference.predictive import check_results

        return check_results(self.model, self.data, self.tree)

    @functools.cached_property
    def arviz(self) -> xr.DataTree:
        """The tree for ArviZ's plots of predictions, observation by observation; computed when it is asked for.

        ``observed_data``, ``posterior_predictive`` and ``log_likelihood`` have the same variables and dims: one element
        per number observed, with who and when as coordinates, each predicted from the parameters and from what came
        before it in its unit (:func:`~bayesdep.inference.observations.arviz_tree`). ``tree`` has whole units instead.
        """
        from bayesdep.inference.observations import arviz_tree

        return arviz_tree(self.model, self.tree, tables=self.tables, seed=int(self.manifest["seed"]))

    @property
    def posterior(self) -> xr.Dataset:
        """Draws of the parameters, dims (chain, draw, ...); many latent values are in :attr:`joint`."""
        return self.tree["posterior"].to_dataset()

    @property
    def joint(self) -> xr.Dataset:
        """Draws of the parameters and of latent values together, dims (chain, draw, ...).

        Latent values stand for numbers beyond a limit or missing. Where they are many, they are kept of some draws, in
        ``tree["latent"]`` and not in ``posterior``; these are the draws here, and their coordinate ``draw`` says which.
        """
        return join_latent(self.posterior, self.tree["latent"].to_dataset() if "latent" in self.tree else None)

    @property
    def estimands(self) -> xr.Dataset:
        """Draws of the estimands, dims (chain, draw, ...), with units and descriptions.

        For an unknown name the error says in one sentence which setting, if any, would make it available.
        """
        return self._estimands.copy()

    @functools.cached_property
    def _estimands(self) -> Estimands:
        """The same, made once: a report asks for it some two hundred times."""
        draws = self.tree["estimands"].to_dataset()
        return Estimands(draws.data_vars, draws.coords, draws.attrs)

    @property
    def exact(self) -> ExactPosterior | None:
        """The posterior without sampling, where the model knows it."""
        return self.model.exact(self.data) if isinstance(self.model, KnowsPosterior) else None

    @property
    def is_exact(self) -> bool:
        """Whether the draws are independent draws of an exact posterior, not those of a Markov chain."""
        return bool(self.manifest["sampler"] == "exact")

    @property
    def tables(self) -> int:
        """How many versions of the data the draws are of, in equal shares, one after the other."""
        return int(self.manifest.get("tables", 1))  # fits saved by earlier versions do not say

    @property
    def ropes(self) -> tuple[Rope, ...]:
        """The regions of practical equivalence that were stated for it."""
        return ropes_of(self.manifest)

    def with_ropes(self, *ropes: Rope) -> "Fit":
        """Return the same fit with regions of practical equivalence, which its report, figures and file then have.

        Parameters
        ----------
        *ropes
            They replace those that it has.

        Returns
        -------
        Fit
            The same draws.

        Raises
        ------
        BadInput
            When one is of an estimand or coordinates that the fit does not have.
        """
        refuse_unknown_ropes(ropes, self.estimands)
        return Fit(self.model, self.data, self.tree, self.manifest | {"ropes": [rope.to_dict() for rope in ropes]})

    @property
    def primary(self) -> tuple[Primary, ...]:
        """The primary estimands that were stated for it; empty if none were."""
        return primary_of(self.manifest)

    def with_primary(self, *primary: str | Mapping[str, Any] | Primary) -> "Fit":
        """Return the same fit with primary estimands, which its report answers first and its file keeps.

        Parameters
        ----------
        *primary
            Names (``"mu"``), names with labels as tables print them (``"difference[infliximab, 12]"``), or mappings
            with ``estimand`` and ``at``. They replace those that it has.

        Returns
        -------
        Fit
            The same draws.

        Raises
        ------
        BadInput
            When one is of an estimand or coordinates that the fit does not have.
        """
        read = read_primary(primary, self.estimands)
        return Fit(self.model, self.data, self.tree, self.manifest | {"primary": [one.to_dict() for one in read]})

    @property
    def synthetic(self) -> bool:
        """Whether the data were simulated."""
        return bool(self.data.attrs.get("synthetic", 0))

    def __repr__(self) -> str:
        from bayesdep.inference.shown import fit_as_text

        return fit_as_text(self._shown)

    def _repr_html_(self) -> str:
        from bayesdep.inference.shown import fit_as_html

        return fit_as_html(self._shown)

    @property
    def _shown(self) -> "Shown":
        """What a notebook and a terminal show of it."""
        from bayesdep.inference.shown import Shown

        verdicts = {v.sentence: v.passed for v in (self.gate, self.verdict)}
        exact = self.exact if self.is_exact else None
        estimands = self.estimands
        primary = self.primary or default_primary(self.model, estimands)
        return Shown(self.model, self.data, estimands, self.manifest, verdicts, primary, exact)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole fit to one NetCDF file; an existing file is replaced only by a complete one.

        Parameters
        ----------
        path
            The file to write, usually ``*.nc``.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        BadInput
            When it cannot be written.
        """
        path = Path(path)
        tree, left_out = leave_out(self.model, self.data, self.tree, self.manifest)
        tree = tree.copy()
        tree.attrs = {
            "bayesdep_family": self.model.family,
            "bayesdep_settings": json.dumps(settings_of(self.model)),
            "bayesdep_manifest": json.dumps(self.manifest),
        } | ({"bayesdep_left_out": json.dumps(left_out)} if left_out else {})
        write_tree(tree, path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Fit":
        """Read a fit that :meth:`save` wrote: every draw and attribute bit for bit.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Fit
            The same value.

        Raises
        ------
        BadInput
            When there is no such file, it is not a saved fit, or its model is a user's own and is not registered here.
        """
        try:
            tree = read_tree(path)
            attrs, tree.attrs = {str(key): value for key, value in tree.attrs.items()}, {}
            model, manifest = _described(attrs)
            _complete(model, tree, manifest, attrs.get("bayesdep_left_out", "{}"))
            _refuse_mismatch(model, manifest, tree)
            refuse_unknown_ropes(ropes_of(manifest), tree["estimands"].to_dataset())
            read_primary(primary_of(manifest), tree["estimands"].to_dataset())
            return cls(model, tree["constant_data"].to_dataset(), tree, manifest)
        except FileNotFoundError:
            raise BadInput(f"there is no saved fit '{path}'; give the posterior.nc of a run directory") from None
        except UnknownFamily as problem:
            raise BadInput(f"'{path}' cannot be loaded: {problem}") from None
        except BadInput as problem:
            raise BadInput(
                f"'{path}' is not a saved fit ({problem}); give the posterior.nc of a run directory"
            ) from None


def _described(attrs: dict[str, Any]) -> tuple[Model, dict[str, Any]]:
    """Return the model and the manifest that a file's attributes describe, or refuse them in a clause."""
    texts = {}
    for key in ("bayesdep_family", "bayesdep_settings", "bayesdep_manifest"):
        if not isinstance(attrs.get(key), str):
            raise BadInput(f"it has no attribute '{key}'" if key not in attrs else f"'{key}' is not text")
        texts[key] = attrs[key]
    try:
        settings, manifest = json.loads(texts["bayesdep_settings"]), json.loads(texts["bayesdep_manifest"])
        if not isinstance(settings, dict) or not isinstance(manifest, dict):
            raise BadInput("its settings or its manifest are not a table")
        check_numbers(**{key: manifest[key] for key in ("draws", "chains", "seed")})
        if manifest["sampler"] not in SAMPLERS:
            raise BadInput(f"no sampler is called {manifest['sampler']!r}")
        Gate.from_dict(manifest["gate"])
        ropes_of(manifest)
        primary_of(manifest)
        return make_model(texts["bayesdep_family"], settings), manifest
    except BadInput:
        raise
    except KeyError as problem:
        raise BadInput(f"its manifest has no {problem}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as problem:
        raise BadInput(f"its settings or its manifest cannot be read: {problem}") from None


def _complete(model: Model, tree: xr.DataTree, manifest: Mapping[str, Any], left_out: Any) -> None:
    """Compute what the file left out, or refuse it in a clause."""
    if not isinstance(left_out, str):
        raise BadInput("'bayesdep_left_out' is not text")
    if left_out == "{}":
        return
    try:
        fill_in(model, tree["constant_data"].to_dataset(), tree, manifest, left_out)
    except BadInput:
        raise
    except Exception as problem:  # data and draws of another model can fail with any error
        raise BadInput(f"its data do not fit its settings: {type(problem).__name__} {problem}") from None


def _refuse_mismatch(model: Model, manifest: Mapping[str, Any], tree: xr.DataTree) -> None:
    """Refuse draws and data that do not belong to the model and the manifest in the same file."""
    groups = ("posterior", "estimands", *(["latent"] if "latent" in tree else []))
    for group in groups:
        for name, values in tree[group].data_vars.items():
            if values.dims[:2] != ("chain", "draw") or values.dtype.kind not in "fiub":
                raise BadInput(f"'{group}/{name}' holds no draws of numbers")
    chains, draws = (tree["posterior"].sizes[dim] for dim in ("chain", "draw"))
    if chains * draws != manifest["chains"] * manifest["draws"] * manifest.get("tables", 1):
        raise BadInput("it has another number of draws than its manifest says")
    names = {str(name) for group in groups if group != "estimands" for name in tree[group].data_vars}
    if "latent" in tree:
        of_latent, of_all = (tree[group].to_dataset() for group in ("latent", "posterior"))
        is_part = np.isin(of_latent["draw"].values, of_all["draw"].values).all()
        if not is_part or not of_latent["chain"].equals(of_all["chain"]):
            raise BadInput("its latent values are of draws that it does not have")
    if isinstance(model, Imputes) and model.imputes:
        return  # its stored data are the table before imputation, from which no model is built
    try:
        built = model.build(tree["constant_data"].to_dataset())
        parameters = {str(v.name) for v in built.unobserved_RVs}
    except Exception as problem:  # data of another model can fail with any error
        raise BadInput(f"its data do not fit its settings: {type(problem).__name__} {problem}") from None
    if parameters != names:
        raise BadInput("its draws are of other parameters than its settings imply")


def cached_on_fit[T](function: Callable[[Fit], T]) -> Callable[[Fit], T]:
    """Cache a function's result for each fit, as long as the fit exists.

    A fit does not change, so neither do its tables: figures, exports and reports share them, computed once.

    Parameters
    ----------
    function
        A function of a fit and nothing else.

    Returns
    -------
    callable
        The same function; each call returns a new copy of the cached result.
    """
    results: WeakKeyDictionary[Fit, T] = WeakKeyDictionary()

    @functools.wraps(function)
    def remembered(fit: Fit) -> T:
        if fit not in results:
            results[fit] = function(fit)
        return copy.copy(results[fit])

    return remembered
