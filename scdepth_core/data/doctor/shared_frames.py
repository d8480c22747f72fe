"""Frames that are in a training scene and in a validation scene, under whatever names."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

from scdepth_core.data.doctor.findings import Finding
from scdepth_core.data.scene_folder import Scene


def check_shared_frames(scenes: list[tuple[str, Scene]], frames: int | None, found: list[Finding]) -> None:
    """A finding for each validation scene that has files of a training scene, byte by byte.

    Only files of the same size are read.

    Args:
        scenes: each with its split, 'train' or 'val'.
        frames: look at the first so many frames of each scene only; None for all.
    """
    trained = defaultdict(list)  # size -> files of that size, and their scene
    for split, scene in scenes:
        for path in scene.images[:frames] if split == "train" else ():
            trained[_size(path)].append((path, scene.name))
    trained.pop(None, None)
    contents: dict[int, dict[bytes | None, str]] = {}  # size -> digest of a file -> its scene
    for split, scene in scenes:
        shared = Counter()
        for path in scene.images[:frames] if split == "val" else ():
            size = _size(path)
            if size in trained:
                if size not in contents:
                    contents[size] = {_digest(training): name for training, name in trained[size]}
                    contents[size].pop(None, None)
                shared[contents[size].get(_digest(path))] += 1
        del shared[None]
        for name, count in shared.items():
            problem = (
                f"{count} of its {len(scene.images[:frames])} frames are in training scene '{name}', too: validation "
                "sees what was trained on"
            )
            cure = "take one of the two scenes out of its listing, and validate on other footage"
            found.append(Finding.warning("shared frames", scene.images[0].parent, problem, cure))


def _size(path: Path) -> int | None:
    """Bytes of a file; None where it cannot be read, which other checks say."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _digest(path: Path) -> bytes | None:
    """Of a file's content; None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
