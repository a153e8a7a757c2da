"""`python -m profilers.gpu`: measures every block of a space on an NVIDIA GPU into a latency table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from profilers.devices.nvidia import ASKED, DTYPES, MODES, PACE, found_devices, gpu_target
from profilers.profiling.arguments import add_options, command_line, options_of
from profilers.profiling.merge import profile_on_each
from profilers.profiling.profile import profile
from profilers.profiling.profile_options import ProfileOptions


@dataclass(frozen=True, kw_only=True)
class GpuOptions(ProfileOptions):
    """A space that is measured on an NVIDIA GPU."""

    device: str = "cuda:0"
    """which GPU; of several, such as cuda:0,cuda:1, the tables are merged if they agree"""

    dtype: str = "fp16"
    """of weights and images, one of DTYPES"""

    mode: str = "graph"
    """one of MODES"""

    # in channels-last cuDNN plans every depthwise shape anew, 0.6 s each on an H200 (docs/gpus.md)
    memory_format: str = "contiguous"
    """of images and weights, contiguous or channels-last"""

    inputs: str = "cold"
    """cold, different ones in turn, together larger than the L2 cache; or warm, one"""


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.gpu",
        description="Measure every block of a search space on an NVIDIA GPU, once, into a latency table. On an H200 "
        "284 blocks took 39 s at batch 64, 67 s at batch 1 (fp16, --quick); --energy adds 0.6 s a block (an estimate).",
        epilog="example: python -m profilers.gpu --device cuda:0 --batch-size 64 --dtype fp16 --space proxyless-w1.3 "
        "--out my-gpu.csv",
    )
    add = parsed.add_argument
    add("--device", default="cuda:0", metavar="D",
        help="which GPU (default cuda:0); several, such as cuda:0,cuda:1, share the rounds, and their tables are "
        "merged if they agree; cpu: for tests of this command only")  # fmt: skip
    add("--dtype", default="fp16", choices=DTYPES, help="of weights and images (default fp16)")
    add("--mode", default="graph", choices=MODES,
        help="replays of CUDA graphs (default), ATen operators (no nn.Modules) launched one by one, or torch.compile, "
        "then graphs: seconds to compile every block")  # fmt: skip
    add("--memory-format", default="contiguous", choices=("channels-last", "contiguous"),
        help="of images and weights (default contiguous, PyTorch's own); measure in the one that you deploy: depthwise "
        "convolutions were 1.6 to 3.7 times as fast channels-last, after 0.6 s for every new shape")  # fmt: skip
    add("--inputs", default="cold", choices=("cold", "warm"),
        help="cold: different inputs in turn, together larger than the L2 cache (default); warm: one")  # fmt: skip
    add_options(parsed, PACE)
    return parsed


def options(argv: Sequence[str] | None = None) -> GpuOptions:
    """What a command line asks for."""
    return options_of(GpuOptions, parser().parse_args(argv))


def main(argv: Sequence[str] | None = None) -> int:
    return profile_gpu(options(argv), argv, command_line("profilers.gpu", argv))


def profile_gpu(asked: GpuOptions, argv: Sequence[str] | None, command: str) -> int:
    """Measures a space on one GPU, or on each of several by a process that is given argv; 1 if blocks failed.

    command: as typed, for the table's header
    """
    devices = found_devices(asked.device)
    if len(devices) > 1:
        rounds = asked.rounds or (PACE.quick_rounds if asked.quick else PACE.rounds)
        return profile_on_each(asked, "profilers.gpu", argv, devices, rounds, command)
    how = {field: getattr(asked, field) for field in ASKED}
    return profile(asked, gpu_target(devices[0], how, asked.batch_size, asked.timeout), command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
