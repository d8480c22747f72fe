"""Recordings in the layouts that their authors publish, as scenes of frames that can be written into a data set."""

from scdepth_core.data.importers.conversion import convert
from scdepth_core.data.importers.kitti_odometry import kitti_odometry_scenes
from scdepth_core.data.importers.kitti_raw import kitti_raw_scenes
from scdepth_core.data.importers.seven_scenes import seven_scenes
from scdepth_core.data.importers.source import SceneReader, SourceFrame, SourceScene
from scdepth_core.data.importers.tum import tum_scenes

__all__ = [
    "SceneReader",
    "SourceFrame",
    "SourceScene",
    "convert",
    "kitti_odometry_scenes",
    "kitti_raw_scenes",
    "seven_scenes",
    "tum_scenes",
]
