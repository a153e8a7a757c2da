"""`python -m profilers.baselines` on a device whose latencies are planted."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError, UsageError
from ofa.published import PUBLISHED
from ofa.published.block_list import block_list
from ofa.published.opening import open_network
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.references import read_references
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.baselines import main
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice

SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 224)
FACTS = {"runtime": RUNTIME, "soc": SOC, "provenance": "measured", "space": SPACE.name, "source": "a test"}


def took_ms(chain: Sequence[Block]) -> float:
    return sum(round(0.01 + block_macs(block) / 5e7, 6) for block in chain)


def write_table(path: Path, classes: int = 1000, **facts: str) -> Path:
    blocks = all_blocks(get_space("mbv3-w1.0", classes), RESOLUTIONS)
    LatencyTable({"device": "D", **FACTS, **facts}, [TableRow(b, took_ms([b])) for b in blocks]).save(path)
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs the command on a device; the exit code and the file that it wrote."""
    table = write_table(tmp_path / "d.csv")

    def measure(device: PlantedDevice, *options: str) -> tuple[int, dict[str, Any]]:
        def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
            return device.measure(plan, target, rules, seed, journal=journal)

        monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
        monkeypatch.setattr("profilers.profiling.console.measure_shown", shown)
        code = main(["--table", str(table), *options])
        return code, json.loads((tmp_path / "d.baselines.json").read_text())

    return measure


Run = Callable[..., tuple[int, dict[str, Any]]]


