"""Which device a table was measured on, by its header, so that the same device can be asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, cast

from ofa.cli.config import flag_of
from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.runs import system
from ofa.tables import LatencyTable
from profilers.devices import local_cpu, nvidia
from profilers.devices.access_options import AccessOptions
from profilers.devices.core_options import ClusterOptions, cpu_numbers
from profilers.devices.delegates import dtype_in
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.measuring.target import Target

# the header's "agent", which tables of the CPU do not have: devices of this machine
_TARGETS: dict[str, Callable[[Mapping[str, str], float], Target]] = {
    "cpu": local_cpu.target_of_header,
    "cuda": nvidia.target_of_header,
}
# and those that are reached by a cable or the network
_DEVICES = {"android": "phone", "linux": "board"}
# what a phone's runtime is called that is no agent of ours
_BENCHMARK_MODEL: Literal["benchmark_model"] = "benchmark_model"


def target_of(table: LatencyTable, timeout_s: float) -> Target:
    """The device of a measured table, on this machine; InputError if it is not to be had here."""
    agent = table.header.get("agent", "cpu")
    if agent not in _TARGETS:
        raise InputError(
            f"{table.path} was measured by the agent {agent!r}: whole networks can so far only be measured on this "
            f"machine ({', '.join(_TARGETS)})"
        )
    usable = system.usable_cpus()
    if agent == "cpu" and usable is not None and (away := [cpu for cpu in _cpus(table) or () if cpu not in usable]):
        raise InputError(
            f"{table.path} was measured on CPU {away[0]}, and this process may use {', '.join(map(str, usable))}: let "
            "it use that one, or measure the table again"
        )
    try:
        return _TARGETS[agent](table.header, timeout_s)
    except InputError as error:
        raise type(error)(f"{table.path}: {error}") from None


@contextmanager
def open_target(
    table: LatencyTable,
    access: AccessOptions,
    timeout_s: float,
    say: Callable[[str], None],
    *,
    fixed_performance: bool = True,
) -> Iterator[Target]:
    """The device of a measured table, wherever it is; in the end nothing of ours runs on a phone.

    say: told what is sent there; fixed_performance: False: a phone runs as it does by itself, whatever the header says
    InputError if the device is not to be had.
    """
    agent = table.header.get("agent", "cpu")
    for option, of in (("serial", "android"), ("host", "linux"), ("ssh_config", "linux")):
        if getattr(access, option) is not None and agent != of:
            raise InputError(f"{flag_of(option)} is for the table of a {_DEVICES[of]}: {table.path} is of none")
    if agent == "linux":
        with _board(table, access, timeout_s, say) as target:
            yield target
    elif agent == "android":
        with _phone(table, access, timeout_s, say, fixed_performance) as target:
            yield target
    else:
        yield target_of(table, timeout_s)


@contextmanager
def _board(
    table: LatencyTable, access: AccessOptions, timeout_s: float, say: Callable[[str], None]
) -> Iterator[Target]:
    from profilers.devices.board.board_target import open_board
    from profilers.measuring.models import check_runtime

    if access.host is None:
        raise InputError(f"{table.path} was measured on a board: name it by --host USER@ADDRESS")
    check_runtime("tflite")
    # no models stay: whole networks are large, and another run draws others
    with open_board(
        access.host,
        access.ssh_config,
        access,
        ClusterOptions(threads=_threads(table), cpu=_cpus(table)),
        batch=table.batch,
        delegate=_stated(table, "delegate"),
        dtype=dtype_in(table.header),
        timeout_s=timeout_s,
        say=say,
    ) as target:
        yield target


@contextmanager
def _phone(
    table: LatencyTable, access: AccessOptions, timeout_s: float, say: Callable[[str], None], fixed_performance: bool
) -> Iterator[Target]:
    require("adb_shell", "a phone")
    from profilers.devices.phone.adb import Adb
    from profilers.devices.phone.phone_target import described, open_phone, session_of
    from profilers.measuring.models import check_runtime

    check_runtime("tflite")
    asked = phone_options(table, access)
    if not fixed_performance:
        asked = replace(asked, no_fixed_performance=True)
    with Adb(access.serial) as adb:
        adb.connect()
        phone, cpus = open_phone(adb, asked)
        say(described(phone, cpus))
        # whole networks are large, and another run draws others
        with session_of(adb, phone, cpus, asked, table.batch, timeout_s, say, keep_models=False) as target:
            yield target


def phone_options(table: LatencyTable, access: AccessOptions) -> PhoneOptions:
    """How a phone was asked when its table was made; InputError where the header does not say."""
    own_tool = table.header["runtime"].startswith(_BENCHMARK_MODEL)
    if own_tool and (access.agent_bin is None or not access.agent_bin.is_file()):
        raise InputError(f"{table.path} was made by {_BENCHMARK_MODEL}: give the same tool by --agent-bin")
    return PhoneOptions(
        agent_bin=access.agent_bin,
        agent_lib=access.agent_lib,
        agent_aar=access.agent_aar,
        libc=access.libc,
        delegate=cast(Any, _stated(table, "delegate")),  # the option says which there are
        dtype=dtype_in(table.header),
        runner=_BENCHMARK_MODEL if own_tool else "agent",
        threads=_threads(table),
        cpu=_cpus(table),
        no_fixed_performance=table.header.get("fixed_performance_mode") == "not asked for",
    )


def _stated(table: LatencyTable, key: str) -> str:
    if not table.header.get(key):
        raise InputError(f"{table.path}: the header has no '# {key}: ...' line")
    return table.header[key]


def _threads(table: LatencyTable) -> int:
    text = table.header.get("threads", "1")
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise InputError(f"{table.path}: the header's threads are {ascii(text)[:60]}, expected a number")
    return int(text)


def _cpus(table: LatencyTable) -> tuple[int, ...] | None:
    try:
        return cpu_numbers(table.header["cpus"]) if "cpus" in table.header else None
    except ValueError as error:
        raise InputError(f"{table.path}: cpus: {error}") from None
