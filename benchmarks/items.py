"""Items: time and effective draws of a fit to 60 patients, nine visits and 17 items without a gap (9,180 scores).

Run with ``python benchmarks/items.py`` (``--quick``: a quarter of the draws). The target is 150 s warm with 400
effective draws or more for every estimand. The second fit of the process is the warm one: its density is compiled. The
plain form of the density, item by item in PyTensor's own expressions, stands beside the package's.
"""

import argparse
import time

import numpy as np
import pytensor
import pytensor.tensor as pt

import bayesdep as bd
from bayesdep.designs.raison2013_items import ITEMS, draw_raison2013_items
from bayesdep.models.items.data import prepare
from bayesdep.numerics.graded import graded_log_likelihood
from bayesdep.numerics.ordinal import log_probability_of

MODEL = bd.Items(
    items={name: len(shares) - 1 for name, (shares, _) in ITEMS.items()}, reference="placebo", visit="week",
    moderator="crp", at=[1, 10],
)  # fmt: skip


def gradients() -> dict[str, float]:
    """Microseconds of the density of all scores with its slopes: the compiled loop, and plain expressions."""
    data = prepare(MODEL, draw_raison2013_items(np.random.default_rng(1), complete=True).table)
    score, columns, highest = (data[name].values for name in ("score", "columns", "highest"))
    rows, items = score.shape
    cuts_of_all = np.tile([-1.5, -0.5, 0.5, 1.5], (items, 1))
    given = [np.zeros(rows), np.ones(items), np.zeros((columns.shape[1], items)), cuts_of_all]
    symbols = [pt.tensor(dtype="float64", shape=x.shape) for x in given]
    severity, discrimination, effects, cuts = symbols
    gaps = cuts[:, 1:] - cuts[:, :-1]
    inside = pt.concatenate([pt.log1mexp(-gaps), pt.zeros((items, 1))], axis=1)
    level = severity[:, None] * discrimination + pt.dot(columns, effects)
    plain = sum(
        log_probability_of(
            score[:, m], pt.specify_shape(cuts[m, :top], (int(top),)), gaps[m, : top - 1], level[:, m]
        ).sum()
        for m, top in enumerate(highest)
    )
    totals = {"compiled loop": graded_log_likelihood(*symbols, inside, score, columns, highest), "plain": plain}
    found = {}
    for name, total in totals.items():
        function = pytensor.function(symbols, [total, *pytensor.grad(total, symbols)], mode="NUMBA")
        function(*given)
        start = time.perf_counter()
        for _ in range(100):
            function(*given)
        found[name] = (time.perf_counter() - start) * 1e4
    return found


def main() -> None:
    """Print gradients, and two fits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the draws")
    draws = 250 if parser.parse_args().quick else 1000
    for name, value in gradients().items():
        print(f"{name}: {value:.0f} us a gradient")
    for name, seed in (("first", 1), ("warm", 2)):
        table = draw_raison2013_items(np.random.default_rng(seed), complete=True).table
        start = time.perf_counter()
        fit = bd.fit(MODEL, table, draws=draws, tune=draws, seed=seed, progress=False)
        taken = time.perf_counter() - start
        print(f"{name}: {taken:.0f} s; {fit.manifest['timings_s']}; {fit.gate.sentence}")


if __name__ == "__main__":
    main()
