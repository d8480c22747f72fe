"""Samples for training and validation, from scene folders."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from scdepth_core.data.augmentation import Augmentation
from scdepth_core.data.scene_folder import Scene, read_depth, read_image
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.networks.normalization import resize_for_network

logger = logging.getLogger(__name__)


class SequenceDataset(Dataset):
    """A target frame between its neighbours.

    Item: {'images': (3, 3, H, W) uint8 target, earlier, later; 'K': (3, 3) float32 of those images}.

    Args:
        scenes: from SceneFolder.
        height, width: size of the samples; frames of another size are resampled and K with them.
        stride: distance from the target to its neighbours, in frames; 1 takes adjacent frames.
        augmentation: None for validation.
        seed: of the augmentation.

    Indexed by (epoch, i), as EpochSampler does, the augmentation depends on both and on nothing else, so the number of
    workers or a resume changes no sample.
    """

    def __init__(
        self,
        scenes: list[Scene],
        height: int,
        width: int,
        stride: int = 1,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ):
        self.scenes, self.height, self.width, self.stride = scenes, height, width, stride
        self.augmentation, self.seed = augmentation, seed
        self.samples = [
            (scene, middle)
            for scene, contents in enumerate(scenes)
            for middle in range(stride, len(contents.images) - stride)
        ]
        if not self.samples:
            longest = max((len(scene.images) for scene in scenes), default=0)
            raise DataError(
                f"no scene is long enough: stride {stride} needs {2 * stride + 1} frames, the longest of "
                f"{len(scenes)} scenes has {longest} – lower the stride or record longer"
            )
        short = len(scenes) - len({scene for scene, _ in self.samples})
        if short:
            logger.warning(
                "%d of %d scenes have fewer than %d frames and are left out", short, len(scenes), 2 * stride + 1
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        number, middle = self.samples[index]
        scene = self.scenes[number]
        frames = (middle, middle - self.stride, middle + self.stride)
        loaded = [load_resized(scene, frame, self.height, self.width) for frame in frames]
        images, K = [image for image, _ in loaded], loaded[0][1]
        if any((other != K).any() for _, other in loaded[1:]):
            raise DataError(f"frames of scene '{scene.name}' differ in size, but share one cam.txt – resize them first")
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, epoch, index))
            images, K = self.augmentation(images, K, rng)
        stacked = np.stack(images).transpose(0, 3, 1, 2)
        return {"images": torch.from_numpy(np.ascontiguousarray(stacked)), "K": torch.from_numpy(K)}


class EpochSampler(Sampler):
    """A new random order each epoch, that depends on seed and epoch alone; yields (epoch, index).

    Args:
        length: of the data set.
        rank, world_size: this process takes every world_size-th index; all processes get as many.
    """

    def __init__(self, length: int, seed: int = 0, rank: int = 0, world_size: int = 1):
        self.length, self.seed, self.rank, self.world_size = length, seed, rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world_size

    def __iter__(self):
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        mine = order[self.rank :: self.world_size][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine])


class DepthDataset(Dataset):
    """Frames with ground truth. Item: {'image': (3, H, W) uint8, 'depth': (h, w) float32 metres, 0 where unknown}.

    The depth keeps its own size, so batches hold one image.
    """

    def __init__(self, scenes: list[Scene], height: int, width: int, depth_factor: float, stride: int = 1):
        self.height, self.width, self.depth_factor = height, width, depth_factor
        pairs = [(s, i) for s in scenes for i, depth in enumerate(s.depths) if depth is not None]
        if not pairs:
            raise DataError(
                f"none of the {len(scenes)} validation scenes has a depth folder – validate without ground truth: "
                "--model.validation photometric"
            )
        self.pairs = pairs[::stride]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        scene, frame = self.pairs[index]
        image, _ = load_resized(scene, frame, self.height, self.width)
        depth = read_depth(scene.depths[frame], self.depth_factor)
        return {"image": torch.from_numpy(image.transpose(2, 0, 1).copy()), "depth": torch.from_numpy(depth)}


def load_resized(scene: Scene, frame: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame as (H, W, 3) uint8 at the wanted size, and its (3, 3) float32 intrinsics.

    Raises:
        DataError: the principal point is outside the frame, so the intrinsics belong to images of another size.
    """
    image = read_image(scene.images[frame])
    (cx, cy), (rows, columns) = scene.K[:2, 2], image.shape[:2]
    if not (-0.5 <= cx <= columns - 0.5 and -0.5 <= cy <= rows - 0.5):
        raise DataError(
            f"cam.txt of scene '{scene.name}' puts the principal point at ({cx:g}, {cy:g}), outside of "
            f"'{scene.images[frame].name}' ({columns}x{rows}) – scale the intrinsics as the frames were"
        )
    K = scale_intrinsics(scene.K, width / columns, height / rows)
    return resize_for_network(image, width, height), K
