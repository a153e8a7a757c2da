"""What only some operating systems have is asked for in two modules; and text is written alike on all of them."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.helpers.programs import nodes_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("ofa", "profilers", "device_agents", "latency_tables", "docs")
LINUX_ALONE = ROOT / "device_agents" / "android" / "testphone"  # an adbd in namespaces of its own
FILES = [
    path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if LINUX_ALONE not in path.parents
]
SYSTEM = {ROOT / "ofa/runs/system.py", ROOT / "device_agents/cpu/system.py"}
PLAYED = runpy.run_path(str(Path(__file__).parent / "elsewhere" / "sitecustomize.py"))
MODULES = set.union(*PLAYED["MODULES"].values()) | {"asyncio.unix_events", "_posixsubprocess"}
HIDDEN = {
    f"{module}.{name}"
    for names in PLAYED["NAMES"].values()
    for module, words in names.items()
    for name in words.split()
} | {"sys.platform", "os.name", "signal.SIGBREAK", "signal.CTRL_BREAK_EVENT", "signal.CTRL_C_EVENT",
     "subprocess.CREATE_NEW_PROCESS_GROUP", "os.startfile", "sys.getwindowsversion"}  # fmt: skip
ARGUMENTS = {"pass_fds", "start_new_session", "preexec_fn", "process_group", "creationflags", "startupinfo"}
KERNELS = ("/proc", "/sys/", "/dev/", "/tmp", "/var/", "/etc/")
# what reads a file of the kernel, and takes "it is not there" for an answer
READERS = {
    ROOT / path
    for path in (
        "device_agents/cpu/machine.py",
        "device_agents/cuda/kernel.py",
        "ofa/runs/system.py",
        "profilers/devices/identity.py",
    )
}


def full_name(node: ast.AST) -> str:
    """ "os.fork" of such an expression; "" of any other."""
    return (
        f"{node.value.id}.{node.attr}" if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""
    )


def unportable(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, what) of everything that some operating system lacks."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if node.module in MODULES:
                yield node.lineno, str(node.module)
            yield from ((node.lineno, name) for a in node.names if (name := f"{node.module}.{a.name}") in HIDDEN)
        elif full_name(node) in HIDDEN:
            yield node.lineno, full_name(node)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, k.arg) for k in node.keywords if k.arg in ARGUMENTS)


def kernels_files(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, text) of paths that only some systems have; a script for a phone's shell begins otherwise."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(KERNELS):
            yield node.lineno, node.value


def by_the_locale(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, what) of text that is opened in whatever encoding, or written with whatever ends of lines."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if None in given:  # **options
            continue
        if name in ("open", "fdopen") and (mode := mode_of(node, name, given)) is not None and "b" not in mode:
            yield from lacking(node, name, given, writes=bool(set("wax+") & set(mode)))
        elif name in ("read_text", "write_text"):
            # a name of our own takes more than a path's method does
            if name == "write_text" or (not node.args and isinstance(node.func, ast.Attribute)):
                yield from lacking(node, name, given, writes=name == "write_text")
        elif name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile"):
            if "mode" in given and "b" not in ast.literal_eval(given["mode"]):
                yield from lacking(node, name, given, writes=True)
        elif name in ("run", "Popen", "check_output") and {"text", "universal_newlines"} & set(given):
            yield from lacking(node, name, given, writes=False)


def mode_of(call: ast.Call, name: str, given: dict[str | None, ast.expr]) -> str | None:
    """The mode in which a call opens text or bytes; None where it opens something else, such as an image."""
    bound = isinstance(call.func, ast.Attribute) and name == "open"
    if bound and isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in OTHER_OPENS:
        return None
    position = 0 if bound else 1
    mode = given.get("mode") or (call.args[position] if len(call.args) > position else None)
    if mode is None:
        return "r"
    return mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else None


OTHER_OPENS = {"os", "Image", "tarfile", "zipfile", "cuda", "training", "self", "webbrowser", "Journal"}


def lacking(call: ast.Call, name: str, given: dict[str | None, ast.expr], *, writes: bool) -> Iterator[tuple[int, str]]:
    needed = ("encoding", "newline") if writes else ("encoding",)
    yield from ((call.lineno, f"{name} without {word}=") for word in needed if word not in given)


def found_in(path: Path, faults: Iterator[tuple[int, str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in faults]


def test_what_some_systems_lack_is_asked_for_in_one_module_and_in_the_agents() -> None:
    assert len(FILES) > 300
    for path in SYSTEM:
        assert list(unportable(nodes_of(path)))
    assert [fault for path in FILES if path not in SYSTEM for fault in found_in(path, unportable(nodes_of(path)))] == []


def test_no_file_of_a_kernel_is_taken_for_granted() -> None:
    others = [path for path in FILES if path not in READERS]
    assert [fault for path in others for fault in found_in(path, kernels_files(nodes_of(path)))] == []


def test_text_has_one_encoding_and_one_end_of_lines() -> None:
    assert [fault for path in FILES for fault in found_in(path, by_the_locale(nodes_of(path)))] == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import fcntl", "fcntl"),
        ("def f():\n    from resource import getrusage", "resource"),
        ("import os\nos.killpg(1, 9)", "os.killpg"),
        ("from os import fork", "os.fork"),
        ("os.sched_setaffinity(0, [1])", "os.sched_setaffinity"),
        ("signal.signal(signal.SIGHUP, f)", "signal.SIGHUP"),
        ("if sys.platform == 'linux': pass", "sys.platform"),
        ("subprocess.Popen(words, start_new_session=True)", "start_new_session"),
        ("os.open(path, os.O_RDONLY | os.O_CLOEXEC)", "os.O_CLOEXEC"),
        ("import msvcrt", "msvcrt"),
    ],
)
def test_a_planted_fault_is_found(code: str, what: str) -> None:
    assert [found for _, found in unportable(ast.walk(ast.parse(code)))] == [what]


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("open(path)", ["open without encoding="]),
        ("path.open('w', encoding='utf-8')", ["open without newline="]),
        ("path.open('rb')", []),
        ("open(path, mode='a')", ["open without encoding=", "open without newline="]),
        ("os.fdopen(handle, 'w', encoding='utf-8', newline='')", []),
        ("path.read_text()", ["read_text without encoding="]),
        ("path.write_text(text, encoding='utf-8')", ["write_text without newline="]),
        ("subprocess.run(words, text=True)", ["run without encoding="]),
        ("tempfile.TemporaryFile(mode='w+', encoding='utf-8')", ["TemporaryFile without newline="]),
        ("Image.open(file)", []),
    ],
)
def test_planted_text_by_the_locale_is_found(code: str, what: list[str]) -> None:
    assert [found for _, found in by_the_locale(ast.walk(ast.parse(code)))] == what


def test_a_planted_file_of_the_kernel_is_found() -> None:
    assert list(kernels_files(ast.walk(ast.parse("Path('/proc/cpuinfo').read_bytes()")))) == [(1, "/proc/cpuinfo")]
