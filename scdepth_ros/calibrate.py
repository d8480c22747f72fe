"""`scdepth calibrate BAG`: measure the scale of weights on a recording, and write it into them."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scdepth_core.channels import to_grey, to_rgb
from scdepth_core.checkpoint import STARTER_WEIGHTS, write_scale
from scdepth_core.errors import BagError, CheckpointError, ConfigError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import rectified_pose
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.estimator_arguments import add_estimator_arguments, load_estimator
from scdepth_core.inference.pipeline import check_size
from scdepth_core.scale import SOURCES, Measurement, ScaleSettings, View
from scdepth_core.scale.robust import robust_mean
from scdepth_ros.bag import BagReader
from scdepth_ros.bursts import Bursts
from scdepth_ros.extraction.arguments import add_topic_arguments, topics_of
from scdepth_ros.extraction.frame_stream import Frame, FrameStream
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.messages import decode_image
from scdepth_ros.reference_depth import reference_depth

ENOUGH = 5  # measurements
PREFERRED = ("reference_depth", "odometry", "camera_height")
DESCRIPTION = """\
Measure how many metres one unit of the network's depth is, on a recording of the robot's own camera, and write it
into the weights. Every source that the bag has is measured and shown: measured depth, odometry, and the height of
the camera over the ground if --camera-height gives it. --source picks the one that is written.

