"""The user's own build of the agent, an option of every command that sends it to a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ofa.cli.config import Config, Free, Option

# the bundle is made of their content, and a journal is bound to the device and to what it says of its runtime
OwnFile = Annotated[Path | None, Free(), Option(metavar="FILE")]


@dataclass(frozen=True, kw_only=True)
class AgentOptions(Config):
    """What runs on the device, where that is not the agent and the runtime that are made for it."""

    PANEL: ClassVar[str] = "Agent"

    agent_bin: OwnFile = None
    """your own build of the agent, made with the NDK for example"""

    agent_lib: Annotated[tuple[Path, ...], Free(), Option(metavar="FILE", each=True)] = ()
    """your own build of the runtime's library, libLiteRt.so or libtensorflowlite_c.so; again: what goes beside it"""

    agent_aar: OwnFile = None
    """an Android archive (.aar): all its libraries for the device are taken; LiteRT's brings its GPU accelerator"""

    libc: Annotated[Literal["glibc", "bionic"], Free(), Option(metavar="L")] = "glibc"
    """C library of the agent: glibc, which is sent too, or bionic, Android's own, for your own build of the runtime"""
