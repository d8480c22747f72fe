"""The settings of an extraction, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from scdepth_core.data.frame_selection import SelectionSettings
from scdepth_core.errors import ConfigError

FITS = ("crop", "stretch")
ODOMETRY_FRAMES = ("auto", "optical", "body")


@dataclass(frozen=True)
class ExtractionSettings:
    """How to turn recordings into scenes.

    Attributes:
        image_topic, camera_info_topic, depth_topic, odom_topic: names; None to find them.
        calibration: file of camera_calibration to take instead of camera_info.
        points_topic: PointCloud2 to take as depth, in place of a depth image.
        fixed_frame: frame in which TF tells the camera's poses, in place of odometry; None for odometry.
        ground_frame: frame of TF whose z = 0 plane is the ground; None when nobody asks for the camera's height.
        use_depth, use_odometry: False leaves depth or poses out.
        rectified: whether images are free of distortion already; None: by "rect" in the topic's name.
        odometry_frame: axes of the moving frame of the odometry: "optical" (z forward), "body" (x forward, REP
            103), or "auto", by its name.
        size: (width, height) of the images to write; None for 256 rows and the camera's own aspect.
        fit: "crop" keeps pixels square and cuts off what is over; "stretch" keeps the whole view.
        image_format: "jpg" or "png".
        selection: which frames to keep.
        max_gap: seconds between frames that end a stretch.
        min_frames: frames that a scene needs.
        validation: share of the frames set apart for validation, 0 to 1.
        depth_tolerance: seconds by which a depth image, or an odometry sample without a neighbour, may miss.
        odometry_gap: seconds between odometry samples that are still interpolated.
        window: seconds of recording by which depth and odometry may come later than their image.

    Raises:
        ConfigError: for a value outside its range.
    """

    image_topic: str | None = None
    camera_info_topic: str | None = None
    calibration: str | None = None
    depth_topic: str | None = None
    odom_topic: str | None = None
    points_topic: str | None = None
    fixed_frame: str | None = None
    ground_frame: str | None = None
    use_depth: bool = True
    use_odometry: bool = True
    rectified: bool | None = None
    odometry_frame: str = "auto"
    size: tuple[int, int] | None = None
    fit: str = "crop"
    image_format: str = "jpg"
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    max_gap: float = 0.5
    min_frames: int = 10
    validation: float = 0.1
    depth_tolerance: float = 0.02
    odometry_gap: float = 0.25
    window: float = 1.0

    def __post_init__(self):
        if self.fit not in FITS:
            raise ConfigError(f"fit is '{self.fit}', expected one of {', '.join(FITS)}")
        if self.odometry_frame not in ODOMETRY_FRAMES:
            raise ConfigError(f"odom-frame is '{self.odometry_frame}', expected one of {', '.join(ODOMETRY_FRAMES)}")
        if self.size is not None and min(self.size) < 32:
            raise ConfigError(f"size is {self.size[0]}x{self.size[1]}, expected at least 32x32 pixels")
        if not 0 <= self.validation <= 1:
            raise ConfigError(f"validation is {self.validation}, expected a share from 0 to 1")
        if self.min_frames < 3:
            raise ConfigError(f"min-frames is {self.min_frames}, expected at least 3: a target and two sources")
        for name in ("max_gap", "depth_tolerance", "odometry_gap", "window"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"{name.replace('_', '-')} is {getattr(self, name)}, expected a number of seconds above 0"
                )
