"""Turn the frames of one recording into scenes: one for each continuous stretch."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from scdepth_core.data.frame_selection import FrameSelector
from scdepth_core.data.scene_writer import DatasetWriter, SceneWriter
from scdepth_core.errors import ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import ImageGeometry
from scdepth_ros.extraction.report import BagReport, SceneReport
from scdepth_ros.extraction.settings import ExtractionSettings

SHORT = "in stretches that are too short"
BEFORE_POSES, BEHIND_POSES = "before the first pose", "behind the last pose"
_FEWEST_POSES = 0.5  # share of a scene's frames with a pose for which the others, before and behind, are given up


class StretchWriter:
    """Judge frames in time order and write those worth keeping, in a new scene after every gap or camera change.

    Args:
        prefix: the scenes are called PREFIX_00, PREFIX_01, ...
        report: of the bag; gets the frames that end up in no scene.

    Attributes:
        scenes: reports of the scenes that were written.
    """

    def __init__(
        self, dataset: DatasetWriter, prefix: str, settings: ExtractionSettings, report: BagReport, rectified: bool
    ):
        self._dataset, self._prefix, self._settings = dataset, prefix, settings
        self._report, self._rectified = report, rectified
        self.scenes: list[SceneReport] = []
        self._writer: SceneWriter | None = None
        self._scene: SceneReport | None = None
        self._camera: Camera | None = None
        self._geometry: ImageGeometry | None = None
        self._selector: FrameSelector | None = None
        self._last_ns: int | None = None
        self._periods: deque[int] = deque(maxlen=1000)

    def add(
        self,
        stamp_ns: int,
        image: np.ndarray,
        camera: Camera,
        read_depth: Callable[[], np.ndarray | None],
        pose: np.ndarray | None,
    ) -> None:
        """Take one decoded frame.

        Args:
            image: (H, W[, 3]) uint8.
            read_depth: gives its depth (h, w) in metres, or None; called only for a frame that is kept.
            pose: (4, 4) camera in the world.

        Raises:
            ImageError: for an image of another size than the camera's.
            CameraError: for a camera of which no rectified image can be made.
        """
        if (image.shape[1], image.shape[0]) != (camera.width, camera.height):
            raise ImageError(
                f"image is {image.shape[1]}x{image.shape[0]}, but camera_info says {camera.width}x{camera.height}"
            )
        step = None if self._last_ns is None else stamp_ns - self._last_ns
        if step is not None and -self._settings.max_gap * 1e9 <= step <= 0:
            self._report.dropped["repeated or out of order"] += 1
            return
        if step is not None and abs(step) > self._settings.max_gap * 1e9:
            self.finish()
        elif step is not None:
            self._periods.append(step)
        if camera is not self._camera:
            self.finish()
            self._geometry = ImageGeometry(
                camera, (self._dataset.width, self._dataset.height), self._settings.fit, self._rectified
            )
            self._camera = camera
            self._report.camera.update(window=self._geometry.window, K=self._geometry.camera.K.tolist())
        if self._writer is None:
            self._begin(stamp_ns)
        self._last_ns = stamp_ns
        self._judge(stamp_ns, self._geometry.image(image), read_depth, pose)

    def finish(self) -> None:
        """End the current scene; without enough frames it is taken out again, and counted."""
        writer, scene = self._writer, self._scene
        self._writer = self._scene = None
        if writer is None:
            return
        self._trim(writer, scene)
        writer.close()
        if writer.frames < self._settings.min_frames:
            self._dataset.remove_scene(writer.name)
            self._report.short_stretches += 1
            self._report.dropped[SHORT] += scene.kept
            self._report.dropped.update(scene.dropped)
            return
        scene.depth, scene.poses = writer.depths, writer.poses if writer.poses == writer.frames else 0
        if 0 < writer.poses < writer.frames:
            self._report.notes.append(
                f"{scene.name}: only {writer.poses} of {writer.frames} frames have a pose, so none is written"
            )
        self.scenes.append(scene)

    def _trim(self, writer: SceneWriter, scene: SceneReport) -> None:
        """Leave out frames before the first pose and behind the last one, where all others then have one: odometry
        begins later than the camera. Otherwise all stay, without poses, which training does not need.
        """
        if not 0 < writer.poses < writer.frames or writer.poses <= writer.last_pose - writer.first_pose:
            return
        if writer.poses < max(self._settings.min_frames, _FEWEST_POSES * writer.frames):
            return
        before, behind = writer.first_pose, writer.frames - 1 - writer.last_pose
        first_ns, last_ns = writer.trim_to_poses()
        if before:
            scene.start_ns, scene.dropped[BEFORE_POSES] = first_ns, before
        if behind:
            scene.end_ns, scene.dropped[BEHIND_POSES] = last_ns, behind
        scene.kept = writer.frames
        scene.motion = scene.motion[before : len(scene.motion) - behind]
        scene.rotation = scene.rotation[before : len(scene.rotation) - behind]

    @property
    def period_s(self) -> float | None:
        """Median time between images, seconds."""
        return float(np.median(self._periods)) / 1e9 if self._periods else None

    def _begin(self, stamp_ns: int) -> None:
        name = f"{self._prefix}_{len(self.scenes):02d}"
        self._writer = self._dataset.new_scene(name, self._geometry.camera.K)
        self._scene = SceneReport(name, self._report.path, stamp_ns, stamp_ns)
        self._selector = FrameSelector(self._geometry.camera.K, self._settings.selection)

    def _judge(
        self,
        stamp_ns: int,
        image: np.ndarray,
        read_depth: Callable[[], np.ndarray | None],
        pose: np.ndarray | None,
    ) -> None:
        scene, verdict = self._scene, self._selector.judge(image)
        scene.end_ns = stamp_ns
        if not verdict.keep:
            scene.dropped[verdict.reason] += 1
            return
        self._writer.add(
            image,
            stamp_ns=stamp_ns,
            depth=self._fitted_depth(read_depth()),
            pose=None if pose is None else self._geometry.pose(pose),
        )
        scene.kept += 1
        if verdict.motion is not None:
            scene.motion.append(verdict.motion)
            scene.rotation.append(np.nan if verdict.rotation_share is None else verdict.rotation_share)

    def _fitted_depth(self, depth: np.ndarray | None) -> np.ndarray | None:
        try:
            return None if depth is None else self._geometry.depth(depth)
        except ImageError:
            self._report.depth_dropped["of another aspect"] += 1
            return None


def scene_prefixes(paths: list) -> list[str]:
    """A scene name for each bag, made of letters that every file system takes, and different from all others."""
    seen, prefixes = Counter(), []
    for path in paths:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem if path.is_file() else path.resolve().name) or "bag"
        seen[name] += 1
        prefixes.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return prefixes
