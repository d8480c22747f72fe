"""Frames of the user's own camera, at the network's size: what int8 is calibrated on, and files are compared on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scdepth_core.data.scene_folder import SceneFolder, image_files, read_image
from scdepth_core.errors import DataError
from scdepth_core.networks.normalization import resize_for_network
from scdepth_core.weights_metadata import WeightsMetadata

MOST_FRAMES = 300  # more calibrate no better


def own_frames(folders: Iterable[Path], data: Path | None, metadata: WeightsMetadata) -> list[np.ndarray]:
    """Up to 300 frames (1, H, W, 3) uint8 RGB, evenly out of folders of images and the training images of a data set.

    Raises:
        DataError: a folder has no images, or an image cannot be read.
    """
    paths = []
    for folder in folders:
        found = image_files(folder)
        if not found:
            raise DataError(f"'{folder}' has no *.jpg or *.png – give a folder of your camera's images to --frames")
        paths += found
    if data is not None:
        paths += [image for scene in SceneFolder(data).training for image in scene.images]
    step = max(1, -(-len(paths) // MOST_FRAMES))
    size = (metadata.width, metadata.height)
    return [
        resize_for_network(read_image(path), *size)[None] for path in tqdm(paths[::step], desc="frames", disable=None)
    ]
