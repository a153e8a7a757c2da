"""Blocks recorded and replayed, by a recorder that stands in CUDA's place, against blocks that just run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.networks.elastic import Normalise, RunBlock, Take, run_elastic
from ofa.networks.supernet import Supernet
from ofa.runs.processes import Processes
from ofa.train.__main__ import main
from ofa.train.config import TrainConfig
from ofa.training.graphs import recorded, slots
from ofa.training.graphs.chosen import chosen_graphs
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.recipe import Stage
from ofa.training.step import supernet_run
from tests.helpers.interrupted import assert_same
from tests.helpers.programs import ended
from tests.helpers.supernets import lively
from tests.ofa.training.graphs.fake_recorder import FakeRecorder
from tests.ofa.training.graphs.short_training import CPU, SPACES, STAGES, TWO, Run, trained

CASES = [("described", stage, precision) for stage in STAGES for precision in ("fp32", "bf16", "fp16")]
CASES += [
    ("mbv3", "taught", "bf16"),
    ("mbv3", "sandwich", "fp32"),
    ("resnet", "one", "fp16"),
    ("resnet", "taught", "fp32"),
]


@pytest.mark.parametrize(("family", "stage", "precision"), CASES)
def test_training_is_the_same_to_the_bit(family: str, stage: str, precision: str, tmp_path: Path) -> None:
    """Of different sub-networks and resolutions; so are what untouched weights have: no gradient, no decay."""
    space, recorder = SPACES[family](), FakeRecorder()
    clip = 1.0 if stage == "taught" else 0.0
    expected = trained(Run(space, STAGES[stage], None, precision, clip_norm=clip), tmp_path / "plain")
    run = Run(space, STAGES[stage], recorder, precision, clip_norm=clip)
    assert_same(trained(run, tmp_path / "graphs"), expected)
    assert run.warnings == []
    assert recorder.replays > 50
    assert any(name.startswith("grad") for name in expected)


def test_a_run_goes_on_with_graphs_or_without(tmp_path: Path) -> None:
    space = SPACES["described"]()
    expected = trained(Run(space, TWO), tmp_path / "whole")
    for before, after in ((FakeRecorder(), None), (None, FakeRecorder()), (FakeRecorder(), FakeRecorder())):
        folder = tmp_path / f"{before is None}{after is None}"
        trained(Run(space, TWO, before), folder, 0, 4)
        assert_same(trained(Run(space, TWO, after), folder, 4), expected)


def test_what_cannot_be_recorded_runs_without_and_is_told_once(tmp_path: Path) -> None:
    space = SPACES["described"]()
    expected = trained(Run(space, TWO), tmp_path / "plain")
    for name, fails in {"all": lambda _: True, "some": lambda n: n % 3 == 1}.items():
        recorder = FakeRecorder(fails=fails)
        run = Run(space, TWO, recorder)
        assert_same(trained(run, tmp_path / name), expected)
        assert run.warnings == [
            "a CUDA graph could not be recorded (CUDA out of memory. Tried to allocate 20.00 MiB): some blocks run "
            "without, which is slower and as exact"
        ]
        assert (recorder.replays > 0) == (name == "some")
        if name == "all":  # a slot is tried once
            assert 0 < len(recorder.recordings) <= len(run.graphs[0]._slots)


def test_without_room_nothing_is_recorded(tmp_path: Path) -> None:
    space, recorder = SPACES["described"](), FakeRecorder(room=False)
    run = Run(space, TWO, recorder)
    assert_same(trained(run, tmp_path / "graphs"), trained(Run(space, TWO), tmp_path / "plain"))
    assert recorder.recordings == []
    assert run.warnings == [
        "the GPU's memory has no room for more CUDA graphs: some blocks run without, which is slower and as exact"
    ]


def test_of_many_choices_those_last_used_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, recorder = SPACES["described"](), FakeRecorder()
    monkeypatch.setattr(slots, "MOST", 2)
    run = Run(space, TWO, recorder, steps=16)
    assert_same(trained(run, tmp_path / "graphs"), trained(Run(space, TWO, steps=16), tmp_path / "plain"))
    assert max(len(slot.recorded) for slot in run.graphs[0]._slots.values()) == 2
    assert recorder.settled > 0


def test_what_was_replayed_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three precisions where there is room for two, the one that was not used for longest goes."""
    monkeypatch.setattr(slots, "MOST", 2)
    net, recorder = lively(SPACES["described"]()).train(), FakeRecorder()
    graphs = SlotGraphs(net, recorder, 32, print)

    def recorded_by(dtype: torch.dtype, enabled: bool = True) -> int:
        before = len(recorder.recordings)
        with torch.autocast("cpu", dtype, enabled=enabled):
            out = _once(net, graphs)
        out.backward()
        return len(recorder.recordings) - before

    whole, bf16, fp16 = (torch.bfloat16, False), (torch.bfloat16,), (torch.float16,)
    found = [recorded_by(*how) > 0 for how in (whole, whole, bf16, bf16, whole, fp16, fp16, whole, bf16)]
    assert found == [False, True, False, True, False, False, True, False, True]


def test_larger_images_than_expected_move_the_places(tmp_path: Path) -> None:
    """Graphs that point to where they were are dropped: they would keep that memory."""
    space, recorder = SPACES["described"](), FakeRecorder()
    sides = {"resolutions": (32, 40, 48), "seed": 25, "steps": 16}  # 48 comes as the tenth
    run, plain = Run(space, TWO, recorder, largest=32, **sides), Run(space, TWO, **sides)
    assert_same(trained(run, tmp_path / "graphs"), trained(plain, tmp_path / "plain"))
    assert recorder.settled > 0
    for slot in run.graphs[0]._slots.values():
        for place, of in ((slot.x, "x"), (slot.out, "out"), (run.graphs[0]._gradient, "_grad_out")):
            used = {getattr(recorded, of).untyped_storage().data_ptr() for recorded in slot.recorded.values()}
            assert used <= {place._memory.untyped_storage().data_ptr()}


