"""The memory that a computation would need and the memory that is free, compared before anything is allocated."""

import os
import sys
from pathlib import Path

from bayesdep.data.errors import BadInput

_UNITS = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"))
_CGROUPS = (  # limit, use and statistics of a container's memory: version 2, and version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
NUMBER = 8  # bytes of a float64


def refuse_beyond_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse a computation that would need more memory than is free.

    Parameters
    ----------
    needed
        Bytes.
    what
        What needs the memory, as the subject of a sentence.
    remedy
        What to do instead.

    Raises
    ------
    BadInput
        Saying how much would be needed and how much is free.

    Examples
    --------
    >>> refuse_beyond_memory(2.0**60, "a table of 10 rows", "use a smaller one")
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: a table of 10 rows would need 1,048,576 TB of memory, and ... are free; use a ...
    """
    free = available_memory()
    if needed > free:
        raise BadInput(f"{what} would need {size(needed)} of memory, and {size(free)} are free; {remedy}")


def available_memory() -> float:
    """Return how many bytes this process can still allocate: the least of machine, container and its own limit."""
    limits = [*_of_machine(), *_of_container(), *_of_process()]
    return float(min(limits)) if limits else float("inf")


def size(number: float) -> str:
    """Return bytes in words.

    Examples
    --------
    >>> size(3.2 * 2**30), size(2**20 / 3)
    ('3.2 GB', '0.3 MB')
    """
    for unit, name in _UNITS:
        if number >= unit or name == "MB":
            value = number / unit
            return f"{value:,.0f} {name}" if value >= 10 else f"{value:.1f} {name}"
    raise AssertionError  # pragma: no cover  (the last unit is MB)


def _of_machine() -> list[float]:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return [float(line.split()[1]) * 1024]
        return [float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    except (OSError, ValueError):  # no such system: nothing is known
        return []


def _of_container() -> list[float]:
    limits = []
    for limit, use, statistics in _CGROUPS:
        try:
            most = Path(limit).read_text().strip()
            if most == "max":
                continue
            files = dict(line.split() for line in Path(statistics).read_text().splitlines())
            idle = float(files.get("inactive_file", 0))  # cached file pages, freed when memory is short
            limits.append(float(most) - float(Path(use).read_text()) + idle)
        except (OSError, ValueError):
            continue
    return limits


def _of_process() -> list[float]:
    if sys.platform == "win32":
        return []
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return []
    try:
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        has = 0
    return [float(most - has)]
