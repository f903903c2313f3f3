"""A page as a PDF, printed by the browser that is installed: Chromium or one built on it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bayesdep.data.errors import BadInput

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
)  # fmt: skip
_USUAL = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
_SECONDS = 120


def find_browser() -> str | None:
    """Find a browser that prints pages: the one ``BAYESDEP_BROWSER`` names, or the first that is installed.

    Returns
    -------
    str or None
        Its path.
    """
    asked = os.environ.get("BAYESDEP_BROWSER")
    if asked:
        return shutil.which(asked)
    found = (shutil.which(name) for name in BROWSERS)
    return next((path for path in found if path), next((path for path in _USUAL if Path(path).is_file()), None))


def browser_options(profile: str) -> list[str]:
    """Return the options under which a browser opens a local page, with no window and no traffic of its own.

    Parameters
    ----------
    profile
        An empty directory for its profile.

    Returns
    -------
    list of str
        For the command line.
    """
    options = [
        "--headless=new", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ]  # fmt: skip
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*options, "--no-sandbox"] if is_root else options  # Chromium refuses its sandbox to root, as in containers


def write_pdf(page: str, path: Path) -> None:
    """Print a page to a PDF.

    Parameters
    ----------
    page
        HTML that needs no other file.
    path
        The file to write.

    Raises
    ------
    BadInput
        When there is no browser, or it cannot print.
    """
    browser = find_browser()
    if browser is None:
        asked = os.environ.get("BAYESDEP_BROWSER")
        what = f"BAYESDEP_BROWSER = '{asked}' is no program" if asked else "no Chromium, Chrome or Edge is installed"
        raise BadInput(
            f"a PDF is printed by a browser, and {what}; install one (Debian: apt install chromium) or name it in "
            "BAYESDEP_BROWSER, or write a .html report and print that"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        how = [*browser_options(f"{folder}/profile"), "--no-pdf-header-footer", f"--print-to-pdf={printed}"]
        try:
            done = subprocess.run([browser, *how, source.as_uri()], capture_output=True, timeout=_SECONDS, check=False)
            why = "" if printed.is_file() else f"exit code {done.returncode}"
        except (OSError, subprocess.TimeoutExpired) as problem:
            why = type(problem).__name__
        if why:
            raise BadInput(f"'{browser}' could not print the report ({why}); write a .html report and print that")
        path.write_bytes(printed.read_bytes())
