"""Which layout weights and images have where none is asked for."""

import pytest
import torch

from ofa.training.precision import chosen_layout

LAST, CONTIGUOUS = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize(
    ("name", "device", "layout"),
    [
        ("auto", "cpu", LAST),
        ("auto", "cuda", CONTIGUOUS),
        ("auto", "cuda:1", CONTIGUOUS),
        ("channels-last", "cuda", LAST),
        ("contiguous", "cpu", CONTIGUOUS),
    ],
)
def test_a_gpu_is_given_contiguous_weights_unless_the_other_is_asked_for(
    name: str, device: str, layout: torch.memory_format
) -> None:
    assert chosen_layout(name, torch.device(device)) is layout
