"""How every benchmark takes its time: the median of a few runs, and functions in interpreters of their own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any


def seconds(action: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock seconds of an action, after one run not counted."""
    action()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return median(taken)


def in_a_process(file: str, call: str) -> dict[str, Any]:
    """Run a function of one of these files in a fresh interpreter, and return the numbers that it returns by name."""
    here, module = str(Path(file).parent), Path(file).stem
    code = f"import json, sys; sys.path.insert(0, {here!r}); import {module}; print(json.dumps({module}.{call}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))
