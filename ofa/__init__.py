"""Once-for-All: sub-networks, their costs, and the search for the best one under a latency limit.

Every name below is imported when it is first asked for: `import ofa` itself loads
no more than what ends a command at Ctrl-C while it loads.
"""

from __future__ import annotations

import sys

from ofa.cli.loading import end_quietly

end_quietly(sys.orig_argv, sys.argv)

# what is loaded from here on may be interrupted
from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

if TYPE_CHECKING:
    from ofa.blocks import Block as Block
    from ofa.blocks import all_blocks as all_blocks
    from ofa.blocks import blocks_of as blocks_of
    from ofa.blocks.costs import count_macs as count_macs
    from ofa.blocks.costs import count_params as count_params
    from ofa.blocks.costs import peak_activation_bytes as peak_activation_bytes
    from ofa.errors import Infeasible as Infeasible
    from ofa.errors import InputError as InputError
    from ofa.evaluate.config import EvaluateConfig as EvaluateConfig
    from ofa.evaluate.run import Evaluation as Evaluation
    from ofa.evaluate.run import evaluate_networks as evaluate_networks
    from ofa.export.config import ExportConfig as ExportConfig
    from ofa.export.run import ExportResult as ExportResult
    from ofa.export.run import export_model as export_model
    from ofa.finetune.config import FinetuneConfig as FinetuneConfig
    from ofa.finetune.run import finetune_network as finetune_network
    from ofa.networks import Supernet as Supernet
    from ofa.networks import build_supernet as build_supernet
    from ofa.networks import extract as extract
    from ofa.predict.config import PredictConfig as PredictConfig
    from ofa.predict.run import Predictions as Predictions
    from ofa.predict.run import predict_images as predict_images
    from ofa.predictors.accuracy import AccuracyPredictor as AccuracyPredictor
    from ofa.predictors.collect.config import CollectConfig as CollectConfig
    from ofa.predictors.collect.run import collect_accuracies as collect_accuracies
    from ofa.predictors.fit.config import FitConfig as FitConfig
    from ofa.predictors.fit.run import fit_predictor as fit_predictor
    from ofa.publish.config import PublishConfig as PublishConfig
    from ofa.publish.run import publish_supernet as publish_supernet
    from ofa.quickstart.config import QuickstartConfig as QuickstartConfig
    from ofa.quickstart.run import QuickstartResult as QuickstartResult
    from ofa.quickstart.run import run_quickstart as run_quickstart
    from ofa.report.config import ReportConfig as ReportConfig
    from ofa.report.run import Report as Report
    from ofa.report.run import write_report as write_report
    from ofa.search.config import SearchConfig as SearchConfig
    from ofa.search.run import SearchResult as SearchResult
    from ofa.search.run import search_subnets as search_subnets
    from ofa.space import RESOLUTIONS as RESOLUTIONS
    from ofa.space import SearchSpace as SearchSpace
    from ofa.space import Subnet as Subnet
    from ofa.space import get_space as get_space
    from ofa.tables import LatencyTable as LatencyTable
    from ofa.tables import find_table as find_table
    from ofa.train.config import TrainConfig as TrainConfig
    from ofa.train.run import train_supernet as train_supernet

__version__ = "0.1.0"

# public name -> where it lives; the imports above tell type checkers the same (a test compares them)
_HOMES = {
    "AccuracyPredictor": "ofa.predictors.accuracy",
    "Block": "ofa.blocks",
    "CollectConfig": "ofa.predictors.collect.config",
    "EvaluateConfig": "ofa.evaluate.config",
    "Evaluation": "ofa.evaluate.run",
    "ExportResult": "ofa.export.run",
    "FinetuneConfig": "ofa.finetune.config",
    "ExportConfig": "ofa.export.config",
    "FitConfig": "ofa.predictors.fit.config",
    "Infeasible": "ofa.errors",
    "InputError": "ofa.errors",
    "LatencyTable": "ofa.tables",
    "PredictConfig": "ofa.predict.config",
    "Predictions": "ofa.predict.run",
    "PublishConfig": "ofa.publish.config",
    "QuickstartConfig": "ofa.quickstart.config",
    "QuickstartResult": "ofa.quickstart.run",
    "RESOLUTIONS": "ofa.space",
    "Report": "ofa.report.run",
    "ReportConfig": "ofa.report.config",
    "SearchConfig": "ofa.search.config",
    "SearchResult": "ofa.search.run",
    "SearchSpace": "ofa.space",
    "Subnet": "ofa.space",
    "Supernet": "ofa.networks",
    "TrainConfig": "ofa.train.config",
    "all_blocks": "ofa.blocks",
    "blocks_of": "ofa.blocks",
    "build_supernet": "ofa.networks",
    "collect_accuracies": "ofa.predictors.collect.run",
    "count_macs": "ofa.blocks.costs",
    "count_params": "ofa.blocks.costs",
    "evaluate_networks": "ofa.evaluate.run",
    "export_model": "ofa.export.run",
    "extract": "ofa.networks",
    "find_table": "ofa.tables",
    "finetune_network": "ofa.finetune.run",
    "fit_predictor": "ofa.predictors.fit.run",
    "get_space": "ofa.space",
    "peak_activation_bytes": "ofa.blocks.costs",
    "predict_images": "ofa.predict.run",
    "publish_supernet": "ofa.publish.run",
    "run_quickstart": "ofa.quickstart.run",
    "search_subnets": "ofa.search.run",
    "train_supernet": "ofa.train.run",
    "write_report": "ofa.report.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ofa' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
