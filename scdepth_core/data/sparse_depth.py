"""Depth of a laser as the public SC-Depth copies of KITTI and DDAD hold it: sparse matrices, saved by scipy (.npz)."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from scdepth_core.errors import DataError

LAYOUT = "csr"  # compressed rows: row r holds data[indptr[r]:indptr[r + 1]] in the columns indices[same]
BROKEN = (AttributeError, ValueError, EOFError, IndexError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


def read_sparse_depth(path: Path) -> np.ndarray:
    """(H, W) float32 metres of a sparse matrix in compressed rows, 0 where it stores nothing.

    Raises:
        DataError: it is no such matrix, or has another layout.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            layout = np.asarray(archive["format"]).astype(str).item()
            if layout != LAYOUT:
                raise DataError(
                    f"'{path}' is a sparse matrix in the layout '{layout}', expected '{LAYOUT}' – save matrix.tocsr()"
                )
            return _dense(*(archive[name] for name in ("data", "indices", "indptr", "shape")))
    except BROKEN as error:
        raise DataError(
            f"'{path}' is not a sparse matrix as scipy saves it ({error}) – write it again, or as .npy in metres"
        ) from None


def _dense(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: np.ndarray) -> np.ndarray:
    height, width = shape.tolist()
    counts = np.diff(indptr)
    if len(counts) != height or indptr[0] != 0 or len(data) != len(indices) or indices.min(initial=0) < 0:
        raise ValueError(f"its entries do not fit its shape {height}x{width}")
    depth = np.zeros((height, width), np.float32)
    depth[np.repeat(np.arange(height), counts), indices] = data
    return depth
