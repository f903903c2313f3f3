"""Stepwise: remission at each of several treatment steps, from counts of who entered and who remitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, ExactPosterior, Forest, reads
from bayesdep.models.parts.paper import Layout
from bayesdep.models.parts.replicates import put
from bayesdep.models.stepwise import checks, estimands, exact
from bayesdep.models.stepwise.data import prepare
from bayesdep.models.stepwise.settings import StepwiseSettings
from bayesdep.models.stepwise.tables import tables as printed_tables
from bayesdep.numerics.types import Tensor

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Stepwise(StepwiseSettings):
    """Remission at each step of a sequence of treatments: the continuation ratio, on counts.

    The generative model, for step k (or an arm of it)::

        remitted_k ~ Binomial(entered_k, remission_k)
        remission_k ~ Beta(1, 1)                        flat

    This is the continuation-ratio model of :class:`~bayesdep.models.ordinal.model.Ordinal` with a free threshold for
    every step, and its posterior is known exactly: independent Betas. A step's probability is of those who entered it.
    **Who left between two steps is not taken for somebody without remission**: they are in no later step's count, and
    how many left is noted. Remission over all steps needs an assumption of them, so two are reported: that they would
    have fared like those who stayed (``remission_if_nobody_leaves``, the product that a "cumulative remission rate"
    usually is), and that none of them remitted (``remission_of_all``, a lower bound).

    Where a source prints a share that fits no count, the count is known to lie between two numbers, ``remitted`` and
    ``remitted_at_most``; the posterior is then the mixture of those that each count in between gives.

    Parameters
    ----------
    step_order
        The steps in order, first one first, where their names do not say it.
    priors
        A Beta prior on ``remission`` that replaces the default.
    step, arm, entered, remitted, remitted_at_most
        Names of the table's columns; ``arm`` where steps have several treatments, each compared with the step's first
        row; ``remitted_at_most`` where counts are known as intervals.

    Raises
    ------
    BadInput
        When the prior is not a Beta.

    Examples
    --------
    >>> Stepwise().priors["remission"]
    Beta(alpha=1, beta=1)
    """

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: remission at every step, as counted and modelled."""
        return Forest(("remission",), None, None, estimands.crude_shares)

    @reads
    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per step, or per step and arm, into counts.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            As :func:`bayesdep.models.stepwise.data.prepare` returns it.

        Raises
        ------
        BadInput
            Naming column, row and remedy.
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
            With ``remission`` (cell).
        """
        import pymc as pm

        with pm.Model(coords={"cell": data["cell"].values}) as model:
            fewest, most, n = (
                pm.Data(f"{w}_data", data[w].values, dims="cell") for w in ("remitted", "remitted_at_most", "entered")
            )
            remission = self.priors["remission"].rv("remission", dims="cell")
            widest = int((data["remitted_at_most"] - data["remitted"]).max())
            if widest == 0:
                pm.Binomial("remitted_count", n=n, p=remission, observed=fewest, dims="cell")
                return model

            def logp(value: Tensor, p: Tensor, n: Tensor, width: Tensor) -> Tensor:
                import pytensor.tensor as pt

                more = np.arange(widest + 1)
                counts = value[:, None] + pt.minimum(more, width[:, None])
                each = pm.logp(pm.Binomial.dist(n[:, None], p[:, None]), counts)
                return pt.logsumexp(pt.switch(more <= width[:, None], each, -np.inf), axis=1)

            pm.CustomDist(
                "remitted_count", remission, n, most - fewest, logp=logp, random=_draw, dtype="int64",
                observed=fewest, dims="cell",
            )  # fmt: skip
        return model

    def replicate(self, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:  # noqa: ARG002  (the protocol's)
        """Put drawn numbers of remissions in the place of those counted, all of them known exactly.

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
        counted = drawn["remitted_count"].values
        return put(data, remitted=counted, remitted_at_most=counted)

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive probabilities of remission and their contrasts.

        Parameters
        ----------
        posterior
            Draws of ``remission``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``remission`` (cell), ``difference`` (contrast: arms less the step's first, or a step less the one before)
            and, with arms, ``number_needed_to_treat``; without arms ``remission_if_nobody_leaves`` and
            ``remission_of_all`` (step).
        """
        return estimands.estimands(self, posterior, data)

    def exact(self, data: xr.Dataset) -> ExactPosterior:
        """Return the posterior: Betas, and mixtures of them.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior
            With marginals where counts are known.
        """
        return exact.exact(self, data)

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
        """Name the test quantities: with one free probability a step, only the shares themselves.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            The share in remission at every step, or in every arm of one.
        """
        return checks.checks(data)


def _draw(p: Any, n: Any, width: Any, rng: Any = None, size: Any = None) -> np.ndarray:  # noqa: ARG001  (PyMC's)
    return np.asarray(rng.binomial(n, p, size))
