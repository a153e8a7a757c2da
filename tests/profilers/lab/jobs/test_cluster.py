"""The lab over a real Ray: three hosts on two nodes of this machine, of which one is killed; and the commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.tables import LatencyTable
from profilers.lab.cluster import RayHosts, connected
from profilers.lab.devices import Device, package
from profilers.lab.head import LabHead
from profilers.lab.host.actor import start_actor
from tests.helpers.labs import job, phone, run_of

if find_spec("ray") is None:  # not imported here: that takes every worker half a second, and one runs these tests
    pytest.skip("Ray is not installed: pip install 'ofa-latency[lab]'", allow_module_level=True)
# the warnings are Ray's own
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[4]
STORE = {"object_store_memory": 80 << 20, "include_dashboard": False}


# a profile of this CPU stands after ten visits as long as a file is there: however late a run looks, it is at work
STANDING = """
import os, sys, time
if "profilers.cpu" in sys.orig_argv:
    from profilers.measuring import conversation
    agent = conversation.local_agent
    def standing(*given):
        for said, event in enumerate(agent(*given)):
            while said > 20 and os.path.exists({file!r}):
                time.sleep(0.02)
            yield event
    conversation.local_agent = standing
"""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file; profiles find out by the folder that it is in."""
    file = tmp_path_factory.mktemp("standing") / "stand"
    file.with_name("sitecustomize.py").write_text(STANDING.format(file=str(file)))
    return file