TF in the bag says the same, and exactly where the camera is: --fixed-frame odom takes the camera's travel from it,
--ground-frame base_footprint its height, and --points-topic a lidar's points as measured depth.
"""


@dataclass
class Outcome:
    """What one source measured.

    Attributes:
        logs, sigmas: ln(metres per unit) of each frame, and their standard deviations.
        refused: frames without a measurement, by reason.
    """

    logs: list[float] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)

    def add(self, measured: Measurement) -> None:
        if measured.refused:
            self.refused[measured.refused] += 1
        else:
            self.logs.append(measured.log_scale)
            self.sigmas.append(measured.sigma)

    def scale(self) -> tuple[float, float] | None:
        """Metres per unit and its relative standard deviation; None with fewer than ENOUGH measurements."""
        if len(self.logs) < ENOUGH:
            return None
        log_scale, sigma = robust_mean(np.array(self.logs), np.array(self.sigmas))
        return float(np.exp(log_scale)), sigma

    def as_dict(self) -> dict:
        scale, sigma = self.scale() or (None, None)
        spread = float(np.std(self.logs)) if self.logs else None
        return {
            "metres_per_unit": scale,
            "sigma": sigma,
            "spread": spread,
            "measurements": len(self.logs),
            "refused": dict(self.refused),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = ScaleSettings("reference_depth")
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bag", metavar="BAG", type=Path, help="rosbag2 folder, .mcap, .db3 or .bag file")
    parser.add_argument("--weights", type=Path, help=".safetensors to measure and to write the scale into")
    parser.add_argument("--out", type=Path, help="write a copy of the weights here, and leave the weights as they are")
    parser.add_argument("--dry-run", action="store_true", help="measure, write nothing")
    parser.add_argument(
        "--source",
        choices=("auto", *SOURCES),
        default="auto",
        help="whose scale is written (auto: the first that measured something, of reference depth, odometry, height)",
    )
    parser.add_argument("--camera-height", type=float, metavar="M", help="of the lens over the ground, metres")
    parser.add_argument(
        "--camera-pitch", type=float, metavar="DEG", default=0.0, help="degrees that the camera looks down (default: 0)"
    )
    parser.add_argument(
        "--ground-frame", metavar="FRAME", help="frame of TF on the ground, z up: TF gives height and pitch"
    )
    parser.add_argument("--points-topic", metavar="TOPIC", help="PointCloud2 of a lidar, in place of a depth image")
    parser.add_argument(
        "--min-travel",
        type=float,
        metavar="M",
        default=defaults.min_travel,
        help="metres between two frames that odometry compares (default: %(default)s)",
    )
    parser.add_argument(
        "--lever-arm",
        type=float,
        metavar="M",
        default=defaults.lever_arm,
        help="metres that the odometry's frame may be away from the camera (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        default=300,
        help="images to use at most, from all over the recording (default: 300)",
    )
    add_estimator_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    target = _target(args)
    if args.frames < ENOUGH:
        raise ConfigError(f"--frames is {args.frames}, expected at least {ENOUGH}")
    with BagReader(args.bag) as bag:
        frames = {"points_topic": args.points_topic, "ground_frame": args.ground_frame}
        stream = FrameStream(bag, ExtractionSettings(**topics_of(args), **frames))
        sources = _sources(args, stream)
        outcomes = measure(stream, load_estimator(args), sources, args.frames)
    chosen = _chosen(args, outcomes, stream)
    scale, sigma = outcomes[chosen].scale()
    if target is not None:
        write_scale(args.weights or STARTER_WEIGHTS, scale, target)
    results = {name: outcome.as_dict() for name, outcome in outcomes.items()}
    written = None if target is None else str(target)
    summary = {"source": chosen, "metres_per_unit": scale, "sigma": sigma, "written": written, "sources": results}
    summary["transform_troubles"] = dict(stream.transform_troubles)
    print(json.dumps(summary) if args.json else _text(summary))
    return 0


def measure(stream: FrameStream, estimator: DepthEstimator, sources: dict, most: int) -> dict[str, Outcome]:
    """Run every source over at most `most` images from all over the recording; Outcome by name of source."""
    outcomes = {name: Outcome() for name in sources}
    bag = stream.bag
    seconds = (bag.end_ns - bag.start_ns) / 1e9
    bursts = Bursts.of(bag.counts[stream.topics.image], seconds, most, neighbours="odometry" in sources)
    rectifier: Rectifier | None = None
    source_camera: Camera | None = None
    with tqdm(total=stream.message_count, unit="msg", desc="measuring", disable=None) as bar:
        for index, frame in enumerate(stream.frames(bar.update)):
            if not bursts.takes(index):
                continue
            if frame.camera is not source_camera:
                source_camera = frame.camera
                rectifier = Rectifier(source_camera.of_rectified_image() if stream.rectified else source_camera)
            if bursts.begins(index):
                for source in sources.values():
                    source.restart()
            try:
                view = _view(frame, rectifier, estimator, stream)
            except ImageError:
                for outcome in outcomes.values():
                    outcome.refused["image cannot be decoded"] += 1
                continue
            for name, source in sources.items():
                outcomes[name].add(source.measure(view))
    return outcomes


def _view(frame: Frame, rectifier: Rectifier, estimator: DepthEstimator, stream: FrameStream) -> View:
    image = decode_image(frame.image)
    check_size(image, frame.camera)
    image = rectifier(image)
    reference = None
    if frame.depth is not None:
        try:
            reference = reference_depth(frame.depth, rectifier, frame.place.from_sensor)
        except ImageError:
            stream.depth_dropped["undecodable or of another aspect"] += 1
    ground_pose = None if frame.place.ground_pose is None else rectified_pose(frame.place.ground_pose, rectifier)
    depth = estimator.predict(to_rgb(image))
    return View(depth, rectifier.camera.K, to_grey(image), reference, frame.pose, ground_pose)


def _target(args: argparse.Namespace) -> Path | None:
    """The file to write; None for none. Checked before the work begins."""
    if args.dry_run:
        return None
    if args.weights is None and args.out is None:
        raise ConfigError("the starter weights stay as they are – give --weights, --out for a copy, or --dry-run")
    target = args.out or args.weights
    for path in (args.weights, target):
        if path is not None and path.suffix != ".safetensors":
            raise CheckpointError(f"'{path}' has no place for a scale – make an inference file with 'scdepth pack'")
    return target


def _sources(args: argparse.Namespace, stream: FrameStream) -> dict:
    """Every source that there is something for, by name."""
    there = {
        "reference_depth": stream.topics.depth is not None,
        "odometry": stream.topics.odometry is not None or bool(args.fixed_frame),
        "camera_height": args.camera_height is not None or bool(args.ground_frame),
    }
    needed = {
        "reference_depth": "a depth topic, or --points-topic",
        "odometry": "an odometry topic, or --fixed-frame",
        "camera_height": "--camera-height or --ground-frame",
    }
    missing = [name for name in PREFERRED if not there[name]]
    if args.source in missing or len(missing) == len(PREFERRED):
        wanted = needed[args.source] if args.source != "auto" else "a depth or odometry topic, or --camera-height"
        raise BagError(f"bag '{stream.bag.path}' has nothing to measure the scale with: it needs {wanted}")
    numbers = {"min_travel": args.min_travel, "lever_arm": args.lever_arm, "camera_pitch": args.camera_pitch}
    numbers["camera_height"] = args.camera_height or 0.0
    numbers |= {"fixed_frame": args.fixed_frame or "", "ground_frame": args.ground_frame or ""}
    return {name: ScaleSettings(name, **numbers).make_source() for name in PREFERRED if there[name]}


def _chosen(args: argparse.Namespace, outcomes: dict[str, Outcome], stream: FrameStream) -> str:
    """The source whose scale counts.

    Raises:
        BagError: when it measured too little, with the reasons.
    """
    candidates = list(outcomes) if args.source == "auto" else [args.source]
    for name in candidates:
        if outcomes[name].scale() is not None:
            return name
    reasons = "; ".join(
        f"{name}: {len(outcomes[name].logs)} measurements, "
        + ", ".join(f"{count} x {reason}" for reason, count in outcomes[name].refused.most_common(3))
        for name in candidates
    )
    reasons += "".join(f"; {sentence}" for sentence, _ in stream.transform_troubles.most_common(2))
    raise BagError(f"bag '{args.bag}' gave fewer than {ENOUGH} measurements of the scale ({reasons})")


def _text(summary: dict) -> str:
    lines = ["| source | metres per unit | uncertainty | spread of frames | measurements | without |"]
    lines.append("|---|---|---|---|---|---|")
    for name, result in summary["sources"].items():
        refused = sum(result["refused"].values())
        numbers = ["-"] * 3
        if result["metres_per_unit"] is not None:
            numbers = [f"{result['metres_per_unit']:.4f}", f"{result['sigma']:.1%}", f"{result['spread']:.1%}"]
        lines.append(f"| {name} | {' | '.join(numbers)} | {result['measurements']} | {refused} |")
    done = f"written into '{summary['written']}'" if summary["written"] else "not written"
    scale = f"{summary['metres_per_unit']:.4f} metres per unit ± {summary['sigma']:.1%}"
    troubles = [f"{count} times {sentence}" for sentence, count in summary["transform_troubles"].items()]
    return "\n".join([*lines, *troubles, "", f"{scale} from {summary['source']}, {done}."])
