"""Loaders for training and validation, as Lightning wants them."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from scdepth_core.data import Augmentation, DepthDataset, EpochSampler, PseudoDepth, SceneFolder, SequenceDataset
from scdepth_core.data.depth_units import warn_of_guessed_units
from scdepth_core.data.frame_index import listed_frames
from scdepth_core.errors import ConfigError, DataError


class SequenceDataModule(pl.LightningDataModule):
    """Short sequences of a scene folder for training; frames with depth, or sequences, for validation.

    Args:
        root: the data set, in the scene-folder format.
        height: of the samples, pixels, a multiple of 32; files of another size are resampled.
        width: of the samples, pixels, a multiple of 32.
        batch_size: samples per step and process; one sample is three frames.
        stride: frames between target and source: 1 for driving at 10 Hz, more for slow or high-rate video.
        workers: loader processes, each reading with one thread; 0 loads in the training process.
        flip: probability of a left-right mirror.
        max_zoom: largest random zoom.
        validation_stride: validate on every n-th frame with depth.
        seed: of order and augmentation.
        frame_index: train on the frames in each scene's frame_index.txt only, as 'scdepth check DATA
            --write-frame-index' or the public code wrote it: without those that stand still or are blurred.
        pseudo_depth: which depth of another network v3 learns from; v1 and v2 read none.

    Attributes:
        first_epoch: that training begins with, to be set before a resumed one, for the order and the augmentation.
    """

    def __init__(
        self,
        root: Path,
        height: int = 256,
        width: int = 320,
        batch_size: int = 8,
        stride: int = 1,
        workers: int = 4,
        flip: float = 0.5,
        max_zoom: float = 1.15,
        validation_stride: int = 1,
        seed: int = 0,
        frame_index: bool = False,
        pseudo_depth: PseudoDepth = PseudoDepth(),  # noqa: B008 - frozen
    ):
        super().__init__()
        if height % 32 or width % 32 or min(height, width) < 64:
            raise ConfigError(f"sample size is {height}x{width} (HxW), expected multiples of 32, at least 64")
        if min(stride, batch_size, validation_stride) < 1 or workers < 0:
            raise ConfigError(
                f"stride {stride}, batch_size {batch_size}, validation_stride {validation_stride} have to be at least "
                f"1, workers {workers} at least 0"
            )
        self.folder = SceneFolder(Path(root))
        described = f"{self.folder.root.resolve().name}, {len(self.folder.training)} training scenes"
        self.save_hyperparameters(
            {
                "height": height,
                "width": width,
                "stride": stride,
                "dataset": described,
                "fingerprint": self.folder.fingerprint,
            }
        )
        self.height, self.width, self.batch_size, self.stride = height, width, batch_size, stride
        self.workers, self.validation_stride, self.seed = workers, validation_stride, seed
        self.frame_index, self.first_epoch = frame_index, 0
        self.augmentation, self.pseudo_depth = Augmentation(flip, max_zoom), pseudo_depth

    def setup(self, stage: str) -> None:
        # In this process, before there are loaders: a forked child that inherits OpenCV's threads cannot stop them.
        cv2.setNumThreads(1)

    def train_dataloader(self) -> DataLoader:
        pseudo_depth = self.pseudo_depth if self.trainer.lightning_module.reads_pseudo_depth else None
        scenes = self.folder.training
        if self.frame_index:
            scenes = [listed_frames(scene) for scene in scenes]
        dataset = SequenceDataset(
            scenes, self.height, self.width, self.stride, self.augmentation, self.seed, pseudo_depth
        )
        sampler = EpochSampler(len(dataset), self.seed, self.trainer.global_rank, self.trainer.world_size)
        # Lightning does so, too, but when worker processes have begun to read ahead: too late for the first epoch.
        sampler.set_epoch(self.first_epoch)
        if len(sampler) < self.batch_size:
            raise DataError(
                f"'{self.folder.root}' has {len(sampler)} training samples a process, batch_size is {self.batch_size} "
                "– lower it or record more"
            )
        return DataLoader(
            dataset,
            self.batch_size,
            sampler=sampler,
            drop_last=True,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )

    def val_dataloader(self) -> DataLoader:
        scenes = self.folder.validation
        model = self.trainer.lightning_module
        if model.validation == "depth":
            warn_of_guessed_units(self.folder, model.hparams["protocol"], (d for s in scenes for d in s.depths))
            dataset = DepthDataset(scenes, self.height, self.width, self.folder.depth_factor, self.validation_stride)
            return DataLoader(dataset, batch_size=1, num_workers=min(self.workers, 2))
        dataset = SequenceDataset(scenes, self.height, self.width, self.stride)
        return DataLoader(dataset, self.batch_size, num_workers=min(self.workers, 2))
