"""Runs that were cut off: what of them is finished, and where finished chains are kept meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bayesdep.inference.fit import Fit
from bayesdep.inference.kept import Kept
from bayesdep.reporting.places import Place


def finished(places: Sequence[Place], fingerprint: str, accept: bool) -> tuple[Fit | None, Place | None]:
    """Find a run that was finished before.

    Parameters
    ----------
    places
        Where it may stand: where good ones go, and where those go that failed their gate.
    fingerprint
        Of the run.
    accept
        Whether one that failed its gate is to stand with the good ones.

    Returns
    -------
    tuple
        Its fit, and its place. The place is None where other files are missing or damaged, or it is to stand elsewhere;
        both are None where there is no such fit.
    """
    for place in places:
        found = place.manifest
        if found is None or (found.what, found.fingerprint) != (place.what, fingerprint):
            continue
        if not found.is_whole(place.path, "posterior.nc"):
            continue
        is_whole = not found.missing and found.is_whole(place.path)
        stands_right = place is places[0] or not accept
        return Fit.load(place.path / "posterior.nc"), place if is_whole and stands_right else None
    return None, None


@contextmanager
def kept_chains(
    place: Place, fingerprint: str, resume: bool, certain: bool, say: Callable[[str], Any]
) -> Iterator[Kept]:
    """Give a place for finished chains, which are gone when the run is written, and stay when it fails.

    Parameters
    ----------
    place
        Where the run goes.
    fingerprint
        Of the run.
    resume
        Whether to take the chains that a run of the same fingerprint left, and to leave them when told to stop.
    certain
        Whether no other process writes there: then what other runs left is removed in the end.
    say
        Called with what there is to say of it.

    Yields
    ------
    Kept
        For the sampler.
    """
    kept = Kept(place.kept_chains(fingerprint), take=resume)
    there, others = kept.count, place.other_chains(fingerprint)
    if resume and there:
        say(f"goes on with the finished chains of a run that was cut off ({there})")
    elif resume and others:
        say("a run that was cut off had another plan, data, settings or versions; this one starts afresh")
    elif there:
        say(f"samples every chain, though a run that was cut off left some finished ({there}); --resume takes them")
    try:
        yield kept
    except Exception as problem:
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
    for folder in others if certain else ():
        Kept(folder).remove()
