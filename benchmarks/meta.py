"""Meta-analysis by quadrature: one posterior, and two hundred leave-one-out posteriors at once.

Called by ``benchmarks/run.py``. The alternatives are one bracketing root search per quantile, and one refit per study.
"""

import numpy as np
import pandas as pd
from timing import seconds

import bayesdep as bd
from bayesdep.numerics.marginals import NormalMixture

P = np.array([0.025, 0.5, 0.975])
BCG = {
    "measure": "log-risk-ratio",
    "input": "counts",
    "study": "trial",
    "events_treated": "tb_vaccinated",
    "n_treated": "n_vaccinated",
    "events_control": "tb_control",
    "n_control": "n_control",
}


def bcg() -> tuple[float, float]:
    """Mean, sd and 95% interval of mu, tau, each theta and theta_new: batched, and quantile by quantile."""
    model = bd.Meta(**BCG)
    data = model.prepare(bd.load("bcg_colditz1994"))

    def batched() -> object:
        engine = model.hierarchy(data)
        return [(d.mean, d.sd, d.quantile(P)) for d in (engine.mus, engine.taus, engine.theta_news, engine.thetas)]

    def bracketing() -> object:
        engine = model.hierarchy(data)
        found = [(engine.tau.mean, engine.tau.sd, engine.tau.quantile(P))]
        for m in (engine.mu, engine.theta_new, *engine.theta):
            found.append((m.mean, m.sd, NormalMixture.quantile(m, P)))
        return found

    return seconds(batched), seconds(bracketing)


def leave_one_out(studies: int = 200) -> tuple[float, float]:
    """Leave-one-out over many studies: at once, and one refit after another."""
    rng = np.random.default_rng(1)
    se = rng.uniform(0.1, 0.5, studies)
    table = pd.DataFrame({"study": range(studies), "effect": rng.normal(0.3, np.hypot(se, 0.2)), "se": se})
    model = bd.Meta(measure="standardised-difference")
    data = model.prepare(table)

    def one_by_one() -> object:
        found = []
        for k in range(studies):
            engine = model.hierarchy(data.isel(study=np.arange(studies) != k))
            found.append([(m.mean, m.sd, m.quantile(P)) for m in (engine.mu, engine.tau, engine.theta_new)])
        return found

    return seconds(lambda: bd.leave_out_each_study(model, data), 3), seconds(one_by_one, 1)


def rows() -> list[tuple[str, float, str, float]]:
    """Return the rows of the benchmark's table."""
    once, slowly = bcg()
    together, apart = leave_one_out()
    return [
        ("BCG exactly: mu, tau, thetas, prediction", once, "the same, one root search a quantile", slowly),
        ("leave-one-out over 200 studies, at once", together, "the same, one refit a study", apart),
    ]


if __name__ == "__main__":
    for what, ours, against, theirs in rows():
        print(f"{what}: {1000 * ours:.1f} ms; {against}: {1000 * theirs:.1f} ms")
