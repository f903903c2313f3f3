"""Published priors for heterogeneity: as printed, of tau and not of its square, and only for their own scale."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.models.meta.model import Meta
from bayesdep.models.parts.priors import parse_prior
from bayesdep.models.parts.published_priors import heterogeneity_prior, measure_of
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.normal_normal import NormalNormal

TABLE = bd.load("heterogeneity_priors")
# Turner 2012 prints the median and the 95% range of tau squared beside the parameters.
TURNER_2012 = {
    ("general", "general"): (0.08, 0.003, 2.34),
    ("all-cause mortality", "pharmacological against control"): (0.017, 0.001, 0.30),
    ("semi-objective", "pharmacological against control"): (0.049, 0.001, 1.83),
    ("subjective", "pharmacological against control"): (0.12, 0.005, 2.63),
    ("all-cause mortality", "pharmacological against pharmacological"): (0.014, 0.0008, 0.25),
    ("semi-objective", "pharmacological against pharmacological"): (0.040, 0.001, 1.58),
    ("subjective", "pharmacological against pharmacological"): (0.096, 0.004, 2.31),
    ("all-cause mortality", "non-pharmacological against any"): (0.020, 0.001, 0.38),
    ("semi-objective", "non-pharmacological against any"): (0.056, 0.001, 2.35),
    ("subjective", "non-pharmacological against any"): (0.13, 0.005, 3.33),
}


def test_turner_2012_s_printed_quantiles_follow_from_its_parameters():
    rows = TABLE[TABLE["paper"] == "Turner 2012"]
    assert {(o, c) for o, c in zip(rows["outcome"], rows["comparison"], strict=True)} == set(TURNER_2012)
    for (outcome, comparison), (median, lower, upper) in TURNER_2012.items():
        prior = heterogeneity_prior("Turner 2012", outcome, comparison)
        of_variance = prior.scipy.ppf([0.5, 0.025, 0.975]) ** 2
        # printed to two digits, or to one below a hundredth; computed from unrounded parameters
        np.testing.assert_allclose(of_variance[[0, 2]], [median, upper], rtol=0.05)
        assert of_variance[1] == pytest.approx(lower, abs=6e-4)


@pytest.mark.parametrize("paper", ["Turner 2015", "Rhodes 2015"])
def test_settings_differ_by_what_outcome_and_comparison_add(paper):
    """The papers' regressions have no interactions: log tau squared is a sum, so the printed table must be additive.

    This is what finds slips of transcription (and the row of Rhodes 2015 that is left out).
    """
    rows = TABLE[(TABLE["paper"] == paper) & (TABLE["outcome"] != "general")]
    grid = rows.pivot_table(index="outcome", columns="comparison", values="location")
    assert grid.shape == {"Turner 2015": (16, 5), "Rhodes 2015": (8, 3)}[paper]
    whole = grid.dropna()
    residual = whole.sub(whole.mean(axis=1), axis=0)
    residual = residual - residual.mean(axis=0)
    # rounded to two decimals, three times over
    assert residual.abs().to_numpy().max() < 0.02
    assert int(grid.isna().to_numpy().sum()) == {"Turner 2015": 0, "Rhodes 2015": 1}[paper]


def test_every_row_says_where_it_is_printed_and_makes_a_prior():
    assert len(TABLE) == 10 + 80 + 24
    assert not TABLE.duplicated(["paper", "outcome", "comparison"]).any()
    for _, row in TABLE.iterrows():
        assert "doi:10." in row["source"]
        prior = heterogeneity_prior(row["paper"], row["outcome"], row["comparison"])
        # P(tau^2 < x) by the printed distribution of log tau^2
        x = 0.2
        z = (math.log(x) - row["location"]) / row["scale"]
        expected = stats.norm.cdf(z) if row["distribution"] == "log-normal" else stats.t.cdf(z, row["df"])
        assert prior.scipy.cdf(math.sqrt(x)) == pytest.approx(expected, abs=1e-12)
        assert measure_of(row["paper"]) == row["measure"]


def test_a_plan_names_a_published_prior():
    named = {"paper": "Turner 2015", "outcome": "pain", "comparison": "pharmacological against control"}
    prior = parse_prior("tau", named)
    assert prior == Prior("LogNormal", mu=-1.83 / 2, sigma=1.52 / 2)
    model = Meta(measure="log-odds-ratio", priors={"tau": named})
    assert model.priors["tau"] == prior
    rhodes = {"paper": "Rhodes 2015"}
    assert Meta(measure="standardised-difference", priors={"tau": rhodes}).priors["tau"].dist == "LogStudentT"


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        ({"paper": "Turner 2051"}, "priors.tau: paper = 'Turner 2051' has no published prior; did you mean 'Turner 20"),
        ({"paper": "Turner 2015", "outcome": "pian"}, "in Turner 2015; did you mean 'pain'"),
        (
            {"paper": "Turner 2015", "outcome": "pain", "comparison": "any"},
            "in Turner 2015 for outcome 'pain'; known: ",
        ),
        ({"paper": "Turner 2015", "out": "pain"}, "write it as { paper ="),
        ({"paper": "Rhodes 2015"}, "is about the spread of a standardised-difference, not of a log-odds-ratio"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(prior, says):
    with pytest.raises(BadInput) as caught:
        Meta(measure="log-odds-ratio", priors={"tau": prior})
    assert says in str(caught.value)
    with pytest.raises(BadInput, match="priors for tau only"):
        Meta(measure="log-odds-ratio", priors={"mu": {"paper": "Turner 2012"}})


def test_quadrature_under_a_log_t_prior_equals_adaptive_integration():
    table = bd.load("eight_schools_rubin1981")
    y, se = table["effect"].to_numpy(float) / 20, table["se"].to_numpy(float) / 20
    prior = heterogeneity_prior("Rhodes 2015", "mental health outcomes", "pharmacological against control")
    mu = Prior("Normal", mu=0, sigma=1)
    ours = NormalNormal(y, se, mu, prior)

    def integrand(log_tau, power):
        tau = math.exp(log_tau)
        covariance = np.diag(se**2 + tau**2) + 1.0
        log_density = stats.multivariate_normal.logpdf(y, np.zeros(8), covariance) + prior.scipy.logpdf(tau) + log_tau
        return tau**power * math.exp(log_density)

    # beyond these bounds the t5 of log tau and the likelihood leave some 1e-9
    edges = [-90, -20, -6, -3, -1, 0, 1, 8]
    total, first = (
        sum(integrate.quad(integrand, a, b, args=(k,), epsabs=0, epsrel=1e-10, limit=200)[0]
            for a, b in itertools.pairwise(edges))
        for k in (0, 1)
    )  # fmt: skip
    assert ours.log_marginal == pytest.approx(math.log(total), abs=1e-7)
    assert ours.tau.mean == pytest.approx(first / total, rel=1e-7)
