"""The zoo: ids, download from a file:// mirror, checksums, clear errors."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa import zoo
from ofa.checkpoints.weights import save_checkpoint, save_mit_network
from ofa.errors import InputError
from ofa.networks import PlainNetwork, Supernet, build_supernet, extract
from ofa.runs.lock import Lock
from ofa.space import get_space
from ofa.zoo_files import file_or_fetched

NETWORK = "note10_lat@16ms_top1@75.5_finetune@25"
SUPERNET = "ofa_mbv3_d234_e346_k357_w1.0"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A mirror with one supernet and one specialised network, of random weights."""
    folder = tmp_path_factory.mktemp("mirror")
    torch.manual_seed(0)
    space = get_space("mbv3-w1.0")
    net = build_supernet(space)
    (folder / "ofa_nets").mkdir()
    save_checkpoint(net, folder / "ofa_nets" / SUPERNET, "mit")
    subnet = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[160]))[0]
    save_mit_network(extract(net, subnet), folder / "ofa_specialized" / NETWORK.replace("@", "-"))
    return folder.as_uri()


ASKED = {  # options that name trained weights or predictors
    "evaluate --checkpoint": "--data x", "collect --checkpoint": "--data x",
    "publish --checkpoint": "--data x --out y.safetensors", "export --checkpoint": "--format onnx",
    "finetune --checkpoint": "--data x --subnet s --out y",
    "finetune --network": "--data x --out y", "train --start": "--data x --space mbv3-w1.0 --out y",
    "train --teacher": "--data x --space mbv3-w1.0 --out y", "search --predictor": "--table note10",
    "fit --teacher": "--space mbv3-w1.0 --out y.safetensors", "margin --predictor": "--table t.csv",
    "baselines --predictor": "--table t.csv", "verify --predictor": "--table t.csv --result r.json",
    "verify --checkpoint": "--table t.csv --result r.json --data x",
}  # fmt: skip
MODULES = {
    "collect": "ofa.predictors.collect.__main__", "fit": "ofa.predictors.fit.__main__",
    "baselines": "profilers.baselines", "margin": "profilers.margin", "verify": "profilers.verify",
}  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_an_id_stands_for_what_was_fetched_wherever_weights_are_asked_for(
    asked: str, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ofa.cli.config import flag_of

    monkeypatch.setenv("OFA_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    program, flag = asked.split()
    module = importlib.import_module(MODULES.get(program, f"ofa.{program}.__main__"))
    for id_ in (SUPERNET, NETWORK, NETWORK.replace("@", "-")):
        words = [flag, id_, *ASKED[asked].split()]
        with pytest.raises(InputError, match=f"{flag}: .* is of the zoo, and .*: python -m ofa.zoo fetch .*, then"):
            module.COMMAND.parse(words)
    for id_ in (SUPERNET, NETWORK):
        zoo.fetch(id_, base_url=mirror)
        config = module.COMMAND.parse([flag, id_, *ASKED[asked].split()])
        (path,) = [getattr(config, f) for f in vars(config) if flag_of(f) == flag]
        assert path.exists()
    Path(SUPERNET).write_text("mine")
    config = module.COMMAND.parse([flag, SUPERNET, *ASKED[asked].split()])
    assert Path(SUPERNET) in vars(config).values(), "a file of that name comes first"


def test_what_an_id_stands_for_is_opened(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ofa.checkpoints.opening import open_checkpoint

    monkeypatch.setenv("OFA_ZOO_CACHE", str(tmp_path))
    for id_, kind in ((SUPERNET, Supernet), (NETWORK, PlainNetwork)):
        zoo.fetch(id_, base_url=mirror)
        assert isinstance(open_checkpoint(file_or_fetched(id_), "mbv3-w1.0"), kind)
    with pytest.raises(InputError, match=r"give --space, such as mbv3-w1\.0, which the original's file of that name"):
        open_checkpoint(file_or_fetched(SUPERNET))


def test_every_option_for_trained_weights_is_among_those() -> None:
    from ofa.cli.config import Input, fields_of
    from ofa.cli.overview import STEPS

    found = set()
    for entries in STEPS.values():
        for entry in entries:
            package = importlib.import_module(entry.module)
            module = importlib.import_module(entry.module + (".__main__" if hasattr(package, "__path__") else ""))
            if command := getattr(module, "COMMAND", None):
                for field in fields_of(command.config):
                    read = any(isinstance(mark, Input) for mark in field.marks)
                    if field.option.metavar in ("W", "P") and read:
                        found.add(f"{entry.module.rpartition('.')[2]} {field.flag}")
    assert found == set(ASKED)


def test_ids_are_those_published(reference: Path) -> None:
    ids = {entry.id.replace("@", "-"): entry for entry in zoo.entries()}
    rows = [line.split(",") for line in (reference / "networks" / "published.csv").read_text().splitlines()[1:]]
    assert len(rows) == 26
    for name, device, *_, top1, _ in rows:
        assert ids[name].top1 == float(top1)
        assert device.startswith(ids[name].device.split(",")[0]) or ids[name].device == "MACs"


def test_there_are_four_supernets_58_networks_and_two_predictors() -> None:
    kinds = [entry.kind for entry in zoo.entries()]
    assert [kinds.count(kind) for kind in zoo.KINDS] == [4, 58, 2]
    assert zoo.find("1080ti_gpu64-27ms_top1-76.4_finetune-25").device == "1080ti, batch 64"
    assert zoo.find("resnet50D_MAC@0.6B_top1@75.0_finetune@25").cost == "0.6B"
    assert zoo.find(NETWORK).cost == "16 ms"


def test_networks_are_fetched_once_and_loaded(mirror: str, tmp_path: Path) -> None:
    network = zoo.fetch_specialized(NETWORK, base_url=mirror, cache=str(tmp_path))
    assert network.spec.resolution == 160
    net = zoo.fetch_supernet(SUPERNET, base_url=mirror, cache=str(tmp_path))
    assert net.space == get_space("mbv3-w1.0")
    checksums = json.loads((tmp_path / "checksums.json").read_text())
    assert len(checksums) == 4
    assert all(len(digest) == 64 for digest in checksums.values())
    # the second time, no mirror is needed
    assert zoo.fetch(SUPERNET, base_url="file:///nowhere", cache=tmp_path) == tmp_path / "ofa_nets" / SUPERNET


def test_a_file_that_changed_is_refused(mirror: str, tmp_path: Path) -> None:
    path = zoo.fetch(SUPERNET, base_url=mirror, cache=tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="has changed since it was downloaded"):
        zoo.fetch(SUPERNET, base_url=mirror, cache=tmp_path)
    path.unlink()
    zoo.fetch(SUPERNET, base_url=mirror, cache=tmp_path)


def test_a_mirror_that_changed_is_refused(mirror: str, tmp_path: Path) -> None:
    path = zoo.fetch(SUPERNET, base_url=mirror, cache=tmp_path)
    path.unlink()
    other = tmp_path / "other"
    (other / "ofa_nets").mkdir(parents=True)
    (other / "ofa_nets" / SUPERNET).write_bytes(b"something else")
    with pytest.raises(InputError, match="is not the file that was downloaded before"):
        zoo.fetch(SUPERNET, base_url=other.as_uri(), cache=tmp_path)
    assert not path.exists()


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot download file:///nowhere/.* put the file at .* --base-url"):
        zoo.fetch(NETWORK, base_url="file:///nowhere", cache=tmp_path)
    with pytest.raises(InputError, match="cannot download nonsense"):
        zoo.fetch(NETWORK, base_url="nonsense", cache=tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_what_a_killed_download_left_goes_and_two_at_once_are_told(mirror: str, tmp_path: Path) -> None:
    left = tmp_path / "ofa_nets" / f".{SUPERNET}.abcd1234.tmp"
    left.parent.mkdir()
    left.write_text("half")
    with Lock(left.with_name(SUPERNET)):
        with pytest.raises(InputError, match=f"{SUPERNET} is being written by process"):
            zoo.fetch(SUPERNET, base_url=mirror, cache=tmp_path)
        left.write_text("half")
    zoo.fetch(SUPERNET, base_url=mirror, cache=tmp_path)
    files = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["checksums.json", SUPERNET]


def test_a_pointer_to_a_big_file_is_not_the_file(tmp_path: Path) -> None:
    (tmp_path / "ofa_nets").mkdir()
    (tmp_path / "ofa_nets" / SUPERNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(InputError, match="a pointer to the file"):
        zoo.fetch(SUPERNET, base_url=tmp_path.as_uri(), cache=tmp_path / "cache")


def test_wrong_kinds_and_ids_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown network 'resnet'"):
        zoo.fetch("resnet", cache=tmp_path)
    with pytest.raises(InputError, match="is a specialized, expected a supernet"):
        zoo.fetch_supernet(NETWORK)
    with pytest.raises(InputError, match="is a supernet, expected a specialized network"):
        zoo.fetch_specialized(SUPERNET)
    (tmp_path / "checksums.json").write_text("{")
    with pytest.raises(InputError, match=r"checksums.json: not JSON: .*: delete it to record the checksums"):
        zoo.fetch(SUPERNET, base_url="file:///nowhere", cache=tmp_path)


def test_the_command_lists_and_fetches(mirror: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.main(["--cache", str(tmp_path), "fetch", SUPERNET, "--base-url", mirror]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "ofa_nets" / SUPERNET)
    assert zoo.main(["--cache", str(tmp_path), "list"]) == 0
    listed = capsys.readouterr().out
    assert all(entry.id in listed for entry in zoo.entries())
    (row,) = [line for line in listed.splitlines() if SUPERNET in line]
    assert "yes" in row


def test_listing_needs_no_torch() -> None:
    code = "import sys, ofa.zoo; ofa.zoo.main(['list', '--kind', 'predictor']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
