"""`scdepth extract BAG [BAG ...] OUT`: make a data set of recorded drives and walks."""

from __future__ import annotations

import argparse
import json
import sys

from scdepth_core.arguments import image_size
from scdepth_core.data.frame_selection import SelectionSettings
from scdepth_core.data.scene_writer import IMAGE_OPTIONS
from scdepth_ros.extraction import ExtractionSettings, extract
from scdepth_ros.extraction.arguments import add_topic_arguments, topics_of
from scdepth_ros.extraction.settings import FITS

DESCRIPTION = """\
Turn recordings into scene folders for training: rosbag2 (MCAP, SQLite) and ROS 1 bags, no ROS needed.

The colour image, its camera_info and, where there are, depth and odometry are found by themselves; with several
candidates the command lists them and asks for a name. Images are rectified, cut to the aspect of --size around
their centre, and resized; the intrinsics follow exactly. Frames that did not move since the last one kept, and
blurred ones, are left out; so are those before the first pose and behind the last one, where all others have one.
Every continuous stretch becomes a scene; the last ones are for validation.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    defaults, selection = ExtractionSettings(), SelectionSettings()
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bags", metavar="BAG", nargs="+", help="rosbag2 folder, .mcap, .db3 or .bag file")
    parser.add_argument("output", metavar="OUT", help="data set to make; must not exist")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")

    add_topic_arguments(parser)

    images = parser.add_argument_group("images")
    images.add_argument(
        "--size",
        type=image_size,
        metavar="WxH",
        help="size to write (default: 256 rows, or fewer for a smaller camera, in its aspect, both multiples of 32; "
        "640x480 -> 320x256)",
    )
    images.add_argument(
        "--fit",
        choices=FITS,
        default=defaults.fit,
        help="crop: keep pixels square, cut off what is over; stretch: keep the whole view (default: %(default)s)",
    )
    images.add_argument(
        "--rectified",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether images are free of distortion already (default: auto, by 'rect' in the topic's name)",
    )
    images.add_argument("--image-format", choices=tuple(IMAGE_OPTIONS), default=defaults.image_format)

    frames = parser.add_argument_group("frames and scenes")
    frames.add_argument(
        "--min-motion",
        type=float,
        metavar="PX",
        default=selection.min_motion,
        help="median motion since the last frame kept, pixels as written; 0 keeps all (default: %(default)s)",
    )
    frames.add_argument(
        "--min-sharpness",
        type=float,
        metavar="X",
        default=selection.min_sharpness,
        help="sharpness relative to the last seconds' median; 0 keeps all (default: %(default)s)",
    )
    frames.add_argument(
        "--max-gap",
        type=float,
        metavar="S",
        default=defaults.max_gap,
        help="pause between images that ends a scene, seconds (default: %(default)s)",
    )
    frames.add_argument(
        "--min-frames",
        type=int,
        metavar="N",
        default=defaults.min_frames,
        help="frames that a scene needs (default: %(default)s)",
    )
    frames.add_argument(
        "--validation",
        type=float,
        metavar="SHARE",
        default=defaults.validation,
        help="share of the frames set apart, from the end; 1 for all (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Extract, and print the report."""
    report = extract(args.bags, args.output, settings_of(args), progress=sys.stderr.isatty() or not args.json)
    if args.json:
        print(json.dumps({**report.as_dict(), "train": report.training_line()}, indent=2))
    else:
        print(report.as_text())
    return 0


def settings_of(args: argparse.Namespace) -> ExtractionSettings:
    """The checked settings of a command line."""
    return ExtractionSettings(
        **topics_of(args),
        rectified={"auto": None, "yes": True, "no": False}[args.rectified],
        size=args.size,
        fit=args.fit,
        image_format=args.image_format,
        selection=SelectionSettings(min_motion=args.min_motion, min_sharpness=args.min_sharpness),
        max_gap=args.max_gap,
        min_frames=args.min_frames,
        validation=args.validation,
    )
