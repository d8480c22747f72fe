"""Samples for training and validation, from scene folders."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from scdepth_core.data.augmentation import Augmentation
from scdepth_core.data.pseudo_depth import PseudoDepth
from scdepth_core.data.scene_folder import Scene, read_depth, read_image
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.networks.normalization import resize_for_network

logger = logging.getLogger(__name__)


class SequenceDataset(Dataset):
    """A target frame between its neighbours.

    Item: {'images': (3, 3, H, W) uint8 target, earlier, later; 'K': (3, 3) float32 of those images}, and where asked
    for 'pseudo_depth': (1, H, W) float32 of the target, up to scale, 0 where unknown.

    Args:
        scenes: from SceneFolder.
        height, width: size of the samples; frames of another size are resampled and K with them.
        stride: distance from the target to its neighbours, in frames; 1 takes adjacent frames.
        augmentation: None for validation.
        seed: of the augmentation.
        pseudo_depth: where that of the frames is; None leaves it out.

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
        pseudo_depth: PseudoDepth | None = None,
    ):
        self.pseudo_depth = pseudo_depth
        self.pseudo_files = [pseudo_depth.files(scene) for scene in scenes] if pseudo_depth else []
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
        loaded = [load_frame(scene, frame) for frame in frames]
        size = loaded[0].shape[:2]
        if any(image.shape[:2] != size for image in loaded[1:]):
            raise DataError(f"frames of scene '{scene.name}' differ in size, but share one cam.txt – resize them first")
        maps = [*loaded]
        if self.pseudo_depth:
            maps.append(self.pseudo_depth.read(self.pseudo_files[number][middle], size))
        maps = [resize_for_network(image, self.width, self.height) for image in maps]
        K = scale_intrinsics(scene.K, self.width / size[1], self.height / size[0])
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, epoch, index))
            maps, K = self.augmentation(maps, K, rng)
        stacked = np.stack(maps[:3]).transpose(0, 3, 1, 2)
        sample = {"images": torch.from_numpy(np.ascontiguousarray(stacked)), "K": torch.from_numpy(K)}
        if self.pseudo_depth:
            sample["pseudo_depth"] = torch.from_numpy(self.pseudo_depth.to_depth(maps[3]))[None]
        return sample


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
        image = resize_for_network(load_frame(scene, frame), self.width, self.height)
        depth = read_depth(scene.depths[frame], self.depth_factor)
        return {"image": torch.from_numpy(image.transpose(2, 0, 1).copy()), "depth": torch.from_numpy(depth)}


def load_frame(scene: Scene, frame: int) -> np.ndarray:
    """A frame as stored, (H, W, 3) uint8.

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
    return image
