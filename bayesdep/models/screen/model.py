"""Screen: sensitivity, specificity and likelihood ratios of a cutoff, exactly, from a two-by-two table."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import (
    Column,
    as_frame,
    provenance,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
)
from bayesdep.models.model import Check, ExactPosterior, Forest, estimand
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.distributions import JEFFREYS
from bayesdep.numerics.marginals import Marginal

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Screen:
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

    family: ClassVar[str] = "screen"
    primary_estimands: ClassVar[tuple[str, ...]] = ("sensitivity", "specificity")
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    condition: str
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    group: str = column("group", "with or without the condition")
    positives: str = column("positives", "people who test positive")
    n: str = column("n", "people")

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        for name, prior in self.priors.items():
            if prior.dist != "Beta":
                raise BadInput(
                    f"priors.{name}: {prior} is not a Beta, and only that keeps the posterior exact; use Beta"
                )

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: ``sensitivity`` and ``specificity``."""
        return {name: Slot(JEFFREYS, "unit", f"the {name}", "probability") for name in ("sensitivity", "specificity")}

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: sensitivity, specificity and Youden's index, crude and modelled."""

        def crude(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
            hit, alarm = (data["positives"] / data["n"]).values
            # No standard error: so near 1, a normal interval would leave the scale.
            return np.array([hit, 1 - alarm, hit - alarm]), np.full(3, np.nan)

        return Forest(("sensitivity", "specificity", "youden"), None, None, crude)

    @property
    def words(self) -> str:
        """The model in words."""
        return (
            f"Positive tests are binomial among those with the condition ({self.condition}) and among those without; "
            "sensitivity and specificity are independent."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return [
            f"positives[{self.condition}] ~ Binomial(n[{self.condition}], sensitivity)",
            "positives[others] ~ Binomial(n[others], 1 - specificity)",
            *(f"{name} ~ {prior}" for name, prior in self.priors.items()),
        ]

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
        frame = as_frame(table)
        what = column_fields(self)
        contracts = {"group": Column(self.group, "label", what["group"])}
        contracts |= {w: Column(getattr(self, w), "count", what[w]) for w in ("positives", "n")}
        read = read_columns(frame, contracts)
        refuse_duplicates({"group": read["group"]}, contracts, "group")
        refuse_more_events_than_people(
            read["positives"], read["n"], read["group"], (contracts["positives"], contracts["n"])
        )
        if len(frame) != 2:
            raise BadInput(
                f"column '{self.group}' has {len(frame)} groups; a two-by-two table has two rows, so keep two"
            )
        if self.condition not in read["group"]:
            raise BadInput(
                f"condition = '{self.condition}' is no group in column '{self.group}'; "
                f"{did_you_mean(self.condition, read['group'])}"
            )
        order = [0, 1] if read["group"][0] == self.condition else [1, 0]
        return xr.Dataset(
            {w: ("group", read[w][order].astype("int64"), {"units": "people"}) for w in ("positives", "n")},
            {"group": [str(g) for g in read["group"][order]]},
            provenance(frame),
        )

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
        u, v = posterior["sensitivity"], posterior["specificity"]
        return xr.Dataset(
            {
                "sensitivity": estimand(
                    u, "probability of a positive test with the condition", "probability", null=0.5
                ),
                "specificity": estimand(v, "probability of a negative test without it", "probability", null=0.5),
                "likelihood_ratio_positive": estimand(
                    u / (1 - v), "odds of the condition multiplied by a positive test", "ratio", null=1.0
                ),
                "likelihood_ratio_negative": estimand(
                    (1 - u) / v, "odds of the condition multiplied by a negative test", "ratio", null=1.0
                ),
                "diagnostic_odds_ratio": estimand(
                    u * v / ((1 - u) * (1 - v)), "odds ratio of a positive test", "odds ratio", null=1.0
                ),
                "youden": estimand(u + v - 1, "Youden index: sensitivity + specificity - 1", "probability"),
            }
        )

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
        (hits, false_alarms), (n1, n0) = data["positives"].values, data["n"].values
        u_prior, v_prior = self.priors["sensitivity"], self.priors["specificity"]
        hits, false_alarms, n1, n0 = int(hits), int(false_alarms), int(n1), int(n0)
        u = BetaMarginal(u_prior["alpha"] + hits, u_prior["beta"] + n1 - hits, (hits, n1))  # sensitivity
        right = n0 - false_alarms
        v = BetaMarginal(v_prior["alpha"] + right, v_prior["beta"] + false_alarms, (right, n0))  # specificity
        miss, alarm = u.complement, v.complement  # 1 - sensitivity, 1 - specificity
        marginals: dict[str, Marginal] = {
            "sensitivity": u,
            "specificity": v,
            "likelihood_ratio_positive": ratio(u, alarm),
            "likelihood_ratio_negative": ratio(miss, v),
            "diagnostic_odds_ratio": odds_ratio(u, alarm),
            "youden": difference(u, alarm),
        }

        def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            return {"sensitivity": rng.beta(u.a, u.b, size), "specificity": rng.beta(v.a, v.b, size)}

        return ExactPosterior({(name, ()): marginal for name, marginal in marginals.items()}, draw)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
        """Score every subject: the log probability of the test result each one had.

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
        p = [posterior["sensitivity"].values, 1 - posterior["specificity"].values]
        columns, labels = [], []
        for name, chance, positives, n in zip(
            data["group"].values, p, data["positives"].values, data["n"].values, strict=True
        ):
            columns += [np.log(chance)] * positives + [np.log1p(-chance)] * (n - positives)
            labels += [f"{name} / {i + 1}" for i in range(n)]
        coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": labels}
        return xr.DataArray(np.stack(columns, axis=-1), coords=coords, dims=("chain", "draw", "subject"))

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics: with one free probability per group, only the counts themselves.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Share of positives in either group.
        """
        n = data["n"].values
        return [
            Check(f"share positive: {name}", "positives", lambda y, i=i: y[..., i] / n[i], "probability")  # type: ignore[misc]  # a default argument binds i
            for i, name in enumerate(data["group"].values)
        ]