@pytest.fixture(scope="module")
def cluster(stand: Path) -> Iterator[Any]:
    """A head and another node, started once for all tests; this process is connected."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as surroundings:
        paths = [str(stand.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
        surroundings.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        surroundings.setenv("RAY_AUTH_MODE", "disabled")
        surroundings.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        # hosts are actors: nothing takes the workers that each node and each command would start at once, idle
        for switch in ("enable_worker_prestart", "prestart_worker_first_driver", "enable_metrics_collection"):
            surroundings.setenv(f"RAY_{switch}", "0")
        made = Cluster()
        try:
            try:
                made.add_node(num_cpus=1, **STORE)
                made.other = made.add_node(num_cpus=1, **STORE)
            except Exception as reason:
                # what Ray raises where a node is not there after its 30 seconds; other classes are a fault of this test
                if type(reason) not in (Exception, RuntimeError, TimeoutError):
                    raise
                pytest.skip(f"Ray does not start on this machine: {reason}")
            with connected(made.address):
                yield made
        finally:
            made.shutdown()


class Commands:
    """Commands of a lab in a folder, each with its log."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._folder = address, folder
        self._processes: list[subprocess.Popen[str]] = []

    def started(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-m", "profilers.lab", *words, "--address", self._address]
        with (self._folder / f"{words[0]}.log").open("a") as log:
            process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT, text=True)
        self._processes.append(process)
        return process

    def logged(self, name: str, words: str, process: subprocess.Popen[str]) -> str:
        """Its log, when it has these words."""
        path = self._folder / f"{name}.log"
        while words not in path.read_text():
            assert process.poll() is None, path.read_text()
            time.sleep(0.1)
        return path.read_text()

    def end(self) -> None:
        """Whatever failed: an announce that is left would put its host into the lab of the next test."""
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def commands(cluster: Any, tmp_path: Path) -> Iterator[Commands]:
    made = Commands(cluster.address, tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_the_commands(cluster: Any, commands: Commands, stand: Path, tmp_path: Path) -> None:
    """announce, status, run on this CPU; all are killed in the middle, and a resumed run comes to the same end."""
    started, logged = commands.started, commands.logged
    stand.touch()
    announce = ("announce", "--name", "bench", "--only", "cpu", "--every", "1", "--work", str(tmp_path / "work"))
    first = started(*announce)
    text = logged("announce", "timed: cpu-", first)
    assert "warning: this Ray asks nobody for a token" in text
    args = ["--space", "mbv3-w0.35", "--resolutions", "64", "--limit", "6", "--timing", "warm", "--quick"]
    entry = f'[[job]]\nname = "tables"\ncommand = "profile"\nargs = {json.dumps(args)}\n'
    (tmp_path / "lab.toml").write_text(entry)
    run = started("run", "--config", "lab.toml", "--out", "out", "--patience", "5")
    logged("run", "jobs: 1, on 1 of the lab's devices", run)
    while not list((tmp_path / "out").rglob("*.journal.jsonl"))[1:]:
        assert run.poll() is None, (tmp_path / "run.log").read_text()
        time.sleep(0.05)
    # the host's part alone: announce starts it anew, and its job ended with it
    for pid in _host_parts(cluster.list_all_nodes()):
        os.kill(pid, signal.SIGKILL)
    logged("run", "host bench went away", run)
    stand.unlink()
    logged("announce", "and is started anew", first)
    first.kill()
    second = started(*announce)
    # the run itself: what it began goes on
    run.kill()
    run = started("run", "--config", "lab.toml", "--out", "out", "--patience", "5", "--resume")
    assert run.wait() == 0, (tmp_path / "run.log").read_text()
    (table,) = (tmp_path / "out" / "tables").rglob("cpu-*.csv")
    _same_as_alone(table, args, tmp_path / "alone.csv")
    status = started("status", "--run", "out")
    assert status.wait() == 0
    text = (tmp_path / "status.log").read_text()
    assert "free" in text
    assert "ended with 0 on bench" in text
    second.send_signal(signal.SIGTERM)
    assert second.wait() == 130
    assert "no longer in the lab" in (tmp_path / "announce.log").read_text()


def _host_parts(nodes: Iterable[Any]) -> list[int]:
    """The processes of announced hosts on these nodes, and of no other cluster."""
    raylets = {node.all_processes["raylet"][0].process.pid for node in nodes}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent in raylets and (folder / "cmdline").read_bytes().startswith(b"ray::HostActor"):
                found.append(int(folder.name))
    return found


def _same_as_alone(table: Path, args: list[str], out: Path) -> None:
    """The command typed by hand plans the same visits, by the same rules."""
    command = [sys.executable, "-m", "profilers.cpu", *args, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    lab, alone = (Journal.read(path.with_suffix(".journal.jsonl")) for path in (table, out))
    assert lab.settings == alone.settings
    # of the first pass: how many are made again, the machine's rest decides
    visits, typed = ({(r["number"], r["id"]) for r in each.records if r.get("pass") == 0} for each in (lab, alone))
    assert visits == typed
    # the blocks alone: what was measured of them differs, and a table has no visits_ms where the machine never rested
    blocks, typed_blocks = ([row.block for row in LatencyTable.load(path).rows] for path in (table, out))
    assert blocks == typed_blocks
    assert len(blocks) == 6


def test_a_node_that_is_killed_loses_nothing_and_two_hosts_of_one_name_are_refused(
    cluster: Any, tmp_path: Path
) -> None:
    import ray

    nodes = {"desk": cluster.head_node.node_id, "shelf": cluster.other.node_id, "rack": cluster.head_node.node_id}
    held = {
        host: start_actor(host, node, tmp_path / host, 1, [phone(f"{host}{n}") for n in (1, 2)])
        for host, node in nodes.items()
    }
    hosts = RayHosts(LabHead({}))
    while not nodes.keys() <= (there := hosts.look()).keys():
        time.sleep(0.1)
    assert {name: there[name].package for name in nodes} == dict.fromkeys(nodes, package())
    with pytest.raises(ValueError, match="host desk"):
        start_actor("desk", nodes["desk"], tmp_path / "x", 1, [])
    jobs = [
        job(f"phone-{host}{n}", seed=n, visits=150, visit_ms=20 if host != "shelf" else 100)
        for host in nodes
        for n in (1, 2)
    ]
    said: list[str] = []
    run = run_of(hosts, tmp_path / "out", jobs, said.append)
    journal = tmp_path / "out" / "tables" / "phone-shelf1" / "phone-shelf1.journal.jsonl"
    killed: list[float] = []

    def show(_: object) -> None:
        if not killed and journal.is_file() and journal.read_bytes().count(b"\n") > 20:
            killed.append(time.monotonic())
            # a machine that dies takes all with it; Ray's own end, alone, may be noticed after the jobs have ended
            parts = _host_parts([cluster.other])
            cluster.other.all_processes["raylet"][0].process.kill()
            for pid in parts:
                os.kill(pid, signal.SIGKILL)
        if killed and any("host shelf went away" in line for line in said):
            # its phones are put into another host
            held["rack"].attach.remote([phone(f"{host}{n}") for host in ("rack", "shelf") for n in (1, 2)])

    run.show = show
    try:
        run.to_the_end()
    finally:
        run.journal.close()
    assert [task.state for task in run.tasks] == ["done"] * 6
    assert {task.job.device: task.host for task in run.tasks if "shelf" in task.job.device} == dict.fromkeys(
        ("phone-shelf1", "phone-shelf2"), "rack"
    )
    for task in run.tasks:
        records = Journal.read(task.folder / f"{task.job.subject}.journal.jsonl").records
        assert [record["visit"] for record in records] == [*range(150)]
    for actor in held.values():
        ray.kill(actor)


def test_where_no_ray_runs_it_is_said() -> None:
    with pytest.raises(InputError, match=r"no Ray answers at --address 127\.0\.0\.1:9 \("), connected("127.0.0.1:9"):
        pass


def test_devices_travel() -> None:
    import ray.cloudpickle as pickle

    device = Device("phone-1", "phone", "S", "M", "C")
    assert pickle.loads(pickle.dumps(device)) == device


def test_a_head_that_dies_ends_the_commands_with_a_line_of_ours(
    cluster: Any, commands: Commands, stand: Path, tmp_path: Path
) -> None:
    """The last test of this file: the cluster is no more."""
    import ray

    stand.touch()
    words = ("--name", "bench", "--only", "cpu", "--every", "1", "--work", str(tmp_path / "work"))
    announce = commands.started("announce", *words)
    commands.logged("announce", "timed: cpu-", announce)
    # long, and of models that keep no core busy for long
    args = ["--space", "mbv3-w0.35", "--resolutions", "64", "--limit", "2", "--timing", "warm", "--quick"]
    args += ["--rounds", "1000"]
    entry = f'[[job]]\nname = "tables"\ncommand = "profile"\nargs = {json.dumps(args)}\n'
    (tmp_path / "lab.toml").write_text(entry)
    run = commands.started("run", "--config", "lab.toml", "--out", "out")
    commands.logged("run", "jobs: 1, on 1 of the lab's devices", run)
    ray.shutdown()  # else Ray ends this process too
    cluster.head_node.all_processes["gcs_server"][0].process.kill()
    assert (run.wait(), announce.wait()) == (2, 2)
    ends = {name: (tmp_path / f"{name}.log").read_text().splitlines()[-1] for name in ("run", "announce")}
    gone = f"error: the lab's Ray at --address {cluster.address} went away ("
    assert [end.startswith(gone) for end in ends.values()] == [True, True], ends
    resume = f"python -m profilers.lab run --config lab.toml --out out --resume --address {cluster.address}"
    assert ends["run"].endswith(f"; when it is there again, and its hosts are announced, go on with: {resume}")
    assert ends["announce"].endswith("; when it is there again, start this command again")
