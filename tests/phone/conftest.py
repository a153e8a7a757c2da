"""The test phone, and ways to disturb what runs on it."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from device_agents.android import bundle
from device_agents.android.testphone.phone import TestPhone
from device_agents.android.testphone.root import TestPhoneImpossible
from ofa.errors import InputError
from profilers.devices.phone import adb
from profilers.measuring.pace import PHONE_PACE

Boot = Callable[..., TestPhone]
Results = Callable[[Path], list[dict]]
During = Callable[[Path, int, Callable[[], object]], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def made_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To make one takes as long as a short test; that it is made is seen in tests/profilers/devices/phone."""
    path = tmp_path_factory.mktemp("made") / ".android" / "adbkey"
    adb.signer(path)
    return path


@pytest.fixture(autouse=True)
def key(made_key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key below this test's own home, rather than the one in the user's ~/.android."""
    monkeypatch.setattr(adb, "KEY", tmp_path / "home" / ".android" / "adbkey")
    shutil.copytree(made_key.parent, adb.KEY.parent)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")  # nor an adb server of this machine
    return adb.KEY


@pytest.fixture(autouse=True)
def _short_visits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Visits take milliseconds, but where something has to happen meanwhile: what they tell is not looked at here."""
    if "during" in request.fixturenames:
        return
    seconds = {"warmup_seconds": 0.001, "warmup_seconds_after_rest": 0.005, "max_seconds": 0.005}
    in_place = PHONE_PACE.in_place
    assert in_place is not None
    for rules in (PHONE_PACE.rules, PHONE_PACE.quick, PHONE_PACE.whole, in_place.blocks, in_place.parts):
        for key, value in seconds.items():
            monkeypatch.setitem(rules, key, value)


@pytest.fixture
def boot() -> Iterator[Boot]:
    """Boots test phones; skips where there can be none, or nothing to run on it."""
    with ExitStack() as running:

        def booted(abi: str = "x86_64", **options: Any) -> TestPhone:
            try:
                bundle.make("aarch64" if abi == "arm64-v8a" else abi)
                return running.enter_context(TestPhone(abi, **options))
            except (TestPhoneImpossible, InputError) as reason:
                pytest.skip(str(reason))

        yield booted


@pytest.fixture
def phone(boot: Boot) -> TestPhone:
    """One that runs the native agent: quick, for whatever does not depend on the processor."""
    return boot()


@pytest.fixture
def results() -> Results:
    """The results that the journal beside a table holds so far."""

    def read(out: Path) -> list[dict]:
        journal = out.with_suffix(".journal.jsonl")
        whole = journal.read_text().splitlines(keepends=True) if journal.exists() else []
        records = [json.loads(line) for line in whole if line.endswith("\n")]
        return [record for record in records if record["kind"] == "result"]

    return read


@pytest.fixture
def during(results: Results) -> During:
    """`with during(out, 5, act)`: calls act once the journal holds five results, and fails if it never does."""

    @contextmanager
    def watched(out: Path, count: int, act: Callable[[], object]) -> Iterator[None]:
        over = threading.Event()
        failures: list[BaseException] = []

        def watch() -> None:
            while len(results(out)) < count:
                if over.is_set():
                    failures.append(AssertionError(f"the run was over before {count} results"))
                    return
                time.sleep(0.005)
            try:
                act()
            except BaseException as error:
                failures.append(error)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()
        if failures:
            raise failures[0]

    return watched
