"""Screen: sensitivity, specificity and likelihood ratios of a cutoff, exactly, from a two-by-two table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, ExactPosterior, Forest, OwnPrior, reads
from bayesdep.models.parts.observations import Observations
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.replicates import put
from bayesdep.models.screen import checks, estimands, exact, scores
from bayesdep.models.screen.data import prepare
from bayesdep.models.screen.observations import observations
from bayesdep.models.screen.settings import ScreenSettings
from bayesdep.models.screen.tables import tables as printed_tables

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Screen(ScreenSettings):
    """A test at a fixed cutoff, from how many people with and without the condition test positive.

    The generative model::

        positives among those with the condition     ~ Binomial(n_1, sensitivity)
        positives among those without the condition  ~ Binomial(n_0, 1 - specificity)
        sensitivity, specificity ~ Beta(1/2, 1/2)     (Jeffreys; worth one person each)

    The posterior is a product of two Betas: draws are independent, and every number reported is computed
    without them. With one false positive in n the mean of the positive likelihood ratio exists but its
    standard deviation does not (``specificity ~ Beta(., 1.5)``), and both are reported as they are.

    Intervals are equal-tailed, but reach 0 where nobody and 1 where everybody of a group tests positive (Brown, Cai and
    DasGupta 2001, doi:10.1214/ss/1009213286), and a ratio whose denominator then reaches zero has no upper end. The
    summary sets the exact (Clopper-Pearson) intervals of sensitivity and specificity beside theirs.

    Parameters
    ----------
    condition
        Label in the ``group`` column of the people who have the condition that the test is to find.
    priors
        Beta priors on ``sensitivity`` and ``specificity`` that replace the defaults.
    group, positives, n
        Names of the table's columns.

    Raises
    ------
    BadInput
        When a prior is not a Beta.

    Examples
    --------
    >>> model = Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> model.priors["sensitivity"]
    Beta(alpha=0.5, beta=0.5)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: sensitivity, specificity and Youden's index, crude and modelled."""
        return Forest(("sensitivity", "specificity", "youden"), None, None, estimands.crude_accuracy)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with two rows, with and without the condition, into counts.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            ``positives`` and ``n`` with dim ``group``, those with the condition first.

        Raises
        ------
        BadInput
            Naming the column and row.
        """
        return prepare(self, table)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            Free variables ``sensitivity`` and ``specificity``.
        """
        import pymc as pm
        import pytensor.tensor as pt

        with pm.Model(coords={"group": data["group"].values}) as model:
            positives, n = (pm.Data(f"{w}_data", data[w].values, dims="group") for w in ("positives", "n"))
            sensitivity = self.priors["sensitivity"].rv("sensitivity")
            specificity = self.priors["specificity"].rv("specificity")
            p = pt.stack([sensitivity, 1 - specificity])
            pm.Binomial("positives", n=n, p=p, observed=positives, dims="group")
        return model

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn numbers of positives in the place of those counted.

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
        return put(data, positives=drawn["positives"].values)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Derive the accuracy measures.

        Parameters
        ----------
        posterior
            Draws of ``sensitivity`` and ``specificity``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``sensitivity``, ``specificity``, ``likelihood_ratio_positive``, ``likelihood_ratio_negative``,
            ``diagnostic_odds_ratio`` and ``youden`` (sensitivity + specificity - 1), no dims but the draws'.
        """
        return estimands.estimands(posterior)

    def exact(self, data: xr.Dataset) -> ExactPosterior:
        """Return the posterior: Betas, and one-dimensional integrals over them.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior
            With a marginal for every estimand.
        """
        return exact.exact(self, data)

    def observations(self, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
        """Give the distribution of every single observation given the parameters and its unit's earlier ones.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        dict of Observations
            As :func:`bayesdep.models.screen.observations.observations` returns it.
        """
        return observations(posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Return the log probability of the test result that each subject had.

        Parameters
        ----------
        posterior
            Draws of ``sensitivity`` and ``specificity``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject); within a group, positives come first.
        """
        return scores.log_likelihood(posterior, data)

    def own_prior(self, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
        """Return the prior of an estimand that is a parameter of its own, or why there is none.

        Parameters
        ----------
        name, at
            The estimand and its coordinates.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        OwnPrior or str
            A clause where there is none.
        """
        return estimands.own_prior(self, name, at, data)

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
        """Name the test quantities: with one free probability per group, only the counts themselves.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Share of positives in either group.
        """
        return checks.checks(data)
