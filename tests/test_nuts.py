"""Sampling again with shorter steps: when it is done, what is kept of it, and that the verdict says so."""

import json

import numpy as np
import pytest

import bayesdep as bd
from bayesdep.criticism.refit import WithoutOne
from bayesdep.inference import nuts
from bayesdep.inference.combined_fits import combine_fits
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.finished_chains import Chain, FinishedChains
from bayesdep.inference.steps import Steps
from tests.unsampled import studies

SIZE = {"draws": 100, "tune": 20, "chains": 2, "seed": 1, "sampler": "nutpie", "progress": False}
MODEL = bd.Meta(measure="difference", units="points", scale=1.0)
NOTE = "sampled again with target_accept = 0.99, since transitions diverged (2 at 0.95, 1 at 0.97)"


@pytest.fixture
def diverges(monkeypatch):
    """Make samplers return as many divergences as stated for each target acceptance rate; list what was asked for."""
    asked = []

    def install(numbers):
        def from_thin_air(ready, given, steps, kept):
            asked.append((steps.target_accept, kept))
            rng = np.random.default_rng(len(asked))
            chains = []
            for k in range(given["chains"]):
                diverging = np.zeros(given["draws"], dtype=bool)
                diverging[: numbers[steps.target_accept] if k == 0 else 0] = True
                draws = {name: rng.normal(size=(given["draws"], *shape)) for name, shape in SHAPES.items()}
                stats = {"diverging": diverging, "energy": rng.normal(size=given["draws"])}
                stats["reached_max_treedepth"] = np.zeros(given["draws"], dtype=bool)
                chains.append(Chain(draws, stats))
            return chains

        monkeypatch.setattr(nuts, "_nutpie", from_thin_air)
        return asked

    return install


SHAPES = {"mu": (), "tau": ()}


@pytest.mark.parametrize(
    ("numbers", "asked", "note"),
    [
        ({0.95: 0}, [0.95], ""),
        (
            {0.95: 2, 0.97: 0},
            [0.95, 0.97],
            "sampled again with target_accept = 0.97, since transitions diverged (2 at 0.95)",
        ),
        ({0.95: 2, 0.97: 1, 0.99: 0}, [0.95, 0.97, 0.99], NOTE),
        ({0.95: 2, 0.97: 1, 0.99: 1}, [0.95, 0.97, 0.99], NOTE),
        ({0.95: 3}, [0.95], ""),  # more than one in a hundred
    ],
)
def test_a_few_divergences_are_answered_with_shorter_steps_and_the_verdict_says_so(numbers, asked, note, diverges):
    seen = diverges(numbers)
    fit = bd.fit(MODEL, studies(), **SIZE)
    assert [accept for accept, _ in seen] == asked
    left = numbers[asked[-1]]
    assert fit.gate.note == note
    assert note in fit.gate.sentence
    assert [c.passed for c in fit.gate.criteria if c.name == "divergences"] == [left == 0]
    assert int(fit.tree["sample_stats"]["diverging"].sum()) == left
    assert fit.manifest["target_accept"] == asked[-1]
    assert Gate.from_dict(json.loads(json.dumps(fit.gate.to_dict()))) == fit.gate


def test_a_rate_that_the_caller_chose_is_kept(diverges):
    asked = diverges({0.9: 1})
    fit = bd.fit(MODEL, studies(), target_accept=0.9, **SIZE)
    assert [accept for accept, _ in asked] == [0.9]
    assert [c.value for c in fit.gate.criteria if c.name == "divergences"] == [1]
    assert fit.gate.note == ""
    assert fit.manifest["target_accept"] == 0.9


@pytest.mark.parametrize(
    ("numbers", "chosen", "asked"),
    [
        ({0.95: 1, 0.97: 0, 0.99: 0}, None, [0.97]),
        ({0.9: 0, 0.97: 0}, 0.9, [0.9]),
        ({0.95: 0}, None, [0.95]),
    ],
)
def test_a_unit_is_left_out_with_the_steps_that_the_fit_had_in_the_end(numbers, chosen, asked, diverges):
    seen = diverges(numbers)
    fit = bd.fit(MODEL, studies(), target_accept=chosen, max_tree_depth=12, **SIZE)
    del seen[:]
    without = WithoutOne(fit)
    without.sample(without.sel_observations(0)[0])
    assert [accept for accept, _ in seen] == asked


def test_each_attempt_has_its_own_folder_of_finished_chains(tmp_path, diverges):
    asked = diverges({0.95: 1, 0.97: 1, 0.99: 0})
    kept = FinishedChains(tmp_path / "chains")
    bd.fit(MODEL, studies(), kept=kept, **SIZE)
    folders = [found.folder for _, found in asked]
    assert folders == [kept.folder, kept.folder / "again", kept.folder / "again" / "again"]
    chain = Chain({"mu": np.zeros(3)}, {"diverging": np.zeros(3, dtype=bool)})
    for number, (_, found) in enumerate(asked):
        found.keep(0, number, chain)
    assert kept.count == 3
    kept.remove()
    assert not kept.folder.exists()


def test_versions_of_a_table_say_how_many_were_sampled_again(diverges):
    diverges({0.95: 1, 0.97: 0})
    again = bd.fit(MODEL, studies(), **SIZE)
    diverges({0.95: 0})
    once = bd.fit(MODEL, studies(), **SIZE)
    note = combine_fits([again, once, again], once.data).gate.note
    assert note == f"{again.gate.note}, in 2 of 3 versions"


def test_steps_that_are_not_chosen_become_shorter_up_to_the_shortest():
    steps = Steps.of(MODEL, None, 12)
    assert steps.shorter == Steps(0.97, 12)
    assert steps.shorter.shorter == Steps(0.99, 12)
    assert steps.shorter.shorter.shorter is None
    assert Steps.of(MODEL, 0.95, 12).shorter is None


@pytest.mark.sampling
@pytest.mark.parametrize("sampler", ["nutpie", "pymc"])
def test_chains_of_every_attempt_are_taken_from_disk_when_a_fit_is_resumed(sampler, tmp_path, monkeypatch):
    name = f"_{sampler}"
    sampled = getattr(nuts, name)

    def with_a_divergence(*given):
        chains, steps = sampled(*given), given[-2]
        if steps.target_accept < 0.99:
            chains[0].stats["diverging"][0] = True
        return chains

    monkeypatch.setattr(nuts, name, with_a_divergence)
    size = SIZE | {"sampler": sampler, "tune": 60}
    kept = FinishedChains(tmp_path / "chains")
    first = bd.fit(MODEL, studies(), kept=kept, **size)
    assert kept.count == 3 * size["chains"]
    monkeypatch.setattr("nutpie.sample", lambda *_, **__: pytest.fail("sampled again"))
    monkeypatch.setattr("pymc.sample", lambda *_, **__: pytest.fail("sampled again"))
    resumed = bd.fit(MODEL, studies(), kept=kept, **size)
    assert resumed.gate == first.gate
    assert resumed.gate.note
    for name, values in first.tree["posterior"].to_dataset().items():
        assert values.values.tobytes() == resumed.tree["posterior"][name].values.tobytes()
