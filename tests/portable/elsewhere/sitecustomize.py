# ruff: noqa - paths as the system has them, before anything of ours is imported
"""Another operating system, as far as Linux can play it, for this project's modules and for them alone.

Every Python that is started with this folder on PYTHONPATH, and with OFA_ELSEWHERE=win32 or darwin, shows the project's
modules what they would see there: modules and functions that are missing, `sys.platform`, a `msvcrt` that locks.
For win32, it also refuses what Windows refuses: to rename or delete a file that this process has open, names with ":"
and such, folders that are opened, fsync of what is open to read. Processes are spawned, never forked. Text that is
opened without an encoding is an error.

What it cannot play: paths with a backslash, other processes' open files, the console, the runtimes' own builds.
"""

import builtins
import errno
import fcntl
import multiprocessing
import os
import re
import signal
import stat
import subprocess
import sys
import types
import warnings

HERE = os.environ.get("OFA_ELSEWHERE", "")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
OURS = tuple(os.path.join(ROOT, name) + os.sep for name in ("ofa", "profilers", "device_agents", "latency_tables"))
# written on several systems, these are not in Python there (its documentation, 3.11)
MODULES = {
    "win32": {"crypt", "curses", "fcntl", "grp", "nis", "ossaudiodev", "posix", "pty", "pwd", "readline", "resource",
              "spwd", "syslog", "termios", "tty"},
    "darwin": {"msvcrt", "nis", "ossaudiodev", "spwd", "winreg", "winsound", "_winapi"},
}  # fmt: skip
NAMES = {
    "win32": {
        "os": "chown chroot confstr copy_file_range ctermid eventfd fchdir fchmod fchown fdatasync fork forkpty "
              "fpathconf fstatvfs get_blocking getegid geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp "
              "getpriority getrandom getresgid getresuid getsid getuid getxattr initgroups killpg lchown listxattr "
              "lockf major makedev memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2 "
              "posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev readv "
              "register_at_fork removexattr sched_get_priority_max sched_get_priority_min sched_getaffinity "
              "sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setparam "
              "sched_setscheduler sched_yield sendfile set_blocking setegid seteuid setgid setgroups setns setpgid "
              "setpriority setregid setresgid setresuid setreuid setsid setuid setxattr splice statvfs sync sysconf "
              "tcgetpgrp tcsetpgrp ttyname uname unshare wait wait3 wait4 waitid writev WNOHANG WIFEXITED WIFSIGNALED "
              "WEXITSTATUS WTERMSIG O_CLOEXEC O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_NDELAY O_SYNC O_DSYNC O_RSYNC "
              "O_NOCTTY O_ASYNC O_DIRECT O_NOATIME O_PATH O_TMPFILE O_LARGEFILE O_ACCMODE F_LOCK F_TLOCK F_ULOCK",
        "signal": "SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT "
                  "SIGRTMAX SIGRTMIN SIGSTKFLT SIGSTOP SIGSYS SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 "
                  "SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm getitimer pause "
                  "pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo",
        "socket": "AF_UNIX AF_NETLINK AF_PACKET AF_VSOCK socketpair_unix",
        "time": "clock_getres clock_gettime clock_gettime_ns clock_settime pthread_getcpuclockid tzset CLOCK_MONOTONIC "
                "CLOCK_REALTIME CLOCK_THREAD_CPUTIME_ID CLOCK_PROCESS_CPUTIME_ID CLOCK_BOOTTIME",
        "select": "poll epoll PIPE_BUF",
    },
    "darwin": {
        "os": "copy_file_range eventfd fdatasync getrandom getresgid getresuid getxattr listxattr memfd_create pidfd_open "
              "pipe2 posix_fadvise posix_fallocate removexattr sched_getaffinity sched_getparam sched_getscheduler "
              "sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler setns setresgid setresuid "
              "setxattr splice unshare O_DIRECT O_NOATIME O_PATH O_TMPFILE O_LARGEFILE O_RSYNC",
        "signal": "SIGCLD SIGPOLL SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT sigtimedwait sigwaitinfo",
        "socket": "AF_NETLINK AF_PACKET AF_VSOCK",
        "time": "pthread_getcpuclockid CLOCK_BOOTTIME",
        "select": "epoll",
    },
}  # fmt: skip
BREAK = signal.SIGUSR1  # stands for Ctrl-Break
_NO_NAME = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$|^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$', re.IGNORECASE)
_KERNELS = ("/proc/", "/dev/", "/sys/")


class Veiled(types.ModuleType):
    """A module without some of its names, and with others; what is set goes to the module itself."""

    def __init__(self, module, hidden, added):
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _hidden=frozenset(hidden), _added=added)

    def __getattr__(self, name):
        if name in self._added:
            return self._added[name]
        if name in self._hidden:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on {HERE}")
        return getattr(self._module, name)

    def __setattr__(self, name, value):
        setattr(self._module, name, value)


