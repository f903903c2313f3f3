"""The imputation model's conditionals against its joint density, written down anew with scipy, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from bayesdep.models.patient_meta.imputation_model import (
    NU_GRID,
    SCALE_BETWEEN,
    SCALE_OF_MEANS,
    ImputationModel,
    Patients,
    draw_wishart,
    log_inverse_wisharts,
)

STUDIES = 4


def patients(seed=1, n=40, times=2, is_binary=(False, True, False), shrunken=True):
    """Patients of four studies; the first lacks every second moderator altogether."""
    rng = np.random.default_rng(seed)
    study = np.arange(n) % STUDIES
    is_binary = np.array(is_binary, dtype=bool)
    x = np.where(is_binary, rng.random((n, len(is_binary))) < 0.4, rng.normal(size=(n, len(is_binary))))
    x[rng.random(x.shape) < 0.3] = np.nan
    x[np.ix_(study == 0, np.arange(len(is_binary)) % 2 == 1)] = np.nan
    y = rng.normal(size=(n, times))
    y[rng.random(n) < 0.2, -1] = np.nan
    treated = (rng.random(n) < 0.5).astype(float)
    return Patients(y, treated, study, rng.normal(size=(n, 1)), rng.normal(size=(n, 1)), x, is_binary, shrunken)


def model_at_a_point(seed=1, **settings):
    model = ImputationModel(patients(seed, **settings), np.random.default_rng(seed))
    for _ in model.draws(20):
        pass
    return model


def log_outcomes(model):
    """Density of the outcomes, patient by patient, by loops: nothing of the model's own algebra."""
    s, p = model.state, model.patients
    moderators = np.column_stack([p.known, s.x])
    count, centred = moderators.shape[1], p.treated - p.treated.mean()
    found = np.empty(len(p.study))
    for i, k in enumerate(p.study):
        mean = s.gamma[0] + centred[i] * s.gamma[1] + p.baseline[i, 0] * s.gamma[2] + s.own[k, 0]
        mean = mean + (p.treated[i] - 0.5) * s.own[k, 1]
        for j in range(count):
            mean = mean + moderators[i, j] * (s.gamma[3 + j] + centred[i] * s.gamma[3 + count + j])
        found[i] = stats.multivariate_normal.logpdf(s.outcome[i], mean, s.within[k])
    return found


