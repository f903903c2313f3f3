"""A trial's answer under assumptions about patients who dropped out, from the draws of its fit."""

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy.optimize import brentq
from scipy.special import stdtrit

from bayesdep.criticism.completion import METHODS, Method, complete, methods_of
from bayesdep.data.errors import BadInput, did_you_mean, truth
from bayesdep.data.times import label_of_time
from bayesdep.inference.fit import Fit
from bayesdep.models.model import CompletesVisits

_LEVEL = 0.95
_FARTHEST = 2.0**40  # sds of the outcome within which a tipping point is sought


def check_dropout(
    fit: Fit,
    method: Method,
    *,
    delta: float | Mapping[str, float] = 0.0,
    growing: bool = False,
    draws: int | None = None,
) -> xr.Dataset:
    """Compare a trial's arms under an assumption about the patients who dropped out, without a refit.

    A mixed model takes missed visits as missing at random: after dropping out, patients do as those of their arm with
    the same past who stayed. The data cannot show whether that holds; the other methods assume something else. What a
    patient would have had at missed visits is normal given the visits observed, with the residual covariance S of the
    draw and means m; o are the visits observed, u those missed::

        y[u] | y[o] ~ MVN(m[u] + K (y[o] - m[o]), S[u, u] - K S[o, u])        K = S[u, o] S[o, o]^-1

    For a patient who was last observed at visit l, ``own`` being the mean of the patient's arm and ``ref`` the mean
    which the same patient (baseline, covariates, moderator) would have in the reference arm, m is

    ======================= ================================== =========================================
    method                  at visits up to l                  after l
    ======================= ================================== =========================================
    ``"missing-at-random"`` own                                own
    ``"delta"``             own                                own; delta is added to what was imputed
    ``"jump-to-reference"`` own                                ref
    ``"copy-reference"``    ref                                ref
    ``"copy-increments"``   own                                own[l] + ref - ref[l]
    ======================= ================================== =========================================

    (Carpenter, Roger and Kenward 2013, doi:10.1080/10543406.2013.834911; here the arms share one covariance, so no two
    need combining). Patients of the reference arm, and visits missed before a later one was observed, stay missing at
    random. A patient who was never observed has no l: ref throughout, except where missing at random (and with
    ``"delta"``).

    The completed data are analysed visit by visit by the model's own regression: arms, baseline, covariates, and the
    moderator with its interactions at its mean; levels of a random effect, ``(1 | site)``, have an indicator each. The
    difference is linear in the outcomes, and the expected squares of
    residuals are known, so nothing is drawn: the result is that of Rubin's rules for infinitely many imputations::

        mean     = E[difference]                       over draws and imputations
        sd^2     = E[its squared standard error] + Var(E[difference | draw]) + E[Var(difference | draw)]
        interval = mean +- t sd, t on the degrees of freedom of Barnard and Rubin 1999 (doi:10.1093/biomet/86.4.948)

    Rubin's variance is that of the multiple-imputation analysis that the reference-based methods were proposed with.
    It keeps about the variance found under missing at random, although the reference-based methods borrow from the
    reference arm; over repeated trials their estimates scatter less than it says (the debate is in Bartlett 2021,
    doi:10.1080/19466315.2021.1983455).

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.
    method
        The assumption, one of the table's.
    delta
        Points of the outcome's scale added to every visit missed after dropping out: one number for every arm but the
        reference, or numbers by arm (also the reference; arms not named get none). For ``"delta"`` and, added to what
        they impute, the reference-based methods.
    growing
        Whether delta is added once more at each further visit missed, instead of being the same at all.
    draws
        How many draws of the posterior to use, evenly spaced; all of them unless fewer are asked for.

    Returns
    -------
    xarray.Dataset
        By (comparison, visit), the arm less the reference, in the outcome's units: ``mean``, ``sd``, ``lower`` and
        ``upper`` (95%); ``within`` and ``between``, the parts of ``sd`` squared; ``df``. By (draw, comparison, visit):
        ``estimate``, each draw's expected difference. By (subject, visit): ``outcome``, observed or expected, and
        ``dropped``, whether it was missed after the last observed one. By (arm, visit): ``dropouts``, how many such.
        ``attrs`` hold ``method``, ``delta`` by arm in words, ``gate`` and ``synthetic``.

    Raises
    ------
    BadInput
        When the fit is not of a trial, a method or an arm is unknown, a delta is no number or contradicts missing at
        random, a reference-based method meets arms with covariances of their own, or there are too few patients for
        the regression.

    Examples
    --------
    >>> METHODS[2:]
    ('jump-to-reference', 'copy-reference', 'copy-increments')
    """
    trial = trial_of(fit, "check_dropout")
    by_arm = _deltas(fit, method, delta)
    _refuse_two_covariances(trial, method)
    completed = complete(trial, fit, method, draws)
    data = fit.data
    shift = np.array([by_arm[str(a)] for a in data["arm"].values])[data["arm_of"].values, None]
    shift = shift * _times_added(completed.dropped, growing)
    mean, sd, df = completed.by_rubins_rules(shift)
    half = stdtrit(df, (1 + _LEVEL) / 2) * sd
    cells, units = ("comparison", "visit"), {"units": trial.units}
    squared = {"units": f"{trial.units} squared"}
    member = np.eye(data.sizes["arm"])[:, data["arm_of"].values]
    return xr.Dataset(
        {
            "mean": (cells, mean, units),
            "sd": (cells, sd, units),
            "lower": (cells, mean - half, units),
            "upper": (cells, mean + half, units),
            "within": (cells, completed.within(shift), squared),
            "between": (cells, completed.between, squared),
            "df": (cells, df),
            "estimate": (("draw", *cells), completed.estimate + completed.regression.weights @ shift, units),
            "outcome": (("subject", "visit"), completed.mean + shift, units),
            "dropped": (("subject", "visit"), completed.dropped),
            "dropouts": (("arm", "visit"), (member @ completed.dropped).astype(int), {"units": "patients"}),
        },
        {name: data[name].values for name in ("comparison", "visit", "subject", "arm")},
        {
            "method": method,
            "delta": ", ".join(f"{arm} {points:+g}" for arm, points in by_arm.items() if points) or "none",
            "reference": trial.reference,
            "gate": fit.gate.sentence,
            "synthetic": int(fit.synthetic),
        },
    )


