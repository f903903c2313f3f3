"""Items: a depression scale item by item, arms' effects on severity and on single items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.items import checks as items_checks
from bayesdep.models.items import data as items_data
from bayesdep.models.items import estimands as items_estimands
from bayesdep.models.items import scores
from bayesdep.models.items.observations import observations
from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.items.severity import discriminations, item_effects, severities, steps_of, thresholds
from bayesdep.models.items.tables import tables as printed_tables
from bayesdep.models.model import Check, Forest, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.numerics.graded import graded_log_likelihood, levels_of, probabilities_above
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm

SCORES = "item_score"


@dataclass(frozen=True, kw_only=True)
class Items(ItemsSettings):
    """A depression scale item by item, such as the HAM-D's 17: which symptoms an arm changes, beyond severity.

    The generative model, a graded response model (Samejima 1969, doi:10.1007/BF03372160) for the score y of patient i
    at visit j in item m, from 0 to the item's highest::

        P(y_ijm <= k) = logistic(threshold_mk - level_ijm)
        level_ijm    = discrimination_m severity_ij + s_j a_i (departure_m + departure_by_moderator_m x_i)
        severity_ij  = visit_effect_j + s_j a_i (arm_effect + arm_by_moderator x_i)
                       + (moderator_effect + moderator_change s_j) x_i + level_i + slope_i t_j + visit_ij

        (level, slope)_i ~ N(0, level_sd, slope_sd, correlation)       visit_ij ~ N(0, visit_sd)
        departure_m, departure_by_moderator_m ~ N(0, sd), or Student t with that scale
        log discrimination_m ~ N(0, log_discrimination_sd), summing to zero over items

    **Positive is always worse.** ``t_j`` is the time since the start of treatment over that of the last visit, a the
    arm's place among all arms (level 0 is midway between them), x the standardised moderator or its standardised
    logarithm. Arms' effects are those at the last visit: before the start there are none, and after it they grow in
    proportion to time, ``s_j = t_j``, or are the same at every visit, ``s_j = 1``.

    Items of one visit share the patient's state of that day, so ``visit_ij`` is needed: without it seventeen items
    would count as seventeen independent looks at the patient, and intervals would be too narrow. Level and change of a
    patient are correlated, and let visits far apart correlate less than visits close together.

    Discriminations have a geometric mean of 1, so severity and all effects are in log odds of a worse score of a
    typical item. Without departures an arm acts on severity alone and each item follows by its discrimination (uniform
    differential item functioning is what departures are; Holland and Wainer 1993). Missing items and visits are left
    out, as missing at random.

    Default priors, on the log odds::

        visit_effect ~ N(0, 1.5)      summing to zero over visits
        arm_effect ~ N(0, 1.5)        95% of odds ratios between 1/19 and 19
        departure_sd ~ N+(0.5)        an item's odds ratio beyond severity: up to 2.7 at one sd of a large spread
        moderator_effect, moderator_change, arm_by_moderator ~ N(0, 1)    per sd
        departure_by_moderator_sd ~ N+(0.5)    per sd
        log_discrimination_sd ~ N+(0.5)        most items between 1/2.7 and 2.7 of the typical one
        level_sd, slope_sd ~ N+(2); visit_sd ~ N+(1); (correlation + 1) / 2 ~ Beta(2, 2)
        thresholds: those of category probabilities ~ Dirichlet(1) at level 0

    Parameters
    ----------
    items
        Every item's highest score by name, ``{"depressed mood": 4, "insomnia early": 2, ...}``; the lowest is 0.
    reference
        The arm that others are compared with.
    course
        Whether effects of arms are ``"proportional"`` to the time since the start, or ``"constant"`` after it.
    start
        When treatment began, on the scale of the visits.
    moderator_form
        Whether the moderator enters as its natural logarithm, ``"log"``, or as it is, ``"linear"``.
    at
        Values of the moderator at which differences are reported.
    pooling
        How items' departures are distributed: ``"normal"``, or ``"student-t"`` where a few items may lie far out.
    concentration
        Of the Dirichlet prior of an item's category probabilities at level 0; 1 is uniform.
    lkj
        Of the prior of the correlation of level and change; 1 is uniform.
    priors
        Priors by parameter that replace the defaults.
    subject, arm, visit, item, score, moderator
        Names of the table's columns. Without ``item`` every item is a column of its own, named as in ``items``.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Items(items={"mood": 4, "guilt": 4, "sleep": 2}, reference="placebo").priors["arm_effect"]
    Normal(mu=0, sigma=1.5)
    """

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table of item scores into assessments by items.

        Parameters
        ----------
        table
            A dataframe. A visit without a row was missed, an empty score is a missing item.

        Returns
        -------
        xarray.Dataset
            As :func:`bayesdep.models.items.data.prepare` returns it.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        return items_data.prepare(self, table)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With ``severity`` (subject, visit), ``discrimination`` (item), ``threshold`` (step), ``departure``
            (comparison, item), and the observed ``item_score`` (assessment, item).
        """
        import pymc as pm

        with pm.Model(coords=self._coords(data)) as graph:
            severity = severities(self, data)
            place = data["subject_of"].values * data.sizes["visit"] + data["visit_of"].values
            self._observe(data, severity.flatten()[pm.Data("place", place, dims="assessment")])
        return graph

    def _coords(self, data: xr.Dataset) -> dict[str, Any]:
        """Labels of the model's dims; items of one highest score together have probabilities of their own."""
        highest, names = data["highest"].values, data["item"].values
        dims = ("subject", "visit", "assessment", "item", "comparison")
        coords: dict[str, Any] = {dim: data[dim].values for dim in dims} | {"step": steps_of(data)[2]}
        for top in np.unique(highest):
            coords |= {f"item_{top}": names[highest == top], f"score_{top}": np.arange(int(top) + 1)}
        return coords

    def _observe(self, data: xr.Dataset, severity: Tensor) -> None:
        """Let the scores have their probabilities, inside the model's context."""
        import pymc as pm

        columns = pm.Data("columns", data["columns"].values)
        highest = pm.Data("highest", data["highest"].values, dims="item")

        def logp(value: Tensor, severity: Tensor, a: Tensor, effects: Tensor, cuts: Tensor, inside: Tensor) -> Tensor:
            return graded_log_likelihood(severity, a, effects, cuts, inside, value, columns, highest)

        def draw(
            severity: Any, a: Any, effects: Any, cuts: Any, _inside: Any, rng: Any = None, size: Any = None
        ) -> np.ndarray:
            level = levels_of(severity, a, effects, data["columns"].values)
            return _draw_scores(data, level, np.asarray(cuts), rng, size)

        pm.CustomDist(
            SCORES, severity, discriminations(self), item_effects(self, data), *thresholds(self, data),
            logp=logp, random=draw, signature="(r),(m),(q,m),(m,t),(m,t)->(r,m)", dtype="int64",
            observed=pm.Data("score", data["score"].values, dims=("assessment", "item")), dims=("assessment", "item"),
        )  # fmt: skip

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the difference of every item's mean at the last visit, also as observed."""
        return Forest(("item_difference",), None, None, items_estimands.crude_differences)

    def without(self, data: xr.Dataset, label: str) -> xr.Dataset:
        """Leave a patient out of prepared data, with all assessments.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        label
            Of the patient.

        Returns
        -------
        xarray.Dataset
            The same without the patient.
        """
        (place,) = np.flatnonzero(data["subject"].values == label)
        of = data["subject_of"].values
        left = data.isel(assessment=of != place, subject=np.arange(data.sizes["subject"]) != place)
        return left.assign(subject_of=left["subject_of"] - (left["subject_of"] > place))

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn scores in the place of the observed ones, missing where these are.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        drawn
            One draw of every variable of :meth:`build`.
        rng
            Not needed here.

        Returns
        -------
        xarray.Dataset
            Everything else as in ``data``.
        """
        return items_data.with_scores(data, drawn["item_score"].values)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what is asked; see :mod:`bayesdep.models.items.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``sum_difference`` and ``sum_score`` by visit; ``item_difference``, ``item_score`` and
            ``present_difference`` at the last visit; with a moderator and ``at`` ``sum_difference_at`` and
            ``item_difference_at``; ``departure_odds_ratio`` and ``departure_sd``; ``severity_difference``,
            ``discrimination``, and sds of patients.
        """
        return items_estimands.estimands(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every patient by the log probability of all their items, own severities integrated out.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject).
        """
        return scores.log_likelihood(self, posterior, data)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Predict every score from all others.

        Parameters
        ----------
        posterior
            Draws of the parameters and of severities.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.items.observations.observations` returns it.
        """
        return observations(self, posterior, data)

    def tables(self, data: xr.Dataset) -> Mapping[str, Layout]:
        """Declare the tables that a paper prints of its fits.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        mapping of Layout
            By name, the main one ``"main"``.
        """
        return printed_tables(self, data)

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the test quantities of the posterior predictive checks.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Mean and sd of the sum score by arm at the last visit, the spread over items of their correlations with the
            others, and the highest correlation of two items given the sum.
        """
        return items_checks.checks(self, data)


def _draw_scores(data: xr.Dataset, level: np.ndarray, cuts: np.ndarray, rng: Any, size: Any) -> np.ndarray:
    """A score of every assessment and item, -1 where none was observed."""
    above = probabilities_above(level, cuts[..., None, :, :], data["highest"].values)
    shape = level.shape if size is None else (*tuple(size), *level.shape[-2:])
    drawn = (rng.random(shape)[..., None] < above).sum(axis=-1)
    return np.where(data["score"].values < 0, items_data.MISSING, drawn)
