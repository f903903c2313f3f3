"""Many plans at once: which of them, in which order, and what is done so far."""

import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.clock import spoken

if TYPE_CHECKING:
    from bayesdep.plan import Plan
    from bayesdep.reporting.run_directory import Outcome

# families in the order in which they are run, then the others: plans of the last ones take seconds, so that no process
# waits long for another at the end
FIRST = ("counts", "cytokines", "trial", "patient-meta", "meta")
EVERY = 10.0  # seconds between two lines on what is done
_DONE, _PARTIAL = ".done", ".partial"


def choose(plans: "Sequence[Plan]", study: str | None, every: bool) -> "list[Plan]":
    """Choose the plans to run.

    Parameters
    ----------
    plans
        Those of a folder.
    study
        The study whose plans are wanted; None for all studies.
    every
        Whether plans that are not run by default are wanted as well.

    Returns
    -------
    list of Plan
        In the given order.

    Raises
    ------
    BadInput
        When there is no such study.
    """
    if study is None:
        return [plan for plan in plans if every or plan.study.by_default]
    names = sorted({plan.study.name for plan in plans})
    if study not in names:
        raise BadInput(f"no plan is of a study '{study}'; {did_you_mean(study, names)}")
    return [plan for plan in plans if plan.study.name == study]


def in_order(plans: "Sequence[Plan]") -> "list[Plan]":
    """Put the first families first, plans of one family one after the other: they share what is compiled.

    Parameters
    ----------
    plans
        Those to be run.

    Returns
    -------
    list of Plan
        The first is one that takes seconds, where there is one: its posterior is known without sampling, and it has
        published numbers.
    """

    def place(plan: "Plan") -> tuple[int, str, str]:
        family = plan.model.family
        return (FIRST.index(family) if family in FIRST else len(FIRST), family, plan.label)

    ordered = sorted(plans, key=place)
    first = next((plan for plan in ordered if plan.published and _is_exact(plan)), None)
    return ordered if first is None else [first, *(plan for plan in ordered if plan is not first)]


def _is_exact(plan: "Plan") -> bool:
    """Whether a plan's posterior is drawn without sampling."""
    from bayesdep.models.model import KnowsPosterior
    from bayesdep.plan import prepare

    model = plan.model
    if not isinstance(model, KnowsPosterior) or not model.exact_by_default:
        return False
    return plan.sampling.sampler in (None, "exact") and model.exact(prepare(plan)) is not None


@dataclass(frozen=True)
class SoFar:
    """What is done so far, by several processes.

    Parameters
    ----------
    folder
        A private folder with a file for each run that is done.
    """

    folder: Path

    def add(self, outcome: "Outcome") -> None:
        """Add a run that is done."""
        name = f"{time.time_ns():x}-{threading.get_native_id():x}"
        partial = self.folder / f"{name}{_PARTIAL}"
        partial.write_bytes(pickle.dumps(outcome))
        partial.rename(partial.with_suffix(_DONE))

    @property
    def outcomes(self) -> "list[Outcome]":
        """The runs that are done, by name."""
        found = [pickle.loads(file.read_bytes()) for file in self.folder.glob(f"*{_DONE}")]
        return sorted(found, key=lambda run: run.label)

    def line(self, total: int, seconds: float) -> str:
        """Say how many plans are done, and how long the others may take.

        Parameters
        ----------
        total
            How many there are.
        seconds
            Since the first was started.
        """
        done = len(list(self.folder.glob(f"*{_DONE}")))
        left = f", about {spoken(seconds * (total - done) / done)} left" if done else ""
        return f"{done} of {total} plans done after {spoken(seconds)}{left}"


@contextmanager
def progress(total: int, say: Callable[[str], Any]) -> Iterator[SoFar]:
    """Say every ten seconds how many plans are done, on a terminal or off it.

    Parameters
    ----------
    total
        How many there are.
    say
        Called with a line.

    Yields
    ------
    SoFar
        To which runs are added when they are done.
    """
    start, over = time.monotonic(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="bayesdep-") as folder:
        done = SoFar(Path(folder))

        def tell() -> None:
            while not over.wait(EVERY):
                say(done.line(total, time.monotonic() - start))

        speaker = threading.Thread(target=tell, daemon=True)
        speaker.start()
        try:
            yield done
        finally:
            over.set()
            speaker.join()
