"""Whether the device of a table is at hand: its model, or why it is not to be had."""

from __future__ import annotations

from pathlib import Path

from ofa.optional_packages import require


def cpu_model_here() -> str | None:
    """This machine's CPU."""
    from device_agents.cpu.machine import cpu_model

    return cpu_model()


def gpu_model(devices: str, runtime: str) -> str | None:
    """The first of the GPUs, as --device names them; NoDevice where there is none, or no provider for the runtime."""
    from device_agents.cuda.kernel import told_name
    from profilers.devices.nvidia import check_provider, found_devices

    first = found_devices(devices, runtime)[0]
    check_provider(runtime, first)
    if not first.startswith("cuda"):
        return None
    import torch

    return str(torch.cuda.get_device_name(first)) if torch.cuda.is_available() else told_name()


def phone_model(serial: str | None) -> None:
    """InputError unless the phone answers."""
    require("adb_shell", "a phone")
    from profilers.devices.phone.adb import Adb

    with Adb(serial) as adb:
        adb.connect()


def board_model(host: str, ssh_config: Path | None) -> None:
    """InputError unless the board answers."""
    from profilers.devices.board.ssh import Board

    Board(host, ssh_config).facts()
