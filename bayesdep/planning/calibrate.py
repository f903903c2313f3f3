"""Calibrate a model or a plan: simulated data sets, analysed as the plan says, beside the truths behind them."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesdep.criticism.calibration import Calibration, calibrate_prepared
from bayesdep.criticism.simulated_fits import Around
from bayesdep.data.errors import BadInput
from bayesdep.designs.simulated import Simulated
from bayesdep.models.model import Model
from bayesdep.plan import Plan, prepare, read_plan

if TYPE_CHECKING:
    import xarray as xr

_SCHEME = "simulate:"


def calibrate(
    what: Model | Plan | str | os.PathLike[str],
    data: Any = None,
    *,
    fits: int,
    around: Around = "prior",
    seed: int = 1,
    elements: int = 5,
    simulate: Callable[[int], Simulated] | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Callable[[str], Any] | None = None,
    **sampling: Any,
) -> Calibration:
    """Calibrate a model or a plan by many fits of simulated data.

    Parameters
    ----------
    what
        A model, a plan, or a plan's file.
    data
        The table that the model is for, or what its ``prepare`` made of it: who was seen when, limits, scales. Its
        outcomes are replaced. Of a plan, its own; of one whose source is ``"path"`` the file.
    fits
        How many data sets. 200 find a coverage of 0.90 instead of 0.95 nine times in ten.
    around
        Where true parameters come from: ``"prior"``; ``"data"``, the posterior of the data at hand, with which new data
        are analysed together; ``"design"``, one truth stated by a simulator.
    seed
        Fit k of the same seed is the same fit, however many there are and wherever it is made.
    elements
        Of every parameter and estimand so many elements are compared, evenly spaced.
    simulate
        For ``around = "design"``: a function from a seed to a :class:`~bayesdep.designs.simulated.Simulated` table and
        its truth, by estimands' names (``"mu"``, ``"difference[infliximab, 12]"``). It must be importable, since it is
        sent to other processes. A plan of ``source = "simulate:NAME"`` has its own.
    store
        A folder in which each finished fit is kept as it ends. The same call continues there; a changed model, data,
        seed or version starts anew beside it. By default fits are kept in memory alone.
    workers
        Processes of this machine, each with one thread; by default one for each processor.
    scheduler
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers make the fits instead.
    say
        Called with sentences on the progress.
    **sampling
        ``draws``, ``tune``, ``chains``, ``sampler``, ``target_accept``, ``max_tree_depth``: as in :func:`bayesdep.fit`,
        by default those of the plan.

    Returns
    -------
    Calibration
        ``sentences`` and ``passed``, a ``table`` of quantities, and ``fits`` and ``values`` one by one.

    Raises
    ------
    BadInput
        When the model cannot draw outcomes, or a number is impossible.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> found = bd.calibrate(model, schools, fits=20, draws=100, chains=4, workers=1)
    >>> found.failed, len(found.fits)
    (0, 20)
    """
    if isinstance(what, (str, os.PathLike)):
        what = read_plan(what)
    simulator = _simulator_of(what, simulate) if around == "design" else None
    text = ""
    if isinstance(what, Plan):
        own = {k: v for k, v in what.sampling.model_dump().items() if k != "seed"}
        sampling = own | {k: v for k, v in sampling.items() if v is not None}
        model, read, text = what.model, prepare(what, data), what.text
    else:
        model, read = what, _prepared(what, data)
    return calibrate_prepared(
        model, read, fits=fits, around=around, seed=seed, elements=elements, sampling=sampling, simulate=simulator,
        store=store, workers=workers, scheduler=scheduler, say=say, text=text,
    )  # fmt: skip


def _prepared(model: Model, data: Any) -> "xr.Dataset":
    import xarray as xr

    if data is None:
        raise BadInput("a model is calibrated on the design of a table; give data, whose outcomes are replaced")
    return data if isinstance(data, xr.Dataset) else model.prepare(data)


def _simulator_of(
    what: Model | Plan, simulate: Callable[[int], Simulated] | None
) -> "Callable[[int], tuple[xr.Dataset, Mapping[str, Any]]]":
    """What draws prepared data and their truth from a seed: the simulator that is given, else a plan's own."""
    if simulate is not None:
        return partial(_of_model, what.model if isinstance(what, Plan) else what, simulate)
    if not isinstance(what, Plan):
        raise BadInput(
            "around = 'design' needs a simulator; give simulate, a function from a seed to bd.simulate's kind"
        )
    if not what.data.source.startswith(_SCHEME):
        raise BadInput(
            f"plan '{what.path}' has no simulator (source = \"{what.data.source}\"), so no truth is stated; use around "
            "= 'prior' or 'data'"
        )
    return partial(_of_plan, what)


def _of_model(model: Model, simulate: Callable[[int], Simulated], seed: int) -> "tuple[xr.Dataset, Mapping[str, Any]]":
    made = simulate(seed)
    return model.prepare(made.table), made.truth


def _of_plan(plan: Plan, seed: int) -> "tuple[xr.Dataset, Mapping[str, Any]]":
    """A table of a plan's own simulator, read as the plan says, and its truth."""
    from bayesdep.designs.register import simulate as draw

    name = plan.data.source.removeprefix(_SCHEME)
    again = dataclasses.replace(plan, data=plan.data.model_copy(update={"seed": seed}))
    return prepare(again), draw(name, seed=seed).truth


def calibrate_plan(
    plan: Plan,
    *,
    data: Path | None,
    out: Path | None,
    fits: int,
    around: str,
    command: str,
    say: Callable[[str], Any],
    spreadsheet_safe: bool = False,
    **how: Any,
) -> tuple[Calibration, Path]:
    """Calibrate a plan and write the directory of its report; finished fits are kept beside it.

    Parameters
    ----------
    plan
        The plan.
    data
        As in :func:`bayesdep.plan.prepare`.
    out
        The directory; by default ``results/<study>/<plan>-calibration-<around>``. Fits are kept in the folder of that
        name and ``-fits``.
    fits, around, say
        As in :func:`calibrate`, and ``how`` the rest.
    command
        What repeats it, for the report.
    spreadsheet_safe
        As in :func:`bayesdep.export`.
    **how
        As :func:`calibrate` takes them.

    Returns
    -------
    tuple of Calibration and pathlib.Path
        The result, and the directory.
    """
    from bayesdep.reporting.calibration import write_calibration
    from bayesdep.reporting.places import Place

    directory = out or plan.directory.with_name(f"{plan.directory.name}-calibration-{around}")
    place = Place.find(directory, f"calibration of {plan.label}", inputs=[plan.path, *([data] if data else [])])
    store = place.path.with_name(f"{place.path.name}-fits")
    given: Any = around
    found = calibrate(plan, data, fits=fits, around=given, store=store, say=say, **how)
    title = f"Calibration of {plan.label}: {plan.study.title}"
    write_calibration(found, place, title=title, command=command, spreadsheet_safe=spreadsheet_safe)
    return found, place.asked
