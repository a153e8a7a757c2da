"""A phone as a target: its cores, its agent, and the session that serves both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from device_agents.android import bundle
from device_agents.android.elf import too_small_for
from ofa.errors import InputError
from profilers.devices.delegates import asked_dtype, dtype_of, model_dtype
from profilers.devices.identity import DEVICE_ID, device_id
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.facts import Phone, chosen_cores, clusters, facts, maybe_faster
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.devices.phone.session import PhoneSession, Policy
from profilers.devices.sent_files import SentFolder, sent_folder
from profilers.measuring.pace import PHONE_PACE
from profilers.measuring.target import Target

# a block at which the agent died twice is given up
TRIES = 2


def open_phone(adb: Adb, asked: PhoneOptions) -> tuple[Phone, list[int]]:
    """What the phone is, and the CPUs to pin to; InputError for a phone that is not supported."""
    brings_all = asked.agent_bin is not None and (
        asked.runner == "benchmark_model" or bool(asked.agent_lib or asked.agent_aar)
    )
    phone = facts(adb, own_agent=brings_all)
    return phone, chosen_cores(phone, asked.cpu, asked.threads, asked.cores)


def described(phone: Phone, cpus: Sequence[int]) -> str:
    """The phone and its cores, in words."""
    pinned = f"pinned to CPU {', '.join(map(str, cpus))}"
    why = clusters(phone) or "maximum clocks are not readable: these are the last CPUs"
    if off := maybe_faster(phone, cpus):
        why += (
            f"; CPU {', '.join(map(str, off))} is off or kept for others, and may be faster: charge the phone, close "
            "its battery saver, and run this again"
        )
    emulated = f"; EMULATED ({phone.emulated}): its times mean nothing" if phone.emulated else ""
    return f"{phone.name}, {phone.abi}, {pinned} ({why}){emulated}"


@contextmanager
def session_of(
    adb: Adb,
    phone: Phone,
    cpus: Sequence[int],
    asked: PhoneOptions,
    batch: int,
    timeout_s: float,
    say: Callable[[str], None],
    keep_models: bool = True,
    in_place: bool = False,
) -> Iterator[Target]:
    """The phone as a target, with its agent; in the end nothing of ours runs there. adb is connected to it.

    keep_models: whether models stay there, since another run may ask for the same
    in_place: whether blocks are timed in networks, where they stand
    """
    policy = Policy(
        asked.max_temperature,
        asked.cool_seconds,
        fixed_performance=not asked.no_fixed_performance,
        awake=not asked.no_stay_awake,
        keep_models=keep_models,
    )
    threads = asked.threads_on(cpus)
    files, backend, start_command, own_fields = _agent(phone, asked, say)
    with PhoneSession(adb, phone, files, start_command, policy, timeout_s, say) as session:
        yield Target(
            runtime="tflite",
            batch=batch,
            manifest={
                "runtime": "tflite",
                "backend": backend,
                "delegate": asked.delegate,
                "threads": threads,
                "cpus": list(cpus),
                **asked_dtype(asked.dtype),
                **own_fields,
                "phone": phone.identity,
                # not told where it is on, so that journals of before it was part of them are gone on with
                **({"fixed_performance": False} if asked.no_fixed_performance else {}),
            },
            start=session.start,
            header={
                "agent": "android",
                "threads": str(threads),
                "dtype": dtype_of(asked.delegate, asked.dtype),
                "delegate": asked.delegate,
                **({"cores": asked.cores} if asked.cores else {}),
                **({DEVICE_ID: device_id("phone", phone.identity)} if phone.is_told_apart else {}),
            },
            tries=TRIES,
            pace=PHONE_PACE,
            in_place=in_place,
            dtype=model_dtype(asked.dtype),
        )


def _agent(
    phone: Phone, asked: PhoneOptions, say: Callable[[str], None]
) -> tuple[SentFolder, str, tuple[str, ...] | None, Mapping[str, str]]:
    """The agent's files, backend, what starts it (None: they are a benchmark_model), and its own manifest fields."""
    if asked.runner == "benchmark_model":
        assert asked.agent_bin is not None, "checked before the phone was asked for"
        check_pages(phone, [asked.agent_bin])
        return sent_folder("agent", {"benchmark_model": asked.agent_bin}), "tflite", None, {}
    abi = phone.abi if phone.abi in bundle.ABIS else bundle.ABIS[0]  # of no matter to agents that are brought
    agent = bundle.make(
        abi, agent_bin=asked.agent_bin, agent_lib=asked.agent_lib, agent_aar=asked.agent_aar, libc=asked.libc, tell=say
    )
    files = sent_folder("agent", {name: agent.folder / name for name in agent.files})
    check_pages(phone, files.files.values())
    return files, agent.backend, agent.start_command, agent.manifest_fields


def check_pages(phone: Phone, files: Iterable[Path]) -> None:
    """InputError for programs and libraries that the phone cannot map: its pages are larger than they allow."""
    if phone.page_bytes is None:
        return
    if refused := too_small_for(phone.page_bytes, files):
        kib = phone.page_bytes // 1024
        raise InputError(
            f"{', '.join(file.name for file in refused)} cannot be loaded by {phone.name}, whose memory has pages of "
            f"{kib} KiB: link with -Wl,-z,max-page-size={phone.page_bytes} (the NDK does from r28 on)"
        )
