"""`python -m profilers.gpu`: measures every block of a space on an NVIDIA GPU into a latency table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ofa.cli.command import Command
from ofa.cli.config import Option
from profilers.profiling.command_words import command_line
from profilers.profiling.profile_options import OptionalVisits, ProfileOptions


@dataclass(frozen=True, kw_only=True)
class GpuConfig(ProfileOptions):
    """Measure every block of a search space on an NVIDIA GPU into a latency table.

    On an H200, 284 blocks took 39 s at batch 64 and 67 s at batch 1 (fp16, --quick). --energy adds an estimated 0.6 s
    for each block.
    """

    PANEL: ClassVar[str] = "GPU"

    device: Annotated[str, Option(metavar="D")] = "cuda:0"
    """which GPU; several, such as cuda:0,cuda:1, share the rounds, and their tables are merged if they agree; cpu only
    serves to test this command"""

    dtype: Literal["fp32", "tf32", "fp16", "bf16"] = "fp16"
    """number format of weights and images"""

    mode: Literal["graph", "eager", "compile"] = "graph"
    """graph: replay CUDA graphs; eager: launch ATen operators (no nn.Modules) one by one; compile: torch.compile, then
    graphs, which takes seconds for every block"""

    # in channels-last cuDNN plans every depthwise shape anew, 0.6 s each on an H200 (docs/gpus.md)
    memory_format: Literal["channels-last", "contiguous"] = "contiguous"
    """layout of images and weights; measure in the layout that you deploy: depthwise convolutions were 1.6 to 3.7 times
    as fast channels-last, after 0.6 s for every new shape; contiguous is PyTorch's default"""

    inputs: Literal["cold", "warm"] = "cold"
    """cold: different inputs in turn, together larger than the L2 cache; warm: one input"""

    rounds: OptionalVisits = None
    """visits of each block, spread over time (default: 3, with --quick 2)"""


COMMAND = Command(
    "profilers.gpu",
    GpuConfig,
    "--device cuda:0 --batch-size 64 --dtype fp16 --space proxyless-w1.3 --out my-gpu.csv",
)


def main(argv: Sequence[str] | None = None) -> int:
    return profile_gpu(COMMAND.parse(argv), argv, command_line("profilers.gpu", argv))


def profile_gpu(config: GpuConfig, argv: Sequence[str] | None, command: str) -> int:
    """Measures a space on one GPU, or on each of several by a process that is given argv; 1 if blocks failed.

    command: as typed, for the table's header
    """
    from profilers.devices.nvidia import ASKED, PACE, found_devices, gpu_target
    from profilers.profiling.merge import profile_on_each
    from profilers.profiling.profile import profile

    devices = found_devices(config.device)
    if len(devices) > 1:
        rounds = config.rounds or (PACE.quick_rounds if config.quick else PACE.rounds)
        return profile_on_each(config, "profilers.gpu", argv, devices, rounds, command)
    how = {field: getattr(config, field) for field in ASKED}
    return profile(config, gpu_target(devices[0], how, config.batch_size, config.timeout), command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
