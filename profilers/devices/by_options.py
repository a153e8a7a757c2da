"""A phone or a board by options, where no table of it says how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ofa.optional_packages import require
from profilers.devices.access_options import AccessOptions
from profilers.devices.core_options import ClusterOptions
from profilers.measuring.target import Target


@dataclass(frozen=True, kw_only=True)
class DeviceByOptions(AccessOptions, ClusterOptions):
    """Where it is, and on which of its cores the models run; by XNNPACK, in float32."""

    PANEL = "Phone or board"


@contextmanager
def open_device(asked: DeviceByOptions, batch: int, timeout_s: float, say: Callable[[str], None]) -> Iterator[Target]:
    """The phone of a serial, or the board of a host; in the end nothing of ours runs there, and no models stay.

    say: told what is sent there. InputError if the device is not to be had.
    """
    from profilers.measuring.models import check_runtime

    check_runtime("tflite")
    if asked.host is not None:
        from profilers.devices.board.board_target import open_board

        with open_board(
            asked.host,
            asked.ssh_config,
            asked,
            asked,
            batch=batch,
            delegate="xnnpack",
            dtype="fp32",
            timeout_s=timeout_s,
            say=say,
        ) as board:
            yield board
        return
    require("adb_shell", "a phone")
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.phone_options import PhoneOptions
    from profilers.devices.phone.phone_target import described, open_phone, session_of

    with Adb(asked.serial) as adb:
        adb.connect()
        options = PhoneOptions(
            agent_bin=asked.agent_bin,
            agent_lib=asked.agent_lib,
            agent_aar=asked.agent_aar,
            libc=asked.libc,
            threads=asked.threads,
            cpu=asked.cpu,
            cores=asked.cores,
        )
        phone, cpus = open_phone(adb, options)
        say(described(phone, cpus))
        with session_of(adb, phone, cpus, options, batch, timeout_s, say, keep_models=False) as target:
            yield target
