"""What was found once, each as a case: by hand, by the generators' first runs, or by hypothesis."""

from collections.abc import Iterator

from hostile.bases import BASES
from hostile.harness import REFUSED, Attempt
from hostile.plans import changed, files
from hostile.tables import EITHER
from hostile.text import Raw, table, toml


def finds() -> Iterator[Attempt]:
    meta, screen = BASES["meta"], BASES["screen"]
    plan = meta.plan()
    priors = {
        "a width whose square is beyond float64": ("tau", {"dist": "HalfNormal", "sigma": 1e200}),
        "a width whose inverse is": ("mu", {"dist": "Normal", "mu": 0, "sigma": 5e-324}),
        "a whole number beyond float64": ("mu", {"dist": "Normal", "mu": 10**400, "sigma": 1}),
        "a logarithm beyond float64": ("tau", {"dist": "LogNormal", "mu": 800, "sigma": 1}),
    }
    for name, (slot, prior) in priors.items():
        yield Attempt(f"prior with {name}", files(meta, changed(plan, ("priors", slot), prior)), says="prior|bits")
    for name, column in {
        "an error that is no normal number": {"se": [5e-324, 0.9, 1.5, 1.1]},
        "an effect of 1e308": {"effect": [1e308, -1.0, -2.2, -0.4]},
    }.items():
        yield Attempt(name, {"plan.toml": toml(plan), "table.csv": table(meta.table | column)}, says="row 1 .* size")
    for family, column in {"counts": "n", "correlation": "score"}.items():
        base = BASES[family]
        sizes = {column: [1e308, -1e308, *base.table[column][2:]]}  # whose difference is beyond float64
        plan_and_table = {"plan.toml": toml(base.plan()), "table.csv": table(base.table | sizes)}
        yield Attempt(f"{family}: sizes of 1e308", plan_and_table, codes=(REFUSED,))
    small = BASES["small-studies"]
    apart = {"effect": [2.0**70, -1.0, -2.2, -0.4]}
    yield Attempt(
        "an effect of 1e21 standard errors",
        {"plan.toml": toml(small.plan()), "table.csv": table(small.table | apart)},
        codes=EITHER,
    )
    draws = changed(screen.plan(), ("sampling", "draws"), Raw("0x" + "f" * 10_000))
    yield Attempt("draws of 40,000 bits", files(screen, draws), says="40000 bits")
    yield Attempt(
        "a key of 50,000 parts",
        files(screen, screen.plan()) | {"plan.toml": ".".join(["a"] * 50_000) + " = 1\n"},
        says="nested more than 20 deep",
    )
    long = changed(screen.plan(), ("model", "condition"), "x" * 100_000)
    yield Attempt("a label of 100,000 letters, quoted in the sentence", files(screen, long), codes=(REFUSED,))


ATTEMPTS = [*finds()]