def find_tipping_point(
    fit: Fit,
    arm: str | None = None,
    visit: str | float | None = None,
    *,
    method: Method = "delta",
    growing: bool = False,
    draws: int | None = None,
) -> float | None:
    """Find how much worse an arm's dropouts must have done for its advantage to become uncertain.

    The mean is a line in delta and its variance a parabola, so the bound of the interval is one function of delta,
    convex but for the degrees of freedom, and is solved for zero.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.
    arm
        The arm whose dropouts get the delta; may be left out where there is only one beside the reference.
    visit
        The visit at which arms are compared; the last unless named.
    method
        To what the delta is added: ``"delta"``, or a reference-based method, as in :func:`check_dropout`.
    growing, draws
        As in :func:`check_dropout`; a growing delta is that of the first visit missed.

    Returns
    -------
    float or None
        The delta nearest to zero, in points, at which the 95% interval of the difference at the visit includes zero.
        Positive where lower outcomes are better, negative where higher outcomes are better. None when the arm has
        no advantage without a delta: the interval includes zero, or shows that the arm does worse.

    Raises
    ------
    BadInput
        As :func:`check_dropout`, and when there is no such visit or nobody of the arm had dropped out by then.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week in [6, 12]")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day"}
    >>> model = bd.Trial(reference="placebo", covariance="ar1", units="HAM-D points", **columns)
    >>> fit = bd.fit(model, visits, draws=50, tune=200, chains=2, seed=1)  # a real fit has more draws
    >>> bd.find_tipping_point(fit, "infliximab") is None  # no advantage to lose
    True
    """
    trial = trial_of(fit, "find_tipping_point")
    _check_method(method)
    if method == "missing-at-random":
        raise BadInput("a delta is not missing at random; use method = 'delta' for a tipping point")
    _refuse_two_covariances(trial, method)
    k, j = _comparison(fit, arm), _visit(fit, visit)
    completed = complete(trial, fit, method, draws)
    is_in_arm = (fit.data["arm_of"].values == k + 1)[:, None]
    times_added = np.where(is_in_arm, _times_added(completed.dropped, growing), 0.0)
    if not times_added[:, j].any():
        raise BadInput(
            f"nobody in arm '{fit.data['comparison'].values[k]}' had dropped out by visit "
            f"{fit.data['visit'].values[j]}, so no delta changes the difference there; name a later visit"
        )
    worse = 1.0 if trial.better == "lower" else -1.0

    def bound(distance: float) -> float:
        """The end of the interval nearest to zero, below zero as long as the arm is better."""
        mean, sd, df = (x[k, j] for x in completed.by_rubins_rules(worse * distance * times_added))
        return float(worse * mean + stdtrit(df, (1 + _LEVEL) / 2) * sd)

    without_delta = bound(0.0)
    if not np.isfinite(without_delta):
        raise BadInput("the completed trial has no finite interval, as draws of the fit are infinite; look at its gate")
    if without_delta >= 0:
        return None
    scale = float(np.nanstd(fit.data["outcome"].values))
    far = scale
    while bound(far) < 0:
        far *= 2
        if far > _FARTHEST * scale:  # only where the regression gives the dropouts no weight
            raise BadInput(
                f"no delta changes the difference at visit {fit.data['visit'].values[j]}: baseline, covariates or "
                "moderator alone separate those who dropped out from the others; leave some of these out"
            )
    return float(worse * brentq(bound, 0.0, far, xtol=1e-10 * scale))


