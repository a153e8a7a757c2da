"""The commands that made what is shown: as they were recorded, or put together again from a run's settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.cli.config import Config, Field, fields_of
from ofa.cli.console import spelled
from ofa.evaluate.config import EvaluateConfig
from ofa.report.inputs.curves import TrainingRun
from ofa.report.inputs.evaluated import EvaluationRun
from ofa.report.inputs.searched import SearchRun
from ofa.report.inputs.values import plain, text_of
from ofa.search.config import SearchConfig
from ofa.train.config import TrainConfig


def search_command(run: SearchRun) -> str:
    """Of a search, or of a verification, which recorded it; "" where it cannot be known."""
    if run.verification:
        return text_of(run.verification, "command", f"{run.path}: verification")
    settings = {**run.settings}
    if "table" in settings:
        # the shipped predictor stands there by its content, though nobody named it
        predictor = settings.get("predictor")
        if isinstance(predictor, dict) and predictor.get("file") == f"{run.space.name}.safetensors":
            settings["predictor"] = None
        tables = [facts.get("path", name) for name, facts in run.facts.items()]
        return _command("ofa.search", SearchConfig, settings, {"table": tables}, run.path.parent)
    return ""


def evaluate_command(run: EvaluationRun) -> str:
    """ "" where it cannot be known."""
    paths = {"checkpoint": [run.checkpoint], "data": [run.data]}
    return _command("ofa.evaluate", EvaluateConfig, run.settings, paths, run.path)


def train_command(run: TrainingRun) -> str:
    """ "" for a fine-tuning, whose settings are in its checkpoint alone."""
    return _command("ofa.train", TrainConfig, run.settings, {}, run.path.parent)


def _command(
    module: str, config: type[Config], settings: Mapping[str, Any], paths: Mapping[str, Sequence[str]], out: Path
) -> str:
    """The command line whose config has these settings; "" where one that it needs is not among them.

    paths: by field, what files were called, where that is known; settings have their names and contents alone
    """
    words: list[str] = []
    for field in fields_of(config):
        if field.name not in settings:
            if field.required and field.name != "out":
                return ""
            continue
        value = settings[field.name]
        default = None if field.required else json.loads(json.dumps(field.default, default=str))
        if value != default:
            words += _option(field, value, paths.get(field.name, ()))
    return plain(spelled(module, *words, "--out", out), 4000)


def _option(field: Field, value: Any, paths: Sequence[str]) -> Iterator[str]:
    if value is True:
        yield field.flag
        return
    if isinstance(value, list) and field.is_list and not field.option.each:
        items = [_word(item) for item in value]
        # a list of files is repeated: each of the tables
        if paths:
            yield from (word for path in paths for word in (field.flag, path))
        elif items:
            yield from (field.flag, *items)
    elif isinstance(value, list):
        yield from (field.flag, ",".join(map(_word, value)))
    else:
        yield from (field.flag, paths[0] if paths else _word(value))


def _word(value: Any) -> str:
    """A setting as one word: a file by its name, 20.0 as 20."""
    if isinstance(value, dict):
        return plain(value.get("file", "FILE"))
    if isinstance(value, float):
        return f"{value:g}"
    return plain(value)
