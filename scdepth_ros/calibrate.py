"""`scdepth calibrate BAG`: measure the scale of weights on a recording, and write it into them."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections import Counter
from pathlib import Path

from scdepth_core.checkpoint import STARTER_WEIGHTS, check_holds_scale, write_scale
from scdepth_core.errors import BagError, ConfigError
from scdepth_core.inference.estimator_arguments import add_estimator_arguments, load_estimator
from scdepth_core.scale import SOURCES, ScaleSettings
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.arguments import add_topic_arguments, topics_of
from scdepth_ros.extraction.frame_stream import FrameStream
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.scale_measurement import ENOUGH, Outcome, measure

logger = logging.getLogger(__name__)

UNCERTAIN = 0.1  # relative standard deviation above which a scale is not written without a warning
ALIKE = 0.05  # that two sources may differ by, however certain: what each does wrong, it does wrong in every frame
PREFERRED = ("reference_depth", "odometry", "camera_height")
DESCRIPTION = """\
Measure how many metres one unit of the network's depth is, on a recording of the robot's own camera, and write it
into the weights. Every source that the bag has is measured and shown: measured depth, odometry, and the height of
the camera over the ground if --camera-height gives it. --source picks the one that is written.

TF in the bag says the same, and exactly where the camera is: --fixed-frame odom takes the camera's travel from it,
--ground-frame base_footprint its height, and --points-topic a lidar's points as measured depth.

The uncertainty is one standard deviation of the scale, the spread that of single frames, those far off included.
"""


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
    for doubt in _doubts(chosen, outcomes):
        logger.warning("%s", doubt)
    if target is not None:
        write_scale(args.weights or STARTER_WEIGHTS, scale, target)
    results = {name: outcome.as_dict() for name, outcome in outcomes.items()}
    written = None if target is None else str(target)
    summary = {"source": chosen, "metres_per_unit": scale, "sigma": sigma, "written": written, "sources": results}
    counters = ("transform_troubles", "dropped", "depth_dropped")
    summary |= {name: dict(getattr(stream, name)) for name in counters}
    summary["truncated"] = stream.bag.truncated
    print(json.dumps(summary) if args.json else _text(summary))
    return 0


def _target(args: argparse.Namespace) -> Path | None:
    """The file to write; None for none. Checked before the work begins."""
    if args.dry_run:
        return None
    if args.weights is None and args.out is None:
        raise ConfigError("the starter weights stay as they are – give --weights, --out for a copy, or --dry-run")
    target = args.out or args.weights
    if args.weights is not None:
        check_holds_scale(args.weights)
    if target.suffix != ".safetensors":
        raise ConfigError(f"--out is '{target}', expected a name that ends in .safetensors")
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
    reasons = [
        f"{name}: {len(outcomes[name].logs)} measurements, {_most_common(outcomes[name].refused)}"
        for name in candidates
    ]
    lost = stream.transform_troubles + stream.dropped + stream.depth_dropped
    reasons += [_most_common(lost)] if lost else []
    reasons += [f"DAMAGED: {stream.bag.truncated}"] if stream.bag.truncated else []
    raise BagError(
        f"bag '{args.bag}' gave fewer than {ENOUGH} measurements of the scale ({'; '.join(reasons)}) – cure that, or "
        "raise --frames"
    )


def _doubts(chosen: str, outcomes: dict[str, Outcome]) -> list[str]:
    """Why the scale of the chosen source is not to be trusted yet, a sentence each."""
    known = {name: outcome.scale() for name, outcome in outcomes.items()}
    scale, sigma = known[chosen]
    doubts = []
    if sigma > UNCERTAIN:
        doubts.append(
            f"the scale of {chosen} is uncertain: {scale:.4f} metres per unit ± {sigma:.1%}, expected at most "
            f"{UNCERTAIN:.0%} – measure on a longer recording, with more travel and more to see, or by another --source"
        )
    for name in known:
        if name == chosen or known[name] is None:
            continue
        other, its_sigma = known[name]
        if abs(math.log(other / scale)) > max(2 * math.hypot(sigma, its_sigma), ALIKE):
            doubts.append(
                f"{chosen} says {scale:.4f} metres per unit ± {sigma:.1%} and {name} {other:.4f} ± {its_sigma:.1%}, "
                "which is further apart than their uncertainties allow – check what they are given (registration and "
                "unit of the depth, unit and frame of the odometry, height of the camera), and choose one with --source"
            )
    return doubts


def _most_common(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in Counter(reasons).most_common(3))


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
    troubles = [
        f"{name} without: {_most_common(result['refused'])}"
        for name, result in summary["sources"].items()
        if result["refused"]
    ]
    troubles += [f"{count} times {sentence}" for sentence, count in summary["transform_troubles"].items()]
    for counter in ("dropped", "depth_dropped"):
        troubles += [f"{count} {reason} dropped" for reason, count in summary[counter].items()]
    if summary["truncated"]:
        troubles.append(f"DAMAGED: {summary['truncated']}; what could be read was measured")
    return "\n".join([*lines, "", *troubles, *([""] if troubles else []), f"{scale} from {summary['source']}, {done}."])
