"""One fit of a calibration: parameters are drawn, data given them, and the data analysed by the same model.

Where the truth comes from:

- ``"prior"``: parameters from the prior (Talts et al. 2018, arXiv:1804.06788);
- ``"data"``: parameters from the posterior of the plan's own data. The new data are analysed together with the plan's
  own, so that the analysis's prior is again what parameters were drawn from, but around the data at hand (posterior
  SBC; Saeilynoja et al. 2025, arXiv:2502.03279);
- ``"design"``: one stated truth, that of a simulator, from which tables are drawn and prepared as any table is.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor
import xarray as xr
from pytensor.graph.traversal import ancestors

from bayesdep.data.errors import BadInput
from bayesdep.inference.compile_once import compilations
from bayesdep.inference.diagnostics import diagnose
from bayesdep.inference.evaluate import at_draws, from_prior, log_density
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.many_fits import Arrays
from bayesdep.inference.sample import Sampled, sample_again
from bayesdep.models.model import Model, Replicates, ScoresUnits, variable_of

Around = Literal["prior", "data", "design"]
AROUND: tuple[Around, ...] = ("prior", "data", "design")
RANKS = 100  # draws that a truth is ranked among, where so many are independent
LOG_LIKELIHOOD = "log likelihood"
_SCORED = 100  # draws a chain at which the log likelihood is computed
_PARAMETER, _ESTIMAND, _TEST = "parameter", "estimand", "test quantity"


@dataclass(frozen=True)
class Quantity:
    """A scalar with its truth and its draws.

    Parameters
    ----------
    name
        As tables print it.
    kind
        ``"parameter"``, ``"estimand"`` or ``"test quantity"``.
    truth
        Its true value.
    draws
        Shape (chain, draw).
    null
        Its value of no effect; NaN where it has none.
    is_discrete
        Whether its draws are whole numbers, of which intervals hold more than their probability.
    units
        Its units.
    """

    name: str
    kind: str
    truth: float
    draws: np.ndarray
    null: float = np.nan
    is_discrete: bool = False
    units: str = ""


@dataclass(frozen=True)
class SimulatedFit:
    """From the number of a fit to what its posterior says of the truth.

    Parameters
    ----------
    model
        The model.
    data
        Prepared data; their outcomes are replaced.
    around
        Where truths come from.
    sampling
        ``draws``, ``tune``, ``chains`` and the sampler's other settings.
    seed
        Of the whole calibration; a fit's own follows from it and the fit's number.
    elements
        Of every parameter and estimand so many elements are compared, evenly spaced.
    truths
        For ``"data"``: draws of the posterior of the data, dim ``sample``.
    simulate
        For ``"design"``: from a seed to prepared data and true values by name.
    """

    model: Model
    data: xr.Dataset
    around: Around
    sampling: Mapping[str, Any]
    seed: int
    elements: int = 5
    truths: xr.Dataset | None = None
    simulate: Callable[[int], tuple[xr.Dataset, Mapping[str, Any]]] | None = None
    cores: int | None = 1
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def __call__(self, number: int) -> Arrays:
        """Draw, fit and compare."""
        with pytensor.config.change_flags(traceback__limit=0):  # a tenth of the time of small fits
            return self._fit(number)

    def _fit(self, number: int) -> Arrays:
        began, before = time.perf_counter(), (compilations.number, compilations.seconds)
        seeds = [int(s) for s in np.random.SeedSequence(self.seed, spawn_key=(number,)).generate_state(5)]
        truth, data = self._draw(number, seeds)
        also = data if self.around == "data" else None
        fitted = self.data if also is not None else data
        sampled = sample_again(self.model, fitted, seed=seeds[2], cores=self.cores, also=also, **self.sampling)
        estimands = self.model.estimands(sampled.posterior, fitted)
        gate = sampled.check(estimands)
        compared = self._compared(truth, data, fitted, sampled, estimands, seeds[4])
        found = _judged(compared, np.random.default_rng(seeds[3]))
        return found | {
            "passed": np.array(gate.passed),
            "gate": np.array(gate.sentence),
            "seconds": np.array(time.perf_counter() - began),
            "compilations": np.array(compilations.number - before[0]),
            "compiling": np.array(compilations.seconds - before[1]),
        }

    def _draw(self, number: int, seeds: Sequence[int]) -> tuple[xr.Dataset | Mapping[str, Any], xr.Dataset]:
        """The truth, and data drawn from it."""
        if self.around == "design":
            assert self.simulate is not None
            try:
                data, truth = self.simulate(seeds[0])
            except BadInput as problem:
                raise problem.within(f"the simulator's table of fit {number} is refused") from None
            return truth, data
        one = None if self.truths is None else self.truths.isel(sample=number % self.truths.sizes["sample"])
        return drawn_from(self.model, self.data, seeds, one)

    def _compared(
        self, truth: Any, data: xr.Dataset, fitted: xr.Dataset, sampled: Sampled, estimands: xr.Dataset, seed: int
    ) -> list[Quantity]:
        if self.around == "design":
            return _of_design(truth, sampled.posterior, estimands, self.elements)
        if self.around == "prior":
            truth = with_detached(truth, sampled, seed)
        names = [name for name in parameters_of(self.model, sampled.posterior) if name not in estimands]
        found = _pairs(truth, sampled.posterior, names, _PARAMETER, self.elements)
        found += _pairs(
            self.model.estimands(truth, fitted), estimands, list(estimands.data_vars), _ESTIMAND, self.elements
        )
        scored = self._log_likelihood(truth, data, fitted, sampled)
        return found if scored is None else [*found, scored]

    def _log_likelihood(
        self, truth: xr.Dataset, data: xr.Dataset, fitted: xr.Dataset, sampled: Sampled
    ) -> Quantity | None:
        """The log likelihood of the simulated data, at some of the draws; None where the truth lacks a latent value."""
        step = max(1, sampled.posterior.sizes["draw"] // _SCORED)
        draws = sampled.posterior.isel(draw=slice(None, None, step))
        scored = log_likelihoods(self.model, draws, truth, data, sampled.core if data is fitted else None)
        return None if scored is None else Quantity(LOG_LIKELIHOOD, _TEST, scored[1], scored[0])


def drawn_from(
    model: Model, data: xr.Dataset, seeds: Sequence[int], truth: xr.Dataset | None = None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Draw parameters from a model's prior, and outcomes given them on the design of some data.

    Parameters
    ----------
    model
        The model, which can draw outcomes.
    data
        Prepared data, whose outcomes are replaced.
    seeds
        Two: of the parameters, and of the outcomes.
    truth
        One draw of the parameters, where they are not to be drawn from the prior.

    Returns
    -------
    tuple of xarray.Dataset
        The truth, with dims (chain, draw) of one, and the data.
    """
    assert isinstance(model, Replicates)
    graph = model.build(data)
    names = [v.name for v in graph.unobserved_RVs]
    observed = [v.name for v in graph.observed_RVs]
    if truth is None:
        values = from_prior([graph[n] for n in [*names, *observed]], 1, seed=seeds[0])
        drawn = dict(zip([*names, *observed], values, strict=True))
    else:
        drawn = {n: truth[n].values for n in names}
        free = {graph[v.name]: drawn[v.name][None] for v in graph.free_RVs}
        values = at_draws([graph[n] for n in observed], free, seed=seeds[0])
        drawn |= {n: v[0] for n, v in zip(observed, values, strict=True)}
    labelled = label_draws(drawn, graph, sample_dims=())
    replicated = model.replicate(data, labelled, np.random.default_rng(seeds[1]))
    return labelled[names].drop_dims(hidden_dims(model), errors="ignore").expand_dims(("chain", "draw")), replicated


