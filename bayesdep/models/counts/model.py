"""Counts: responders by arm and subgroup, partially pooled over subgroups."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import (
    Column,
    as_frame,
    note,
    provenance,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
    refuse_totals,
)
from bayesdep.models.model import Check, ExactPosterior, Forest, estimand
from bayesdep.models.parts.contrasts import arm_codes, contrast_root, contrasts, refuse_without_correlation
from bayesdep.models.parts.pooling import pooled
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.distributions import JEFFREYS, Prior
from bayesdep.numerics.marginals import Marginal

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Events by arm and subgroup, with the treatment effect partially pooled over subgroups.

    The generative model, for subgroup g and arm j (arm 0 the control)::

        events_gj ~ Binomial(n_gj, risk_gj)
        partial    logit(risk_gj) = baseline_g + effect_gj - mean_j(effect_gj),   effect_g0 = 0
                   baseline_g ~ N(baseline_mean, baseline_sd),  effect_gj ~ N(effect_mean_j, effect_sd)
        complete   the same with effect_sd = 0: one effect for all subgroups
        none       risk_gj ~ Beta(1/2, 1/2): every cell on its own, and the posterior known exactly

    ``baseline_g`` is the mean of the arms' log odds: with two arms these are ``baseline_g -/+ effect_g / 2``, so that
    exchanging treated and control changes the effect's sign and nothing else. With three or more arms, contrasts to
    the control correlate 1/2, a priori and between subgroups: so no arm is known better than another.

    Default priors, on the log odds: ``baseline_mean ~ N(0, 1.5)`` (95% of typical risks between 5% and 95%),
    ``effect_mean ~ N(0, 1.5)`` (95% of odds ratios between 1/19 and 19), ``baseline_sd`` and
    ``effect_sd ~ N+(0.5)`` (at its 95% point, 1, a subgroup's odds ratio is within a factor 7 of the mean's). The
    Beta(1/2, 1/2) is Jeffreys', worth one person in each cell.

    With ``pooling = "none"`` intervals of a risk are Jeffreys' as Brown, Cai and DasGupta (2001,
    doi:10.1214/ss/1009213286) use them: the equal-tailed posterior interval, but from 0 where nobody has the event and
    up to 1 where everybody has it; a ratio to a control without events has no upper end either. The summary sets the
    exact (Clopper-Pearson) interval of each risk beside it. docs/counts_coverage.md has the coverage of both.

    Parameters
    ----------
    control
        Label of the control arm.
    pooling
        ``"partial"``, ``"none"`` or ``"complete"`` pooling of the treatment effect over subgroups.
    priors
        Priors by parameter that replace the defaults.
    subgroup, arm, events, n
        Names of the table's columns; ``subgroup = None`` when there are none (then ``pooling`` is ``"none"``).

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> Counts(control="placebo", events="responders").priors["effect_sd"]
    HalfNormal(sigma=0.5)
    """

    family: ClassVar[str] = "counts"
    primary_estimands: ClassVar[tuple[str, ...]] = ("risk_difference",)
    target_accept: ClassVar[float] = 0.95
    exact_by_default: ClassVar[bool] = True

    control: str
    pooling: Literal["partial", "none", "complete"] = "partial"
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    subgroup: str | None = column("subgroup", "subgroup label")
    arm: str = column("arm", "arm label")
    events: str = column("events", "people with the event")
    n: str = column("n", "people")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.subgroup is None and self.pooling != "none":
            raise BadInput(
                f"pooling = '{self.pooling}' needs subgroups to pool over; name a column or use pooling = 'none'"
            )
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))
        if self.pooling == "none" and self.priors["risk"].dist != "Beta":
            raise BadInput(
                f"priors.risk: {self.priors['risk']} is not a Beta, and only that keeps the posterior exact; use Beta"
            )

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: those of the hierarchy, or of every cell when nothing is pooled."""
        if self.pooling == "none":
            return {"risk": Slot(JEFFREYS, "unit", "a cell's probability of the event", "probability")}
        centre, spread = Prior("Normal", mu=0, sigma=1.5), Prior("HalfNormal", sigma=0.5)
        slots = {
            "baseline_mean": Slot(centre, "real", "the mean log odds of all arms", "log odds"),
            "baseline_sd": Slot(
                spread, "positive", "the spread of the arms' mean log odds between subgroups", "log odds"
            ),
            "effect_mean": Slot(centre, "real", "the mean treatment effect", "log odds ratio"),
        }
        if self.pooling == "partial":
            slots["effect_sd"] = Slot(
                spread, "positive", "the spread of the treatment effect between subgroups", "log odds ratio"
            )
        return slots

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out."""
        return "subject"

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the risk difference of each subgroup, crude and modelled, and overall."""

        def crude(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
            share = (data["events"] / data["n"]).values
            variance = share * (1 - share) / data["n"].values
            return (share[:, 1:] - share[:, :1]).ravel(), np.sqrt(variance[:, 1:] + variance[:, :1]).ravel()

        return Forest(("risk_difference",), "risk_difference_overall", None, crude)

    @property
    def words(self) -> str:
        """The model in words."""
        effect = {
            "partial": "its effect in each subgroup is drawn towards their mean as far as the data allow",
            "complete": "its effect is the same in every subgroup",
        }.get(self.pooling)
        if effect is None:
            return "Events are binomial in each arm of each subgroup, and every such cell stands on its own."
        return (
            f"Events are binomial in each arm of each subgroup; treatment shifts the log odds against "
            f"{self.control}, and {effect}."
        )

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        lines = ["events[g, j] ~ Binomial(n[g, j], risk[g, j])"]
        if self.pooling == "none":
            return [*lines, f"risk[g, j] ~ {self.priors['risk']}"]
        lines += [
            f"logit(risk[g, j]) = baseline[g] + effect[g, j] - mean_j(effect[g, j]),  effect[g, {self.control}] = 0",
            "baseline[g] ~ Normal(baseline_mean, baseline_sd)",
            "effect[g, j] ~ Normal(effect_mean[j], effect_sd)"
            if self.pooling == "partial"
            else "effect[g, j] = effect_mean[j]",
        ]
        return lines + [f"{name} ~ {prior}" for name, prior in self.priors.items()]

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per subgroup and arm into counts.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            ``events`` and ``n`` with dims ``subgroup`` and ``arm``, control first, and dim ``treatment`` (the
            other arms).

        Raises
        ------
        BadInput
            Naming the column and row, or the missing cell.
        """
        frame = as_frame(table)
        what = column_fields(self)
        contracts = {"arm": Column(self.arm, "label", what["arm"])}
        if self.subgroup is not None:
            contracts["subgroup"] = Column(self.subgroup, "label", what["subgroup"])
        contracts |= {w: Column(getattr(self, w), "count", what[w]) for w in ("events", "n")}
        read = read_columns(frame, contracts)
        subgroup = read.get("subgroup", np.full(len(frame), "all", dtype=object))
        cells = {"subgroup": read["subgroup"], "arm": read["arm"]} if self.subgroup else {"arm": read["arm"]}
        refuse_duplicates(cells, contracts, "cell")
        names = np.array([f"{g}, {a}" for g, a in zip(subgroup, read["arm"], strict=True)])
        for row in np.flatnonzero(read["n"] == 0):  # leaving out the row alone would leave the subgroup with one arm
            leave = f"subgroup '{subgroup[row]}'" if self.subgroup else f"arm '{read['arm'][row]}'"
            raise BadInput(f"column '{self.n}' ({what['n']}): row {row + 1} ({names[row]}) is 0; leave {leave} out")
        for row in np.flatnonzero(read["n"] == 1):
            note(frame, f"column '{self.n}' ({what['n']}): row {row + 1} ({names[row]}) is a group of one person")
        refuse_more_events_than_people(read["events"], read["n"], names, (contracts["events"], contracts["n"]))
        arms, groups = list(dict.fromkeys(read["arm"])), list(dict.fromkeys(subgroup))
        if self.control not in arms:
            raise BadInput(
                f"control = '{self.control}' is no arm in column '{self.arm}'; {did_you_mean(self.control, arms)}"
            )
        if len(arms) < 2:
            raise BadInput(f"column '{self.arm}' has one arm, '{arms[0]}'; a comparison needs a second one")
        if self.pooling != "none" and len(groups) < 2:
            raise BadInput(
                f"column '{self.subgroup}' has one subgroup, '{groups[0]}', so nothing can be pooled; "
                "use pooling = 'none'"
            )
        if self.pooling != "none":
            refuse_without_correlation(self.priors["effect_mean"], "effect_mean", len(arms) - 1, f"{len(arms)} arms")
        arms.remove(self.control)
        arms.insert(0, self.control)
        where = {key: row for row, key in enumerate(zip(subgroup, read["arm"], strict=True))}
        for g in groups:
            for a in arms:
                if (g, a) not in where:
                    raise BadInput(f"subgroup '{g}' has no row for arm '{a}'; add it, or leave the subgroup out")
        order = np.array([[where[g, a] for a in arms] for g in groups])
        if self.pooling != "none":
            both = np.hstack([read["events"][order], read["n"][order]])
            refuse_totals(np.array(groups), contracts["subgroup"], both)
        return xr.Dataset(
            {w: (("subgroup", "arm"), read[w][order].astype("int64"), {"units": "people"}) for w in ("events", "n")},
            {"subgroup": [str(g) for g in groups], "arm": arms, "treatment": arms[1:]},
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
            With ``risk`` (subgroup, arm) and, when pooled, ``baseline`` (subgroup) and ``effect`` (subgroup,
            treatment) on the log-odds scale.
        """
        import pymc as pm

        prior = self.priors
        coords = {d: data[d].values for d in ("subgroup", "arm", "treatment")}
        with pm.Model(coords=coords) as model:
            events, n = (pm.Data(f"{w}_data", data[w].values, dims=("subgroup", "arm")) for w in ("events", "n"))
            if self.pooling == "none":
                risk = prior["risk"].rv("risk", dims=("subgroup", "arm"))
                pm.Binomial("events", n=n, p=risk, observed=events, dims=("subgroup", "arm"))
                return model
            count = data.sizes["treatment"]
            code = pm.Data("arm_code", arm_codes(count + 1), dims=("treatment", "arm"))
            baseline = pooled(
                "baseline",
                prior["baseline_mean"].rv("baseline_mean"),
                prior["baseline_sd"].rv("baseline_sd"),
                dims="subgroup",
            )
            effect_mean = contrasts(prior["effect_mean"], "effect_mean", dims="treatment", roots=[contrast_root(count)])
            if self.pooling == "partial":
                effect = pooled(
                    "effect",
                    effect_mean,
                    prior["effect_sd"].rv("effect_sd"),
                    dims=("subgroup", "treatment"),
                    root=contrast_root(count) if count > 1 else None,
                )
            else:
                effect = effect_mean[None, :]
            log_odds = baseline[:, None] + (effect[:, :, None] * code).sum(axis=1)
            pm.Deterministic("risk", pm.math.invlogit(log_odds), dims=("subgroup", "arm"))
            pm.Binomial("events", n=n, logit_p=log_odds, observed=events, dims=("subgroup", "arm"))
        return model

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive risks and their contrasts against control, by subgroup and over all patients.

        Parameters
        ----------
        posterior
            Draws of ``risk``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            ``risk`` (subgroup, arm); ``risk_difference``, ``risk_ratio``, ``odds_ratio`` and ``nnt`` (subgroup,
            treatment); ``risk_difference_overall`` and ``nnt_overall``, standardised to the table's mix of
            subgroups; and ``effect_sd`` where the effect is partially pooled. ``nnt`` is one over the risk
            difference: above zero a number needed to treat, below zero a number needed to harm.
        """
        risk = posterior["risk"]
        treated = risk.isel(arm=slice(1, None)).rename(arm="treatment")
        control = risk.isel(arm=0, drop=True)
        difference = treated - control
        weights = data["n"].sum("arm") / data["n"].sum()
        overall = (difference * weights).sum("subgroup")
        against = f"against {self.control}"
        found = {
            "risk": estimand(risk, "probability of the event", "probability"),
            "risk_difference": estimand(difference, f"risk difference {against}", "risk difference"),
            "risk_ratio": estimand(treated / control, f"risk ratio {against}", "risk ratio", null=1.0),
            "odds_ratio": estimand(
                treated * (1 - control) / (control * (1 - treated)),
                f"odds ratio {against}",
                "odds ratio",
                null=1.0,
            ),
            "nnt": estimand(
                1 / difference,
                f"number needed to treat (above 0) or harm (below 0) {against}",
                "patients",
                reciprocal_of="risk_difference",
            ),
            "risk_difference_overall": estimand(
                overall, f"risk difference {against}, standardised to the mix of subgroups", "risk difference"
            ),
            "nnt_overall": estimand(
                1 / overall,
                f"number needed to treat (above 0) or harm (below 0) {against}, standardised",
                "patients",
                reciprocal_of="risk_difference_overall",
            ),
        }
        if self.pooling == "partial":
            found["effect_sd"] = estimand(
                posterior["effect_sd"], "spread of the treatment effect between subgroups", "log odds ratio"
            )
        return xr.Dataset(found)

    def exact(self, data: xr.Dataset) -> ExactPosterior | None:
        """Return the posterior of independent cells: Betas, and integrals over pairs of them.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        ExactPosterior or None
            None when anything is pooled. Contrasts over all subgroups have no marginal and come from the draws.
        """
        if self.pooling != "none":
            return None
        alpha, beta = self.priors["risk"]["alpha"], self.priors["risk"]["beta"]
        a = (data["events"] + alpha).transpose("subgroup", "arm")
        b = (data["n"] - data["events"] + beta).transpose("subgroup", "arm")
        marginals: dict[Any, Marginal] = {}
        for i, g in enumerate(data["subgroup"].values):
            counts = zip(a.values[i], b.values[i], data["events"].values[i], data["n"].values[i], strict=True)
            cells = [BetaMarginal(float(x), float(y), (int(k), int(n))) for x, y, k, n in counts]
            for arm, cell in zip(data["arm"].values, cells, strict=True):
                marginals["risk", (("subgroup", str(g)), ("arm", str(arm)))] = cell
            for treatment, cell in zip(data["treatment"].values, cells[1:], strict=True):
                at = (("subgroup", str(g)), ("treatment", str(treatment)))
                marginals["risk_difference", at] = difference(cell, cells[0])
                marginals["risk_ratio", at] = ratio(cell, cells[0])
                marginals["odds_ratio", at] = odds_ratio(cell, cells[0])

        def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            return {"risk": rng.beta(a.values, b.values, (size, *a.shape))}

        return ExactPosterior(marginals, draw)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
        """Score every subject: the log probability of the outcome each one had.

        Parameters
        ----------
        posterior
            Draws of ``risk``.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, subject); subjects with the event come first within each cell.
        """
        risk = posterior["risk"]
        columns, labels = [], []
        for g in data["subgroup"].values:
            for a in data["arm"].values:
                p = risk.sel(subgroup=g, arm=a).values
                events, n = (int(data[w].sel(subgroup=g, arm=a)) for w in ("events", "n"))
                columns += [np.log(p)] * events + [np.log1p(-p)] * (n - events)
                labels += [f"{g} / {a} / {i + 1}" for i in range(n)]
        coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": labels}
        return xr.DataArray(np.stack(columns, axis=-1), coords=coords, dims=("chain", "draw", "subject"))

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that the pooling could get wrong.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Overall share of events, largest and smallest risk difference, and their range over subgroups.
        """
        n = data["n"].values

        def difference(y: np.ndarray) -> np.ndarray:
            share = y / n
            flat = share[..., 1:] - share[..., :1]
            return np.asarray(flat.reshape(*flat.shape[:-2], -1))

        checks = [
            Check("share with the event", "events", lambda y: y.sum((-2, -1)) / n.sum(), "probability"),
            Check("largest risk difference", "events", lambda y: difference(y).max(-1), "probability"),
            Check("smallest risk difference", "events", lambda y: difference(y).min(-1), "probability"),
        ]
        if data.sizes["subgroup"] > 1:
            checks.append(
                Check(
                    "range of risk differences",
                    "events",
                    lambda y: np.ptp(difference(y), axis=-1),
                    "probability",
                )
            )
        return checks
