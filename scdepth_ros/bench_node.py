"""`scdepth bench node`: what a frame costs around the network, in process and over DDS, and whether memory stays flat.

Times alone say little on a machine that does other things: each figure stands beside the bare network of the same run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from scdepth_core.arguments import add_device_argument, image_size
from scdepth_core.checkpoint import save_weights
from scdepth_core.errors import BackendError, ConfigError
from scdepth_core.geometry.point_cloud import LAYOUTS
from scdepth_core.inference.backends import PRECISIONS
from scdepth_core.inference.exported_file import open_source
from scdepth_ros.benchmark.pipeline import DECIMATED, FULL, PACKED, measure_pipeline
from scdepth_ros.benchmark.report import as_json, markdown
from scdepth_ros.benchmark.soak import soak
from scdepth_ros.benchmark.subject import Cloud, Network, View
from scdepth_ros.benchmark.transport import measure_transport
from scdepth_ros.child_process import private_ros_environment
from scdepth_ros.ros_arguments import number_or_zero, positive_number

PARTS = ("pipeline", "dds", "soak")
MESSAGES_NEED = ("rclpy", "sensor_msgs", "diagnostic_msgs")
SOAK_MARGIN = 1.25  # the soak's camera is so much faster than the network, and the node never idle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=["pipeline", "dds"],
        help="pipeline: in one process; dds: camera, node and consumer; soak: memory over many frames (default: the "
        "first two)",
    )
    parser.add_argument("--weights", type=Path, help="as the node takes them (default: the starter weights)")
    parser.add_argument("--size", type=image_size, metavar="WxH", help="network input (default: that of the weights)")
    parser.add_argument("--backend", default="auto", help="as the node's parameter (default: auto)")
    parser.add_argument("--precision", default="auto", choices=("auto", *PRECISIONS), help="default: auto")
    add_device_argument(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the network (default: as the node)")
    parser.add_argument("--image", type=image_size, metavar="WxH", default=(640, 480), help="default: 640x480")
    parser.add_argument("--distorted", action="store_true", help="a lens that distorts: every image is rectified")
    parser.add_argument("--cloud", type=int, default=2, help="decimation of the cloud over DDS (default: 2)")
    parser.add_argument("--cloud-layout", choices=LAYOUTS, default="pcl", help="of the same cloud (default: pcl)")
    parser.add_argument("--rounds", type=int, default=200, help="frames of each kind in process (default: 200)")
    parser.add_argument(
        "--rates",
        nargs="+",
        type=number_or_zero,
        default=[10.0, 30.0, 60.0],
        metavar="HZ",
        help="of the camera over DDS, one after the other; 0 is as fast as it can (default: 10 30 60)",
    )
    parser.add_argument("--seconds", type=positive_number, default=10.0, help="at each of the rates (default: 10)")
    parser.add_argument("--frames", type=int, default=20_000, help="depth images of the soak (default: 20000)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Measure the parts one after the other; exit status 1 when the soak's memory is not flat."""
    _check(args)
    view = View(*args.image, args.distorted)
    with _ended_in_order(), tempfile.TemporaryDirectory() as folder:
        weights = _resized(args.weights, args.size, Path(folder))
        network = Network(weights, args.device, args.backend, args.precision, args.threads)
        report = measure(args, network, view)
    print(json.dumps(as_json(report)) if args.json else markdown(report))
    return 0 if report.get("soak", {}).get("flat", True) else 1


def measure(args: argparse.Namespace, network: Network, view: View) -> dict:
    """All that was asked for, see the parts; the bare network in any case."""
    with private_ros_environment():
        clouds = (FULL, PACKED, DECIMATED) if "pipeline" in args.parts else ()
        alone = measure_pipeline(network, view, args.rounds, clouds)
    cloud = Cloud(args.cloud, args.cloud_layout)
    report = {
        "machine": alone["machine"],
        "network": alone["network"],
        "image": asdict(view),
        "memory_mb": alone["memory_mb"],
    }
    if "pipeline" in args.parts:
        report["pipeline"] = alone["clouds"]
    if "dds" in args.parts:
        report["dds"] = measure_transport(network, view, args.rates, args.seconds, cloud)
    if "soak" in args.parts:
        rate = SOAK_MARGIN * 1e3 / alone["network"]["milliseconds"]["median"]
        report["soak"] = soak(network, view, args.frames, rate, cloud)
    return report | {"load_average_after": round(os.getloadavg()[0], 2)}


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Whoever asks this process to end, or closes its terminal, does what Ctrl-C does: its programs end before it."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(args: argparse.Namespace) -> None:
    missing = [name for name in MESSAGES_NEED if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendError(
            f"bench node needs ROS 2 and finds no {', '.join(missing)} – source a ROS installation, or "
            "pip install '.[ros]' in the folder of scdepth_ros"
        )
    for name, least in (("rounds", 1), ("frames", 1), ("cloud", 1), ("threads", 0)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} is {getattr(args, name)}, expected at least {least}")


def _resized(weights: Path | None, size: tuple[int, int] | None, folder: Path) -> str:
    """The file that the node shall load: these weights, or a copy for another input; speed does not depend on numbers.

    Raises:
        CheckpointError: the file cannot be used. ConfigError: it is an exported network, which has its size.
    """
    source = open_source(weights)
    _ = source.file or source.network  # a bad file is better refused now than by a process
    if size is None:
        return "" if weights is None else str(weights.resolve())
    if source.file is not None:
        raise ConfigError(f"'{weights}' was exported for its own input size – leave --size out, or export it again")
    path = folder / "resized.safetensors"
    metadata = replace(source.metadata, width=size[0], height=size[1])
    save_weights(path, source.state, metadata)
    return str(path)
