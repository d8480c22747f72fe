"""Data sets on disk, and samples from them.

The data sets of samples bring PyTorch along, so they are imported when they are asked for: writing a data set, or
recording one on a robot, needs none of it.
"""

from scdepth_core.data.augmentation import Augmentation
from scdepth_core.data.pseudo_depth import PseudoDepth
from scdepth_core.data.scene_folder import Scene, SceneFolder

_WITH_TORCH = ("DepthDataset", "EpochSampler", "SequenceDataset")

__all__ = ["Augmentation", "DepthDataset", "EpochSampler", "PseudoDepth", "Scene", "SceneFolder", "SequenceDataset"]


def __getattr__(name: str):
    if name in _WITH_TORCH:
        from scdepth_core.data import sequence_dataset

        return getattr(sequence_dataset, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
