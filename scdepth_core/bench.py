"""`scdepth bench`: how fast this machine is at what."""

from __future__ import annotations

import argparse
import importlib

BENCHES = {
    "infer": ("scdepth_core.inference.bench", "the network by backend and precision, against plain PyTorch"),
    "train": ("scdepth_core.training.bench", "an optimisation step against a plain implementation, and the loader"),
    "node": ("scdepth_ros.bench_node", "everything around the network: the pipeline, depth_node over DDS, a soak"),
}


def run(arguments: list[str]) -> int:
    """Run a bench; the others are not imported, because one needs Lightning and another one ROS."""
    parser = argparse.ArgumentParser(prog="scdepth bench", description="How fast this machine is at what.")
    choices = parser.add_subparsers(dest="bench", required=True, metavar="WHAT")
    for name, (module, summary) in BENCHES.items():
        sub = choices.add_parser(name, help=summary, description=summary)
        if arguments[:1] == [name]:
            importlib.import_module(module).add_arguments(sub)
    args = parser.parse_args(arguments)
    return importlib.import_module(BENCHES[args.bench][0]).run(args)
