"""Recordings in the layouts that their authors publish, as scenes of frames that can be written into a data set."""

from scdepth_core.data.importers.conversion import convert, write_benchmark
from scdepth_core.data.importers.kitti_odometry import kitti_odometry_scenes
from scdepth_core.data.importers.kitti_raw import kitti_raw_scenes, kitti_test_frames
from scdepth_core.data.importers.kitti_split import read_split
from scdepth_core.data.importers.seven_scenes import seven_scenes
from scdepth_core.data.importers.source import BenchmarkFrame, SceneReader, SourceFrame, SourceScene
from scdepth_core.data.importers.tum import tum_scenes

__all__ = [
    "BenchmarkFrame",
    "SceneReader",
    "SourceFrame",
    "SourceScene",
    "convert",
    "kitti_odometry_scenes",
    "kitti_raw_scenes",
    "kitti_test_frames",
    "read_split",
    "seven_scenes",
    "tum_scenes",
    "write_benchmark",
]
