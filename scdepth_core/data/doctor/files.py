"""Checks of single files: does the depth belong to the image, do intrinsics, stamps and poses belong to the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scdepth_core.data.doctor.findings import Finding
from scdepth_core.data.scene_folder import Scene, read_depth, read_image
from scdepth_core.errors import DataError
from scdepth_core.geometry.trajectory import read_stamps, read_tum
from scdepth_core.metrics import protocol_named

OFF_CENTRE = 0.1  # of the width or height, from where a principal point is suspicious
NARROWEST, WIDEST = 20.0, 150.0  # horizontal field of view, degrees
ASPECT_TOLERANCE = 0.02
NEAREST, FARTHEST = 0.1, 100.0  # median of a data set's depth, metres

REMOVE = "remove it or write it again"


def check_image(path: Path, found: list[Finding]) -> np.ndarray | None:
    """The picture (H, W, 3), or None and a finding."""
    try:
        return read_image(path)
    except DataError as error:
        found.append(Finding.refused("unreadable", path, error, REMOVE))
        return None


def check_depth(
    path: Path,
    depth_factor: float,
    size: tuple[int, int] | None,
    found: list[Finding],
    K: np.ndarray | None = None,
    protocol: str = "custom",
) -> float | None:
    """Findings about the ground truth of an image of `size` (height, width), which may be unknown; its median, metres.

    Where the protocol crops in pixels, depth has to have the size that the crop is for. Otherwise it may have another
    resolution than the image. Where K says that the image was stretched, it may also have the shape that the image had
    before, when its pixels were square.
    """
    try:
        depth = read_depth(path, depth_factor)
    except DataError as error:
        found.append(Finding.refused("unreadable", path, error, REMOVE))
        return None
    known = depth[depth > 0]
    if not known.size:
        problem, cure = "it has no depth above 0", "remove it: an empty depth map tells nothing"
        found.append(Finding.warning("empty depth", path, problem, cure))
    _check_shape(path, depth.shape, size, found, K, protocol)
    return float(np.median(known)) if known.size else None


def _check_shape(
    path: Path,
    shape: tuple[int, int],
    size: tuple[int, int] | None,
    found: list[Finding],
    K: np.ndarray | None,
    protocol: str,
) -> None:
    height, width = shape
    if (wanted := protocol_named(protocol).size) not in (None, shape):
        problem = f"depth is {width}x{height}, protocol '{protocol}' crops {wanted[1]}x{wanted[0]}"
        cure = "scale it by nearest neighbours, or count whole images: --protocol custom, --model.protocol custom"
        found.append(Finding.error("depth size", path, problem, cure))
        return
    if size is None:
        return
    shapes = [size[1] / size[0]]
    shapes += [] if K is None else [shapes[0] * float(K[1, 1] / K[0, 0])]
    if all(abs(width / height / shape - 1) > ASPECT_TOLERANCE for shape in shapes):
        problem = f"depth is {width}x{height}, its image {size[1]}x{size[0]}: another shape"
        found.append(Finding.error("depth size", path, problem, "crop both alike, so that they show the same"))


def check_depth_unit(path: Path, depth_factor: float, medians: list[float], found: list[Finding]) -> None:
    """A finding where the medians of the images' depths, metres, are such as no camera for a robot sees.

    Args:
        path: of dataset.yaml.
    """
    if medians and not NEAREST <= (median := float(np.median(medians))) <= FARTHEST:
        problem = f"the median depth of the ground truth is {median:.3g} m, with depth_factor {depth_factor:g}"
        cure = "give the units of the 16-bit depth files per metre as depth_factor; .npy and .npz have to be in metres"
        found.append(Finding.warning("depth unit", path, problem, cure))


def check_intrinsics(path: Path, K: np.ndarray, size: tuple[int, int], found: list[Finding]) -> None:
    """Findings about cam.txt for frames of `size` (height, width)."""
    (cx, cy), (height, width) = K[:2, 2], size
    cure = "scale the intrinsics as the frames were: cx' = (cx + 0.5) s - 0.5"
    where = f"principal point ({cx:g}, {cy:g}) of frames of {width}x{height}"
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        found.append(Finding.error("principal point", path, f"{where} is outside of them", cure))
        return
    offset = max(abs((cx + 0.5) / width - 0.5), abs((cy + 0.5) / height - 0.5))
    if offset > OFF_CENTRE:
        found.append(Finding.warning("principal point", path, f"{where} is {offset:.0%} off their middle", cure))
    view = np.degrees(2 * np.arctan(width / (2 * K[0, 0])))
    if not NARROWEST <= view <= WIDEST:
        problem = f"fx={K[0, 0]:g} and {width} pixels are a horizontal view of {view:.0f} degrees"
        found.append(Finding.warning("field of view", path, problem, cure))


def check_stamps_and_poses(scene: Scene, found: list[Finding]) -> None:
    """Findings about timestamps.txt and poses.txt, which have a line for each frame where they are there."""
    folder, entries = scene.images[0].parent, {}
    for path, count in ((folder / "timestamps.txt", _count_stamps), (folder / "poses.txt", _count_poses)):
        try:
            entries[path] = count(path) if path.exists() else len(scene.images)
        except DataError as error:  # training does without both
            problem, _, expected = str(error).partition(" – ")
            found.append(Finding.warning(path.stem, path, problem, f"{expected}, or remove the file"))
    for path, number in entries.items():
        if number != len(scene.images):
            problem = f"it has {number} entries for {len(scene.images)} frames"
            cure = "write one for each frame, or remove the file: 'scdepth odometry' refuses it"
            found.append(Finding.warning(path.stem, path, problem, cure))


def _count_stamps(path: Path) -> int:
    return len(read_stamps(path))


def _count_poses(path: Path) -> int:
    return len(read_tum(path).poses)