def parameters_of(model: Model, posterior: xr.Dataset) -> list[str]:
    """Return the names of the parameters that have a prior of their own.

    Parameters
    ----------
    model
        The model.
    posterior
        Its draws.

    Returns
    -------
    list of str
        In the order of the model's slots.
    """
    named = [variable_of(model, slot) for slot in model.slots]
    return [name for name in dict.fromkeys(named) if name in posterior]


def hidden_dims(model: Model) -> tuple[str, ...]:
    """Return the dims of parameters that are values of the data beyond limits: other data have other ones.

    Parameters
    ----------
    model
        Any model.

    Returns
    -------
    tuple of str
        Empty where the model names none in ``hidden_dims``.
    """
    return tuple(getattr(model, "hidden_dims", ()))


def with_detached(truth: xr.Dataset, sampled: Sampled, seed: int) -> xr.Dataset:
    """Draw anew the true values that the likelihood does not need, given the parameters and the simulated data.

    A study's own effect that was integrated out of the likelihood is one: given the parameters it depends on the data.

    Parameters
    ----------
    truth
        One draw of all variables.
    sampled
        The fit of the simulated data.
    seed
        Of the draws.

    Returns
    -------
    xarray.Dataset
        The same truth, with new values of these.
    """
    full, core = sampled.full, sampled.core
    drawn_later = {v for v in full.free_RVs if v.name not in {rv.name for rv in core.free_RVs}}
    if not drawn_later:
        return truth
    detached = [v.name for v in full.unobserved_RVs if v in drawn_later or drawn_later & set(ancestors([v]))]
    # What is sampled may be in coordinates that the data chose, so named quantities are given, not these alone.
    given = {}
    for variable in full.unobserved_RVs:
        name = variable.name
        if name in truth and name not in detached and truth[name].shape[2:] == sampled.posterior[name].shape[2:]:
            given[variable] = truth[name].values[0]
    arrays = at_draws([full[name] for name in detached], given, seed=seed)
    drawn = label_draws({n: x[None] for n, x in zip(detached, arrays, strict=True)}, full)
    return truth.drop_vars([n for n in detached if n in truth]).merge(drawn)


