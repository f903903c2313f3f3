"""Start of the command: from here on an interrupt is reported in one sentence, even before anything is imported."""

import os
import signal
from types import FrameType


def _end(signum: int = signal.SIGINT, frame: FrameType | None = None) -> None:  # noqa: ARG001  (the signal module's)
    os.write(2, b"bayesdep: interrupted; nothing was written\n")
    os._exit(130)


signal.signal(signal.SIGINT, _end)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from bayesdep.cli import main as command

        signal.signal(signal.SIGINT, signal.default_int_handler)  # an exception, so that incomplete files are removed
        command()
    except KeyboardInterrupt:
        _end()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to clean up


if __name__ == "__main__":
    main()
