"""How the device of a table is reached again, where that is a phone or a board: a header names no address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from device_agents.android.agent_options import AgentOptions
from ofa.cli.config import Free, Input, Option


@dataclass(frozen=True, kw_only=True)
class AccessOptions(AgentOptions):
    """Where a phone or a board is. How it is asked (threads, CPUs, delegate) is as in the table's header."""

    PANEL: ClassVar[str] = "Phone or board"

    serial: Annotated[str | None, Free(), Option(metavar="S")] = None
    """for the table of a phone: USB serial, HOST:PORT or emulator-N (default: the only phone on USB)"""

    host: Annotated[str | None, Free(), Option(metavar="H")] = None
    """for the table of a board: USER@ADDRESS, or a name in ~/.ssh/config"""

    ssh_config: Annotated[Path | None, Input(), Free(), Option(metavar="FILE")] = None
    """configuration file for ssh (default: ssh's own)"""
