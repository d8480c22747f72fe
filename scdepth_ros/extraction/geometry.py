"""The size of an extracted data set."""

from __future__ import annotations

from scdepth_core.geometry.camera import Camera

_ROWS, _MULTIPLE = 256, 32  # the network halves its input five times


def default_size(camera: Camera) -> tuple[int, int]:
    """(width, height) of 256 rows, or fewer for a smaller camera, in its aspect; both multiples of 32.

    640x480 gives 320x256, a KITTI image of 1242x375 gives 832x256.
    """
    height = max(_MULTIPLE, min(_ROWS, camera.height // _MULTIPLE * _MULTIPLE))
    width = int(camera.width * height / camera.height / _MULTIPLE) * _MULTIPLE
    return max(_MULTIPLE, width), height
