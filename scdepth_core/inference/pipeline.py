"""One camera frame, from pixels to metres and points, without ROS.

Rectifier -> DepthEstimator.predict -> x metres_per_unit -> validity mask -> point cloud, colours
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from scdepth_core.channels import to_rgb
from scdepth_core.errors import CameraError, ConfigError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.point_cloud import RayTable, point_cloud, point_layout
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.inference.temporal import TemporalConsistency
from scdepth_core.inference.validity import agreement, only, steep
from scdepth_core.visualization import colorize_depth

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class PipelineSettings:
    """What may change between two frames.

    Attributes:
        metres_per_unit: scale of the network's depth; None takes the one that the weights carry.
        min_depth, max_depth: metres; depth outside is invalid.
        edge_slope: pixels where depth changes by more than this, metres for each metre sideways, are invalid: points
            that fly between an object and what is behind it. 0 keeps all; frames without a camera keep all.
        flip_tolerance: pixels whose depth differs by more than this share from that of the mirrored picture are
            invalid; 0 keeps all and does not run the network a second time.
        cloud_step: the cloud has every cloud_step-th pixel of every cloud_step-th row.
        cloud_layout: "pcl", 32 bytes a point, or "packed", 16; see scdepth_core.geometry.point_cloud.
        cloud_max_depth: metres; points beyond are left out of the cloud, but not out of the depth image.
        color_low, color_high: metres at the two ends of the colour scale.

    Raises:
        ConfigError: for a value outside its allowed range.
    """

    metres_per_unit: float | None = None
    min_depth: float = 0.0
    max_depth: float = float("inf")
    edge_slope: float = 0.0
    flip_tolerance: float = 0.0
    cloud_step: int = 1
    cloud_layout: str = "pcl"
    cloud_max_depth: float = float("inf")
    color_low: float = 0.3
    color_high: float = 10.0

    def __post_init__(self):
        scale = self.metres_per_unit
        if scale is not None and not 0 < scale < float("inf"):
            raise ConfigError(f"metres_per_unit is {scale}, expected a positive number, or none to ask the weights")
        for low, high in (("min_depth", "max_depth"), ("color_low", "color_high")):
            a, b = getattr(self, low), getattr(self, high)
            if not 0 <= a < b:
                raise ConfigError(f"{low} is {a} and {high} is {b}, expected 0 <= {low} < {high}")
        for name in ("edge_slope", "flip_tolerance", "cloud_max_depth"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number of at least 0")
        if self.cloud_step < 1:
            raise ConfigError(f"cloud_step is {self.cloud_step}, expected at least 1")
        point_layout(self.cloud_layout)


@dataclass(frozen=True)
class FrameResult:
    """What came out of one frame. All images are rectified and of the input's size.

    Attributes:
        depth: (H, W) float32 metres along z (network units while the scale is unknown), NaN where invalid.
        prediction: (H, W) float32 network units, all that the network said; worthless where rectification saw nothing.
        rgb: (H, W, 3) uint8, the rectified picture.
        camera: of `depth` and `rgb`; None when the frame came without one (then nothing was rectified).
        metres_per_unit: scale that `depth` was multiplied by; None when it is in network units.
        cloud: (h, w, n) float32 as of `point_cloud`, or None when not wanted or without a camera.
        color: (H, W, 3) uint8 RGB picture of the depth, or None when not wanted.
        timings: milliseconds by stage: rectify, network, temporal, mask, cloud, color; only those that ran.
    """

    depth: np.ndarray
    prediction: np.ndarray
    rgb: np.ndarray
    camera: Camera | None
    metres_per_unit: float | None = None
    cloud: np.ndarray | None = None
    color: np.ndarray | None = None
    timings: dict[str, float] = field(default_factory=dict)


class CameraTables:
    """Whatever depends on the calibration alone: rectification maps, rays, pixels that rectification cannot fill."""

    def __init__(self, source: Camera):
        self.source = source
        self.rectifier = Rectifier(source)
        self.camera = self.rectifier.camera
        self.invalid = None if self.rectifier.valid.all() else ~self.rectifier.valid
        self._rays: RayTable | None = None

    def rays(self, step: int) -> RayTable:
        if self._rays is None or self._rays.step != step:
            self._rays = RayTable(self.camera, step)
        return self._rays


class FramePipeline:
    """Runs frames through an estimator.

    Args:
        estimator: a DepthEstimator, or anything with its `predict` and `metadata`.
        temporal: a TemporalConsistency, which makes depth invalid that the frame before contradicts; None keeps all,
            at no cost.
        settings: fields of PipelineSettings, by name.

    Attributes:
        settings: PipelineSettings; assign another one, from any thread, to change them from the next frame on.
        measured_scale: metres per unit as measured on the way, see scdepth_core.scale; None while it is not. Takes
            precedence; assign it from any thread.
    """

    def __init__(self, estimator, temporal: TemporalConsistency | None = None, **settings):
        self.estimator, self.temporal = estimator, temporal
        self.settings = PipelineSettings(**settings)
        self.measured_scale: float | None = None
        self._tables: CameraTables | None = None

    @property
    def scale(self) -> float:
        """Metres per network unit in use; 1 while nobody knows it."""
        return self.known_scale or 1.0

    @property
    def is_metric(self) -> bool:
        """False while depth is in network units, because nobody knows the scale."""
        return self.known_scale is not None

    @property
    def known_scale(self) -> float | None:
        """Metres per unit as measured, else as set, else as the weights say; None while nobody knows it."""
        return self.measured_scale or self.given_scale

    @property
    def given_scale(self) -> float | None:
        """Metres per unit as set, else as the weights say; None where neither knows it."""
        return self.settings.metres_per_unit or self.estimator.metadata.metres_per_unit or None

    def tables(self, camera: Camera) -> CameraTables:
        """The tables of this camera, made once for as long as the same object comes in."""
        if self._tables is None or self._tables.source is not camera:
            self._tables = CameraTables(camera)
        return self._tables

    def process(
        self,
        rgb: np.ndarray,
        camera: Camera | None,
        want_cloud: bool = True,
        want_color: bool = False,
        cloud_out: np.ndarray | None = None,
        stamp_ns: int | None = None,
    ) -> FrameResult:
        """Depth, and what follows from it, for one picture.

        Args:
            rgb: (H, W, 3) uint8 RGB or (H, W) uint8 grey, as the camera took it, lens distortion and all.
            camera: of that picture; None when unknown: no rectification, no cloud. Pass the same object for as long
                as the calibration stays the same; maps and rays are kept for it.
            cloud_out: (h, w, n) float32 buffer for the cloud, see `point_cloud`; ignored when of another shape.
            stamp_ns: when the picture was taken; tells `temporal` of pauses and of clocks that jump.

        Raises:
            SizeMismatchError: when the camera is not of the picture's size.
        """
        check_size(rgb, camera)
        settings, scale, timings = self.settings, self.known_scale, {}
        with _timed(timings, "rectify"):
            tables = None if camera is None else self.tables(camera)
            rgb = rectified(rgb, tables)
        with _timed(timings, "network"):
            prediction = self.estimator.predict(rgb)
            flipped = self._mirrored(rgb) if settings.flip_tolerance else None
        contradicted = None
        if self.temporal is not None:
            with _timed(timings, "temporal"):
                contradicted = self.temporal.contradicted(rgb, prediction, tables and tables.camera.K, stamp_ns)
        with _timed(timings, "mask"):
            factor = np.float32(scale or 1.0)  # cv2.multiply computes in doubles, four times slower
            depth = prediction * factor
            low, high = max(settings.min_depth, _SMALLEST), min(settings.max_depth, _LARGEST)
            valid = depth >= np.float32(low)
            valid &= depth <= np.float32(high)
            if flipped is not None:
                valid &= agreement(depth, flipped * factor, settings.flip_tolerance)
            if contradicted is not None:
                valid &= ~contradicted
            if settings.edge_slope and tables is not None:
                valid &= ~steep(depth, tables.camera, settings.edge_slope)
            if tables is not None and tables.invalid is not None:
                valid &= ~tables.invalid
            depth = only(depth, valid)
        cloud = color = None
        if want_cloud and tables is not None:
            with _timed(timings, "cloud"):
                rays = tables.rays(settings.cloud_step)
                layout = settings.cloud_layout
                fits = cloud_out is not None and cloud_out.shape == (*rays.shape, point_layout(layout).size)
                near = depth
                if settings.cloud_max_depth < settings.max_depth:
                    near = only(depth, depth <= np.float32(settings.cloud_max_depth))
                cloud = point_cloud(near, rays, rgb, cloud_out if fits else None, layout)
        if want_color:
            with _timed(timings, "color"):
                color = colorize_depth(depth, settings.color_low, settings.color_high)
        return FrameResult(depth, prediction, rgb, tables and tables.camera, scale, cloud, color, timings)

    def _mirrored(self, rgb: np.ndarray) -> np.ndarray:
        """Depth as predicted from the mirrored picture, mirrored back."""
        return np.ascontiguousarray(self.estimator.predict(np.ascontiguousarray(rgb[:, ::-1]))[:, ::-1])


def rectified(rgb: np.ndarray, tables: CameraTables | None) -> np.ndarray:
    """The picture (H, W, 3) without lens distortion, if its camera is known; grey becomes three equal channels."""
    if tables is not None:
        rgb = tables.rectifier(rgb)
    return to_rgb(rgb)


class SizeMismatchError(CameraError):
    """The camera was calibrated for an image of another size."""

    kind = "camera_size_mismatch"


def check_size(image: np.ndarray, camera: Camera | None) -> None:
    """Raise SizeMismatchError when a camera is given that cannot have taken the image."""
    if camera is not None and (camera.height, camera.width) != image.shape[:2]:
        raise SizeMismatchError(
            f"camera_info is for {camera.width}x{camera.height}, the image is {image.shape[1]}x{image.shape[0]} "
            "– publish both for the same size"
        )


@contextmanager
def _timed(timings: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    timings[stage] = (time.perf_counter() - start) * 1e3
