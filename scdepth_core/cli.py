"""The `scdepth` command: each sub-command is a module with add_arguments(parser) and run(args)."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version

from scdepth_core.errors import ScDepthError

COMMANDS = {
    "extract": ("scdepth_ros.extract", "frames, depth and poses out of ROS bags, as a data set"),
    "synthesize": (
        "scdepth_core.data.synthesize",
        "rendered rooms and corridors with exact depth and poses, as a data set",
    ),
    "import": ("scdepth_core.data.import_layout", "KITTI, TUM RGB-D and 7-Scenes as published, as a data set"),
    "check": ("scdepth_core.data.check", "what is wrong with a data set, and how to cure it; V1 or V2"),
    "pseudo-depth": ("scdepth_core.inference.make_pseudo_depth", "depth of every frame by another network, for V3"),
    "train": ("scdepth_core.training.train", "train depth and motion on a data set"),
    "evaluate": ("scdepth_core.inference.evaluate", "depth errors and scale drift of weights on a data set"),
    "odometry": ("scdepth_core.inference.odometry", "camera motion chained over scenes, as TUM and KITTI trajectories"),
    "info": ("scdepth_core.inference.info", "everything that a weights file or checkpoint says about itself"),
    "calibrate": ("scdepth_ros.calibrate", "the metric scale of weights, measured on a recording"),
    "pack": (
        "scdepth_core.inference.pack",
        "an inference file out of a checkpoint; --half, --metres-per-unit",
    ),
    "export-tum": (
        "scdepth_ros.export_tum",
        "a bag as an RGB-D sequence in TUM layout, with ORB-SLAM camera files",
    ),
    "view": ("scdepth_ros.view", "a moment of a bag or of live topics as a picture: image, depth, cloud"),
    "export": ("scdepth_core.inference.export", "the network as ONNX, OpenVINO or torch.export file, checked"),
    "bench": ("scdepth_core.bench", "how fast this machine is: bench infer, bench train, bench node"),
    "predict": ("scdepth_core.inference.predict", "depth of images, as arrays and pictures"),
}
OWN_PARSER = {"train", "bench"}  # jsonargparse, from the classes it configures; and a command with commands


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command. A known error becomes one line and exit status 1; a bug keeps its traceback.

    Known are the package's own errors and those of the operating system: no permission, a full disk, a missing file.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="scdepth",
        description="Scale-consistent depth from plain video: data, training, evaluation.",
        epilog="'scdepth COMMAND --help' explains one command.",
    )
    parser.add_argument("--version", action="version", version=f"scdepth {_version()}")
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {
        name: choices.add_parser(name, help=summary, description=summary) for name, (_, summary) in COMMANDS.items()
    }
    try:
        name = parser.parse_args(arguments[:1]).command  # the rest is that command's, and so is what is said of it
        command = importlib.import_module(COMMANDS[name][0])
        if name in OWN_PARSER:
            result = command.run(arguments[1:])
        else:
            command.add_arguments(parsers[name])
            result = command.run(parsers[name].parse_args(arguments[1:]))
    except ScDepthError as error:
        print(f"scdepth: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        place = f" '{error.filename}'" if error.filename else ""
        print(f"scdepth: {error.strerror or error}{place}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:  # a command may say how to go on
        print(f"scdepth: interrupted{f' – {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    return result or 0


def _version() -> str:
    try:
        return version("scdepth_ros")
    except PackageNotFoundError:
        return "of a source tree that is not installed"


if __name__ == "__main__":
    sys.exit(main())
