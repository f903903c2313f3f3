"""The protocol of a model: what every one can do, what some can, and the small values they speak in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from bayesdep.data.cell_origins import naming_cells
from bayesdep.data.errors import speaking_python
from bayesdep.data.read_data import as_read
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.priors import Slot
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.marginals import Marginal

if TYPE_CHECKING:
    import pymc as pm

    from bayesdep.models.parts.observations import Observations
    from bayesdep.numerics.normal_normal import NormalNormal


@dataclass(frozen=True)
class Check:
    """A test quantity for posterior predictive checks.

    Parameters
    ----------
    name
        Short name, in the field's words.
    variable
        The observed variable it is computed from.
    statistic
        From values of shape (..., *dims of the variable) to shape (...).
    units
        Units of the statistic.
    replicated
        From draws of the parameters and a generator to the statistic in replicates, shape (draws,), where these are
        not those of the variable: new units, say. None where they are.
    remedy
        What to do where the data are out of line with the model; general advice where None.
    """

    name: str
    variable: str
    statistic: Callable[[np.ndarray], np.ndarray]
    units: str
    replicated: Callable[[xr.Dataset, np.random.Generator], np.ndarray] | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class ExactPosterior:
    """A posterior known without sampling.

    Parameters
    ----------
    marginals
        For each estimand's name and coordinates (dim, label), its distribution.
    draw
        From a number and a generator to independent joint draws of the sampled parameters.
    """

    marginals: Mapping[tuple[str, tuple[tuple[str, str], ...]], Marginal]
    draw: Callable[[int, np.random.Generator], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Forest:
    """Which estimands make up a model's forest plot.

    Parameters
    ----------
    rows
        Names of the estimands listed, one line for each of their coordinates.
    summary, prediction
        Names of the estimand drawn as a diamond at the foot, and of the one drawn as a prediction interval.
    crude
        From the prepared data to the rows' own estimates and standard errors, without the model; NaN where there
        is none. Each has the rows' shape.
    is_log
        Whether the axis is a logarithm, to be labelled with ratios.
    by_evidence
        Whether rows are ordered by their probability of lying above no effect.
    """

    rows: tuple[str, ...]
    summary: str | None
    prediction: str | None
    crude: Callable[[xr.Dataset], tuple[np.ndarray, np.ndarray]]
    is_log: bool = False
    by_evidence: bool = False


@dataclass(frozen=True)
class OwnPrior:
    """The prior of an estimand that is one parameter of its model, up to a factor, a priori independent of the others.

    Where it is, the model without it is the model itself given that the parameter has its value of no effect, and the
    Bayes factor between the two is the ratio of the posterior to the prior density there (Dickey 1971).

    Parameters
    ----------
    variable
        Name of the parameter.
    prior
        Of the parameter, in the data's units.
    index
        Its place, where the parameter is an array.
    factor
        The estimand is the parameter times this number.
    given
        Where the parameter is not sampled but drawn afterwards from a normal: from draws of all parameters to the mean
        and the sd of that normal, each of dims (chain, draw). None where it is sampled.
    """

    variable: str
    prior: Prior
    index: tuple[int, ...] = ()
    factor: float = 1.0
    given: Callable[[xr.Dataset], tuple[xr.DataArray, xr.DataArray]] | None = None


class Model(Protocol):
    """A generative model: a frozen dataclass of settings, in the field's words.

    It can do four things: :meth:`prepare` a table, :meth:`build` a PyMC model, derive :meth:`estimands`
    from draws, and name its predictive :meth:`checks`. The rest are constants about it.
    """

    family: ClassVar[str]
    """What a plan calls it."""

    @property
    def target_accept(self) -> float:
        """Target acceptance rate: 0.95 for hierarchies of few units, which have funnels; 0.8 otherwise."""

    @property
    def priors(self) -> Mapping[str, Prior]:
        """The prior in each slot."""

    @property
    def slots(self) -> Mapping[str, Slot]:
        """Parameters that take a prior, with default, support, meaning and units."""

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out: observation, subject, study, ..."""

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the study asks first, by name: estimands that priors of the model bear on, each judged against them."""

    @property
    def forest(self) -> Forest:
        """What its forest plot shows."""

    @property
    def words(self) -> str:
        """The model in one or two sentences, for the report."""

    @property
    def formula(self) -> Sequence[str]:
        """The model as the lines of a model formula, for the report."""

    def prepare(self, table: Any) -> xr.Dataset:
        """From a table to a dataset with named dims and units, or one clear error."""

    def build(self, data: xr.Dataset) -> "pm.Model":
        """From that dataset to a PyMC model with named dims."""

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """From draws (chain, draw) to the quantities the study asks for, with units and description."""

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """The test quantities for posterior predictive checks."""


@runtime_checkable
class KnowsPosterior(Protocol):
    """A model whose posterior needs no sampling, at least under some of its settings."""

    exact_by_default: ClassVar[bool]
    """Whether a fit uses the exact posterior unless told otherwise."""

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
        """Return the exact posterior, or None where these settings have none."""


@runtime_checkable
class HasCorrelatedParameters(Protocol):
    """A model with few, strongly correlated parameters: the sampler adapts a low-rank mass matrix."""

    @property
    def adaptation(self) -> Literal["low_rank", "diag"]:
        """``"low_rank"``: the mass matrix follows the main directions of the posterior, not only its scales."""


@runtime_checkable
class KnowsRemedies(Protocol):
    """A model that knows of settings that help where it samples badly."""

    def remedies(self, data: xr.Dataset, units: Sequence[str]) -> str:
        """Name them in a few words, given up to three units that sampled worst; empty where none is known."""


@runtime_checkable
class KnowsCare(Protocol):
    """A model that needs a more careful sampler for some data than for others."""

    def target_accept_for(self, data: xr.Dataset) -> float:
        """How careful: its ``target_accept``, or more."""


@runtime_checkable
class HasCostlyEstimands(Protocol):
    """A model some of whose estimands take long to derive and are not primary."""

    @property
    def without_costly_estimands(self) -> Model:
        """The same model without them."""


@runtime_checkable
class ScoresUnits(Protocol):
    """A model whose left-out unit is not an element of its observed variable."""

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
        """Log-likelihood of each left-out unit, dims (chain, draw, unit); None where the model's own serves."""


