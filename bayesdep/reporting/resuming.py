"""Resuming runs that were interrupted: finished runs, and the folder of finished chains."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bayesdep.data.errors import BadInput
from bayesdep.inference.finished_chains import FinishedChains
from bayesdep.inference.fit import Fit
from bayesdep.reporting.places import Place, refit_file


def finished(
    places: Sequence[Place], fingerprint: str, accept: bool, *, spreadsheet_safe: bool = False, vector: bool = False
) -> tuple[Fit | None, Place | None]:
    """Find an earlier run that is finished.

    Parameters
    ----------
    places
        The directories for a fit that passed its gate and for one that failed.
    fingerprint
        Of the run.
    accept
        Whether a fit that failed its gate is written to the first directory.
    spreadsheet_safe
        How its tables are to be written.
    vector
        Whether its figures are wanted as PDF and SVG too.

    Returns
    -------
    tuple
        Its fit and its directory. The directory is None if other files are missing or damaged, or are to be written
        otherwise or to the other one; both are None if there is no such fit.
    """
    for place in places:
        manifest = place.manifest
        if manifest is None or (manifest.what, manifest.fingerprint) != (place.what, fingerprint):
            continue
        if not manifest.is_whole(place.path, "posterior.nc"):
            continue
        try:
            fit = Fit.load(place.path / "posterior.nc")
        except BadInput:  # whole, but not readable here: its draws are sampled again
            continue
        is_whole = not manifest.missing and manifest.is_whole(place.path)
        stands_right = place is places[0] or not accept
        has_all = manifest.vector or not vector
        is_right = is_whole and stands_right and has_all and manifest.spreadsheet_safe == spreadsheet_safe
        return fit, place if is_right else None
    return None, None


def finished_refits(places: Sequence[Place], fingerprint: str, names: Sequence[str]) -> dict[str, Fit]:
    """Read the fits under other priors of an earlier run.

    Parameters
    ----------
    places, fingerprint
        As in :func:`finished`.
    names
        Of the priors.

    Returns
    -------
    dict of Fit
        Those that are whole, by name.
    """
    found: dict[str, Fit] = {}
    for place in places:
        manifest = place.manifest
        if manifest is None or (manifest.what, manifest.fingerprint) != (place.what, fingerprint):
            continue
        for name in names:
            file = refit_file(name)
            if name not in found and manifest.is_whole(place.path, file):
                with suppress(BadInput):  # whole, but not readable here: sampled again
                    found[name] = Fit.load(place.path / file)
    return found


@contextmanager
def kept_chains(
    place: Place, fingerprint: str, resume: bool, certain: bool, say: Callable[[str], Any]
) -> Iterator[FinishedChains]:
    """Give a folder for finished chains, which is removed when the run is written, and stays when it fails.

    Parameters
    ----------
    place
        The directory of the run.
    fingerprint
        Of the run.
    resume
        Whether to use the chains that a run of the same fingerprint left, and to leave them if the run is stopped.
    certain
        Whether certainly no other process writes there: then chains of other runs are removed at the end.
    say
        Called with messages about it.

    Yields
    ------
    FinishedChains
        For the sampler.
    """
    kept = FinishedChains(place.kept_chains(fingerprint), take=resume)
    there, others = kept.count, [folder for folder in place.every_chains() if folder != kept.folder]
    if resume and there:
        say(f"goes on with the finished chains of a run that was interrupted ({there})")
    elif resume and others:
        say("an interrupted run had another plan, data, settings or versions; this one starts afresh")
    elif there:
        say(f"samples every chain, though an interrupted run left some finished ({there}); --resume takes them")
    try:
        yield kept
    except Exception as problem:  # whatever stopped the run, its finished chains are kept; it is raised again
        if kept.count:
            problem.add_note(f"{kept.count} finished chains are kept; go on with --resume")
        raise
    except BaseException:  # told to stop
        if not resume and not there:
            kept.remove()
        elif kept.count:
            say(f"finished chains are kept ({kept.count}); go on with --resume")
        raise
    kept.remove()
    if certain:
        remove_chains(place)


def remove_chains(place: Place) -> None:
    """Remove the finished chains of every run for a directory that is written, and where no other process writes.

    A process may have been killed after it had written the run, and before it removed its chains.

    Parameters
    ----------
    place
        The directory of the run.
    """
    for folder in place.every_chains():
        FinishedChains(folder).remove()