def log_likelihoods(
    model: Model, draws: xr.Dataset, truth: xr.Dataset, data: xr.Dataset, core: pm.Model | None
) -> tuple[np.ndarray, float] | None:
    """Return the log likelihood of data at every draw and at the truth, by the model's own scores where it has them.

    Parameters
    ----------
    model
        The model.
    draws, truth
        Draws, dims (chain, draw, ...), and the one draw of the truth.
    data
        Prepared data.
    core
        The PyMC model that was sampled; None to build it.

    Returns
    -------
    tuple of numpy.ndarray and float, or None
        The first of shape (chain, draw); None where the truth lacks values that are parameters with these data alone.
    """
    if isinstance(model, ScoresUnits):
        try:
            scored = [model.log_likelihood(x, data) for x in (truth, draws)]
        except KeyError:  # it needs values beyond limits, which the truth does not have
            return None
        summed = [x.transpose("chain", "draw", ...).values for x in scored if x is not None]
        if summed:
            at_truth, at_all = (x.reshape(*x.shape[:2], -1).sum(axis=-1) for x in summed)
            return at_all, float(at_truth[0, 0])
    core = model.build(data) if core is None else core
    given = {}
    for variable in core.unobserved_RVs:
        name = variable.name
        if name in draws and name in truth:
            both = [x[name].transpose("chain", "draw", ...).values for x in (draws, truth)]
            given[variable] = np.concatenate([x.reshape(-1, *x.shape[2:]) for x in both])
    densities = log_density(core.observed_RVs, core.rvs_to_values, given)
    total = np.asarray(sum(x.reshape(len(x), -1).sum(axis=-1) for x in densities))
    return total[:-1].reshape(draws.sizes["chain"], draws.sizes["draw"]), float(total[-1])


def _pairs(truth: xr.Dataset, draws: xr.Dataset, names: Sequence[Any], kind: str, elements: int) -> list[Quantity]:
    """Some elements of variables, beside their true values."""
    found = []
    for name in names:
        values = draws[name]
        if name not in truth or {"monotone_of", "reciprocal_of"} & set(values.attrs):
            continue  # as another quantity on another scale
        dims = [d for d in values.dims if d not in ("chain", "draw")]
        stacked = values.transpose("chain", "draw", *dims).values
        expected = truth[name].transpose("chain", "draw", *dims).values[0, 0]
        if expected.shape != stacked.shape[2:]:
            continue
        flat, size = stacked.reshape(*stacked.shape[:2], -1), expected.size
        for j in np.unique(np.linspace(0, size - 1, min(elements, size)).astype(int)):
            index = np.unravel_index(j, expected.shape)
            label = ", ".join(str(values[d].values[i]) for d, i in zip(dims, index, strict=True))
            found.append(_quantity(values, f"{name}[{label}]" if label else str(name), kind, expected[index],
                                   flat[..., j]))  # fmt: skip
    return found


def _quantity(values: xr.DataArray, name: str, kind: str, truth: Any, draws: np.ndarray) -> Quantity:
    attrs = values.attrs
    null = float(attrs.get("null", 0.0)) if kind == _ESTIMAND else np.nan
    is_discrete = "probability" in attrs or values.dtype.kind in "iub"
    return Quantity(name, kind, float(truth), draws.astype(float), null, is_discrete, str(attrs.get("units", "")))