@runtime_checkable
class HasLatentValues(Protocol):
    """A model with parameters that are single values, beyond a limit or missing, and that no estimand reads."""

    hidden_dims: ClassVar[tuple[str, ...]]
    """Dims of these parameters. Where they are many, fewer draws of them are kept than of others."""

    @property
    def scores_latent(self) -> bool:
        """Whether the log-likelihood of a left-out unit is computed given them, so that it has as few draws."""


@runtime_checkable
class PredictsObservations(Protocol):
    """A model that predicts each number observed from the parameters and what came before it in its unit."""

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> Mapping[str, "Observations"]:
        """Give them by the name of the variable; draws are (chain, draw), one chain after the other in the result."""


@runtime_checkable
class LeavesOut(Protocol):
    """A model whose left-out units are not single elements of its data: it says what is left without one."""

    def without(self, data: xr.Dataset, label: str) -> xr.Dataset:
        """Give the prepared data without a unit."""


@runtime_checkable
class Replicates(Protocol):
    """A model that puts outcomes drawn from itself in the place of those in its data, as calibration needs."""

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Give the prepared data with drawn outcomes: missing where they were, beyond limits where these say so.

        ``drawn`` is one draw of every variable of the graph that :meth:`Model.build` makes of ``data``. All else that
        the table told (scales, centres, who had what when) stays, since priors are around it.
        """


@runtime_checkable
class Imputes(Protocol):
    """A model that draws what is missing in its data, several times, where it is asked to."""

    @property
    def imputes(self) -> bool:
        """Whether it is asked to."""

    def imputations_of(self, data: xr.Dataset) -> Sequence[xr.Dataset]:
        """Give the prepared data once for each draw; the data alone where nothing was drawn."""


@runtime_checkable
class ListsFigures(Protocol):
    """A model whose fits have figures beside those that every fit has."""

    @property
    def figures(self) -> tuple[str, ...]:
        """Their names in :data:`bayesdep.reporting.figures.register.FIGURES`."""


@runtime_checkable
class PrintsTables(Protocol):
    """A model that declares the tables a paper prints of its fits; others have a list of what is asked first."""

    def tables(self, data: xr.Dataset) -> Mapping[str, Layout]:
        """Give them by name: ``"main"``, ``"sample"`` (of its characteristics), ``"studies"`` and the like."""


@runtime_checkable
class PoolsStudies(Protocol):
    """A meta-analysis: its fit is no single study, so it does not enter another meta-analysis as one."""

    @property
    def effect_units(self) -> str:
        """Units of the studies' effects."""


