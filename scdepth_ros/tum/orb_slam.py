"""Camera files of ORB-SLAM2 and ORB-SLAM3 for RGB-D, of a rectified camera."""

from __future__ import annotations

from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera

BASELINE = 0.08  # metres
CLOSE_BASELINES = 40.0

_HEAD = """\
%YAML:1.0

# RGB-D camera of {system}, written by scdepth export-tum.
# The pictures are rectified, so there is no distortion to undo. Camera.RGB 0: files are read blue first; a ROS wrapper
# that hands on rgb8 needs 1.
"""

_DEPTH_REMARKS = """\
# Depth files hold depth in units of 1/DepthMapFactor metres. For live topics: 1.0 for 32FC1, 1000.0 for 16UC1.
#
# RGB-D needs no baseline; the two numbers below make up one, of a depth camera's usual size. They do two things:
# - bf = baseline * fx places a virtual right eye, and with it the weight of depth against pixels: an error of one
#   pixel there is worth Z^2 / bf metres, {error:.2f} m at 3 m. Depth of a network errs by a share of the distance,
#   some per cent: a larger bf trusts it more, a smaller one less.
# - ThDepth * baseline = {close:.1f} m is how far a point is placed by its own depth at once. What is farther has to be
#   seen from two places first. Raise it where depth is good and rooms are large, lower it where far depth is poor.
"""

_FEATURES = """\
# Features
ORBextractor.nFeatures: 1000
ORBextractor.scaleFactor: 1.2
ORBextractor.nLevels: 8
ORBextractor.iniThFAST: 20
ORBextractor.minThFAST: 7

# Viewer
Viewer.KeyFrameSize: 0.05
Viewer.KeyFrameLineWidth: 1.0
Viewer.GraphLineWidth: 0.9
Viewer.PointSize: 2.0
Viewer.CameraSize: 0.08
Viewer.CameraLineWidth: 3.0
Viewer.ViewpointX: 0.0
Viewer.ViewpointY: -0.7
Viewer.ViewpointZ: -1.8
Viewer.ViewpointF: 500.0
"""


def orb_slam2_yaml(camera: Camera, fps: float, depth_factor: float) -> str:
    """The settings file of ORB-SLAM2's rgbd_tum (and of ORB-SLAM3 in its old format).

    Args:
        camera: rectified.
        fps: frames per second.
        depth_factor: units per metre of the depth files.

    Raises:
        CameraError: when the camera has distortion.
    """
    fx = _checked(camera).K[0, 0]
    lines = {
        **{f"Camera.{name}": _real(value) for name, value in _intrinsics(camera).items()},
        **{f"Camera.{name}": "0.0" for name in ("k1", "k2", "p1", "p2")},
        "Camera.width": str(camera.width),
        "Camera.height": str(camera.height),
        "Camera.fps": _real(fps),
        "Camera.RGB": "0",
    }
    depth = {
        "Camera.bf": _real(BASELINE * fx),
        "ThDepth": _real(CLOSE_BASELINES),
        "DepthMapFactor": _real(depth_factor),
    }
    return _file("ORB-SLAM2", lines, depth, fx)


def orb_slam3_yaml(camera: Camera, fps: float, depth_factor: float) -> str:
    """The settings file of ORB-SLAM3 1.0 (File.version "1.0"); arguments and errors as above.

    It insists on whole numbers for sizes and rate, and on a decimal point in all others.
    """
    fx = _checked(camera).K[0, 0]
    lines = {
        "File.version": '"1.0"',
        "Camera.type": '"PinHole"',
        **{f"Camera1.{name}": _real(value) for name, value in _intrinsics(camera).items()},
        **{f"Camera1.{name}": "0.0" for name in ("k1", "k2", "p1", "p2")},
        "Camera.width": str(camera.width),
        "Camera.height": str(camera.height),
        "Camera.fps": str(max(1, round(fps))),
        "Camera.RGB": "0",
    }
    depth = {
        "Stereo.b": _real(BASELINE),
        "Stereo.ThDepth": _real(CLOSE_BASELINES),
        "RGBD.DepthMapFactor": _real(depth_factor),
    }
    return _file("ORB-SLAM3", lines, depth, fx)


def _file(system: str, lines: dict[str, str], depth: dict[str, str], fx: float) -> str:
    remarks = _DEPTH_REMARKS.format(error=3.0**2 / (BASELINE * fx), close=CLOSE_BASELINES * BASELINE)
    parts = [_HEAD.format(system=system), _entries(lines), remarks + _entries(depth), _FEATURES]
    return "\n".join(parts)


def _entries(values: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in values.items())


def _intrinsics(camera: Camera) -> dict[str, float]:
    K = camera.K
    return {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}


def _checked(camera: Camera) -> Camera:
    if camera.is_distorted:
        raise CameraError("a camera file for SLAM needs a rectified camera, this one has distortion – use Rectifier")
    return camera


def _real(value: float) -> str:
    """A number with a decimal point, which OpenCV's reader takes for a real one."""
    text = f"{float(value):.9g}"
    return text if any(sign in text for sign in ".en") else f"{text}.0"
