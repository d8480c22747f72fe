"""Arguments of commands that read a camera out of a bag, and the fields of ExtractionSettings that they set."""

from __future__ import annotations

import argparse

from scdepth_ros.extraction.settings import ODOMETRY_FRAMES, ExtractionSettings


def add_camera_arguments(parser) -> None:
    """Declare what is the camera's: its topics, or a calibration file in place of one. `camera_of` reads them.
    Takes a parser, or a group of one.
    """
    parser.add_argument("--image-topic", metavar="TOPIC", help="colour or mono images")
    parser.add_argument("--camera-info-topic", metavar="TOPIC", help="calibration (default: beside the images)")
    parser.add_argument(
        "--calibration", metavar="YAML", help="file that camera_calibration wrote, in place of camera_info"
    )
    parser.add_argument("--depth-topic", metavar="TOPIC", help="depth registered to the images")
    parser.add_argument(
        "--depth-tolerance",
        type=float,
        metavar="S",
        default=ExtractionSettings().depth_tolerance,
        help="largest distance in time of an image and its depth, seconds (default: %(default)s)",
    )


def camera_of(args: argparse.Namespace) -> dict:
    """The fields that `add_camera_arguments` declared."""
    return {
        "image_topic": args.image_topic,
        "camera_info_topic": args.camera_info_topic,
        "calibration": args.calibration,
        "depth_topic": args.depth_topic,
        "depth_tolerance": args.depth_tolerance,
    }


def add_odometry_arguments(parser) -> None:
    """Declare where odometry is; `odometry_of` reads it. Takes a parser, or a group of one."""
    parser.add_argument("--odom-topic", metavar="TOPIC", help="Odometry, PoseStamped or PoseWithCovarianceStamped")
    parser.add_argument("--no-poses", action="store_true", help="leave poses out")
    parser.add_argument(
        "--odom-frame",
        choices=ODOMETRY_FRAMES,
        default=ExtractionSettings().odometry_frame,
        help="axes of the frame that the odometry moves: optical (z forward), body (x forward, as base_link), or "
        "auto: optical if it is the images' frame or is called so, else body",
    )


def odometry_of(args: argparse.Namespace) -> dict:
    """The fields that `add_odometry_arguments` declared."""
    return {"odom_topic": args.odom_topic, "use_odometry": not args.no_poses, "odometry_frame": args.odom_frame}


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare everything about where in a bag to look; `topics_of` reads it."""
    topics = parser.add_argument_group("topics")
    add_camera_arguments(topics)
    topics.add_argument("--no-depth", action="store_true", help="leave depth out")
    topics.add_argument(
        "--fixed-frame", metavar="FRAME", help="poses of the camera in this frame, from TF in place of odometry"
    )
    add_odometry_arguments(topics)


def topics_of(args: argparse.Namespace) -> dict:
    """The fields that `add_topic_arguments` declared."""
    others = {"fixed_frame": args.fixed_frame, "use_depth": not args.no_depth}
    return camera_of(args) | odometry_of(args) | others