@runtime_checkable
class HasHierarchy(PoolsStudies, Protocol):
    """A meta-analysis whose posterior is known by quadrature, also for many subsets of its units at once.

    Its data have ``effect`` and ``se`` by ``unit``.
    """

    @property
    def unit(self) -> str:
        """What its effects are of, the dim of its data: study, analyte, ..."""

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out: that of the effects, or a cluster of them."""

    @property
    def cluster(self) -> str | None:
        """The column of clusters, whose numbers ``cluster_of`` of the data has; None where there are none."""

    @property
    def covariates(self) -> Any:
        """Not None where the data have a ``covariate`` dim and ``covariate_sd``."""

    @property
    def forest(self) -> Forest:
        """What its forest plot shows."""

    def prepare(self, table: Any) -> xr.Dataset:
        """From a table to its data."""

    def hierarchy(self, data: xr.Dataset, kept: np.ndarray | None = None) -> "NormalNormal | None":
        """Return the posterior of each subset, ``kept`` (subsets, units); None where it is not known."""


@runtime_checkable
class CompletesVisits(Protocol):
    """A trial over visits, whose missed outcomes are normal given its parameters and the patient's observed ones.

    Its data have ``outcome`` (subject, visit), ``arm_of`` by subject and ``arm_code`` (subject, comparison); all
    draws have ``sample`` as their only dim of draws.
    """

    @property
    def reference(self) -> str:
        """The reference arm."""

    @property
    def better(self) -> Literal["lower", "higher"]:
        """Which outcomes are better."""

    @property
    def units(self) -> str:
        """Units of the outcome."""

    @property
    def by_arm(self) -> bool:
        """Whether each arm has a covariance of its own."""

    def expected(self, posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
        """Return the mean of every patient at every visit, shape (draws, subjects, visits)."""

    def completed(
        self, posterior: xr.Dataset, data: xr.Dataset, own: np.ndarray, assumed: np.ndarray, dropped: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of every outcome given the observed ones of its patient.

        Missed visits start from ``own`` means, those marked ``dropped`` from ``assumed`` ones.
        """

    def regressors(self, data: xr.Dataset) -> dict[str, np.ndarray]:
        """Return what the model's regression at one visit has beside arms, by name: columns (subjects, terms)."""


@runtime_checkable
class TakesModerators(Protocol):
    """A model of patients whose treatment effect changes along moderators, which can be had one at a time.

    Its data have ``outcome`` and ``study_of``, ``arm_of`` and ``parts`` by patient, its estimands ``interaction``
    (part, time).
    """

    @property
    def margin(self) -> float:
        """The largest interaction that is too small to matter."""

    def with_moderator(self, moderator: str) -> Model:
        """Return the same model with this moderator alone."""


@runtime_checkable
class StatesPriors(Protocol):
    """A model that says of each of its estimands whether its prior density is known, as Bayes factors need it."""

    def own_prior(self, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
        """Return the prior of an estimand at some coordinates, or the reason why there is none, as a clause."""


@runtime_checkable
class CountsQuestions(Protocol):
    """A model that asks the same of many units, and says how often, so that a finding among them is read as one."""

    def looked_at(self, estimands: xr.Dataset, data: xr.Dataset) -> str:
        """Say how many were looked at, and how many exclude no effect; empty where there is one question only."""


def reads[M](prepare: Callable[[M, Any], xr.Dataset]) -> Callable[[M, Any], xr.Dataset]:
    """Let a model's ``prepare`` name its settings and the cells of a laboratory's file in its messages.

    Settings are named as the model's (``bd.Trial(outcome="hamd")``), cells where a reader made the table
    (:func:`~bayesdep.data.cell_origins.naming_cells`). What ``prepare`` returns shows no cell of the table in a
    notebook (:class:`~bayesdep.data.read_data.ReadData`).
    """

    @wraps(prepare)
    def reading(self: M, table: Any) -> xr.Dataset:
        with speaking_python(self), naming_cells(table):
            return as_read(prepare(self, table))

    return reading


def own_prior_of(model: Model, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
    """Return the prior of an estimand, or the reason why a Bayes factor has none to start from.

    Parameters
    ----------
    model
        Any model.
    name, at
        The estimand and its coordinates.
    data
        The prepared data.

    Returns
    -------
    OwnPrior or str
        A clause such as ``"it is a mean of several parameters"``.
    """
    if isinstance(model, StatesPriors):
        return model.own_prior(name, at, data)
    return f"{type(model).__name__} does not state the prior densities of its estimands"


def variable_of(model: Model, slot: str) -> str:
    """Return the name of the model's variable that a slot's prior is of.

    Parameters
    ----------
    model
        Any model.
    slot
        A place for a prior.

    Returns
    -------
    str
        The slot's own name, unless the model says otherwise in ``variables``: a parameter that is present in some of
        several averaged models is not the quantity that is zero in the others.
    """
    return str(getattr(model, "variables", {}).get(slot, slot))


def estimand(values: xr.DataArray, description: str, units: str, **attrs: Any) -> xr.DataArray:
    """Return draws as an estimand: the same values with nothing but their own attrs.

    Parameters
    ----------
    values
        Draws, with dims chain and draw first.
    description
        What it is, in the field's words.
    units
        Units of the question.
    **attrs
        ``null`` (value of no effect, where it is not 0), ``reciprocal_of`` (name of the estimand that this
        is one over, so that intervals may pass through infinity), ``monotone_of`` (name of the estimand that this is an
        increasing function of, so that its chains and its sensitivity need no judging of their own), ``probability``
        (True where the draws are zeros and ones, whose mean is the probability of what is described: it is summarised
        by that mean and its Monte Carlo error, and has no value of no effect).

    Returns
    -------
    xarray.DataArray
        The estimand.
    """
    values = values.copy()
    if attrs.pop("probability", False):
        attrs |= {"probability": 1, "null": np.nan}  # a number, as files hold no truth values
    values.attrs = {"description": description, "units": units, **attrs}
    return values
