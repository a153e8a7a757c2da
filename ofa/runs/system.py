"""What operating systems do differently, in one place: locks, files that are replaced, processes that are ended.

Linux and macOS are POSIX systems. Windows differs:

- A lock is on a range of bytes, and nobody else can read them.
- An open file can be neither renamed nor deleted, and a folder cannot be opened.
- There is no signal that asks a process to end in order, except Ctrl-Break on its console.

Every other module asks this one (tests/portable checks that). device_agents/cpu/system.py is the same for an agent,
which runs without the host's modules.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# END_SIGNALS: who is asked to end gets one of these; Ctrl-C is another matter
if sys.platform == "win32":
    import msvcrt

    WINDOWS = True
    END_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGBREAK)
else:
    import fcntl

    WINDOWS = False
    END_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM,)
LINUX: bool = sys.platform == "linux"
MACOS: bool = sys.platform == "darwin"
_LOCKED_BYTE = 1 << 30  # far behind what a lock's file says, so that others can read that
_LOOK_S = 0.2  # how often a lock is looked at where no system call waits for it
_FOLDERS_LOCK = ".lock"
_STALE_S = 60
_PR_SET_PDEATHSIG = 1  # of prctl(2)
# of mallopt(3)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_MMAP_THRESHOLDS = (1 << 30, 32 << 20)  # the second is the most that older versions of glibc take
# of control groups, version 2 and 1, as a container sees its own
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# a virus scanner or an indexer opens what has just been written: so long is waited until it closes it
_SCANNED_S = (0.05, 0.1, 0.2, 0.4, 0.8)


def open_lock(path: Path, mode: int = 0o644, *, create: bool = True) -> int:
    """A handle of a lock's file, for `try_lock`; children do not inherit it, and no link is followed."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), mode)


def try_lock(handle: int) -> bool:
    """Whether this handle now has the lock, until it is closed. OSError of a file system without locks."""
    if sys.platform == "win32":
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
    else:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_for_lock(handle: int) -> None:
    """Returns when this handle has the lock."""
    if sys.platform == "win32":
        while not try_lock(handle):
            time.sleep(_LOOK_S)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX)


def give_back_lock(handle: int, path: Path) -> None:
    """Deletes a lock's file and closes its handle, in the order that the system allows."""
    if WINDOWS:
        os.close(handle)
        with contextlib.suppress(OSError):  # its next holder has it open already
            path.unlink()
    else:
        path.unlink(missing_ok=True)  # while it is held: nobody takes a lock whose file has gone
        os.close(handle)


def hold_folder(folder: Path) -> int | None:
    """A lock on a folder that was just made, until the handle is closed. None: take another one.

    Before it is held, a starting run may take it for a dead run's and delete it.
    """
    try:
        handle = open_lock(folder / _FOLDERS_LOCK) if WINDOWS else os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    if try_lock(handle) and (WINDOWS or _is_of(handle, folder)):
        return handle
    os.close(handle)
    return None


def _is_of(handle: int, path: Path) -> bool:
    """Whether what was opened is still what is there."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def remove_folder_if_dead(folder: Path) -> None:
    """Deletes a folder of `hold_folder` whose holder has ended."""
    try:
        handle = open_lock(folder / _FOLDERS_LOCK, create=False) if WINDOWS else os.open(folder, os.O_RDONLY)
    except OSError:
        return  # gone meanwhile, or not yet held
    try:
        held = not try_lock(handle)
        if not held and not WINDOWS:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        held = True
    finally:
        os.close(handle)
    if not held and WINDOWS:
        shutil.rmtree(folder, ignore_errors=True)


def mark_as_written(handle: int, path: Path) -> bool:
    """Keeps `remove_if_dead` of other processes off a file that was just made, until the handle is closed.

    False: such a process was faster, so take another file.
    """
    if WINDOWS:  # an open file cannot be deleted there
        return True
    try:
        return try_lock(handle) and _is_of(handle, path)
    except OSError:  # of a file system without locks
        return True


def remove_if_dead(path: Path) -> None:
    """Deletes a file of `mark_as_written` whose writer has ended. OSError where it is held, or gone."""
    if WINDOWS:
        # a living writer closes its file just before it renames it
        if time.time() - path.stat().st_mtime > _STALE_S:
            path.unlink()
        return
    handle = open_lock(path, create=False)
    try:
        if try_lock(handle):
            path.unlink()
    finally:
        os.close(handle)


def replace(source: Path, target: Path) -> None:
    """Renames a file over another; neither may be open in this process."""
    for wait_s in _SCANNED_S if WINDOWS else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(wait_s)
        else:
            return
    source.replace(target)


def memory_bytes() -> int | None:
    """This machine's memory, or what a container may use of it; None where the system does not tell."""
    found: list[int] = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _MEMORY_LIMITS:
        with contextlib.suppress(ValueError, OSError):  # "max"; no such group
            found.append(int(limit.read_text(encoding="utf-8")))
    return min(found, default=None)


