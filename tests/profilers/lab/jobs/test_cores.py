"""Which CPUs are timed on a host, and whose jobs take turns; the leash that ends with whoever holds it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from profilers.lab.devices import Device
from profilers.lab.host.attached import parse_gpus
from profilers.lab.host.cores import in_words, must_wait, share_out
from profilers.lab.host.jobs import HostJobs
from profilers.lab.host.leash import START, is_held
from profilers.lab.orders import Begun, Order
from tests.helpers.labs import PROFILER, phone

CPU, HOST = Device("cpu-1", "cpu"), Device("host-1", "host")
GPUS = [Device(f"gpu-{n}", "gpu", f"cuda:{n}") for n in (0, 1)]


@pytest.mark.parametrize(
    ("usable", "timed", "shares", "waiting"),
    [
        # timed on the last ones; a GPU is launched from one of its own; what times nothing has the rest
        (range(8), 2, {"cpu-1": ({6, 7}, 8), "gpu-0": ({5}, 5), "gpu-1": ({4}, 5), "phone-1": (set(), 4)}, set()),
        (range(4), 1, {"cpu-1": ({3}, 2), "gpu-0": ({2}, 2), "gpu-1": ({1}, 2), "phone-1": (set(), 1)}, set()),
        # too few: whoever would use a CPU that is timed waits
        ([0, 1], 1, {"cpu-1": ({1}, 2), "gpu-0": ({0}, 1), "gpu-1": ({0}, 1), "phone-1": (set(), 1)},
         {"cpu-1", "gpu-0", "gpu-1", "phone-1"}),
        ([5], 1, {"cpu-1": ({5}, 1), "gpu-0": ({5}, 1), "gpu-1": ({5}, 1), "phone-1": (set(), 1)},
         {"cpu-1", "gpu-0", "gpu-1", "phone-1"}),
    ],
)  # fmt: skip
def test_nothing_shares_a_timed_cpu(
    usable: list[int], timed: int, shares: dict[str, tuple[set[int], int]], waiting: set[str]
) -> None:
    cores = share_out([CPU, *GPUS, phone("1")], usable, timed)
    assert {name: set(each.timed) for name, each in cores.items()} == {name: own for name, (own, _) in shares.items()}
    turns = {a for a in cores for b in cores if a != b and must_wait(cores[a], cores[b])}
    assert turns == waiting
    for a in cores.values():
        for b in cores.values():
            assert a is b or must_wait(a, b) == must_wait(b, a)
            assert a is b or must_wait(a, b) or not a.timed & b.allowed
    assert all(each.allowed <= set(usable) and each.allowed for each in cores.values())


def test_where_nothing_is_pinned_jobs_that_time_something_here_take_turns() -> None:
    cores = share_out([CPU, phone("1"), phone("2")], None, 1)
    assert must_wait(cores["cpu-1"], cores["phone-1"])
    assert not must_wait(cores["phone-1"], cores["phone-2"])


def test_cores_in_words() -> None:
    assert in_words(share_out([CPU, phone("1")], range(4), 2)) == "timed: cpu-1 on CPU 2,3"
    assert in_words(share_out([phone("1"), HOST], range(4), 2)) == "no CPU of this host is timed"
    assert in_words(share_out([CPU, phone("1")], [0], 1)) == (
        "timed: cpu-1 on CPU 0; one at a time, for want of CPUs: cpu-1, phone-1"
    )


def test_the_hosts_cpu_is_timed_on_the_cpus_that_are_kept_for_it(tmp_path: Path) -> None:
    jobs = HostJobs(tmp_path, timed=2, usable=range(4))
    jobs.attach([CPU])
    many, other = (Order("j", "cpu-1", ("x",), "r", "me", *asked) for asked in ((3, ()), (1, (0,))))
    assert jobs.begin(many, {}).refused == (
        "--threads is 3, and 2 CPUs are kept for timing: announce this host with --timed-cpus 3"
    )
    assert jobs.begin(other, {}).refused == (
        "--cpu names CPU 0, and CPU 2,3 is kept for timing: see announce's --timed-cpus"
    )
    assert jobs.begin(Order("j", "gpu-9", ("x",), "r", "me"), {}).waits == "it is not attached"


def test_gpus_are_read_off_nvidia_smi() -> None:
    found = parse_gpus(["0, NVIDIA H100 80GB HBM3, GPU-1", "1, A, B, GPU-2", "No devices were found", ""])
    assert [(gpu.address, gpu.model) for gpu in found] == [("cuda:0", "NVIDIA H100 80GB HBM3"), ("cuda:1", "A, B")]


def test_a_command_ends_with_whoever_holds_its_leash_and_with_the_leash(tmp_path: Path) -> None:
    program = "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    for how in ("let go", "kill"):
        (tmp_path / "pid").unlink(missing_ok=True)
        words = [*START, "-", "log.txt", sys.executable, "-c", program]
        leash = subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.PIPE)
        assert leash.stdin is not None
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
        pid = int((tmp_path / "pid").read_text())
        if how == "kill" and sys.platform != "linux":
            pytest.skip("only Linux ends a process with its parent")
        if how == "kill":
            leash.kill()
        leash.stdin.close()
        leash.wait()
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.02)


def test_an_attempt_waits_for_the_end_of_the_one_before(tmp_path: Path) -> None:
    """Its host's part was killed, and started anew before the command had ended."""
    attached = [phone("1")]
    killed, again = (HostJobs(tmp_path, usable=[0]) for _ in range(2))
    for jobs in (killed, again):
        jobs.attach(attached)
    order = Order("j", "phone-1", (PROFILER, "--out", "a.csv", "--visits", "500", "--visit-ms", "5"), "r", "me")
    assert killed.begin(order, {}) == Begun()
    while not is_held(tmp_path / order.key):
        time.sleep(0.02)
    waits = again.begin(order, {})
    assert waits == Begun("its last attempt, which was cut off, has not ended yet", by_run="r")
    killed.close()
    assert not is_held(tmp_path / order.key)
    assert again.begin(order, {}) == Begun()
    again.close()