def test_nothing_is_recorded_before_the_largest_images_came(tmp_path: Path) -> None:
    recorder = FakeRecorder()
    trained(Run(SPACES["described"](), TWO, recorder, largest=41), tmp_path)
    assert recorder.recordings == []


def _once(net: Supernet, graphs: RunBlock) -> Tensor:
    """The sum of what the largest sub-network gives."""
    subnet = net.space.decode(Stage("all", 1, 0.1).largest(net.space, 32))[0]
    return supernet_run(net, None, graphs)(torch.randn(4, 3, 32, 32), subnet).sum()


def test_a_backward_pass_follows_its_forward_pass_once() -> None:
    net = lively(SPACES["described"]()).train()
    # which keeps nothing of what it is given then: on a CPU, autograd itself would notice that it changed
    net.get_submodule("classifier").requires_grad_(False)
    graphs = SlotGraphs(net, FakeRecorder(), 32, print)
    for _ in range(3):
        _once(net, graphs).backward()
    before, _ = _once(net, graphs), _once(net, graphs)
    with pytest.raises(RuntimeError, match="ran again before its backward pass"):
        before.backward()
    after = _once(net, graphs)
    after.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="ran again before its backward pass"):
        after.backward()


def test_what_blocks_give_is_for_the_network_s_classifier() -> None:
    """Somebody else's gradient of it would reach no weight, and say nothing."""
    net = lively(SPACES["described"]()).train()
    graphs, given = SlotGraphs(net, FakeRecorder(), 32, print), list[Tensor]()

    def run_block(layer: nn.Module, x: Tensor, block: Block, normalise: Normalise, take: Take) -> Tensor:
        if layer is net.get_submodule("classifier"):
            given.append(x)
            return x
        return graphs(layer, x, block, normalise, take)

    for _ in range(2):
        _once(net, run_block).backward()
    with pytest.raises(RuntimeError, match="it would not have learnt"):
        _once(net, run_block)
    _once(net, graphs).backward()


def test_what_ran_without_gradients_is_recorded_apart() -> None:
    net = lively(SPACES["described"]()).train()
    graphs = SlotGraphs(net, FakeRecorder(), 32, print)
    for _ in range(3):
        with torch.no_grad():
            _once(net, graphs)
    for _ in range(3):
        net.zero_grad(set_to_none=True)
        _once(net, graphs).backward()
    without = {
        name.split(".")[0] for name, weight in net.named_parameters() if weight.grad is None and weight.ndim != 2
    }
    assert without == set()  # besides, the largest kernels need no matrices


def test_each_precision_is_recorded_apart() -> None:
    net = lively(SPACES["described"]()).train()
    graphs = SlotGraphs(net, FakeRecorder(), 32, print)
    for half in (False, False, False, True, True, False, True):
        sums = []
        for blocks in (graphs, run_elastic):
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                sums.append(_once(net, blocks))
            sums[-1].backward()
        assert torch.equal(*sums)


def test_a_recording_shares_no_node_with_a_step_whose_loss_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA would refuse to record what such a node belongs to: the stream of the earlier step."""
    net = lively(SPACES["described"]()).train()
    graphs = SlotGraphs(net, FakeRecorder(), 32, print)
    leaves: list[Tensor] = []
    kept = [_once(net, graphs)]
    kept[0].backward()
    inner = recorded._leaves
    monkeypatch.setattr(recorded, "_leaves", lambda out: leaves.extend(found := inner(out)) or found)
    kept.append(_once(net, graphs))
    weights = set(net.parameters())
    assert len(leaves) > 20
    assert not weights & set(leaves)
    assert weights == set(net.parameters())


def test_graphs_are_for_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cpu, gpu, two = (
        Processes(0, 1, CPU),
        Processes(0, 1, torch.device("cuda:0")),
        Processes(0, 2, torch.device("cuda:0")),
    )
    chosen = {
        (a, p.device.type, p.count): chosen_graphs(a, p, "sync") for a in ("auto", "off") for p in (cpu, gpu, two)
    }
    assert [key for key, on in chosen.items() if on] == [("auto", "cuda", 1)]
    assert chosen_graphs("on", gpu, "sync")
    assert chosen_graphs("on", two, "local")
    with pytest.raises(InputError, match="give --bn local or --graphs off"):
        chosen_graphs("on", two, "sync")
    for n in range(2):
        (tmp_path / "images" / str(n)).mkdir(parents=True)
        for i in range(8):
            torch_image(tmp_path / "images" / str(n) / f"{i}.png", 10 * n + i)
    command = ["--data", tmp_path / "images", "--device", "cpu", "--out", tmp_path / "out", "--batch-size", 4]
    refused = ended(main, capsys, *command, "--graphs", "on")
    assert refused.returncode == 2
    assert "--graphs on needs a GPU, the device is cpu: give --graphs auto or off" in refused.stderr
    assert not (tmp_path / "out").exists()


def torch_image(path: Path, shade: int) -> None:
    from PIL import Image

    Image.new("RGB", (48, 48), (shade, shade, shade)).save(path)


def test_a_run_with_graphs_is_the_run_without(tmp_path: Path) -> None:
    """Its results are the same: --resume may change it."""
    from ofa.runs.settings import identity_of

    (tmp_path / "a").mkdir()
    configs = [TrainConfig(data=tmp_path, out=tmp_path / "out", graphs=graphs) for graphs in ("auto", "off", "on")]
    assert identity_of(configs[0]) == identity_of(configs[1]) == identity_of(configs[2])