def _of_design(truth: Mapping[str, Any], posterior: xr.Dataset, estimands: xr.Dataset, elements: int) -> list[Quantity]:
    """Quantities whose truth a design states, by name (``mu``) or by the name of one element (``theta[a]``)."""
    stated: dict[str, xr.DataArray] = {}
    found = []
    for draws, kind in ((estimands, _ESTIMAND), (posterior, _PARAMETER)):
        for name, values in draws.data_vars.items():
            shape = values.shape[2:]
            given = truth.get(str(name))
            if str(name) not in stated and given is not None and np.shape(given) == shape and _is_numbers(given):
                stated[str(name)] = values
                one = xr.DataArray(np.asarray(given, dtype=float)[None, None], dims=values.dims)
                found += _pairs(xr.Dataset({name: one}), xr.Dataset({name: values}), [name], kind, elements)
    named = {key: value for key, value in truth.items() if key.endswith("]") and _is_numbers(value)}
    every = (
        {q.name: q for q in _pairs(*_as_own_truth(estimands), list(estimands.data_vars), _ESTIMAND, 10**9)}
        if named
        else {}
    )
    for key, value in named.items():
        if key in every:
            q = every[key]
            found.append(Quantity(q.name, q.kind, float(value), q.draws, q.null, q.is_discrete, q.units))
    if not found:
        known = ", ".join(map(str, estimands.data_vars))
        raise BadInput(
            f"the simulator states the truth of none of the estimands; give it under one of their names: {known}"
        )
    return found


def _as_own_truth(draws: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    return draws.isel(chain=[0], draw=[0]), draws


def _is_numbers(value: Any) -> bool:
    try:
        return bool(np.isfinite(np.asarray(value, dtype=float)).all())
    except (TypeError, ValueError):
        return False


def _judged(compared: Sequence[Quantity], rng: np.random.Generator) -> Arrays:
    """What is kept of each quantity: the truth's rank among thinned draws, and intervals."""
    rows = [(q, *_ranked(q, rng)) for q in compared]
    with np.errstate(all="ignore"):
        quantiles = np.transpose([np.quantile(q.draws, [0.025, 0.25, 0.75, 0.975]) for q, *_ in rows])
        mean, sd = (np.array([function(q.draws) for q, *_ in rows]) for function in (np.mean, np.std))
    return {
        "quantity": np.array([q.name for q, *_ in rows]),
        "kind": np.array([q.kind for q, *_ in rows]),
        "units": np.array([q.units for q, *_ in rows]),
        "truth": np.array([q.truth for q, *_ in rows]),
        "null": np.array([q.null for q, *_ in rows]),
        "is_discrete": np.array([q.is_discrete for q, *_ in rows]),
        "rank": np.array([rank for _, rank, *_ in rows]),
        "ranked_among": np.array([among for _, _, among, *_ in rows]),
        "place": np.array([place for _, _, _, place, _ in rows]),
        "ess": np.array([ess for *_, ess in rows]),
        "mean": mean,
        "sd": sd,
        **dict(zip(("lower", "lower_half", "upper_half", "upper"), quantiles, strict=True)),
    }


def _ranked(q: Quantity, rng: np.random.Generator) -> tuple[int, int, float, float]:
    """Rank of the truth among independent draws, their number, the truth's place (0 to 1), and the draws' ESS.

    As many draws, evenly spaced, as the bulk effective sample size allows; equal ones in random order. The place is
    uniform within the rank's share of the interval from 0 to 1, so that it is uniform if the rank is.
    """
    u = rng.uniform(size=2)
    flat = q.draws.ravel()
    if not np.isfinite(q.truth) or np.isnan(flat).any():
        return -1, 0, np.nan, np.nan
    ess = float(len(flat)) if (flat == flat[0]).all() or not np.isfinite(flat).all() else diagnose(q.draws)[1]
    number = max(1, min(RANKS, len(flat), int(ess))) if np.isfinite(ess) else 1
    thinned = flat[(np.arange(number) * len(flat)) // number]
    rank = int((thinned < q.truth).sum() + np.floor(u[0] * (1 + (thinned == q.truth).sum())))
    return rank, number, (rank + u[1]) / (number + 1), ess
