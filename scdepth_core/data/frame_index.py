"""frame_index.txt: the frames of a scene that are worth training on, as copies for the public SC-Depth code have it.

One number a line: the place of a frame in name order, counted from 0, increasing. What is not listed is passed over, so
that the neighbours of a target are the listed frames before and after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scdepth_core.data.scene_folder import Scene
from scdepth_core.errors import DataError
from scdepth_core.finished_file import finished_file
from scdepth_core.text_file import read_text

NAME = "frame_index.txt"


def listed_frames(scene: Scene) -> Scene:
    """The scene with the frames of its frame_index.txt only.

    Raises:
        DataError: the file is missing, or holds anything but increasing places of frames.
    """
    path = scene.images[0].parent / NAME
    if not path.exists():
        raise DataError(f"'{path}' is missing – 'scdepth check DATA --write-frame-index' writes it")
    places, before = [], -1
    for word in read_text(path).split():
        place = int(word) if word.isdecimal() else -1
        if not before < place < len(scene.images):
            raise DataError(
                f"'{path}' has '{word}' after {before}, expected increasing places of {len(scene.images)} frames "
                "– 'scdepth check DATA --write-frame-index' writes it anew"
            )
        places.append(before := place)
    return replace(
        scene, images=[scene.images[place] for place in places], depths=[scene.depths[place] for place in places]
    )


def write_frame_index(folder: Path, places: Sequence[int]) -> None:
    """Write a scene's frame_index.txt; the file appears when it is complete."""
    with finished_file(folder / NAME) as path:
        path.write_text("".join(f"{place}\n" for place in places), encoding="utf-8")
