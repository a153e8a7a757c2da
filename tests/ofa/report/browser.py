"""A browser without a window, over the Chrome DevTools Protocol on a pair of pipes: no driver, no port.

with Browser(program) as browser:
    browser.open(Path("report.html"), width=390, dark=True)
    browser.ask("document.title")
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-sandbox",  # containers forbid its name spaces; what is opened here is ours
)
TIMEOUT = 120.0  # seconds: machines are busy


def program() -> str | None:
    """A browser of this machine."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def started(words: list[str]) -> tuple[int, int, int]:
    """A process: its id, a pipe to its descriptor 3, and one from its descriptor 4."""
    read, write = os.pipe()
    answers, answer = os.pipe()
    # out of the way of 3 and 4
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (read, answer)]
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_DUP2, end, number) for end, number in zip(ends, (3, 4), strict=True)
    ]
    actions += [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=actions)
    for end in (read, answer, *ends):
        os.close(end)
    return pid, write, answers


class Browser:
    """One page. errors: uncaught errors and console errors since it was opened; requests: what it tried to load"""

    def __init__(self, path: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ofa-browser-", ignore_cleanup_errors=True)
        self._left, self._number, self._events = b"", 0, list[dict[str, Any]]()
        self._session: str | None = None
        self._pid, self._write, self._read = started([path, *FLAGS, f"--user-data-dir={self._folder.name}"])
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and what it keeps on disk."""
        os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)
        os.close(self._write)
        os.close(self._read)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command's result; RuntimeError where the browser refuses it, or does not answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + TIMEOUT
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._read], [], [], max(0.0, until - time.monotonic()))[0]:
                raise RuntimeError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError("the browser went away")
            self._left += data
        first, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(first)
        return found

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False, print_: bool = False) -> None:
        """Opens a file, and waits until it is drawn."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="print" if print_ else "", features=features)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self._events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        until = time.monotonic() + TIMEOUT
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next(until))
        self.wait("[...document.querySelectorAll('.chart')].every(e => e.querySelector('svg'))")

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        until = time.monotonic() + TIMEOUT
        while not self.ask(f"Boolean({condition})"):
            if self.errors or time.monotonic() > until:
                raise RuntimeError(f"not so after {TIMEOUT:g} s: {condition}; {self.errors}")
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key, as a keyboard sends it. code: such as 39 for ArrowRight"""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    @property
    def errors(self) -> list[str]:
        found = []
        for event in self._events:
            if event.get("method") == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                found.append(str(details.get("exception", {}).get("description", details))[:600])
            elif event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning"):
                found.append(str(event["params"]["args"])[:600])
            elif event.get("method") == "Log.entryAdded":
                found.append(str(event["params"]["entry"])[:600])
        return found

    @property
    def requests(self) -> list[str]:
        sent = (event for event in self._events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A screenshot; of the whole page, or of what is in sight."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
