"""Single observations and their predictions, as ArviZ's plots take them, and their leave-one-out probabilities."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.data.errors import BadInput
from bayesdep.inference.latent import scored_draws
from bayesdep.models.model import Model, PredictsObservations
from bayesdep.models.parts.observations import Observations
from bayesdep.numerics.importance import smooth_weights
from bayesdep.numerics.types import Draws

_NUMBERS = 8_000_000  # in an array of predictions, 64 MB, beyond which fewer draws are taken
_FEWEST = 1000  # draws, however many observations there are
_SCORES = "log_likelihood"


@dataclass(frozen=True)
class Predicted:
    """The observations of a fit with what draws of its posterior say of them.

    Parameters
    ----------
    posterior
        The draws that were used: all, or of large data some.
    observations
        By variable.
    """

    posterior: xr.Dataset
    observations: Mapping[str, Observations]

    @classmethod
    def of(cls, model: Model, tree: xr.DataTree, *, tables: int) -> "Predicted":
        """Predict every observation of a fit.

        Parameters
        ----------
        model
            The generative model.
        tree
            The fit's groups.
        tables
            Of how many versions of the data the fit is.

        Returns
        -------
        Predicted
            The observations.

        Raises
        ------
        BadInput
            When the model does not predict single observations, or the data are several versions of a table.
        """
        if tables > 1:
            raise BadInput(
                f"this fit is of {tables} versions of the data, so its observations are not one set; "
                "fit one table for checks of single observations"
            )
        posterior, data = _draws_of(model, tree), tree["constant_data"].to_dataset()
        found = at_one_draw(model, tree)
        if not found:
            raise BadInput(
                f"single observations have no predictions of their own under this {type(model).__name__}; "
                "use bd.check_predictions(fit), whose checks every model has"
            )
        most = max(_FEWEST, _NUMBERS // max(one.law.numbers for one in found.values()))
        draws = posterior.sizes["chain"] * posterior.sizes["draw"]
        posterior = posterior.isel(draw=slice(None, None, math.ceil(draws / most)))
        assert isinstance(model, PredictsObservations)
        return cls(posterior, model.observations(posterior, data))

    def scores(self, name: str) -> xr.DataArray:
        """Return the log density of each observation of a variable and of its unit's later ones."""
        return self._labelled(name, self.observations[name].with_later)

    def weights(self, name: str) -> tuple[Draws, np.ndarray]:
        """Return the weights that leave each observation and its unit's later ones out, and their Pareto k.

        Parameters
        ----------
        name
            The variable.

        Returns
        -------
        weights : numpy.ndarray
            Shape (samples, observations), summing to one over the samples.
        k : numpy.ndarray
            Shape (observations,).
        """
        scores = self.observations[name].with_later
        shape = (self.posterior.sizes["chain"], self.posterior.sizes["draw"], -1)
        with np.errstate(all="ignore"):
            ess = array_stats.ess(
                np.exp(scores - scores.max(axis=0)).reshape(shape), chain_axis=0, draw_axis=1, method="mean"
            )
        relative = np.where(ess > 0, np.minimum(ess / len(scores), 1.0), 1.0)
        each = [smooth_weights(-score, float(share)) for score, share in zip(scores.T, relative, strict=True)]
        return np.stack([weights for weights, _ in each], axis=-1), np.array([k for _, k in each])

    def values(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """Return what was observed; of what is known as an interval, a draw from it.

        Parameters
        ----------
        name
            The variable.
        rng
            Of the draws.

        Returns
        -------
        numpy.ndarray
            Shape (observations,). A draw is from the distribution that leaving the observation out predicts, cut to
            the interval, so that its probability there is uniform between those of the interval's ends.
        """
        one = self.observations[name]
        hidden = one.lower < one.upper
        if not hidden.any():
            return one.lower
        weights, _ = self.weights(name)
        low, high = one.law.around(one.lower, one.upper)
        share = np.cumsum(weights * (high - low), axis=0)
        at = np.minimum((share < rng.random(share.shape[1]) * share[-1]).sum(axis=0), len(share) - 1)
        drawn = one.law.at(rng.random(share.shape), one.lower, one.upper)
        return np.where(hidden, drawn[at, np.arange(len(at))], one.lower)

    def replicates(self, name: str, rng: np.random.Generator) -> xr.DataArray:
        """Draw every observation anew, given the parameters and its unit's earlier ones."""
        one = self.observations[name]
        everywhere = np.full(one.lower.shape, np.inf)
        drawn = one.law.at(rng.random(one.with_later.shape), -everywhere, everywhere)
        return self._labelled(name, drawn.astype(one.lower.dtype))

    def labelled(self, name: str, values: np.ndarray) -> xr.DataArray:
        """Return numbers by observation with their labels."""
        return xr.DataArray(values, self._labels(name), (dim_of(name),))

    def _labelled(self, name: str, draws: Draws) -> xr.DataArray:
        sizes = [self.posterior.sizes[dim] for dim in ("chain", "draw")]
        coords = {dim: self.posterior[dim].values for dim in ("chain", "draw")} | self._labels(name)
        return xr.DataArray(draws.reshape(*sizes, -1), coords, ("chain", "draw", dim_of(name)))

    def _labels(self, name: str) -> dict[str, tuple[str, np.ndarray]]:
        labels = self.observations[name].labels
        dim = dim_of(name)
        together = [" / ".join(map(str, row)) for row in zip(*labels.values(), strict=True)]
        return {dim: (dim, np.array(together)), **{f"{dim}_{key}": (dim, of) for key, of in labels.items()}}


def at_one_draw(model: Model, tree: xr.DataTree) -> Mapping[str, Observations]:
    """Return the observations of a fit at one draw of its posterior.

    Parameters
    ----------
    model
        The generative model.
    tree
        The fit's groups.

    Returns
    -------
    mapping of Observations
        By variable; empty where the model, as it is set, does not predict single observations.
    """
    if not isinstance(model, PredictsObservations):
        return {}
    few = _draws_of(model, tree).isel(chain=[0], draw=[0])
    return model.observations(few, tree["constant_data"].to_dataset())


def _draws_of(model: Model, tree: xr.DataTree) -> xr.Dataset:
    latent = tree["latent"].to_dataset() if "latent" in tree else None
    return scored_draws(model, tree["posterior"].to_dataset(), latent)


def dim_of(name: str) -> str:
    """Return the name of the dim of a variable's observations."""
    return f"{name}_id"


def arviz_tree(model: Model, tree: xr.DataTree, *, tables: int, seed: int) -> xr.DataTree:
    """Make the tree that ArviZ's plots of predictions take.

    Parameters
    ----------
    model
        The generative model.
    tree
        The fit's groups.
    tables
        Of how many versions of the data the fit is.
    seed
        Of replicates, and of values drawn within the intervals in which they are known to lie.

    Returns
    -------
    xarray.DataTree
        The fit's groups that are of parameters, and, of the same variables with one element per number observed:

        ``observed_data``
            The number; of a value beyond a detection limit, one drawn from where it lies.
        ``posterior_predictive``
            The number drawn anew, given the parameters and its unit's earlier observations.
        ``log_likelihood``
            The log density of the number *and of its unit's later ones*, given the earlier ones: importance weights
            made of it leave out all that a prediction one step ahead does not know. It also has the fit's own scores
            where the left-out unit is not the observation, under their name (``by_subject``).

    Raises
    ------
    BadInput
        When the model does not predict single observations, or the fit is of several versions of the data.
    """
    units = tree[_SCORES].to_dataset()
    observed = tree["observed_data"].to_dataset()
    if set(units.data_vars) == set(observed.data_vars) and not at_one_draw(model, tree):
        return tree  # each element of what it observes is a unit of its own
    predicted = Predicted.of(model, tree, tables=tables)
    rng = np.random.default_rng([seed, 1])
    names = list(predicted.observations)
    scores = {name: predicted.scores(name) for name in names}
    if not (len(names) == 1 and next(iter(units.data_vars.values())).shape[2:] == scores[names[0]].shape[2:]):
        draws = predicted.posterior["draw"].values
        scores |= {str(name): x.sel(draw=draws) for name, x in units.items() if np.isin(draws, x["draw"]).all()}
    groups = {
        name: group.to_dataset().sel(draw=predicted.posterior["draw"].values)
        if {"chain", "draw"} <= set(group.dims) and name in ("posterior", "log_prior", "sample_stats", "estimands")
        else group.to_dataset()
        for name, group in tree.children.items()
        if name != "prior_predictive"
    }
    groups["observed_data"] = xr.Dataset(
        {name: predicted.labelled(name, predicted.values(name, rng)) for name in names}
    )
    groups["posterior_predictive"] = xr.Dataset({name: predicted.replicates(name, rng) for name in names})
    groups[_SCORES] = xr.Dataset(scores)
    return xr.DataTree.from_dict(groups)
