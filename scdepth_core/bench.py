"""`scdepth bench`: how fast this machine is at what."""

from __future__ import annotations

import argparse
import importlib

BENCHES = {
    "infer": ("scdepth_core.inference.bench", "the network by backend and precision, against plain PyTorch"),
    "node": ("scdepth_ros.bench_node", "everything around the network: the pipeline, depth_node over DDS, a soak"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    choices = parser.add_subparsers(dest="bench", required=True, metavar="WHAT")
    for name, (module, summary) in BENCHES.items():
        sub = choices.add_parser(name, help=summary, description=summary)
        importlib.import_module(module).add_arguments(sub)


def run(args: argparse.Namespace) -> int:
    return importlib.import_module(BENCHES[args.bench][0]).run(args)
