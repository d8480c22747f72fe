"""Metres per network unit, measured: from reference depth, the height of the camera, or odometry.

SC-Depth is right up to one factor for a camera and a training run. Every source measures the logarithm of that
factor frame by frame, with an uncertainty; ScaleFilter makes one slow number of it.
"""

from scdepth_core.scale.camera_height import CameraHeight
from scdepth_core.scale.filter import ScaleFilter
from scdepth_core.scale.odometry import OdometryTravel
from scdepth_core.scale.reference_depth import ReferenceDepth
from scdepth_core.scale.tracker import ScaleTracker
from scdepth_core.scale.view import Measurement, View

__all__ = [
    "CameraHeight",
    "Measurement",
    "OdometryTravel",
    "ReferenceDepth",
    "ScaleFilter",
    "ScaleTracker",
    "View",
]
