"""Expand compressed bytes of which the end may be missing."""

from __future__ import annotations

import bz2
import sys

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# What the decompressors raise on bytes that are damaged, rather than missing.
DAMAGED_STREAM = (OSError, EOFError, RuntimeError, ValueError, zstd.ZstdError)
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_DECOMPRESSORS = {
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "bz2": bz2.BZ2Decompressor,
}


def expand(data: bytes, compression: str) -> bytes:
    """As much as `data` gives when expanded; all of it where the end is there.

    Args:
        compression: "zstd", "lz4", "bz2", or "" or "none".

    Raises:
        ValueError: for another compression.
        DAMAGED_STREAM: for bytes that this compression never writes.
    """
    if compression in ("", "none"):
        return data
    if compression not in _DECOMPRESSORS:
        raise ValueError(f"compression '{compression}' is unknown, expected one of {', '.join(_DECOMPRESSORS)}")
    return _DECOMPRESSORS[compression]().decompress(data)