def log_moderator(model, j):
    """Density of a moderator (of its latent variable, where binary), patient by patient."""
    s, p = model.state, model.patients
    found = np.empty(len(p.study))
    for i, k in enumerate(p.study):
        before = np.r_[1.0, p.baseline[i], p.known[i], s.x[i, :j]]
        found[i] = stats.norm.logpdf(s.latent[i, j], before @ s.beta[j] + s.alpha[j, k], np.sqrt(s.residual_var[j]))
    return found


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("j", [0, 1, 2])
def test_evidence_is_what_outcomes_and_later_moderators_say(j, times):
    model = model_at_a_point(times=times)
    s = model.state
    rows = np.arange(len(s.x))
    precision, linear = model.evidence(j, rows)
    held, at = s.x[:, j].copy(), {}
    for value in (-1.0, 0.0, 1.0):
        s.x[:, j] = value
        at[value] = log_outcomes(model) + sum(log_moderator(model, later) for later in range(j + 1, 3))
    s.x[:, j] = held
    np.testing.assert_allclose(linear, (at[1.0] - at[-1.0]) / 2, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(precision, 2 * at[0.0] - at[1.0] - at[-1.0], rtol=1e-8, atol=1e-9)


class StandStill:
    """A generator whose normals are all zero: draws are then conditional means."""

    def standard_normal(self, size):
        return np.zeros(size)


@pytest.mark.parametrize("times", [1, 2])
def test_coefficients_are_drawn_about_the_mode_of_the_joint_density(times):
    model = model_at_a_point(seed=3, times=times)
    s = model.state
    model.rng = StandStill()
    model.draw_coefficients()
    sds = np.r_[1, 1, 0.5, np.ones(model.moderators), np.full(model.moderators, s.interaction_sd)]

    def log_joint():
        own = s.own.reshape(STUDIES, -1)
        prior = stats.norm.logpdf(s.gamma, 0, sds[:, None]).sum()
        return log_outcomes(model).sum() + prior + stats.multivariate_normal.logpdf(own, cov=s.between).sum()

    top = log_joint()
    rng = np.random.default_rng(1)
    for block in (s.gamma, s.own):
        for _ in range(10):
            step = rng.normal(size=block.shape)
            sides = []
            for sign in (1, -1):
                block += sign * step
                sides.append(log_joint())
                block -= sign * step
            assert sides[0] == pytest.approx(sides[1], rel=1e-9)  # a quadratic is even about its mode
            assert sides[0] < top


def test_a_missing_continuous_value_is_drawn_about_the_mode_of_the_joint_density():
    model = model_at_a_point(seed=4)
    s = model.state
    rows = np.flatnonzero(model.lack[:, 0])
    rng, model.rng = model.rng, StandStill()
    model.rng.gamma = rng.gamma
    variances = 0.7, s.alpha_var[0]
    s.residual_var[0] = variances[0]
    # coefficients at their mean: the mode of patients and coefficients jointly, given the variances
    model.draw_moderator(0)
    s.residual_var[0], s.alpha_var[0] = variances  # drawn after the values: put back to what these were drawn under

    def log_joint():
        s.latent[:, 0] = s.x[:, 0]
        prior = stats.norm.logpdf(s.beta[0]).sum() + stats.norm.logpdf(s.alpha[0], 0, np.sqrt(s.alpha_var[0])).sum()
        return log_outcomes(model).sum() + sum(log_moderator(model, j).sum() for j in range(3)) + prior

    top, moves = log_joint(), np.random.default_rng(2)
    for _ in range(10):
        step = moves.normal(size=len(rows))
        sides = []
        for sign in (1, -1):
            s.x[rows, 0] += sign * step
            sides.append(log_joint())
            s.x[rows, 0] -= sign * step
        assert sides[0] == pytest.approx(sides[1], rel=1e-9)
        assert max(sides) < top


def test_a_mean_filled_in_gives_one_moderator_what_belongs_to_another():
    """Two correlated moderators, the second missing in half the studies: least squares with its mean, and ours."""
    rng = np.random.default_rng(6)
    n = 1500
    study, treated = np.arange(n) % 6, rng.permutation(np.arange(n) % 2)
    first = rng.normal(size=n)
    second = 0.7 * first + np.sqrt(1 - 0.7**2) * rng.normal(size=n)
    y = 0.4 * treated + 0.5 * first + 0.5 * second + 0.3 * treated * second + 0.6 * rng.normal(size=n)
    lacking = np.where(study < 3, np.nan, second)
    filled = np.where(study < 3, np.nanmean(lacking), second)
    arm = treated - treated.mean()
    design = np.column_stack([np.ones(n), arm, first, filled, arm * first, arm * filled])
    squares, *_ = np.linalg.lstsq(design, y, rcond=None)
    nothing = np.empty((n, 0))
    people = Patients(y[:, None], treated, study, nothing, first[:, None], lacking[:, None], np.array([False]), False)
    drawn = [s.gamma[:, 0].copy() for s in ImputationModel(people, rng).draws(300)][100:]
    mean, sd = np.mean(drawn, axis=0), np.std(drawn, axis=0)
    truth = np.array([0.5, 0.65, 0.0, 0.3])  # means over arms, then interactions
    assert (np.abs(mean[2:] - truth) < 3.5 * sd[2:]).all()
    assert (sd[2:] < 0.12).all()
    assert squares[2] - truth[0] > 0.1
    assert squares[4] - truth[2] > 0.05


def test_wisharts_have_their_moments():
    rng = np.random.default_rng(1)
    scale = np.array([[1.0, 0.3], [0.3, 0.5]])
    drawn = draw_wishart(rng, np.full(40_000, 5.5), np.tile(scale, (40_000, 1, 1)))
    np.testing.assert_allclose(drawn.mean(axis=0), 5.5 * scale, rtol=0.03)
    variance = 5.5 * (scale**2 + np.outer(np.diag(scale), np.diag(scale)))
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.06)


@pytest.mark.parametrize("size", [1, 2])
def test_the_density_of_residual_covariances_is_scipys(size):
    rng = np.random.default_rng(2)
    a = rng.normal(size=(size, size + 2))
    typical = a @ a.T
    drawn = [np.atleast_2d(stats.invwishart.rvs(8, 8 * typical, random_state=rng)) for _ in range(3)]
    log_det = sum(np.linalg.slogdet(w)[1] for w in drawn)
    trace = sum(np.trace(typical @ np.linalg.inv(w)) for w in drawn)
    found = log_inverse_wisharts(NU_GRID, typical, 3, log_det, trace)
    expected = [sum(stats.invwishart.logpdf(w, nu, nu * typical) for w in drawn) for nu in NU_GRID]
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], rtol=1e-9, atol=1e-9)