def usable_cpus() -> list[int] | None:
    """The CPUs that this process may run on, ascending; None where a process cannot be pinned to some of them."""
    if sys.platform == "win32" or not hasattr(os, "sched_getaffinity"):  # macOS
        return None
    return sorted(os.sched_getaffinity(0))


def is_mine(path: Path) -> bool:
    """Whether this user made a file below the temporary folder, which on Windows is a user's own."""
    return not user_id() or str(path.stat().st_uid) == user_id()


def others_may_read(path: Path) -> bool:
    """Whether a file's mode lets others on this machine read it; on Windows it does not tell. OSError: no such file"""
    mode = path.stat().st_mode
    return sys.platform != "win32" and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def user_id() -> str:
    """What tells users apart who share a temporary folder; "" where they do not."""
    if sys.platform == "win32":
        return ""
    else:  # noqa: RET505 - what a type checker for Windows must not look at
        return str(os.getuid())


def reader_has_gone(error: OSError) -> bool:
    """Whether a write failed because nobody reads the pipe any more."""
    return isinstance(error, BrokenPipeError) or (WINDOWS and error.errno == errno.EINVAL)


def group_of_its_own() -> Mapping[str, Any]:
    """Arguments of `subprocess.Popen` for a process that Ctrl-C does not reach: its parent ends it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Ends at once a process with a group of its own, and on POSIX all of that group."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


def ask_to_end(process: subprocess.Popen[Any]) -> None:
    """Asks a process with a group of its own to end in order; nothing if it has ended."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):  # it ends just now
            process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.terminate()


def pass_end_on(process: subprocess.Popen[Any]) -> None:
    """Asks a process of this process's group to end in order, after this one was asked.

    On Windows all processes on a console are asked together, and any other way would end it at once.
    """
    if not WINDOWS:
        process.terminate()


def run_on(cpus: Sequence[int]) -> None:
    """Keeps this process, and those that it starts, on some CPUs, where the system lets it."""
    if sys.platform != "win32" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def ending_with_this_process() -> Mapping[str, Any]:
    """Arguments of `subprocess.Popen` for a process that is asked to end when this one is killed; on Linux alone.

    For a process of one thread, in its main thread: Linux looks at the thread that made the child.
    """
    if not LINUX:
        return {}
    libc = ctypes.CDLL(None)
    return {"preexec_fn": lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)}


def keep_memory() -> None:
    """Memory that is freed stays with this process, up to 2 GiB, where the C library is glibc.

    Of all its threads. For trainings, where a step needs what the step before had, and the like: asking the system for
    it takes a tenth of the time.
    """
    if not LINUX:
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return  # other C libraries have none
    # first this one: the others alone would end glibc's own search for it, at 128 KiB
    if any(libc.mallopt(_M_MMAP_THRESHOLD, size) for size in _MMAP_THRESHOLDS):
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(_M_TOP_PAD, 64 << 20)
        libc.mallopt(_M_ARENA_MAX, 1)  # others hold at most 64 MiB, and threads have others


def raise_in_thread(thread: int, what: type[BaseException]) -> None:
    """Raises it in another thread of this process, by `threading.get_ident`, once its operator or call has returned."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(what))


def inheriting(handle: int) -> Mapping[str, Any]:
    """Arguments of `subprocess.Popen` for a process that keeps a lock as long as it lives; Windows has no such way."""
    return {} if WINDOWS else {"pass_fds": [handle]}


def typed(words: Sequence[str]) -> str:
    """Words as one line that a user can type: quoted as the system's shell has it, line ends in them too."""
    return subprocess.list2cmdline(words) if WINDOWS else " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Where it has what is not shown, as $'a\\nb', which bash, zsh and POSIX's shell of 2024 know."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return "\\n" if character == "\n" else "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