def test_all_published_networks_are_measured_beside_found_ones(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, content = run(PlantedDevice(took_ms))
    assert (code, content["failed"], content["same_machine"]) == (0, {}, True)
    assert {one["network"] for one in content["baselines"]} == set(PUBLISHED)
    assert len({one["name"] for one in content["baselines"]}) == len(content["baselines"]) == 17
    for one in content["baselines"]:
        network = PUBLISHED[one["network"]]
        assert one["latency_ms"] == pytest.approx(took_ms(network.blocks(one["resolution"])), rel=1e-4)
        assert one["macs_millions"] * 1e6 == pytest.approx(network.macs(one["resolution"]))
        assert one["published"].keys() == one["weights"].keys() == one["found_networks"].keys() != set()
    shown = read_references(RunFile(tmp_path / "d.baselines.json", "baselines", content))
    assert [(one.name, one.latency_ms, one.top1) for one in shown.networks] == [
        (one["name"], one["latency_ms"], one["published"]) for one in content["baselines"]
    ]
    assert len(shown.found.networks) == len(content["found"])
    assert len(content["found"]) >= 5
    for found in content["found"]:
        blocks = blocks_of(SPACE, SPACE.subnet_from_dict(found["subnet"]))
        assert found["latency_ms"] == pytest.approx(took_ms(blocks), rel=1e-4)
        assert found["latency_ms"] == pytest.approx(found["predicted_ms"], rel=1e-4)
    printed = capsys.readouterr().out
    assert "MobileNetV4-Conv-M 256 px" in printed and "top-1 is predicted" in printed
    assert max(map(len, printed.splitlines())) <= 160


def test_what_found_networks_gain_is_read_off_what_was_measured(run: Run) -> None:
    """They take twice as long as their sums: it is no sum that is compared."""
    own = {tuple(PUBLISHED["mobilenet_v2"].blocks(224)): 1.0}
    chains = ["--networks", "mobilenet_v2", "--found", "5"]
    _, plain = run(PlantedDevice(took_ms), *chains)
    _, slow = run(
        PlantedDevice(lambda chain: took_ms(chain) * (own.get(tuple(chain), 2.0) if len(chain) > 1 else 1.0)), *chains
    )
    for recipe in ("paper", "timm"):
        before, after = (content["baselines"][0]["found_networks"][recipe] for content in (plain, slow))
        assert after["times_faster"] == pytest.approx(before["times_faster"] / 2, rel=1e-3)
        assert after["points_better"] < before["points_better"]
    one = plain["baselines"][0]
    assert one["published"] == {"paper": 72.0, "timm": 72.91}
    assert one["found_networks"]["paper"]["times_faster"] > one["found_networks"]["timm"]["times_faster"] > 1


def test_ones_own_network_is_measured_with_the_accuracy_that_its_file_states(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = open_network("mobilenet_v2", 192, 10)
    # its name is not what makes it the published one
    files = [tmp_path / name for name in ("mobilenet_v2.json", "other.json")]
    files[0].write_text(json.dumps(block_list(replace(network, top1=71.5))))
    files[1].write_text(json.dumps(block_list(network.at(128))))
    code, content = run(PlantedDevice(took_ms), "--networks", *map(str, files), "resnet34", "--found", "4")
    assert code == 0
    small, own, named = content["baselines"]
    assert (own["name"], own["published"]) == ("mobilenet_v2 192 px", {"stated": 71.5})
    assert own["found_networks"]["stated"]["times_faster"] > 1
    assert (own["source"], own["weights"]) == (network.source, {"stated": network.source})
    assert (small["name"], small["published"], small["found_networks"]) == ("mobilenet_v2 128 px", {}, {})
    assert (named["name"], named["published"]) == ("ResNet-34", {})
    assert "stated %" in capsys.readouterr().out
    shown = read_references(RunFile(tmp_path / "d.baselines.json", "baselines", content))
    assert shown.networks[1].top1 == {"stated": 71.5}
    # another file of that name is another run
    files[1].write_text(json.dumps(block_list(network.at(128).of_classes(20))))
    with pytest.raises(InputError, match="given"):
        run(PlantedDevice(took_ms), "--networks", *map(str, files), "resnet34", "--found", "4", "--resume")


def test_a_network_that_cannot_be_run_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    large = PUBLISHED["resnet50"].blocks(224)
    device = PlantedDevice(took_ms, fails=lambda chain: tuple(chain) == large)
    code, content = run(device, "--networks", "resnet50", "resnet18", "--found", "3", "--visits", "2")
    assert (code, content["failed"]) == (1, {"ResNet-50": "planted failure"})
    assert [one["network"] for one in content["baselines"]] == ["resnet18"]
    assert "ResNet-50 could not be measured: planted failure" in capsys.readouterr().out


def test_a_machine_that_changed_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, content = run(PlantedDevice(lambda chain: 1.2 * took_ms(chain)), "--networks", "resnet18", "--found", "3")
    assert (code, content["same_machine"], content["machine_pct"]) == (1, False, pytest.approx(20.0, abs=0.1))
    assert "found and published networks alike" in " ".join(capsys.readouterr().out.split())


def test_a_killed_run_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    options = ["--networks", "mobilenet_v2", "resnet18", "--found", "4", "--visits", "3"]
    whole = PlantedDevice(took_ms)
    _, expected = run(whole, *options)
    cut = PlantedDevice(took_ms)

    def interrupted(chain: Sequence[Block]) -> float:
        if cut.visits > 20:
            raise KeyboardInterrupt
        return took_ms(chain)

    cut.latency_ms = interrupted
    (tmp_path / "d.baselines.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        run(cut, *options)
    rest = PlantedDevice(took_ms)
    with pytest.raises(InputError, match=r"d\.baselines\.journal\.jsonl is the journal of an interrupted run"):
        run(rest, *options)
    code, content = run(rest, *options, "--resume")
    assert (code, rest.visits) == (0, whole.visits - 20)
    assert content["baselines"] == expected["baselines"]
    with pytest.raises(InputError, match="was begun with found = 4, but this one has 5"):
        run(PlantedDevice(took_ms), *options, "--found", "5", "--resume")


@pytest.mark.parametrize(
    ("table", "options", "fault"),
    [
        ({"classes": 10}, [], "is of 10 classes, and what was published is of ImageNet's 1,000"),
        ({"provenance": "imported"}, [], "is imported: only a measured table can be compared"),
        ({"emulated": "yes"}, [], "emulated device"),
        ({}, ["--networks", "mobilenet_v5"], "no published network 'mobilenet_v5', expected one of mobilenet_v2, "),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, table: dict[str, Any], options: list[str], fault: str
) -> None:
    path = write_table(tmp_path / "t.csv", **table)
    with pytest.raises(InputError, match=fault):
        main(["--table", str(path), *options])
    assert {file.name for file in tmp_path.iterdir()} == {"t.csv"}


def test_a_space_without_a_predictor_of_imagenet_is_refused_with_a_way_out_that_works(tmp_path: Path) -> None:
    blocks = all_blocks(get_space("mbv3-w0.35", 1000), RESOLUTIONS)
    facts = {"device": "D", **FACTS, "space": "mbv3-w0.35"}
    LatencyTable(facts, [TableRow(b, took_ms([b])) for b in blocks]).save(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"the predictor is not: give one of ImageNet by --predictor, or a table of a"):
        main(["--table", str(tmp_path / "t.csv")])


def test_an_output_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"b\.csv, expected a file that ends in \.json"):
        main(["--table", str(write_table(tmp_path / "t.csv")), "--out", str(tmp_path / "b.csv")])
