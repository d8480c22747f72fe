"""Metres per network unit, measured: from reference depth, the height of the camera, or odometry.

SC-Depth is right up to one factor for a camera and a training run. Every source measures the logarithm of that
factor frame by frame, with an uncertainty; ScaleFilter makes one slow number of it.
"""

from scdepth_core.scale.camera_height import CameraHeight
from scdepth_core.scale.filter import ScaleFilter
from scdepth_core.scale.odometry import OdometryTravel
from scdepth_core.scale.reference_depth import ReferenceDepth
from scdepth_core.scale.settings import SOURCES, ScaleSettings
from scdepth_core.scale.tracker import ScaleState, ScaleTracker
from scdepth_core.scale.view import Measurement, View

__all__ = [
    "SOURCES",
    "CameraHeight",
    "Measurement",
    "OdometryTravel",
    "ReferenceDepth",
    "ScaleFilter",
    "ScaleSettings",
    "ScaleState",
    "ScaleTracker",
    "View",
]
