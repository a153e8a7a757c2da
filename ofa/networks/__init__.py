"""Elastic supernets, plain sub-networks cut out of them, batch normalisation calibration and checkpoints."""

from ofa.networks.calibrate import calibrate_bn, calibrated_plain
from ofa.networks.plain import Backbone, PlainNetwork, build_plain, extract
from ofa.networks.spec import NetworkSpec
from ofa.networks.statistics import BatchNormStatistics
from ofa.networks.supernet import Supernet, build_supernet

__all__ = [
    "Backbone",
    "BatchNormStatistics",
    "NetworkSpec",
    "PlainNetwork",
    "Supernet",
    "build_plain",
    "build_supernet",
    "calibrate_bn",
    "calibrated_plain",
    "extract",
]