def trial_of(fit: Fit, asked: str) -> CompletesVisits:
    """Return a fit's model where it can complete missed visits, and refuse every other in one sentence.

    Parameters
    ----------
    fit
        Any fit.
    asked
        The function that was asked for, to begin the sentence with.

    Returns
    -------
    CompletesVisits
        The model.

    Raises
    ------
    BadInput
        When it is another one.
    """
    if not isinstance(fit.model, CompletesVisits):
        raise BadInput(
            f"{asked} is about patients who leave a trial, but this is a fit of {type(fit.model).__name__}; "
            "give a fit of bd.Trial"
        )
    return fit.model


def _check_method(method: str) -> None:
    """Refuse an unknown method."""
    if method not in METHODS:
        raise BadInput(f"there is no method '{method}'; {did_you_mean(method, METHODS)}")


def _refuse_two_covariances(trial: CompletesVisits, method: Method) -> None:
    """Refuse a reference-based method where each arm has a covariance of its own."""
    if method not in methods_of(trial):
        raise BadInput(
            f"'{method}' takes the arms to share one covariance, but by_arm = {truth(True)}; fit "
            "without it, or use 'delta'"
        )


def _times_added(dropped: np.ndarray, growing: bool) -> np.ndarray:
    """How many times delta is added, by subject and visit."""
    return np.asarray(dropped.cumsum(axis=1) if growing else dropped, dtype=float)


def _deltas(fit: Fit, method: Method, delta: float | Mapping[str, float]) -> dict[str, float]:
    """The points that are added by arm, the reference first; refuse what is not a number of points."""
    _check_method(method)
    reference, *others = (str(a) for a in fit.data["arm"].values)
    by_arm = dict(delta) if isinstance(delta, Mapping) else dict.fromkeys(others, delta)
    for arm, points in by_arm.items():
        if arm not in (reference, *others):
            near = did_you_mean(arm, [reference, *others])
            raise BadInput(f"delta names arm '{arm}', which is not in the fit; {near}")
        if isinstance(points, bool) or not isinstance(points, int | float | np.number) or not math.isfinite(points):
            raise BadInput(f"delta = {points!r} for arm '{arm}', but a number of points is needed")
        if points and method == "missing-at-random":
            raise BadInput(f"delta = {points:g} is not missing at random; use method = 'delta', or leave delta out")
    return {reference: 0.0, **dict.fromkeys(others, 0.0), **{arm: float(points) for arm, points in by_arm.items()}}


def _comparison(fit: Fit, arm: str | None) -> int:
    """Which comparison with the reference is that of an arm."""
    names = [str(a) for a in fit.data["comparison"].values]
    if arm is None and len(names) > 1:
        raise BadInput(f"there are {len(names)} arms beside the reference; name one of {', '.join(map(repr, names))}")
    if arm is not None and arm not in names:
        raise BadInput(f"there is no arm '{arm}' beside the reference; {did_you_mean(arm, names)}")
    return 0 if arm is None else names.index(arm)


def _visit(fit: Fit, visit: str | float | None) -> int:
    """The place of a visit that is named by its label or number; of the last where none is named."""
    names = [str(v) for v in fit.data["visit"].values]
    if visit is None:
        return len(names) - 1
    label = label_of_time(visit)
    if label not in names:
        raise BadInput(f"there is no visit '{label}'; {did_you_mean(label, names)}")
    return names.index(label)
