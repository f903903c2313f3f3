"""Make the figures of the gallery (`docs/figures/gallery.toml`): fits the plans they are of, and draws them.

Run with ``python docs/figures/make_gallery.py [NAME ...]``; without names all are made, which takes some minutes.
"""

import sys
import tomllib
from functools import cache
from pathlib import Path

from bayesdep.inference.fit import Fit
from bayesdep.plan import fit_plan, read_plan
from bayesdep.reporting.figures.register import FIGURES

HERE = Path(__file__).parent
GALLERY = tomllib.loads((HERE / "gallery.toml").read_text(encoding="utf-8"))


@cache
def fitted(plan: str) -> Fit:
    """Fit a plan once."""
    return fit_plan(read_plan(HERE.parents[1] / "models" / f"{plan}.toml"))


for name in sys.argv[1:] or GALLERY:
    entry = GALLERY[name]
    figure = FIGURES[entry["figure"]].draw(fitted(entry["plan"]))
    figure.savefig(HERE / f"{name}.png", dpi=110, bbox_inches="tight")
    print(name, flush=True)
