"""Cytokines: a panel of censored concentrations, group effects partially pooled over analytes."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import as_frame
from bayesdep.models.cytokines import estimands as panel_estimands
from bayesdep.models.cytokines import law_checks
from bayesdep.models.cytokines.cells import Cells, log_likelihood, measurements, recorded_logs
from bayesdep.models.cytokines.data import read_panel
from bayesdep.models.cytokines.effects import effect_of, log_residual_sd, means_of, people_of_means
from bayesdep.models.cytokines.rough_effects import hardly_detected, rough_effects, wall_of
from bayesdep.models.cytokines.split import people
from bayesdep.models.cytokines.terms import (
    formula_of,
    has_cells,
    has_subjects,
    is_pooled,
    slots_of,
    words_of,
)
from bayesdep.models.model import Check, Forest
from bayesdep.models.parts.contrasts import refuse_without_correlation
from bayesdep.models.parts.priors import Slot, fill_slots
from bayesdep.models.parts.settings import check_settings, column, column_fields
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.student import precisions

if TYPE_CHECKING:
    import pymc as pm

_CAREFUL = 0.97
_NAMED = 3
_AT_ONCE = 4_000_000  # draws x measurements scored at once: 32 MB an array


@dataclass(frozen=True, kw_only=True)
class Cytokines:
    """Concentrations of one or many analytes, detected or known to lie beyond a limit, in people, groups and times.

    The generative model, for measurement m of subject i, analyte a, plate p and time t, on natural logs::

        log_concentration_m ~ Normal(eta_m, residual_sd_a)      or StudentT(nu, ...) when robust; a value beyond a
                                                                limit enters as the probability of lying there
        eta_m = level_a + group_effect_a x_i + time_effect_{a,t} (+ interaction_{a,t} x_i) + z_m' covariate_effect_a
                + plate_{a,p} + subject_i (+ loading_a factor_i) (+ cell_{ia})
        level_a ~ N(level_mean, level_sd)             group_effect_a ~ N(group_mean, group_sd)
        time_effect_{a,t} ~ N(time_mean_t, time_sd), zero at baseline;  interaction and covariate_effect alike
        plate_{a,.} ~ N(0, plate_sd), summing to zero;  subject_i ~ N(0, subject_sd)
        factor_i ~ N(0, 1), loading_a ~ N+(loading_sd);  cell_{ia} ~ N(0, cell_ratio residual_sd_a)
        log residual_sd_a ~ N(residual_mean, residual_spread)

    x is the group's indicator less the share of people in the group, so that ``level`` is that of the people at
    hand. With families of analytes, ``group_effect_a ~ N(group_family_f, group_sd)`` and
    ``group_family_f ~ N(group_mean, group_family_sd)``. ``cell``, what lasts of a person's deviation in one analyte,
    is there when times are (its sd is in proportion to the residual's, so every analyte has one intraclass
    correlation); ``subject`` when there are several analytes. The loadings are above zero: the shared factor raises
    every analyte or leaves it. Logs are centred at the mean of all logs and log limits before priors apply; with
    ``pooling = "none"`` each analyte's at its own, and every effect has a prior of its own.

    Default priors, on the log scale: levels within N(0, 2.5) of the centre and of each other; effects of groups, times,
    and covariates per sd N(0, 1.5) with spread N+(1) and families' N+(1), so that a ratio of 0.05 or 20 is no surprise
    (docs/panel_priors.md has what half and double these widths change); plates N+(0.25); subjects N+(1), loadings'
    scale N+(1); cell_ratio ~ N+(1.5); residual sd around 0.8, within a factor 3, its spread on the log N+(0.5); nu ~
    Gamma(2, 0.1). Without pooling an analyte's level and effects have twice those means' widths: N(0, 5) and N(0, 3).
    With three or more groups the contrasts to the reference correlate 1/2, for the mean and for the analytes around it,
    so that no group is special.

    Parameters
    ----------
    reference
        The group the others are compared with.
    baseline
        The time the others are compared with; by default the first, by what the labels say: numbers, dates, "week 4".
    covariates
        Formula of the covariates, such as ``"age + sex + bmi"``.
    pooling
        ``"partial"`` pooling of effects over analytes, or ``"none"``.
    group_by_time
        Whether groups may change differently over time.
    effects
        Law of the effects of groups and times over analytes: ``"normal"``; ``"student"``, Student t around their mean
        with degrees of freedom Gamma(2, 0.1) above 2, for panels in which a few analytes differ; or ``"horseshoe"``,
        regularised with a slab N(0, 1), for effects that are mostly alike. Pooled intervals are right on average over
        analytes and not for those that differ, under normal effects least of all (docs/sparse_effects.md). Two
        predictive checks, on the spread and the kurtosis of crude estimates, advise on it.
    expected_nonzero
        With ``effects = "horseshoe"``, how many analytes are expected to differ in a comparison, or at a time.
    shared_factor
        Whether people differ along one shared factor beside their general level.
    robust
        Student-t residuals instead of normal ones.
    replicates
        Whether people may have several rows of an analyte without times (two wells a sample), which share the person's
        deviation; the residual sd is then that of wells, around 0.2 within a factor 7, and ``log(cell_ratio) ~ N(log 4,
        1.25)`` (95% of ratios between 0.35 and 46). Wells that are copies of each other are refused.
    equivalence
        Ratio up to which groups count as practically equal, for the probability of that; above 1.
    beyond_limit
        What to do with an unflagged number beyond its own limit: ``"refuse"``, or ``"censor"`` it there.
    substitute
        ``"half"`` or ``"root2"`` puts the limit divided by 2 or by its square root for every non-detect, as many
        papers do: for contrast only.
    flag_codes
        What numeric codes of the flag column mean, such as ``{"1" = "left", "2" = "right"}``.
    priors
        Priors by parameter that replace the defaults.
    value, analyte, subject, group, time, plate, analyte_family, unit, censored, lod, lloq, uloq
        Names of the table's columns; all but ``value`` may be left out.

    Raises
    ------
    BadInput
        When settings contradict each other or a prior is impossible.

    Examples
    --------
    >>> model = Cytokines(analyte="analyte", group="group", reference="HC", plate="plate")
    >>> model.priors["group_mean"]
    Normal(mu=0, sigma=1.5)
    """

    family: ClassVar[str] = "cytokines"
    figures: ClassVar[tuple[str, ...]] = ("changes", "shares", "ecdf", "plates")

    reference: str | None = None
    baseline: str | None = None
    covariates: str | None = None
    pooling: Literal["partial", "none"] = "partial"
    group_by_time: bool = False
    effects: Literal["normal", "student", "horseshoe"] = "normal"
    expected_nonzero: float | None = None
    shared_factor: bool = False
    robust: bool = False
    replicates: bool = False
    equivalence: float | None = None
    beyond_limit: Literal["refuse", "censor"] = "refuse"
    substitute: Literal["half", "root2"] | None = None
    flag_codes: Mapping[str, str] | None = None
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    value: str = column("concentration", "concentration")
    analyte: str | None = column(None, "analyte")
    subject: str | None = column(None, "subject")
    group: str | None = column(None, "group")
    time: str | None = column(None, "time")
    plate: str | None = column(None, "assay plate")
    analyte_family: str | None = column(None, "family of the analyte")
    unit: str | None = column(None, "unit of the concentration")
    censored: str | None = column(None, "flag of values beyond a limit")
    lod: str | None = column(None, "limit of detection")
    lloq: str | None = column(None, "lower limit of quantification")
    uloq: str | None = column(None, "upper limit of quantification")

    def __post_init__(self) -> None:
        check_settings(self)
        self._refuse_contradictions()
        object.__setattr__(self, "priors", fill_slots(self.slots, self.priors))

    def _refuse_contradictions(self) -> None:
        if (self.group is None) != (self.reference is None):
            have, lack = ("reference", "group") if self.group is None else ("group", "reference")
            raise BadInput(f"{have} is given without {lack}; name the column of groups and the group to compare with")
        if self.baseline is not None and self.time is None:
            raise BadInput("baseline is given without time; name the column of times, or leave baseline out")
        for setting, needs in (
            ("group_by_time", ("group", "time")),
            ("shared_factor", ("analyte", "subject")),
            ("analyte_family", ("analyte", "group")),
            ("time", ("subject",)),
        ):
            missing = [n for n in needs if getattr(self, n) is None]
            if getattr(self, setting) and missing:
                raise BadInput(f"{setting} needs a column of {missing[0]}s; name it in {missing[0]}")
        if self.replicates and (self.subject is None or self.time is not None):
            raise BadInput("replicates needs a column of subjects; leave time out or keep one row a time")
        if self.pooling == "none" and self.analyte_family is not None:
            raise BadInput("analyte_family pools analytes, but pooling = 'none'; leave one of them out")
        if (self.effects == "horseshoe") != (self.expected_nonzero is not None):
            raise BadInput(
                "effects = 'horseshoe' and expected_nonzero go together; state both, such as expected_nonzero = 5 for "
                "about five analytes that differ, or neither"
            )
        if self.expected_nonzero is not None and not self.expected_nonzero > 0:
            raise BadInput(f"expected_nonzero = {self.expected_nonzero}, but a number above zero is needed, such as 5")
        if self.effects != "normal" and not is_pooled(self):
            raise BadInput(
                f"effects = '{self.effects}' is a law over analytes; use pooling = 'partial' with a column of analytes"
            )
        if self.equivalence is not None and self.equivalence <= 1:
            raise BadInput(f"equivalence = {self.equivalence}, but a ratio above 1 is needed, such as 1.1")

    @property
    def slots(self) -> dict[str, Slot]:
        """Places for priors: only those of the terms that the settings switch on."""
        return slots_of(self)

    @property
    def words(self) -> str:
        """The model in words."""
        return words_of(self)

    @property
    def formula(self) -> list[str]:
        """The model as the lines of a model formula."""
        return formula_of(self)

    @property
    def target_accept(self) -> float:
        """How careful the sampler must be: an analyte of which most is hidden leaves skewed posteriors."""
        return 0.9

    @property
    def left_out(self) -> str:
        """The unit that leave-one-out leaves out: a measurement, or all those of a person in one analyte."""
        return "cell" if has_cells(self) else "measurement"

    @property
    def primary_estimands(self) -> tuple[str, ...]:
        """What the panel asks first: ratios between groups and to baseline; with neither, of covariates, or levels."""
        asked = {"log_ratio": self.group is not None, "log_change": self.time is not None}
        found = tuple(name for name, is_asked in asked.items() if is_asked)
        return found or (("log_level",) if self.covariates is None else ("covariate_effect",))

    @property
    def forest(self) -> Forest:
        """What the forest plot shows: the log ratio of each analyte (levels where there are no groups)."""
        if self.group is None:
            word = "log_change" if self.time is not None else "log_level"
            return Forest((word,), None, None, panel_estimands.no_crude(word), is_log=True)
        summary = "mean_log_ratio" if is_pooled(self) else None
        return Forest(("log_ratio",), summary, None, panel_estimands.crude_log_ratios, is_log=True, by_evidence=True)

    def prepare(self, table: Any) -> xr.Dataset:
        """Turn a table with one row per measurement into a panel.

        Parameters
        ----------
        table
            A dataframe.

        Returns
        -------
        xarray.Dataset
            As :func:`~bayesdep.models.cytokines.data.read_panel` returns it, with ``centre`` (analyte; what logs are
            taken from before priors apply), ``group_code`` (group, comparison) and dims ``comparison`` (the groups
            but the reference) and ``later`` (the times but the baseline).

        Raises
        ------
        BadInput
            Naming column, row and remedy.
        """
        frame = as_frame(table)
        columns = {word: getattr(self, word) for word in column_fields(self)}
        data = read_panel(
            frame,
            columns,
            column_fields(self),
            reference=self.reference,
            baseline=self.baseline,
            formula=self.covariates,
            replicates=self.replicates,
            flag_codes=self.flag_codes,
            beyond_limit=self.beyond_limit,
        )
        for name in ("group_mean", "group_effect", "interaction_mean", "interaction"):
            if name in self.priors:
                groups = data.sizes["group"]
                refuse_without_correlation(self.priors[name], name, groups - 1, f"{groups} groups")
        analytes = data.sizes["analyte"]
        if self.expected_nonzero is not None and self.expected_nonzero >= analytes:
            raise BadInput(
                f"expected_nonzero = {self.expected_nonzero:g}, of {analytes} analytes; fewer than all can be expected "
                "to differ, or else use effects = 'normal'"
            )
        return panel_estimands.complete(data, own_centres=not is_pooled(self), substitute=self.substitute)

    def build(self, data: xr.Dataset) -> "pm.Model":
        """Build the PyMC model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        pymc.Model
            With the effects by analyte, ``residual_sd`` (analyte) and the observed ``log_concentration``
            (measurement).
        """
        import pymc as pm
        import pytensor.tensor as pt

        prior = self.priors
        coords = {str(d): data[d].values for d in data.dims if d != "analyte_family" or self.analyte_family}
        with pm.Model(coords=coords) as model:
            subject_sd = prior["subject_sd"].rv("subject_sd") if has_subjects(self) else None
            rough = rough_effects(data) if is_pooled(self) else None
            log_sd = log_residual_sd(self, rough)
            before = (
                [rough.relative_sd(log_sd, subject_sd)] if rough is not None else []
            )  # what rough estimates are given
            means = means_of(self, data, subject_sd)
            # expected level by group, time, plate and analyte: a small table that measurements look up
            table = pm.Data("centre", data["centre"].values, dims="analyte")[None, None, None, :]
            code: Any = None  # of groups, where there are any
            if self.group is not None:
                group_effect = effect_of(self, "group", data, "comparison", means=means, rough=rough, before=before)
                code = pm.Data("group_code", data["group_code"].values, dims=("group", "comparison"))
                table = table + (code[:, :, None] * group_effect.T).sum(axis=1)[:, None, None, :]
            wall = wall_of(data, log_sd, before[1:], code) if is_pooled(self) else None
            level = effect_of(self, "level", data, means=means, rough=rough, before=before, wall=wall)
            table = table + level
            if self.time is not None:
                time_effect = effect_of(self, "time", data, "later")
                is_time = pm.Data("is_time", np.eye(data.sizes["time"])[:, 1:], dims=("time", "later"))
                table = table + (is_time[:, :, None] * time_effect.T).sum(axis=1)[None, :, None, :]
            if self.group_by_time:
                change = effect_of(self, "interaction", data, "comparison", "later")
                both = code[:, None, :, None, None] * is_time[None, :, None, :, None]
                table = table + (both * change.transpose(1, 2, 0)).sum(axis=(2, 3))[:, :, None, :]
            if self.plate is not None:
                plate_sd = prior["plate_sd"].rv("plate_sd")
                plate = plate_sd * pm.ZeroSumNormal("plate_latent", dims=("analyte", "plate"))
                table = table + plate.T
            sizes = [
                data.sizes[d] if on is not None else 1
                for d, on in (("group", self.group), ("time", self.time), ("plate", self.plate))
            ]
            table = pt.broadcast_to(table, (*sizes, data.sizes["analyte"]))
            eta = table.reshape((-1,))[self._place("place", data, sizes)]
            if self.subject is not None:
                subject_of = pm.Data("subject_of", data["subject_of"].values, dims="measurement")
            if self.shared_factor:
                loading_sd = prior["loading_sd"].rv("loading_sd")
                loading = loading_sd * Prior("HalfNormal", sigma=1.0).rv("loading_latent", dims="analyte")
                pm.Deterministic("loading", loading, dims="analyte")
                factor = pm.Normal("factor", dims="subject")
                analyte_of = pm.Data("loading_of", data["analyte_of"].values, dims="measurement")
                eta = eta + loading[analyte_of] * factor[subject_of]
            if self.covariates is not None:
                slope = effect_of(self, "covariate", data, "covariate")
                x = pm.Data("covariates", data["covariates"].values, dims=("measurement", "covariate"))
                analyte_of = pm.Data("slope_of", data["analyte_of"].values, dims="measurement")
                eta = eta + (x * slope[analyte_of]).sum(axis=1)
            cells = Cells.read(data, integrate=not self.robust) if has_cells(self) else None
            psi = prior["cell_ratio"].rv("cell_ratio") if cells is not None else None
            if has_subjects(self):
                own = people(
                    data, eta, log_sd, subject_sd, cells=cells, psi=psi, split=means["level"].shift is not None
                )
                eta = eta + own[subject_of]
                pm.Deterministic("subject_effect", own + people_of_means(self, means, data), dims="subject")
            effects = None
            if cells is not None and cells.latent.any():
                model.add_coord("latent_cell", cells.labels[cells.latent])
                effects = pm.Normal("cell_latent", dims="latent_cell")
            nu = root_precision = None
            if self.robust:
                nu = prior["nu"].rv("nu")
                unseen = data["kind"].values != 0
                if unseen.any():
                    model.add_coord("unseen", data["measurement"].values[unseen])
                    root_precision = precisions("precision_latent", nu, dims="unseen")
            measurements(
                "log_concentration",
                eta,
                log_sd,
                data,
                psi=psi,
                cells=cells,
                effects=effects,
                nu=nu,
                root_precision=root_precision,
            )
        return model

    def _place(self, name: str, data: xr.Dataset, sizes: Sequence[int]) -> Any:
        """Where each measurement looks up its expected level."""
        import pymc as pm

        place = np.zeros(data.sizes["measurement"], dtype=int)
        for word, size in zip(("group", "time", "plate"), sizes, strict=True):
            place = place * size + (data[f"{word}_of"].values if size > 1 else 0)
        place = place * data.sizes["analyte"] + data["analyte_of"].values
        return pm.Data(name, place, dims="measurement")

    def estimands(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        """Derive what the study asks for; see :mod:`bayesdep.models.cytokines.estimands` for each.

        Parameters
        ----------
        posterior
            Draws of the effects.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.Dataset
            With groups: ``log_ratio``, ``geometric_mean_ratio``, ``mean_difference``, ``rank`` (analyte, comparison),
            ``number_elevated``, and when pooled ``mean_log_ratio``, ``log_ratio_sd``. With times: ``log_change`` and
            ``ratio_to_baseline`` (analyte, later[, group]), ``intraclass_correlation``. With covariates:
            ``covariate_effect`` and ``covariate_ratio`` per unit. Always: ``log_level``, ``geometric_mean`` and
            ``share_below`` (analyte, group), ``residual_sd`` (analyte).
        """
        return panel_estimands.estimands(self, posterior, data)

    def log_likelihood(self, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
        """Score every measurement, or where times are repeated every person's cell, its own effect integrated out.

        Parameters
        ----------
        posterior
            Draws of the parameters.
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        xarray.DataArray
            Dims (chain, draw, unit).
        """
        flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
        step = max(1, _AT_ONCE // data.sizes["measurement"])
        analyte_of, value = data["analyte_of"].values, recorded_logs(data)
        scored = []
        for start in range(0, flat.sizes["sample"], step):
            part = flat.isel(sample=slice(start, start + step))
            sd = part["residual_sd"].transpose("sample", "analyte").values[:, analyte_of]
            z = (value - panel_estimands.expected(self, part, data)) / sd
            psi = part["cell_ratio"].values if has_cells(self) else None
            nu = part["nu"].values if self.robust else None
            scored.append(log_likelihood(z, sd, data, psi=psi, nu=nu))
        labels = Cells.read(data, integrate=True).labels if has_cells(self) else data["measurement"].values
        values = np.concatenate(scored).reshape(posterior.sizes["chain"], posterior.sizes["draw"], -1)
        sample = {d: posterior[d] for d in ("chain", "draw")}
        return xr.DataArray(values, {**sample, self.left_out: labels}, ("chain", "draw", self.left_out))

    def checks(self, data: xr.Dataset) -> Sequence[Check]:
        """Name the statistics that could embarrass the model.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        list of Check
            Shares below the limit, overall and by group; the analyte whose share is furthest from its
            expectation is in the figure of shares. The largest value, the spread of plates' medians, and the mean
            correlation between analytes. Spread and kurtosis of crude estimates, beside those of new analytes from
            the law of effects (:mod:`~bayesdep.models.cytokines.law_checks`).
        """
        return [*panel_estimands.checks(self, data), *law_checks.checks(self, data)]

    def target_accept_for(self, data: xr.Dataset) -> float:
        """Return how careful the sampler must be with this panel.

        An analyte of which hardly anything is detected may have any residual sd, down to one beside which a limit is a
        sharp edge for all people at once.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.

        Returns
        -------
        float
            0.97 where an analyte has fewer than five detected values, else 0.9.
        """
        return _CAREFUL if hardly_detected(data) else self.target_accept

    def remedies(self, data: xr.Dataset, units: Sequence[str]) -> str:
        """Name the analytes to blame where the panel samples badly, and what helps.

        Parameters
        ----------
        data
            As :meth:`prepare` returns it.
        units
            Analytes whose estimands sampled worst.

        Returns
        -------
        str
            Empty where every analyte has enough detected values.
        """
        blamed = hardly_detected(data)
        blamed = {name: n for name, n in blamed.items() if name in units} or blamed
        if not blamed:
            return ""
        named = ", ".join(f"{name} ({count} detected)" for name, count in list(blamed.items())[:_NAMED])
        more = f" and {len(blamed) - _NAMED} more" if len(blamed) > _NAMED else ""
        return f"leaving out analytes that were hardly detected: {named}{more}"
