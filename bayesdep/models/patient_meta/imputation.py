"""Multiple imputation of missing moderators: which can be imputed, and whether the draws have converged."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from arviz_stats.base import array_stats

from bayesdep.data.errors import BadInput
from bayesdep.models.patient_meta.imputation_model import ImputationModel, Patients
from bayesdep.models.patient_meta.moderators import FEWEST_PATIENTS, FEWEST_STUDIES
from bayesdep.numerics.one_thread import one_thread

CHAINS, BURN_IN = 4, 200  # chains; draws let go first
BETWEEN, FEWEST_DRAWS = 40, 200  # draws from one imputation to the next, at least; draws of a chain, at least
SEED = 20  # of the imputations: they belong to the prepared data, not to a fit


def impute(
    values: np.ndarray,
    names: Sequence[str],
    *,
    outcome: np.ndarray,
    treated: np.ndarray,
    study: np.ndarray,
    baseline: np.ndarray,
    shrunken: bool,
    imputations: int,
) -> tuple[np.ndarray, float, str]:
    """Draw missing moderators from their joint posterior with everything else, several times.

    The latest draws are remembered: a plan's data are prepared when they are checked, when the plan is run, and once
    for each of its other priors.

    Parameters
    ----------
    values
        Shape (patients, moderators), NaN where missing, at least one of them.
    names
        Their columns.
    outcome
        Shape (patients, times), in units of the table, NaN where missing.
    treated, study
        Shape (patients,): 1 or 0, and the study from 0.
    baseline
        Shape (patients, 0 or 1).
    shrunken
        Whether interactions are shrunk in the analysis.
    imputations
        How many times.

    Returns
    -------
    imputed
        Shape (imputations, patients, moderators): as ``values`` where these are known.
    r_hat
        The largest split R-hat over coefficients of the outcome and means of what was drawn.
    worst
        What has it.

    Raises
    ------
    BadInput
        When a moderator is known of too few, or belongs to studies.
    """
    arrays = tuple(_frozen(x) for x in (values, outcome, treated, study, baseline))
    imputed, r_hat, worst = _impute(arrays, tuple(map(str, names)), shrunken, imputations)
    return imputed.copy(), r_hat, worst


type _Frozen = tuple[bytes, str, tuple[int, ...]]


def _frozen(x: np.ndarray) -> _Frozen:
    return x.tobytes(), x.dtype.str, x.shape


@lru_cache(maxsize=4)
def _impute(
    arrays: tuple[_Frozen, ...], names: tuple[str, ...], shrunken: bool, imputations: int
) -> tuple[np.ndarray, float, str]:
    """As :func:`impute`, of arguments that can be compared."""
    values, outcome, treated, study, baseline = (np.frombuffer(x, kind).reshape(shape) for x, kind, shape in arrays)
    lack = np.isnan(values)
    order = np.argsort(lack.sum(axis=0), kind="stable")
    missing = order[lack[:, order].any(axis=0)]
    known = order[~lack[:, order].any(axis=0)]
    for j in missing:
        _refuse_unknowable(values[:, j], names[j], treated, study)
    is_binary = np.array([np.isin(values[~lack[:, j], j], (0, 1)).all() for j in range(values.shape[1])])
    centre = np.where(is_binary, 0.0, np.nanmean(values, axis=0))
    scale = np.where(is_binary, 1.0, np.nanstd(values, axis=0))
    scale[scale == 0] = 1.0  # what is the same in all is refused by those who read it
    scaled = (values - centre) / scale
    spread = baseline.std(axis=0)
    spread[spread == 0] = 1.0
    patients = Patients(
        (outcome - np.nanmean(outcome, axis=0)) / np.nanstd(outcome, axis=0), treated.astype(float), study,
        (baseline - baseline.mean(axis=0)) / spread, scaled[:, known], scaled[:, missing],
        is_binary[missing], shrunken,
    )  # fmt: skip
    each = -(-imputations // CHAINS)
    between = max(BETWEEN, -(-FEWEST_DRAWS // each))
    found, traces = [], []
    for rng in np.random.default_rng(SEED).spawn(CHAINS):
        model = ImputationModel(patients, rng)
        trace = []
        with one_thread():
            for step, state in enumerate(model.draws(BURN_IN + between * each)):
                if step < BURN_IN:
                    continue
                mean = [state.x[lack[:, j], at].mean() for at, j in enumerate(missing)]
                trace.append(np.r_[state.gamma.ravel(), mean])
                if (step - BURN_IN + 1) % between == 0:
                    one = values.copy()
                    drawn = centre[missing] + scale[missing] * state.x
                    one[:, missing] = np.where(lack[:, missing], drawn, values[:, missing])
                    found.append(one)
        traces.append(trace)
    r_hats = [float(array_stats.rhat(x, chain_axis=0, draw_axis=1)) for x in np.moveaxis(np.array(traces), 2, 0)]
    at = int(np.argmax(r_hats))
    coefficients = len(r_hats) - len(missing)
    worst = "coefficients of outcomes" if at < coefficients else f"mean of {names[missing[at - coefficients]]}"
    by_chain = np.array(found).reshape(CHAINS, each, *values.shape)
    return by_chain.swapaxes(0, 1).reshape(-1, *values.shape)[:imputations], r_hats[at], worst


def _refuse_unknowable(x: np.ndarray, name: str, treated: np.ndarray, study: np.ndarray) -> None:
    seen = ~np.isnan(x)
    studies = np.unique(study[seen])
    per_arm = [int((treated[seen] == a).sum()) for a in (0, 1)]
    if len(studies) < FEWEST_STUDIES or min(per_arm) < FEWEST_PATIENTS:
        raise BadInput(
            f"moderators: column '{name}' is known of too few: {seen.sum()} patients ({per_arm[1]} treated, "
            f"{per_arm[0]} controls) of {len(studies)} studies, and {FEWEST_STUDIES} studies and {FEWEST_PATIENTS} "
            "patients per arm are the least to draw it for the others from; leave it out"
        )
    if all(np.ptp(x[seen & (study == k)]) == 0 for k in studies):
        raise BadInput(
            f"moderators: column '{name}' is the same in all patients of every study, so it belongs to studies and "
            "cannot be drawn for those that lack it; fill it in, or leave it or those studies out"
        )
