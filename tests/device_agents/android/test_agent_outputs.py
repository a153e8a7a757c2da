"""What the phone agent says of outputs: the values of the runtime of this computer, and whether they are of float16."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Talk = Callable[..., list[dict]]


def outcomes(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] in ("result", "error")]


def test_outputs_are_told_where_they_are_asked_for(fake: Path, talk: Talk, write_fake) -> None:
    write_fake(fake, "a", "put 3")
    assert all("outputs" not in result for result in outcomes(talk(fake)))
    told = outcomes(talk(fake, outputs=5))
    assert told[0]["outputs"] == [0.0625, 0.125, 0.1875, 0.25, 0.3125]
    assert told[1]["outputs"] == [0] * 5
    assert len(outcomes(talk(fake, outputs=1000))[0]["outputs"]) == 64


def test_float16_is_asked_of_the_runtime_and_seen_in_what_comes_out(
    fake: Path, talk_raw, manifest_with, write_fake
) -> None:
    import json

    write_fake(fake, "a", "put 3")
    write_fake(fake, "b", "put 1")
    code, events, stderr = talk_raw(fake, json.dumps(manifest_with(dtype="fp16")).encode())
    assert code == 0
    assert re.search(r"options num_threads = 1\nflags = 7\n", stderr)
    first, second, third = outcomes(events)
    assert first["type"] == third["type"] == "result", "sixteenths are numbers of float16"
    assert (second["type"], second["reason"]) == ("error", "not_fp16"), "thirds are not"
    assert "the runtime computed in float32" in second["message"]
    write_fake(fake, "b", "spin 1")
    hidden = outcomes(talk_raw(fake, json.dumps(manifest_with(dtype="fp16")).encode())[1])[1]
    assert "its outputs do not show" in hidden["message"]


def test_the_runtime_that_is_sent_computes_in_float16_when_it_is_told_to(real: Path, talk: Talk) -> None:
    exact, forced = (
        np.array(outcomes(talk(real, outputs=1 << 20, **asked))[0]["outputs"], np.float32)
        for asked in ({}, {"dtype": "fp16"})
    )
    assert exact.shape == forced.shape and len(exact) == 7 * 7 * 8
    assert (forced == forced.astype(np.float16)).all() and not (exact == exact.astype(np.float16)).all()
    assert 1e-5 < np.abs(forced - exact).max() / np.abs(exact).max() < 1e-2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "fp8"}, "dtype is 'fp8', expected one of fp32, fp16"),
        (
            {"dtype": "fp16", "delegate": "none"},
            "dtype is missing or wrong, expected fp32 where XNNPACK does not compute",
        ),
        ({"dtype": "fp16", "backend": "tflite"}, "the classic C API cannot be told to force float16"),
        ({"outputs": -1}, "outputs is missing or wrong, expected a whole number from 0 to 1048576"),
    ],
)
def test_what_cannot_be_asked_is_one_error(fake: Path, talk: Talk, changes: dict, message: str) -> None:
    (event,) = talk(fake, code=1, **changes)
    assert message in event["message"]
