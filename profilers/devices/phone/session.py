"""Agents on a phone: sent there, started, listened to, and ended, whatever becomes of the connection."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ofa.errors import InputError
from ofa.runs.system import typed
from profilers.devices.batches import TAR_RECORD, Batch, batches_of
from profilers.devices.delegates import check_computed
from profilers.devices.phone import files as phone_files
from profilers.devices.phone.adb import Adb, AdbLines, PushFailed
from profilers.devices.phone.benchmark_model import benchmark_model_events
from profilers.devices.phone.facts import (
    SEVERE,
    Phone,
    State,
    clusters,
    maybe_faster,
    state,
)
from profilers.devices.phone.files import BASE, place
from profilers.devices.phone.modes import FIX, RESTORE, STAY_AWAKE, fix_performance, restore, stay_awake
from profilers.devices.phone.words import ending, heat_gate, too_hot
from profilers.devices.sent_files import SentFolder, sent_folder
from profilers.measuring.conversation import checked_events
from profilers.measuring.events import ConnectionLost, Done, Error, Event, Hello, Result

HEARTBEAT_S = 2
# several heartbeats: only a lost connection is as silent
SILENCE_S = 20.0
# a phone that was unplugged or reboots is looked for so long
PATIENCE_S = 180.0
# a visit that waits for the phone to cool waits until it is so far below the limit, and not for the next wobble
HYSTERESIS_C = 5.0
# an agent whose host is gone ends with its next heartbeat
FAREWELL_S = 10.0

RUNNING = 'pid=$(cat "$1/agent.pid" 2>/dev/null) && grep -qF "$1" "/proc/$pid/cmdline" 2>/dev/null'
END = f'{RUNNING} && kill -9 $pid; rm -f "$1/agent.pid"'
TIDY = 'rm -f "$1"/models-*/manifest.json "$1/stderr"'
CLEAN = 'rm -rf "$1"'
BOOTED = '[ "$(getprop sys.boot_completed)" = 1 ]'
LAST_WORDS = 'tail -c 400 "$1/stderr"'
# mode and screen are restored here and not only by the host, which may be killed, or lose the phone
# what the shell has to say, such as "Killed", is no protocol line
RUN = f"""
exec 2> /dev/null
cd "$2" || exit 1
trap "" HUP
[ "$3" = 1 ] && {{ {FIX}; }} > /dev/null
[ "$4" = 1 ] && {{ {STAY_AWAKE} }} > /dev/null
base=$1 manifest=$5; shift 5
"$@" "$manifest" 2> "$base/stderr" &
echo $! > "$base/agent.pid"
wait $!
code=$?
set -- "$base"
rm -f "$1/agent.pid"
{RESTORE}
exit $code
"""


@dataclass(frozen=True)
class Policy:
    """max_temperature_c: visits wait while the processor is hotter; cool_s: they wait so long, then the run ends

    fixed_performance: whether to use that mode where there is one; awake: whether to keep the screen on
    keep_models: whether models stay on the phone when all is done
    """

    max_temperature_c: float
    cool_s: float
    fixed_performance: bool
    awake: bool
    keep_models: bool = True


class PhoneSession:
    """`with` it, so that nothing of ours runs on the phone afterwards and its settings are as they were."""

    def __init__(
        self,
        adb: Adb,
        phone: Phone,
        agent: SentFolder,
        command: tuple[str, ...] | None,
        policy: Policy,
        timeout_s: float,
        say: Callable[[str], None],
    ) -> None:
        """adb is connected to the phone.

        agent, command: the agent's files, and what starts it in their folder; None: they are a benchmark_model
        timeout_s: the longest that one visit may take
        """
        self._adb, self._phone, self._agent, self._command = adb, phone, agent, command
        self._policy, self._timeout_s, self._say = policy, timeout_s, say
        self._read: tuple[list[Path], SentFolder] | None = None
        self._there = ""  # the name of the models' folder that was last seen to be there
        self._connected, self._greeted, self._files_there = True, False, False
        self._fixed: bool | None = None
        self._awake = False
        self._peak_kib: float | None = None
        self.pushed_bytes = 0

    def __enter__(self) -> PhoneSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what runs, and restores the mode. The agent stays, and models that another run may ask for again."""
        if not self._greeted:  # nothing of ours is there: what runs, and the mode, are another run's
            self._adb.close()
            return
        try:
            self._adb.connect()  # anew: the last conversation may have been cut anywhere
            for script in (END, TIDY, RESTORE):
                self._adb.run(script, BASE)
            if not self._policy.keep_models:
                phone_files.remove(self._adb, "models")
        except (InputError, ConnectionLost) as failure:
            print(
                f"the phone could not be left as it was ({failure}): when it is back, "
                f"run python -m profilers.android --clean{_serial_option(self._adb)}",
                file=sys.stderr,
            )
        finally:
            self._adb.close()

    def start(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        """An agent's events: a `start` of profilers.measuring.target.Target. Raises AgentFailed, or ConnectionLost."""
        self._reach()
        done = False
        try:
            self._greet()
            batches = self._batches(folder, manifest)
            for number, batch in enumerate(batches):
                # one batch alone may be less than all: few visits are left of models that do not fit together
                models = self._models_of(folder, None if batch.manifest is manifest else batch)
                before = self._prepare(models)
                for event in self._converse(models, batch.manifest):
                    if isinstance(event, Error) and event.reason == "too_hot":
                        raise too_hot(event.message)
                    check_computed(event, manifest)
                    if isinstance(event, Done) and number + 1 < len(batches):
                        break
                    done = isinstance(event, Done)
                    yield self._with_facts(event, before) if isinstance(event, Hello) else batch.renumbered(event)
        finally:
            # anything but a whole conversation leaves the connection in its middle, and perhaps an agent on the phone
            self._connected = done

    def _batches(self, folder: Path, manifest: Mapping[str, Any]) -> list[Batch]:
        """The visits, in as many batches as the phone's free space needs."""
        whole = Batch(0, manifest)
        all_models = self._models_of(folder, None)
        if self._there == all_models.name and self._files_there:
            return [whole]
        self._push(self._agent)  # what it takes is not free
        if phone_files.held(self._adb, all_models):
            self._files_there, self._there = True, all_models.name
            return [whole]
        sizes = {path.name: path.stat().st_size for path in all_models.files.values()}
        room = phone_files.room_for(self._adb, all_models.kind)
        self._there = ""
        if sum(sizes.values()) + TAR_RECORD * (len(sizes) + 3) <= room:
            return [whole]
        batches = batches_of(manifest, sizes, room - 3 * TAR_RECORD)
        if len(batches) > 1:
            self._say(f"the models do not fit on the phone together: they go there in {len(batches)} batches")
        return batches

    def _models_of(self, folder: Path, batch: Batch | None) -> SentFolder:
        """The models of a batch; None: all of the folder."""
        # networks in parts that fail are cut anew, so that files come into a folder meanwhile
        paths = sorted(folder.glob("*.tflite")) if batch is None else [folder / name for name in batch.files]
        if self._read is None or self._read[0] != paths:
            self._read = paths, sent_folder("models", {path.name: path for path in paths})
        return self._read[1]

    def _converse(self, models: SentFolder, manifest: Mapping[str, Any]) -> Iterator[Event]:
        """An agent's events, or what stands for them where a benchmark_model is run."""
        if self._command is None:
            yield from benchmark_model_events(self._adb, self._agent, models, manifest, self._timeout_s)
            return
        path = f"{place(models)}/manifest.json"
        self._push_manifest(path, manifest)
        asked = (str(int(bool(self._fixed))), str(int(self._awake)))
        pieces = self._adb.stream(RUN, BASE, place(self._agent), *asked, path, *self._command, silence_s=SILENCE_S)
        lines = AdbLines(pieces)
        timeout_s = self._timeout_s + self._policy.cool_s
        events = checked_events(lines, timeout_s, lambda: ending(lines.code, self._peak_kib), self._last_words)
        for event in events:
            if isinstance(event, Result):
                self._peak_kib = event.watched.get("peak_memory_kib")
            if isinstance(event, Done):
                for _ in pieces:  # to the end: the shell restores the mode
                    pass
            yield event

    def _reach(self) -> None:
        """Connects again if need be, and ends what still runs there. InputError if the phone does not come back."""
        if self._connected:
            return
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._adb.connect()
                if self._adb.run(BOOTED).code == 0:
                    self._adb.run(END, BASE)
                    # a phone that lost its power may have lost what it had not yet written
                    self._connected, self._files_there = True, False
                    return
                failure: Exception = ConnectionLost("it is still booting")
            except (InputError, ConnectionLost) as not_yet:
                failure = not_yet
            if time.monotonic() > deadline:
                raise InputError(
                    f"the phone did not come back within {PATIENCE_S:.0f} s ({failure}): plug it in, and continue with "
                    "--resume"
                ) from None
            time.sleep(1)

    def _greet(self) -> None:
        if not self._greeted:
            self._wait_for_others()
            restore(self._adb)  # what a run that was killed may have left
            self._greeted = True

    def _push(self, wanted: SentFolder) -> None:
        self.pushed_bytes += phone_files.ensure(self._adb, wanted, self._say)

    def _prepare(self, models: SentFolder) -> State:
        """The phone has the files, is cool, and in the mode if it has one; its state."""
        if not self._files_there or self._there != models.name:
            self._push(self._agent)
            self._push(models)
            self._files_there, self._there = True, models.name
        if self._fixed is None and self._policy.fixed_performance:
            self._fixed = fix_performance(self._adb)
        if not self._awake and self._policy.awake:
            self._awake = stay_awake(self._adb)
        return self._wait_until_cool()

    def _wait_for_others(self) -> None:
        """InputError if another run's agent is at work on this phone."""
        deadline = time.monotonic() + FAREWELL_S
        while self._adb.run(RUNNING, BASE).code == 0:
            if time.monotonic() > deadline:
                raise InputError(
                    "another run is measuring on this phone: wait for it, or end it by "
                    f"python -m profilers.android --clean{_serial_option(self._adb)}"
                )
            time.sleep(0.5)

    def _wait_until_cool(self) -> State:
        """InputError if the phone stays too hot."""
        deadline = time.monotonic() + self._policy.cool_s
        announced = False
        while True:
            now = state(self._adb)
            limit = self._policy.max_temperature_c
            if now.throttling is not None and now.throttling >= SEVERE:
                why = f"Android's thermal status is {now.throttling}: clocks are cut"
            elif now.processor_c is not None and now.processor_c > limit:
                why = f"the processor has {now.processor_c:.1f} C, the limit is {limit:g} C"
            else:
                return now
            if time.monotonic() > deadline:
                raise too_hot(why)
            if not announced:
                self._say(f"waiting for the phone to cool: {why}")
                announced = True
            time.sleep(2)

    def _push_manifest(self, path: str, manifest: Mapping[str, Any]) -> None:
        text = json.dumps(
            {
                **manifest,
                "heartbeat_seconds": HEARTBEAT_S,
                "cool_down": {
                    "max_temperature_c": self._policy.max_temperature_c,
                    "resume_below_c": self._policy.max_temperature_c - HYSTERESIS_C,
                    "max_wait_seconds": self._policy.cool_s,
                },
            }
        ).encode()
        self.pushed_bytes += len(text)
        try:
            self._adb.push(text, path)
        except PushFailed as error:
            raise phone_files.refused(self._adb, 2 * len(text) + phone_files.SPARE, str(error)) from None

    def _with_facts(self, hello: Hello, before: State) -> Hello:
        """The agent's facts of the device, and what only the host knows, which nothing an agent says overrides."""
        readable = hello.device.get("temperature_c") is not None
        modes = {None: "not asked for", True: "on", False: "this phone has none"}
        own: dict[str, Any] = {
            "temperature_c": hello.device.get("temperature_c") if readable else before.processor_c,
            "product": self._phone.name,
            "clusters": clusters(self._phone),
            "fixed_performance_mode": modes[self._fixed],
            "heat_gate": heat_gate(hello.device, self._policy.max_temperature_c),
            **before.header(),
        }
        if self._awake:
            own["screen"] = f"{before.screen or 'not known'}, kept on while the phone charges"
        if off := maybe_faster(self._phone, hello.device.get("cpus") or [0]):
            own["cores_off"] = f"{', '.join(map(str, off))}: maybe faster than those used"
        if self._phone.page_bytes:
            own["page_kib"] = self._phone.page_bytes // 1024
        if self._phone.emulated:
            own["emulated"] = "yes"
        return replace(hello, device={**hello.device, **own})

    def _last_words(self) -> str:
        """What the agent last wrote to stderr; "" where the phone is not there to ask."""
        with contextlib.suppress(InputError, ConnectionLost):
            self._adb.connect()
            words = self._adb.run(LAST_WORDS, BASE).text.splitlines()
            return f"; its last words: {words[-1][:200]}" if words else ""
        return ""


def clean(adb: Adb) -> None:
    """Ends what runs on the phone, restores its mode, and removes all that is ours."""
    for script in (END, RESTORE, CLEAN):
        adb.run(script, BASE)


def _serial_option(adb: Adb) -> str:
    return f" --serial {typed([adb.serial])}" if adb.serial else ""
