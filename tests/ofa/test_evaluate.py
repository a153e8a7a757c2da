"""`python -m ofa.evaluate`: figures against their definition, resuming, processes, and the user's mistakes."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ofa.checkpoints.weights import save_checkpoint, save_network
from ofa.errors import InputError
from ofa.evaluate import scores
from ofa.evaluate.__main__ import COMMAND, main
from ofa.evaluate.run import evaluate_networks
from ofa.images.files.folder import ImageFolder
from ofa.images.reading import batches, random_indices
from ofa.networks import build_supernet, calibrate_bn, extract
from ofa.networks.calibrate import Calibrating
from ofa.space import get_space
from ofa.space.description import space_record
from tests.helpers.photographs import write_classes
from tests.helpers.supernets import TINY

SPACE = get_space(str(TINY), 6)
MIT = get_space("mbv3-w0.1", 6)  # files of the original are of its spaces
POOR = ["--calibration-batch", 5, "--allow-poor-calibration"]  # there are twelve training images
SUBNET = SPACE.subnet([3] * 6, [3] * 6, [2] * 2, 32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """imgs: 6 classes, 2 training and 3 validation images each; supernet; network, its extracted sub-network."""
    root = tmp_path_factory.mktemp("evaluate")
    write_classes(root / "imgs", {"train": 2, "val": 3}, classes=6)
    torch.manual_seed(0)
    net = build_supernet(SPACE, dropout=0.0, resolutions=(32, 48))
    save_checkpoint(net, root / "supernet.safetensors")
    photographs = ImageFolder(root / "imgs", split="train")
    training = batches(photographs, 32, 5, indices=random_indices(photographs, 2000))
    statistics = calibrate_bn(net, SUBNET, Calibrating(5).batches(training))
    save_network(extract(net.eval(), SUBNET, statistics), root / "network")
    (root / "subnet.json").write_text(json.dumps({**space_record(SPACE), "subnet": SUBNET.to_dict()}))
    return root


def evaluate(out: Path, *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.parent.glob("*journal*")) == []
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def figures(result: dict[str, Any]) -> list[list[float]]:
    return [[row[key] for key in ("images", "top1", "top5", "loss")] for row in result["results"]]


def supernet_flags(files: Path) -> list[object]:
    return ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--batch-size", 5, *POOR]


def test_figures_are_those_of_the_definition(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(tmp_path / "r.json", "--checkpoint", files / "network", "--data", files / "imgs")
    from ofa.checkpoints.weights import load_network

    images, labels = next(batches(ImageFolder(files / "imgs"), 32, 18))
    with torch.no_grad():
        logits = load_network(files / "network")(images)
    order = logits.argsort(1, descending=True)
    top1 = 100 * (order[:, 0] == labels).float().mean().item()
    top5 = 100 * (order[:, :5] == labels[:, None]).any(1).float().mean().item()
    assert figures(found)[0] == pytest.approx([18, top1, top5, F.cross_entropy(logits, labels).item()], rel=1e-5)
    printed = capsys.readouterr().out
    assert "top-1" in printed
    assert "next: deploy it with python -m ofa.export" in printed


def test_scores_by_hand() -> None:
    logits = torch.zeros(3, 7)
    logits[0, 2] = 1  # first
    logits[1] = torch.tensor([7.0, 6, 5, 4, 3, 2, 1])  # label 4 is fifth
    logits[2] = torch.tensor([7.0, 6, 5, 4, 3, 2, 1])  # label 5 is sixth
    found = scores.scores_of(logits, torch.tensor([2, 4, 5]))
    assert (found.images, found.top1, found.top5) == (3, 1, 2)
    assert (found + found).to_dict()["top1"] == pytest.approx(100 / 3)
    assert scores.Scores().to_dict() == {"images": 0, "top1": None, "top5": None, "loss": None}


def test_a_supernets_subnetwork_is_calibrated_and_equals_the_extracted_one(files: Path, tmp_path: Path) -> None:
    specialised = evaluate(
        tmp_path / "a.json", "--checkpoint", files / "network", "--data", files / "imgs", "--batch-size", 5
    )
    supernet = evaluate(tmp_path / "b.json", *supernet_flags(files), "--subnet", files / "subnet.json")
    assert figures(supernet)[0] == pytest.approx(figures(specialised)[0], rel=1e-4)
    assert supernet["results"][0]["subnet"] == SUBNET.to_dict()
    assert supernet["calibration_images"] == 12


def test_every_result_of_a_search_is_evaluated(files: Path, tmp_path: Path) -> None:
    rows = [
        {"table": "phone", "limit_ms": ms, "latency_ms": ms - 1.0, "predicted_top1": 70.0, "subnet": SUBNET.to_dict()}
        for ms in (10.0, 20.0)
    ]
    search = tmp_path / "search.json"
    search.write_text(json.dumps({**space_record(SPACE), "num_classes": 6, "results": rows}))
    both = evaluate(tmp_path / "r.json", *supernet_flags(files), "--subnet", search)
    assert [row["name"] for row in both["results"]] == ["phone 10 ms", "phone 20 ms"]
    assert both["results"][0]["predicted_top1"] == 70.0
    one = evaluate(tmp_path / "r.json", *supernet_flags(files), "--subnet", search, "--index", 1)
    assert figures(one) == figures(both)[1:]


def test_random_subnetworks_at_a_resolution(files: Path, tmp_path: Path) -> None:
    flags = [*supernet_flags(files), "--random", 2, "--limit", 7]
    first, again = (evaluate(tmp_path / "r.json", *flags, "--resolution", 40) for _ in range(2))
    assert [row["resolution"] for row in first["results"]] == [40, 40]
    assert figures(first) == figures(again)
    assert first["results"][0]["images"] == 7
    assert {row["resolution"] for row in evaluate(tmp_path / "r.json", *flags)["results"]} <= {32, 48}


def test_from_python_it_returns_what_the_command_writes_and_prints_nothing(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*supernet_flags(files), "--random", 2, "--limit", 7]
    written = evaluate(tmp_path / "a.json", *flags)
    capsys.readouterr()
    found = evaluate_networks(COMMAND.parse([*map(str, flags), "--out", str(tmp_path / "b.json")]))
    assert capsys.readouterr() == ("", "")
    assert [network.to_dict() for network in found.networks] == written["results"]
    assert found.to_dict()["settings"] == written["settings"]
    assert written["settings"]["checkpoint"]["sha256"] == written["checkpoint_sha256"]


class Killed(BaseException):
    pass


def test_a_killed_run_continues_to_the_same_result(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*supernet_flags(files), "--random", 2]
    whole = evaluate(tmp_path / "whole" / "r.json", *flags)
    out = tmp_path / "killed" / "r.json"
    calls = 0

    def counted(logits: torch.Tensor, labels: torch.Tensor, last: int = 6) -> scores.Scores:
        nonlocal calls
        calls += 1
        if calls == last:
            raise Killed
        return original(logits, labels)

    original = scores.scores_of
    monkeypatch.setattr(scores, "scores_of", counted)
    with pytest.raises(Killed):
        evaluate(out, *flags)
    journal = out.with_name("r.journal.0.jsonl")
    with journal.open("a") as file:
        file.write('{"network": 1, "chu')  # as a killed process may leave it
    with pytest.raises(InputError, match="continue it with --resume"):
        evaluate(out, *flags)
    with pytest.raises(InputError, match="seed = 0, but this one has 1: give the same settings"):
        main([*map(str, flags), "--out", str(out), "--resume", "--seed", "1", "--limit", "18"])
    calls = 100
    resumed = evaluate(out, *flags, "--resume")
    assert resumed["results"] == whole["results"]
    assert calls == 100 + 2 * 4 - 5  # five of eight chunks were done
    assert evaluate(out, *flags, "--resume")["results"] == whole["results"]  # nothing to continue: anew


def test_broken_images_are_counted_or_refused(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(files / "imgs" / "val", tmp_path / "val")
    for i in range(3):
        (tmp_path / "val" / "class2" / f"{i}.png").write_bytes(b"broken")
    flags = [
        "--checkpoint",
        files / "network",
        "--data",
        tmp_path / "val",
        "--batch-size",
        3,
    ]  # one chunk is all broken
    found = evaluate(tmp_path / "r.json", *flags)
    assert (found["results"][0]["images"], found["results"][0]["broken"]) == (15, 3)
    assert found["broken"] == [f"class2/{i}.png" for i in range(3)]
    assert "3 broken images are skipped: class2/0.png" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"class2/0\.png cannot be read as an image"):
        evaluate(tmp_path / "strict.json", *flags, "--strict", "--batch-size", 18)
    evaluate(tmp_path / "strict.json", *flags)  # nothing was finished, so there is nothing to resume


def test_mistakes_are_named(files: Path, tmp_path: Path) -> None:
    def fails(match: str, *flags: object) -> None:
        with pytest.raises(InputError, match=match):
            main([*map(str, flags), "--out", str(tmp_path / "r.json")])

    network, data = ["--checkpoint", files / "network"], ["--data", files / "imgs"]
    held = io.BytesIO()
    Image.new("RGB", (9, 9)).save(held, "PNG")
    for label in "ab":
        (tmp_path / "two" / label).mkdir(parents=True)
        (tmp_path / "two" / label / "1.png").write_bytes(held.getvalue())
    fails("2 class folders, but the network 6 classes: give --classes", *network, "--data", tmp_path / "two")
    (tmp_path / "classes").write_text("a 0\nb 6\n")
    flags = [*network, "--data", tmp_path / "two"]
    fails("class folder b is class 6, but the network has 6", *flags, "--classes", tmp_path / "classes")
    fails("has no class folders", *network, "--data", tmp_path / "two" / "a")
    fails("has no folder test, only train, val", *network, *data, "--split", "test")
    fails("has no folders train, val or test", *network, "--data", tmp_path / "two", "--split", "val")
    fails("6 classes, not 1000 as --num-classes asks", *network, *data, "--num-classes", 1000)
    fails("leave --subnet and --random out", *network, *data, "--random", 1)
    fails("holds a supernet: name sub-networks with --subnet", *supernet_flags(files))
    flags = ["--checkpoint", files / "supernet.safetensors", "--random", 1]
    fails("give --calibration DIR", *flags, "--data", files / "imgs" / "val")
    fails("is of tiny, not mbv3-w1.0", *flags, *data, "--space", "mbv3-w1.0")
    fails("--limit is 0, expected at least 1", *network, *data, "--limit", 0)
    fails("--device is 'tpu', expected auto", *network, *data, "--device", "tpu")
    save_checkpoint(build_supernet(MIT), tmp_path / "mit.pt", "mit")
    fails("does not name its space", "--checkpoint", tmp_path / "mit.pt", *data, "--random", 1)
    flags = ["--checkpoint", tmp_path / "mit.pt", *data, "--random", 1, "--space", "mbv3-w0.1"]
    fails("6 classes, not 5 as --num-classes asks", *flags, "--num-classes", 5)
    assert not list(tmp_path.glob("*.jsonl"))


def test_mit_supernet_by_space(files: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_supernet(MIT, dropout=0.0, resolutions=[32])
    for name, layout in (("mit.pt", "mit"), ("ours.safetensors", "ofa")):
        save_checkpoint(net, tmp_path / name, layout)
    subnet = {"space": MIT.name, "subnet": MIT.subnet([3] * 20, [3] * 20, [2] * 5, 32).to_dict()}
    (tmp_path / "subnet.json").write_text(json.dumps(subnet))
    flags = ["--data", files / "imgs", "--batch-size", 5, "--subnet", tmp_path / "subnet.json", *POOR]
    mit = evaluate(tmp_path / "m.json", "--checkpoint", tmp_path / "mit.pt", "--space", MIT.name, *flags)
    ours = evaluate(tmp_path / "o.json", "--checkpoint", tmp_path / "ours.safetensors", *flags)
    assert figures(mit) == figures(ours)


def test_published_network_on_real_photographs(reference: Path, tmp_path: Path) -> None:
    weights = reference / "weights" / "proxyless-w0.3-r176_imagenet"
    flags = ["--checkpoint", f"{weights}.pth", "--config", f"{weights}.json", "--resolution", 176, "--mean", "half"]
    photographs = reference / "images" / "imagenette2-224.zip"
    found = evaluate(tmp_path / "r.json", *flags, "--data", photographs, "--classes", "imagenette", "--limit", 100)
    images, top1, top5, _ = figures(found)[0]
    assert images == 100
    assert top1 == pytest.approx(60, abs=2)  # of all 3,925: 55.67
    assert top5 == pytest.approx(88, abs=2)
