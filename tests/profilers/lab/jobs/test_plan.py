"""lab.toml: what is wrong is named with its place; which jobs follow from devices, and the words of each."""

from dataclasses import replace
from pathlib import Path

import pytest

from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.lab.devices import Device, Host, announced
from profilers.lab.plan import Job, make_plan, read_entries
from profilers.lab.run.check import check_words
from profilers.lab.tables_of import given_files, regenerate_jobs
from tests.helpers.labs import phone
from tests.profilers.changes.regenerated import ENTRY, table

PIXEL, OTHER = phone("1"), phone("2", model="Galaxy S24", soc="Exynos 2400")
CPU = Device("cpu-1", "cpu", "", "EPYC", "EPYC")
GPU = Device("gpu-1", "gpu", "cuda:1", "H100", "H100")
BOARD = Device("board-1", "board", "pi@pi", "Raspberry Pi 5", "Raspberry Pi 5")
HERE = Device("host-1", "host", "", "EPYC", "EPYC")
DEVICES = {device.id: ("h", device) for device in (PIXEL, OTHER, phone("3"), CPU, GPU, BOARD, HERE)}
SPACE = "--space mbv3-w1.0"
PROFILE = '[[job]]\nname = "tables"\ncommand = "profile"\nargs = ["--space", "mbv3-w1.0", "--quick"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "lab.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected [[job]] entries and nothing else"),
        ("job = 3", "expected [[job]] entries and nothing else"),
        ("job = [3]", "job 1 is 3, expected [[job]] and its fields"),
        ("[[job]]\ncommand = 3", "job 1: command is 3, expected a text"),
        ("[[job]]\ncommand = 'reboot'", "job 1: command is 'reboot', expected one of profile, validate, "),
        ("[[job]]\nargs = []", "job 1: command is missing, expected a text"),
        (PROFILE + "wehn = 1", "job 1: 'wehn' is no field of a job"),
        (PROFILE + "devices = 1", "job 1: 'devices' is no field of a job"),
        (PROFILE + PROFILE, "job 2: name is 'tables', which an earlier job has"),
        ("[[job]]\nname = '../x'\ncommand = 'profile'", "name is '../x', expected a short name that"),
        ("[[job]]\nname = 'a\\u001b'\ncommand = 'profile'".replace("'", '"'), r"name is 'a\x1b', expected"),
        ("[[job]]\nname = 'Report.md'\ncommand = 'profile'", "name is 'Report.md', which is a file of the run"),
        (PROFILE.replace('"--quick"', '"--serial=X"'), "job 1: args has --serial, which the lab gives"),
        (PROFILE.replace('"--quick"', "3"), "job 1: args is ["),
        (PROFILE + "on = 'Pixel'", 'on is \'Pixel\', expected facts of devices, such as { model = "Pixel*" }'),
        (PROFILE + "on = { colour = 'red' }", "on has 'colour', expected one of kind, model"),
        (PROFILE + "on = { model = 8 }", "job 1: model is 8, expected a text"),
        (PROFILE + "on = { kind = 'host' }", "kind is 'host', the command is for cpu, gpu, phone, board"),
        (PROFILE + "one_of_each = 'colour'", "one_of_each is 'colour', expected one of model, soc, host"),
        (PROFILE + "at_least = -1", "job 1: at_least is -1, expected a whole number, 0 or more"),
        (PROFILE + "retries = true", "job 1: retries is true, expected a whole number, 0 or more"),
        (PROFILE + "files = ['nix.json']", "job 1: there is no file "),
        (PROFILE + "after = 'x'", "job 1: after is 'x', expected the name of an earlier job"),
        ("[[job]]\ncommand = 'validate'", "validate takes a table: name the job that makes it, by after"),
        (PROFILE + "[[job]]\ncommand='doctor'\nafter='tables'", "doctor takes no table: leave after out"),
        ("[[job]]\ncommand = 'regenerate'", "regenerate needs tables, its list of tables"),
        (PROFILE + "tables = 'lab.toml'", "profile has no tables"),
        ("[[job", "not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as raised:
        read_entries(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


def test_no_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_entries(tmp_path / "nix.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_entries(tmp_path)


def words(jobs: tuple[Job, ...]) -> dict[str, str]:
    return {job.name: " ".join(job.words) for job in jobs}


def test_every_device_gets_the_command_of_its_kind(tmp_path: Path) -> None:
    plan = make_plan(read_entries(written(tmp_path, PROFILE)), DEVICES)
    assert words(plan.jobs) == {
        "tables/cpu-1": "profilers.cpu --space mbv3-w1.0 --quick --out cpu-1.csv --resume",
        "tables/gpu-1": "profilers.gpu --space mbv3-w1.0 --quick --device cuda:1 --out gpu-1.csv --resume",
        **{
            f"tables/phone-{n}": f"profilers.android {SPACE} --quick --serial {n} --out phone-{n}.csv --resume"
            for n in (1, 2, 3)
        },
        "tables/board-1": "profilers.linux --space mbv3-w1.0 --quick --host pi@pi --out board-1.csv --resume",
    }
    for job in plan.jobs:
        check_words("lab.toml", job)


def test_devices_are_chosen_by_their_facts(tmp_path: Path) -> None:
    text = PROFILE + 'on = { kind = "phone", model = "pixel*" }\nat_least = 3\n'
    plan = make_plan(read_entries(written(tmp_path, text)), DEVICES)
    assert [job.device for job in plan.jobs] == ["phone-1", "phone-3"]
    lacks = "devices that fit kind 'phone', model 'pixel*': 2, expected at least 3"
    assert plan.missing == {"tables": lacks}
    text = PROFILE + 'on = { kind = "phone" }\none_of_each = "soc"\n'
    plan = make_plan(read_entries(written(tmp_path, text)), DEVICES)
    assert [job.device for job in plan.jobs] == ["phone-1", "phone-2"]


def test_what_follows_a_table_runs_on_the_device_that_was_measured(tmp_path: Path) -> None:
    text = PROFILE + 'on = { model = "Pixel*" }\n[[job]]\ncommand = "validate"\nafter = "tables"\n'
    text += '[[job]]\nname = "find"\ncommand = "search"\nargs = ["--latency", "20"]\nafter = "tables"\n'
    text += '[[job]]\ncommand = "collect"\nargs = ["--checkpoint", "{shard}"]\non = { kind = "host" }'
    devices = {**DEVICES, "host-2": ("g", Device("host-2", "host"))}
    found = words(make_plan(read_entries(written(tmp_path, text)), devices).jobs)
    assert {name: line for name, line in found.items() if not name.startswith("tables")} == {
        "validate/phone-1": "profilers.validate --serial 1 --table phone-1.csv --resume",
        "validate/phone-3": "profilers.validate --serial 3 --table phone-3.csv --resume",
        # a search needs no device: the tables are spread over the hosts
        "find/phone-1": "ofa.search --latency 20 --table phone-1.csv --out search",
        "find/phone-3": "ofa.search --latency 20 --table phone-3.csv --out search",
        "collect/host-1": "ofa.predictors.collect --checkpoint 1/2 --out accuracies.csv --resume",
        "collect/host-2": "ofa.predictors.collect --checkpoint 2/2 --out accuracies.csv --resume",
    }
    jobs = make_plan(read_entries(written(tmp_path, text)), devices).jobs
    assert [job.device for job in jobs if job.entry == "find"] == ["host-1", "host-2"]
    assert [Job.from_dict(job.to_dict()) for job in jobs] == [*jobs]


def test_words_that_a_command_does_not_take_are_refused_before_anything_runs(tmp_path: Path) -> None:
    text = PROFILE.replace("--quick", "--quikc")
    (job, *_) = make_plan(read_entries(written(tmp_path, text)), DEVICES).jobs
    with pytest.raises(InputError, match=r"^lab.toml: args of tables are not those of profilers.cpu: .*--quikc"):
        check_words("lab.toml", job)


def test_regenerated_tables_find_their_devices(tmp_path: Path) -> None:
    text = ENTRY.format(file="a.csv") + ENTRY.format(file="b.csv")
    text += ENTRY.format(file="c.csv").replace('"cpu"', '"android"').replace('["', '["--serial", "3", "')
    text += ENTRY.format(file="d.csv").replace('"cpu"', '"android"')
    (tmp_path / "tables.toml").write_text(text)
    committed = table(0, {}, 1.0)
    committed.save(tmp_path / "a.csv")
    (tmp_path / "baseline" / "a").mkdir(parents=True)
    committed.save(tmp_path / "baseline" / "a" / "2026-01-01.csv")
    (entry,) = read_entries(written(tmp_path, "[[job]]\ncommand = 'regenerate'\ntables = 'tables.toml'\n"))
    soc = committed.header["soc"]
    here = Device("cpu-2", "cpu", "", soc, soc)
    jobs, skipped = regenerate_jobs(entry, {**DEVICES, "cpu-2": ("h", here)})
    assert {job.name: (job.device, " ".join(job.words)) for job in jobs} == {
        f"regenerate/{name}": (
            device,
            f"profilers.regenerate --config given/tables.toml --only {name}.csv --out new --resume",
        )
        for name, device in (("a", "cpu-2"), ("c", "phone-3"))
    }
    assert skipped == [
        "regenerate: b.csv is skipped: it is new, and 2 devices could be meant: narrow it by on",
        "regenerate: d.csv is skipped: its args name no --serial, which a lab needs",
    ]
    # a table that knows its device is not measured on another of its model, and its list says on how many CPUs
    LatencyTable({**committed.header, "device_id": "cpu-3"}, committed.rows).save(tmp_path / "a.csv")
    (tmp_path / "tables.toml").write_text(ENTRY.format(file="a.csv").replace('["', '["--threads", "3", "'))
    cpus = {name: ("h", replace(here, id=name)) for name in ("cpu-2", "cpu-3")}
    ((job,), _) = regenerate_jobs(entry, cpus)
    assert (job.device, job.threads) == ("cpu-3", 3)
    del cpus["cpu-3"]
    renamed = "a machine that was renamed has a new id: write that into the table"
    assert regenerate_jobs(entry, cpus) == (
        [], [f"regenerate: a.csv is skipped: its device, cpu-3, is not in the lab; {renamed}"]
    )  # fmt: skip
    assert sorted(given_files(entry, "a.csv")) == [
        "given/a.csv", "given/baseline/a/2026-01-01.csv", "given/tables.toml"
    ]  # fmt: skip


def test_hosts_of_another_package_and_devices_announced_twice_are_refused_and_named() -> None:
    hosts = {
        "a": Host("a", "1", {}, (PIXEL, OTHER, HERE)),
        "b": Host("b", "1", {}, (PIXEL, HERE, phone("9", trouble="it is locked"))),
        "c": Host("c", "2", {}, (CPU,)),
    }
    found = announced(hosts, "1")
    assert found.devices == {OTHER.id: ("a", OTHER)}
    assert found.refused == (
        "host c is left out: it has 2, here is 1: install the same on all hosts",
        "phone-1 (Pixel 8) is announced by a and b: unplug it from one of them",
        "host-1 (EPYC) is announced by a and b: stop one of them, or, if they are two machines, give each a host name "
        "of its own (hostnamectl)",
        "phone-9 (Pixel 8) on b: it is locked",
    )
