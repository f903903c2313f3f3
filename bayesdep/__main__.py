"""Where the command starts: an interrupt is answered in one sentence from here on, before anything is imported."""

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

        signal.signal(signal.SIGINT, signal.default_int_handler)  # which unwinds, so that half-written files vanish
        command()
    except KeyboardInterrupt:
        _end()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to unwind


if __name__ == "__main__":
    main()
