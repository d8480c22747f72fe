"""How a scale is measured, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass

from scdepth_core.errors import ConfigError
from scdepth_core.scale.camera_height import CameraHeight
from scdepth_core.scale.filter import ScaleFilter
from scdepth_core.scale.odometry import OdometryTravel
from scdepth_core.scale.reference_depth import ReferenceDepth
from scdepth_core.scale.tracker import ScaleTracker

REFERENCES = ("raw", "compressed", "compressedDepth", "points")
SOURCES = ("odometry", "camera_height", "reference_depth")


@dataclass(frozen=True)
class ScaleSettings:
    """A source and its numbers; those of other sources are ignored.

    Attributes:
        source: one of SOURCES.
        camera_height: of the optical centre over the ground, metres; camera_pitch: degrees that it looks down.
        min_travel, max_rotation_share, lever_arm: see OdometryTravel.
        fixed_frame: where transforms tell the camera's own travel, so that there is no lever; "" for odometry.
        ground_frame: where transforms tell the height of the camera; "" for camera_height and camera_pitch.
        reference: what reference depth comes as: an image of one of three transports, or points.
        max_step: largest relative change by one measurement, see ScaleFilter.

    Raises:
        ConfigError: for an unknown source, and (when the source is made) for a number outside its range.
    """

    source: str
    camera_height: float = 0.0
    camera_pitch: float = 0.0
    min_travel: float = 0.1
    max_rotation_share: float = 0.8
    lever_arm: float = 0.2
    fixed_frame: str = ""
    ground_frame: str = ""
    reference: str = "raw"
    max_step: float = 0.005

    def __post_init__(self):
        if self.source not in SOURCES:
            raise ConfigError(f"scale source is '{self.source}', expected one of {', '.join(SOURCES)}")
        if self.reference not in REFERENCES:
            raise ConfigError(f"scale reference is '{self.reference}', expected one of {', '.join(REFERENCES)}")

    def make_source(self) -> OdometryTravel | CameraHeight | ReferenceDepth:
        if self.source == "odometry":
            lever_arm = 0.0 if self.fixed_frame else self.lever_arm
            return OdometryTravel(self.min_travel, self.max_rotation_share, lever_arm)
        if self.source == "camera_height":
            return CameraHeight(None if self.ground_frame else self.camera_height, self.camera_pitch)
        return ReferenceDepth()

    def tracker(self, initial: float | None = None) -> ScaleTracker:
        """A tracker that starts from `initial` metres per unit, or from nothing."""
        return ScaleTracker(self.make_source(), ScaleFilter(initial, self.max_step))
