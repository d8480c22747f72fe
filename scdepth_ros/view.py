"""`scdepth view BAG --out PNG`: what RViz would show, as a picture, for machines without a screen."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from scdepth_core.errors import BagError, ConfigError
from scdepth_core.visualization import save_rgbd_view
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.arguments import add_camera_arguments, camera_of
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.rgbd_frames import RgbdFrame, RgbdFrames

DESCRIPTION = """\
Draw the camera's image, depth in colours of a fixed range, and its cloud from the side and from above, in metres.

Of a recording: scdepth view drive --at 12.5 --out now.png
Of live topics: scdepth view --live 3 --out now.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bag", metavar="BAG", nargs="?", help="rosbag2 folder, .mcap, .db3 or .bag file")
    parser.add_argument("--out", metavar="PNG", default="view.png", help="picture to write (default: %(default)s)")
    parser.add_argument("--at", type=float, metavar="S", help="seconds into the recording (default: its middle)")
    parser.add_argument(
        "--live", type=float, metavar="S", help="listen to the running topics for S seconds instead of reading a bag"
    )
    parser.add_argument("--near", type=float, default=0.3, help="nearest colour, metres (default: %(default)s)")
    parser.add_argument("--far", type=float, default=10.0, help="farthest colour, and point (default: %(default)s)")
    add_camera_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw one frame, and say which."""
    if not 0 < args.near < args.far < float("inf"):
        raise ConfigError(f"--near is {args.near:g} and --far {args.far:g}, expected numbers of metres, 0 < near < far")
    if args.at is not None and not 0 <= args.at < float("inf"):
        raise ConfigError(f"--at is {args.at:g}, expected seconds into the recording, 0 or more")
    if Path(args.out).suffix.lower() != ".png":
        raise ConfigError(f"--out is '{args.out}', expected a name that ends in .png")
    if args.live is not None and not 0 < args.live < float("inf"):
        raise ConfigError(f"--live is {args.live:g}, expected seconds above 0")
    if (args.bag is None) == (args.live is None):
        raise ConfigError("give a recording, or --live with the seconds to listen – one of the two")
    if args.live is None:
        print(draw(args.bag, args))
        return 0
    from scdepth_ros.recording.snapshot import record_for

    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "live"
        names = [args.image_topic, args.depth_topic, *([] if args.calibration else [args.camera_info_topic])]
        record_for(args.live, bag, names if all(names) else [])
        print(draw(bag, args))
    return 0


def draw(bag, args: argparse.Namespace) -> str:
    """Write the picture of one frame; returns what to say about it.

    Raises:
        BagError: when no frame with depth comes after the time asked for.
    """
    settings = ExtractionSettings(**camera_of(args), use_odometry=False)
    with BagReader(bag) as reader:
        source = RgbdFrames(reader, settings)
        length = (reader.end_ns - reader.start_ns) / 1e9
        at = length / 2 if args.at is None else args.at
        frame = _first_with_depth(source, reader.start_ns + int(at * 1e9))
        if frame is None and args.at is None:
            frame = _first_with_depth(source, None)
        damage = f"DAMAGED: {reader.truncated}" if reader.truncated else ""
        if frame is None:
            long = f"{length:.2f} s long{f' ({damage})' if damage else ''}"
            raise BagError(f"bag '{bag}' has no image with depth after {at:.2f} s, it is {long} – choose another --at")
        topics = source.stream.topics
        title = f"{topics.depth} on {topics.image} at {frame.stamp_ns / 1e9:.3f} s"
        save_rgbd_view(Path(args.out), source.camera.K, frame.rgb, frame.depth, args.near, args.far, title)
    return f"{args.out}: {title}" + (f"\n  {damage}; the picture is of what could be read" if damage else "")


def _first_with_depth(source: RgbdFrames, start_ns: int | None) -> RgbdFrame | None:
    return next((frame for frame in source.frames(start_ns=start_ns) if frame.depth is not None), None)
