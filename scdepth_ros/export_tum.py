"""`scdepth export-tum BAG OUT`: a recording as an RGB-D sequence in the TUM benchmark's layout, for SLAM."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scdepth_core.data.finished_folder import FinishedFolder
from scdepth_core.errors import DataError
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.arguments import add_camera_arguments, add_odometry_arguments, camera_of, odometry_of
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.rgbd_frames import RgbdFrames
from scdepth_ros.tum.folder import TUM_DEPTH_FACTOR, TumWriter
from scdepth_ros.tum.orb_slam import orb_slam2_yaml, orb_slam3_yaml

DESCRIPTION = """\
Write a recording as rgb/, depth/ (16-bit PNG), rgb.txt, depth.txt, associations.txt, groundtruth.txt where odometry
is known, and the camera's orb_slam2.yaml and orb_slam3.yaml.

depth_node's own topics (depth/image_rect, rgb/image_rect_color) are taken where they were recorded, else the
camera's image and depth topics. Everything written is rectified; the YAML files say so.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bag", metavar="BAG", help="rosbag2 folder, .mcap, .db3 or .bag file")
    parser.add_argument("output", metavar="OUT", help="folder to make; must not exist")
    parser.add_argument(
        "--depth-factor",
        type=float,
        default=TUM_DEPTH_FACTOR,
        metavar="N",
        help="units a metre: 5000 as TUM, up to 13.1 m; 1000 up to 65.5 m (default: %(default)g)",
    )
    add_camera_arguments(parser)
    add_odometry_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written."""
    settings = ExtractionSettings(**camera_of(args), **odometry_of(args))
    report = export_tum(args.bag, args.output, settings, args.depth_factor, sys.stderr.isatty() or not args.json)
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return 0


def export_tum(bag, output, settings: ExtractionSettings, depth_factor: float, progress: bool = False) -> dict:
    """Write the sequence; `output` appears when it is complete.

    Returns:
        what was written, and what was not and why, as plain values.

    Raises:
        BagError, CameraError, DataError, ConfigError: with what is missing or wrong.
    """
    with BagReader(bag) as reader, FinishedFolder(output) as folder:
        source = RgbdFrames(reader, settings)
        writer = TumWriter(folder, depth_factor, Path(bag).name)
        stamps = []
        total = source.stream.message_count
        with tqdm(total=total, unit="msg", disable=not progress, desc="export", mininterval=0.2) as bar:
            for frame in source.frames(bar.update):
                writer.add(frame)
                stamps.append(frame.stamp_ns)
        if not writer.counts.depths:
            raise DataError(
                f"no image of '{bag}' has depth within {settings.depth_tolerance * 1e3:g} ms – raise --depth-tolerance"
            )
        writer.close()
        fps = 1e9 / float(np.median(np.diff(stamps))) if len(stamps) > 1 else 30.0
        for name, text in (("orb_slam2", orb_slam2_yaml), ("orb_slam3", orb_slam3_yaml)):
            (folder / f"{name}.yaml").write_text(text(source.camera, fps, depth_factor))
        return {
            "out": str(output),
            "topics": vars(source.stream.topics),
            **vars(writer.counts),
            "depth_factor": depth_factor,
            "farthest": writer.farthest,
            "fps": round(fps, 3),
            "dropped": dict(source.stream.dropped),
            "depth_dropped": dict(source.stream.depth_dropped),
            "notes": source.stream.notes,
            "truncated": reader.truncated,
        }


def _as_text(report: dict) -> str:
    """For people."""
    topics = ", ".join(topic for topic in report["topics"].values() if topic)
    lines = [
        f"{report['out']}: {report['images']} images, {report['depths']} depth images, {report['poses']} poses "
        f"of {topics}",
        f"  depth in 1/{report['depth_factor']:g} m; {report['overflows']} of {report['depth_pixels']} known pixels "
        f"are beyond {report['farthest']:.1f} m and were written as 0"
        + (" – a smaller --depth-factor holds them" if report["overflows"] else ""),
    ]
    lines += [f"  left out: {count} {why}" for why, count in report["dropped"].items()]
    lines += [f"  {count} {why}" for why, count in report["depth_dropped"].items()]
    lines += [f"  {note}" for note in report["notes"]]
    lines += [f"  DAMAGED: {report['truncated']}; what could be read was exported"] if report["truncated"] else []
    return "\n".join(lines)