class Popen(subprocess.Popen):
    """As on Windows, which knows creation flags, and neither sessions nor handed-on files."""

    def __init__(self, *arguments, creationflags=0, **more):
        if {"preexec_fn", "pass_fds", "start_new_session", "process_group", "user", "group"} & set(more):
            raise ValueError(f"{sorted(more)}: not supported on Windows platforms")
        super().__init__(*arguments, **more, start_new_session=bool(creationflags))


def _opened(path, flags, mode=0o777, **more):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return os.open(path, flags, mode, **more)


def _synced(handle):
    if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    os.fsync(handle)


def _locking(handle, mode, count):
    assert os.lseek(handle, 0, os.SEEK_CUR) >= os.fstat(handle).st_size, "others could not read what is locked"
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


def _no_key(*_):
    raise FileNotFoundError(errno.ENOENT, "The system cannot find the file specified")


def _made(name, **content):
    module = types.ModuleType(name)
    module.__dict__.update(content)
    return module


def _veils():
    added = {"sys": {"platform": HERE}}
    if HERE == "win32":
        added |= {
            "os": {"name": "nt", "open": _opened, "fsync": _synced, "O_BINARY": 0, "linesep": "\r\n"},
            "signal": {"SIGBREAK": BREAK, "CTRL_BREAK_EVENT": BREAK, "CTRL_C_EVENT": signal.SIGINT},
            "subprocess": {"Popen": Popen, "CREATE_NEW_PROCESS_GROUP": 0x200, "CREATE_NO_WINDOW": 0x8000000},
        }
    hidden = NAMES[HERE]
    more = {  # for our modules alone: others would want all of them
        "msvcrt": _made("msvcrt", LK_NBLCK=2, LK_LOCK=1, LK_UNLCK=0, locking=_locking),
        "winreg": _made("winreg", HKEY_LOCAL_MACHINE=0, OpenKey=_no_key, QueryValueEx=_no_key),
    }
    return (more if HERE == "win32" else {}) | {
        name: Veiled(__import__(name), hidden.get(name, "").split(), added.get(name, {})) for name in {*hidden, *added}
    }


def _importer(veils):
    real = builtins.__import__
    gone = MODULES[HERE]

    def importing(name, globals=None, locals=None, fromlist=(), level=0):
        if level == 0 and globals and str(globals.get("__file__", "")).startswith(OURS):
            if name.partition(".")[0] in gone:
                raise ModuleNotFoundError(f"No module named {name!r}, on {HERE}", name=name)
            if name in veils:
                return veils[name]
        return real(name, globals, locals, fromlist, level)

    return importing


def _is_open(path):
    """Whether this process has the file open, or mapped into its memory."""
    found = os.stat(path, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return False
    for handle in os.listdir("/proc/self/fd"):
        try:
            there = os.stat(f"/proc/self/fd/{handle}")
        except OSError:
            continue
        if (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino):
            return True
    with open("/proc/self/maps", "rb") as maps:
        return any(line.split()[4:5] == [b"%d" % found.st_ino] for line in maps)


def _refusals():
    """An audit hook that refuses what Windows refuses."""
    busy = False

    def whole(path, folder):
        path = os.fsdecode(path)
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path) if folder not in (-1, None) else path

    def hook(event, arguments):
        nonlocal busy
        if busy or event not in ("os.rename", "os.remove", "os.mkdir", "open"):
            return
        busy = True
        try:
            judge(event, arguments)
        finally:
            busy = False

    def judge(event, arguments):
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and isinstance(flags, int) and flags & (os.O_CREAT | os.O_TRUNC):
                check_name(os.fsdecode(path))
            return
        if event == "os.mkdir":
            check_name(whole(arguments[0], arguments[2]))
            return
        paths = [whole(arguments[0], arguments[-2] if event == "os.rename" else arguments[1])]
        if event == "os.rename":
            paths.append(whole(arguments[1], arguments[3]))
            check_name(paths[1])
        for path in paths:
            if os.path.lexists(path) and not path.startswith(_KERNELS) and _is_open(path):
                raise PermissionError(errno.EACCES, "The file is being used by this process (as on Windows)", path)

    def check_name(path):
        if not path.startswith(_KERNELS) and _NO_NAME.search(os.path.basename(path)):
            raise OSError(errno.EINVAL, "Not a name on Windows", path)

    return hook


if HERE:
    warnings.filterwarnings("error", category=EncodingWarning, module=r"(ofa|profilers|device_agents|latency_tables)\b")
    multiprocessing.set_start_method("spawn", force=True)
    builtins.__import__ = _importer(_veils())
    if HERE == "win32":
        sys.addaudithook(_refusals())
