"""Data sets on disk, and samples from them."""

from scdepth_core.data.augmentation import Augmentation
from scdepth_core.data.scene_folder import Scene, SceneFolder
from scdepth_core.data.sequence_dataset import DepthDataset, EpochSampler, SequenceDataset

__all__ = ["Augmentation", "DepthDataset", "EpochSampler", "Scene", "SceneFolder", "SequenceDataset"]