def drawn_from_the_prior(rng, n=60):
    """Everything of the generative model; moderators are binary, whose priors are proper."""
    study = np.arange(n) % STUDIES
    base = patients(seed=int(rng.integers(1 << 30)), n=n, is_binary=(True, True))
    model = ImputationModel(base, rng)
    s = model.state
    size = 4
    s.between_scale = 1 / rng.gamma(0.5, SCALE_BETWEEN**2, size)
    scale = 4 * np.diag(1 / s.between_scale)
    s.between = np.linalg.inv(draw_wishart(rng, np.array([size + 1.0]), np.linalg.inv(scale)[None])[0])
    s.own = rng.multivariate_normal(np.zeros(size), s.between, STUDIES).reshape(STUDIES, 2, 2)
    s.typical = draw_wishart(rng, np.array([4.0]), np.eye(2)[None] / 4)[0]
    s.nu = float(rng.choice(NU_GRID))
    scale = np.tile(np.linalg.inv(s.nu * s.typical), (STUDIES, 1, 1))
    s.within = np.linalg.inv(draw_wishart(rng, np.full(STUDIES, s.nu), scale))
    s.interaction_sd = abs(rng.normal(0, 0.3))
    s.gamma = rng.normal(size=s.gamma.shape)
    s.gamma[2] *= 0.5
    s.gamma[-model.moderators :] *= s.interaction_sd
    for j in range(2):
        s.alpha_scale[j] = 1 / rng.gamma(0.5, SCALE_OF_MEANS**2)
        s.alpha_var[j] = 1 / rng.gamma(0.5, s.alpha_scale[j])
        s.alpha[j] = rng.normal(0, np.sqrt(s.alpha_var[j]), STUDIES)
        s.beta[j] = rng.normal(size=len(s.beta[j]))
        s.x[:, j] = model.predicted(j) + rng.normal(size=n) > 0
    noise = np.array([rng.multivariate_normal(np.zeros(2), s.within[k]) for k in study])
    y = model.mean() + noise
    lacking = np.where(np.isnan(base.lacking), np.nan, s.x)
    seen = np.where(np.isnan(base.outcome), np.nan, y)
    made = Patients(seen, base.treated, study, base.baseline, base.known, lacking, base.is_binary, True)
    return made, watched(model)


def watched(model):
    """Return some of everything that is drawn: coefficients, spreads, and missing values by their mean."""
    s = model.state
    return np.r_[
        s.gamma[:, 0], s.own[0].ravel(), np.log(np.diag(s.between)), s.between[0, 1], np.log(np.diag(s.typical)),
        np.log(s.within[1, 0, 0]), s.nu, s.interaction_sd, s.beta[1], s.alpha[:, 0], s.alpha[1, 1], s.alpha_var,
        s.x[model.lack[:, 0], 0].sum(),
    ]  # fmt: skip


@pytest.mark.slow
def test_truths_drawn_from_the_prior_rank_evenly_among_draws():
    """Simulation-based calibration (Talts et al. 2018) of the whole sampler: 200 data sets, 19 draws far apart of each.

    Every quantity's ranks against the uniform by chi-square; with some thirty of them p > 0.05 / 30 each.
    """
    sets, kept = 200, 19
    ranks = []
    for seed in range(sets):
        rng = np.random.default_rng([5, seed])
        made, truth = drawn_from_the_prior(rng)
        model = ImputationModel(made, rng)
        found = [
            watched(model) for step, _ in enumerate(model.draws(100 + 20 * kept)) if step >= 100 and step % 20 == 0
        ]
        found = np.array(found)
        # equal values (nu is on a grid, sums are whole) are put in random order
        below = (found < truth).sum(axis=0) + rng.binomial((found == truth).sum(axis=0), rng.random(len(truth)))
        ranks.append(below)
    ranks = np.array(ranks) // ((kept + 1) // 5)
    p = [stats.chisquare(np.bincount(r, minlength=5)).pvalue for r in ranks.T]
    assert min(p) > 0.05 / len(p), sorted(p)[:5]
