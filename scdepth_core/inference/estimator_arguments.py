"""The command-line arguments of DepthEstimator.load, the same for every command that predicts depth."""

from __future__ import annotations

import argparse

from scdepth_core.arguments import add_device_argument
from scdepth_core.inference.backends import KINDS, PRECISIONS
from scdepth_core.inference.estimator import DepthEstimator


def add_estimator_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --backend and --precision; the command has --weights of its own."""
    add_device_argument(parser)
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help=f"what runs the network: auto, {', '.join(KINDS)} (default: auto, OpenVINO or ncnn on a CPU where "
        "they are installed, else PyTorch; for an exported file what reads it)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        metavar="NAME",
        help=f"numbers that the network computes with: auto, {', '.join(PRECISIONS)} (default: auto, float32 or what "
        "an exported file was exported in)",
    )


def load_estimator(args: argparse.Namespace) -> DepthEstimator:
    """What the arguments ask for; raises as DepthEstimator.load does."""
    return DepthEstimator.load(args.weights, args.device, args.backend, args.precision)


def weights_in_words(args: argparse.Namespace) -> str:
    """'starter weights' where none were named, else the file's name."""
    return "starter weights" if args.weights is None else f"weights {args.weights.name}"
