"""Evidence by unit: its order, its joint probability, its words; and what summaries say where there is no null."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import chains_of, check_convergence
from bayesdep.models.model import estimand
from bayesdep.reporting.export import journal_table
from bayesdep.reporting.ledger import Published, ledger, refuse_unknown

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def screen():
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    return bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)


def of(fit, **estimands):
    """The same fit with other estimands."""
    groups = {name: node.to_dataset() for name, node in fit.tree.children.items()}
    manifest = {**fit.manifest, "sampler": "nutpie"}
    tree = xr.DataTree.from_dict({**groups, "estimands": xr.Dataset(estimands)})
    return dataclasses.replace(fit, tree=tree, manifest=manifest)


def draws(columns, name="analyte"):
    """Draws (2 chains) of one estimand per column, labelled a, b, c ..."""
    values = np.stack(columns, axis=1).reshape(2, -1, len(columns))
    labels = [chr(97 + i) for i in range(len(columns))]
    return xr.DataArray(values, {name: labels}, ("chain", "draw", name))


def log_ratios(*columns, **attrs):
    return estimand(draws(columns), "a log ratio", "log ratio", **attrs)


N = 4000
COMMON = RNG.standard_normal(N)
COLUMNS = (0.2 + RNG.standard_normal(N), 2.0 + COMMON, -3.0 + RNG.standard_normal(N), 2.2 + COMMON)


def test_rows_are_ordered_by_the_more_probable_side(screen):
    table = bd.rank_evidence(of(screen, log_ratio=log_ratios(*COLUMNS)))
    assert table["analyte"].to_list() == ["c", "d", "b", "a"]
    assert table["side"].to_list() == ["below", "above", "above", "above"]
    by = dict(zip("abcd", COLUMNS, strict=True))
    for _, row in table.iterrows():
        here = by[row["analyte"]]
        assert row["prob_above"] == (here > 0).mean()
        assert row["false_sign_rate"] == pytest.approx(min((here > 0).mean(), (here < 0).mean()), abs=1e-12)
        ends = np.quantile(np.exp(here), [0.5, 0.025, 0.975])
        assert row[["median", "lower", "upper"]].to_list() == pytest.approx(ends)
        assert row["units"] == "ratio"
    assert table["prob_in_rope"].isna().all()


def test_joint_probability_is_of_joint_draws_not_a_product(screen):
    table = bd.rank_evidence(of(screen, log_ratio=log_ratios(*COLUMNS[1:2], COLUMNS[3])))
    assert table["analyte"].to_list() == ["b", "a"]
    # whenever 2 + z is above zero, 2.2 + z is: both together are as probable as the rarer one
    assert table["joint"].to_list() == [(COLUMNS[3] > 0).mean(), (COLUMNS[1] > 0).mean()]
    table = bd.rank_evidence(of(screen, log_ratio=log_ratios(*COLUMNS)))
    sides = (COLUMNS[2] < 0, COLUMNS[3] > 0, COLUMNS[1] > 0, COLUMNS[0] > 0)
    assert table["joint"].to_list() == [np.all(sides[: k + 1], axis=0).mean() for k in range(4)]


def test_ties_are_broken_by_the_distance_from_no_effect(screen):
    noise = RNG.uniform(-1, 1, N)
    table = bd.rank_evidence(of(screen, log_ratio=log_ratios(2 + noise, 9 + noise, -5 + noise)))
    assert table["analyte"].to_list() == ["b", "c", "a"]
    assert table["joint"].to_list() == [1, 1, 1]


def test_region_of_practical_equivalence_is_counted(screen):
    made = log_ratios(*COLUMNS, rope_lower=-0.1, rope_upper=0.1)
    table = bd.rank_evidence(of(screen, log_ratio=made)).set_index("analyte")
    assert table.loc["a", "prob_in_rope"] == (np.abs(COLUMNS[0]) <= 0.1).mean()
    row = bd.summarise(of(screen, log_ratio=made)).set_index("analyte").loc["a"]
    assert row["prob_in_rope"] == table.loc["a", "prob_in_rope"]
    assert row["false_sign_rate"] == table.loc["a", "false_sign_rate"]


def sure(n, of):
    return [5.0 + RNG.standard_normal(N) if i < n else RNG.standard_normal(N) for i in range(of)]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            sure(3, 5),
            "Of 5 analytes, 3 are elevated with P > 0.95 each; together, that the first 3 are all elevated has "
            "probability >= 0.95.",
        ),
        (sure(1, 2), "Of 2 analytes, 1 is elevated with P > 0.95."),
        (sure(0, 2), "None of 2 analytes lies on one side of no effect with P > 0.95."),
        (
            [*sure(1, 2), -6 + RNG.standard_normal(N)],
            "Of 3 analytes, 1 is elevated and 1 lowered with P > 0.95 each; together, that the first 2 all lie on the "
            "sides given has probability >= 0.95.",
        ),
        # each 0.96 alone, but never together
        (
            [np.where(np.arange(N) % 25 == k, -1.0, 1.0) for k in range(3)],
            "Of 3 analytes, 3 are elevated with P > 0.95 each.",
        ),
    ],
)
def test_sentence_counts_one_by_one_and_together(screen, columns, sentence):
    assert bd.rank_evidence(of(screen, log_ratio=log_ratios(*columns))).attrs["sentence"] == sentence


def test_units_without_a_posterior_are_left_out(screen):
    table = bd.rank_evidence(of(screen, log_ratio=log_ratios(COLUMNS[0], np.full(N, np.nan))))
    assert table["analyte"].to_list() == ["a"]


def test_estimand_on_its_own_scale_keeps_it(screen):
    row = bd.rank_evidence(screen, "sensitivity").iloc[0]  # null 0.5
    assert row["median"] == pytest.approx(stats.beta(15.5, 4.5).median(), abs=0.01)
    assert row["units"] == "probability"
    assert row["joint"] == row["prob_above"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sensitivty", "there is no estimand 'sensitivty'; did you mean 'sensitivity'?"),
        ("rank", "'rank' has no value of no effect, so there are no sides; choose another estimand"),
        ("nnt", "'nnt' is one over 'effect'; rank the evidence of that instead"),
    ],
)
def test_estimand_without_sides_is_refused(screen, name, message):
    fit = of(
        screen,
        sensitivity=log_ratios(*COLUMNS),
        rank=log_ratios(*COLUMNS, null=np.nan),
        nnt=log_ratios(*COLUMNS, reciprocal_of="effect"),
    )
    with pytest.raises(BadInput) as refused:
        bd.rank_evidence(fit, name)
    assert str(refused.value) == message


def test_evidence_can_be_exported_with_its_warnings(screen, tmp_path):
    table = bd.rank_evidence(screen, "sensitivity")
    assert table.attrs["gate"] == screen.gate.sentence
    read = pd.read_csv(bd.export(table, tmp_path / "evidence.csv"))
    assert read["joint"].to_list() == table["joint"].to_list()


# Estimands without a null, and without a posterior.


@pytest.fixture(scope="module")
def odd(screen):
    known = RNG.random(N)
    return of(
        screen,
        rank=log_ratios(np.round(9 * known), null=np.nan),
        share=estimand(draws([known, np.full(N, np.nan)]), "share below the limit", "probability", null=np.nan),
    )


def test_no_value_of_no_effect_gives_no_probability_of_it(odd):
    rows = bd.summarise(odd)
    assert rows[["null", "prob_gt_null", "false_sign_rate", "prob_in_rope"]].isna().all(axis=None)
    assert rows["prob_gt_0"].iloc[0] > 0.9
    assert (journal_table(rows)["P(> null)"] == "").all()


def test_exact_summaries_have_the_new_columns(screen):
    rows = bd.summarise(screen).set_index("estimand")
    assert rows.loc["sensitivity", "false_sign_rate"] == pytest.approx(stats.beta(15.5, 4.5).cdf(0.5), rel=1e-9)
    assert rows["prob_in_rope"].isna().all()
    assert rows.columns.to_list()[-8:] == [
        *["interval", "false_sign_rate", "prob_in_rope", "mcse", "exact_lower", "exact_upper", "prior_p", "description"]
    ]
    alone = bd.summarise_exact(screen).set_index("estimand")
    assert "false_sign_rate" in alone


def test_undefined_draws_keep_their_row_and_are_not_judged(odd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = bd.summarise(odd).set_index(["estimand", "analyte"])
        gate = check_convergence(odd.estimands, None)
    assert rows.loc[("share", "b"), ["mean", "median", "lower", "upper", "prob_gt_0"]].isna().all()
    assert rows.loc[("share", "b"), "units"] == "probability"
    assert [f"{name}{at}" for name, at, _ in chains_of(odd.estimands)] == ["rank[a]", "share[a]"]
    assert all(np.isfinite(c.value) for c in gate.criteria)
    shown = journal_table(rows.reset_index()).set_index("Estimand").loc["share[b]"]
    assert shown["Median"] == "not known"
    assert shown["95% interval"] == ""


def test_partly_undefined_draws_still_fail_the_gate():
    values = draws([np.where(np.arange(N) == 7, np.nan, RNG.standard_normal(N))])
    assert not check_convergence(xr.Dataset({"x": values}), None).passed


def test_ledger_does_not_judge_what_is_not_known(odd):
    row = Published(estimand="share", source="A", at={"analyte": "b"}, value=0.3)
    assert ledger([row], bd.summarise(odd))["agrees"].to_list() == ["not known"]


def test_published_direction_needs_a_value_of_no_effect(odd):
    row = Published(estimand="rank", source="A", at={"analyte": "a"}, direction="above")
    with pytest.raises(BadInput, match="'rank' has no value of no effect to be above or below; give value"):
        refuse_unknown([row], odd.estimands)
