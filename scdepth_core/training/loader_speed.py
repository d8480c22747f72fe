"""How many samples a core loads: what the workers of the training loader do, in one thread and CPU time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scdepth_core.data import Augmentation, EpochSampler, Scene, SceneFolder, SequenceDataset
from scdepth_core.data.scene_folder import read_image
from scdepth_core.networks.normalization import resize_for_network

WARM_UP, SAMPLES = 3, 40
GENERATED, FRAME_SIZE = 16, (640, 480)
FRAMES = 3  # of a sample


@dataclass
class LoaderSpeed:
    """What one core loads.

    Attributes:
        per_core: samples a second; a sample is three frames.
        samples: how many were loaded.
        frame_width, frame_height, kind: of the frames as stored; kind is 'jpg' or 'png'.
        decode_ms, resize_ms, augment_ms: of a sample, each measured by itself.
    """

    per_core: float
    samples: int
    frame_width: int
    frame_height: int
    kind: str
    decode_ms: float
    resize_ms: float
    augment_ms: float


def loader_speed(root: Path | None, size: tuple[int, int]) -> LoaderSpeed:
    """Load samples of (width, height) pixels, with the augmentation of a training.

    Args:
        root: a data set in the scene-folder format; None generates a textured one of 640x480 JPEG frames.
    """
    if root is None:
        with tempfile.TemporaryDirectory() as folder:
            generate_frames(Path(folder))
            return loader_speed(Path(folder), size)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as in the workers
    try:
        return _measure(SceneFolder(root).training, size)
    finally:
        cv2.setNumThreads(threads)


def _measure(scenes: list[Scene], size: tuple[int, int]) -> LoaderSpeed:
    augmentation = Augmentation()
    dataset = SequenceDataset(scenes, size[1], size[0], augmentation=augmentation)
    order = list(EpochSampler(len(dataset)))
    keys = [order[i % len(order)] for i in range(SAMPLES)]
    for key in keys[:WARM_UP]:
        dataset[key]
    whole = _cpu_ms(dataset.__getitem__, keys)
    scene, target = dataset.samples[keys[0][1]]
    paths = scenes[scene].images[target - 1 : target + 2]
    frames = [read_image(path) for path in paths]
    small = [resize_for_network(frame, *size) for frame in frames]
    repeats = range(SAMPLES // 2)
    return LoaderSpeed(
        1e3 / whole,
        len(keys),
        frames[0].shape[1],
        frames[0].shape[0],
        paths[0].suffix[1:].lower(),
        _cpu_ms(lambda _: [read_image(path) for path in paths], repeats),
        _cpu_ms(lambda _: [resize_for_network(frame, *size) for frame in frames], repeats),
        _cpu_ms(lambda i: augmentation(small, np.eye(3), np.random.default_rng(i)), repeats),
    )


def _cpu_ms(function: Callable, items: Iterable) -> float:
    """Mean CPU time of function(item), milliseconds."""
    items = list(items)
    started = time.process_time()
    for item in items:
        function(item)
    return (time.process_time() - started) * 1e3 / len(items)


def generate_frames(root: Path) -> None:
    """Write a data set of one scene: a texture, as detailed as a photograph, that moves across JPEG frames."""
    width, height = FRAME_SIZE
    rng = np.random.default_rng(0)
    wide = (height, width + 4 * GENERATED)
    texture = np.zeros((*wide, 3), np.float32)
    for octave in range(7):
        coarse = rng.normal(size=(wide[0] >> octave, wide[1] >> octave, 3)).astype(np.float32)
        texture += 2**octave * cv2.resize(coarse, wide[::-1], interpolation=cv2.INTER_CUBIC)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    scene = root / "training" / "texture"
    scene.mkdir(parents=True)
    for name in ("train.txt", "val.txt"):
        (scene.parent / name).write_text("texture\n")
    (scene / "cam.txt").write_text(f"{width} 0 {(width - 1) / 2}\n0 {width} {(height - 1) / 2}\n0 0 1\n")
    for index in range(GENERATED):
        cv2.imwrite(str(scene / f"{index:06d}.jpg"), texture[:, 4 * index : 4 * index + width])
