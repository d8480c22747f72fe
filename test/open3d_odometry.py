"""Open3D's RGB-D odometry as a consumer of depth: on the topics of a running depth_node, against the ground truth.

    python test/open3d_odometry.py BAG [--weights FILE]

plays the bag to depth_node, records its depth and its relayed picture, exports that recording and the bag with its
measured depth, runs the same odometry over both, and prints the absolute trajectory error and the scale error of each.
Needs `pip install '.[consumers]'`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scdepth_ros.bag import BagReader
from scdepth_ros.child_process import private_ros_environment, process
from scdepth_ros.export_tum import export_tum
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.extraction.topics import find_topics
from scdepth_ros.topics import DEPTH, INFO, RGB, RGB_INFO

FARTHEST = 13.0  # metres, TUM's factor ends there
RATE, QUIET = 0.5, 3.0  # of the player, so that no frame is replaced by a newer one; seconds for the last depth
PYTHON = (sys.executable, "-m")


@dataclass(frozen=True)
class Tracked:
    """How a trajectory fits the truth.

    Attributes:
        ate: root mean square distance of the positions after the best rigid alignment, metres.
        scale: of the trajectory over the truth's, by the best similarity; 1 is right.
        length: of the true path, metres.
        lost: frames that the odometry could not align.
    """

    ate: float
    scale: float
    length: float
    lost: int


def track(folder: Path) -> Tracked:
    """Run the odometry over an exported sequence and compare with its groundtruth.txt."""
    import open3d as o3d

    settings = cv2.FileStorage(str(folder / "orb_slam3.yaml"), cv2.FILE_STORAGE_READ)
    size = [int(settings.getNode(f"Camera.{name}").real()) for name in ("width", "height")]
    numbers = [settings.getNode(f"Camera1.{name}").real() for name in ("fx", "fy", "cx", "cy")]
    camera = o3d.camera.PinholeCameraIntrinsic(*size, *numbers)
    factor = settings.getNode("RGBD.DepthMapFactor").real()
    option = o3d.pipelines.odometry.OdometryOption(depth_diff_max=0.15, depth_min=0.1, depth_max=FARTHEST)
    method = o3d.pipelines.odometry.RGBDOdometryJacobianFromHybridTerm()
    truth = {row[0]: row for row in (line.split() for line in (folder / "groundtruth.txt").read_text().splitlines())}
    poses, positions, lost, previous, step = [np.eye(4)], [], 0, None, np.eye(4)
    for line in (folder / "associations.txt").read_text().splitlines():
        stamp, rgb, _, depth = line.split()
        now = o3d.geometry.RGBDImage.create_from_color_and_depth(
            o3d.io.read_image(str(folder / rgb)),
            o3d.io.read_image(str(folder / depth)),
            depth_scale=factor,
            depth_trunc=FARTHEST,
            convert_rgb_to_intensity=True,
        )
        if previous is not None:
            # Maps points of this frame into the last one: the pose of this camera in the last one's axes.
            good, found, _ = o3d.pipelines.odometry.compute_rgbd_odometry(now, previous, camera, step, method, option)
            lost += not good
            step = found if good else step
            poses.append(poses[-1] @ step)
        positions.append([float(number) for number in truth[stamp][1:4]])
        previous = now
    length = float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())
    found = np.array([pose[:3, 3] for pose in poses])
    return Tracked(*trajectory_errors(found, np.array(positions)), length, lost)


def trajectory_errors(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """ATE under the best rigid alignment, and the scale of the best similarity (Umeyama 1991), of (N, 3) positions."""
    a, b = found - found.mean(0), truth - truth.mean(0)
    U, S, Vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    aligned = a @ (U @ flip @ Vt).T
    ate = float(np.sqrt(np.mean(np.sum((aligned - b) ** 2, axis=1))))
    return ate, float(np.sum(a * a) / np.trace(np.diag(S) @ flip))


def record_node(source: Path, output: Path, weights: Path | None) -> None:
    """Play the source's images, calibration and odometry to depth_node and record what it publishes: over DDS.

    The output has depth/image_rect and rgb/image_rect_color as the node sent them, and the odometry played.
    """
    with BagReader(source) as bag:
        topics = find_topics(bag, ExtractionSettings())
    images = {"raw": topics.image, "compressed": topics.image.removesuffix("/compressed")}
    transport = "raw" if images["raw"] == images["compressed"] else "compressed"
    remappings = {"image": images["compressed"], "camera_info": topics.camera_info}
    parameters = {"image_transport": transport} | ({} if weights is None else {"weights": str(weights.resolve())})
    node = [*PYTHON, "scdepth_ros.depth_node", "--ros-args"]
    node += [word for name, topic in remappings.items() for word in ("-r", f"{name}:={topic}")]
    node += [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    published = [f"/{name}" for name in (DEPTH, INFO, RGB, RGB_INFO)]
    recorder = [*PYTHON, "scdepth_ros.record_node", str(output), "--topics", *published, topics.odometry]
    played = [topics.image, topics.camera_info, topics.odometry]
    player = [*PYTHON, "scdepth_ros.play_bag", str(source), "--topics", *played, "--rate", str(RATE)]
    with private_ros_environment(), process(recorder), process(node):
        with process([*player, "--wait-for-subscribers", "60"]) as playing:
            if playing.wait() != 0:
                raise SystemExit("the player failed; its message is above")
        time.sleep(QUIET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag", type=Path, help="a recording with images, measured depth and odometry")
    parser.add_argument("--weights", type=Path, help="default: the starter weights")
    args = parser.parse_args()
    print(f"{'depth':<12}{'ATE, m':>10}{'scale':>10}{'path, m':>10}{'lost':>6}")
    with tempfile.TemporaryDirectory() as work:
        record_node(args.bag, Path(work) / "recorded", args.weights)
        for name, bag in (("measured", args.bag), ("predicted", Path(work) / "recorded")):
            export_tum(bag, Path(work) / name, ExtractionSettings(), 5000)
            result = track(Path(work) / name)
            print(f"{name:<12}{result.ate:>10.3f}{result.scale:>10.3f}{result.length:>10.2f}{result.lost:>6}")


if __name__ == "__main__":
    main()
