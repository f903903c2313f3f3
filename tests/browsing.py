"""A browser without a window for tests of pages, spoken to through two pipes by the protocol of its developer tools."""

import base64
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from bayesdep.reporting.pdf import browser_options, find_browser

AXE = Path(__file__).parent / "browser" / "node_modules" / "axe-core" / "axe.min.js"
NEEDED = os.environ.get("BAYESDEP_NEEDS_BROWSER") == "1"  # set where both are installed, so that no test is skipped
PHONE, DESK = (390, 844), (1200, 900)


def require_browser(*, axe=False):
    """Skip a test where there is no browser, and fail it where there must be one."""
    reason = "no Chromium is installed" if find_browser() is None else ""
    reason = reason or ("axe-core is not installed: npm ci --prefix tests/browser" if axe and not AXE.is_file() else "")
    if reason and NEEDED:
        pytest.fail(f"{reason}, and BAYESDEP_NEEDS_BROWSER=1 says that it is needed")
    if reason:
        pytest.skip(f"no page can be opened: {reason}")


class Browser:
    """One page in a browser; everything it logs and asks for is kept."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, from_browser = os.pipe(), os.pipe()
        read_end, write_end = os.dup(to_browser[0]), os.dup(from_browser[1])
        command = [find_browser(), *browser_options(self._folder.name), "--remote-debugging-pipe", "about:blank"]

        def connect():
            os.dup2(read_end, 103)
            os.dup2(write_end, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self._process = subprocess.Popen(
            command, preexec_fn=connect, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (to_browser[0], from_browser[1], read_end, write_end):
            os.close(end)
        self._out, self._in = to_browser[1], from_browser[0]
        self._buffer, self._count, self.events = b"", 0, []
        target = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _message(self, deadline):
        os.set_blocking(self._in, False)
        while b"\0" not in self._buffer:
            if time.monotonic() > deadline:
                raise TimeoutError("the browser does not answer")
            try:
                self._buffer += os.read(self._in, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _call(self, method, session=None, **params):
        self._count += 1
        request = {"id": self._count, "method": method, "params": params}
        os.write(self._out, json.dumps(request | ({"sessionId": session} if session else {})).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def call(self, method, **params):
        return self._call(method, self._session, **params)

    def open(self, path, size=DESK):
        """Open a file in a window of this size; what it logged and asked for before is forgotten."""
        width, height = size
        mobile = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.events.clear()
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        deadline = time.monotonic() + 60
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message(deadline))

    def evaluate(self, expression):
        """The value of an expression in the page, awaited."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    @property
    def requested(self):
        """Addresses that the page asked for."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]

    @property
    def complaints(self):
        """What stands in its console as an error or a warning."""
        thrown = [e for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        logged = [e for e in self.events if e.get("method") == "Log.entryAdded"]
        return thrown + [e for e in logged if e["params"]["entry"]["level"] in ("error", "warning")]

    def violations(self):
        """What axe-core finds: rule, and the elements that break it."""
        self.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
        found = self.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map("
            "v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))]))"
        )
        return found

    def screenshot(self, path, *, whole=True):
        """The page as a picture."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()
