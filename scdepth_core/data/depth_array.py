"""Depth as numpy saves it (.npy): one array of metres."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from scdepth_core.errors import DataError, first_line

NUMBERS = "buif"  # kinds of dtype: truth values, integers, floats


def read_depth_array(path: Path) -> np.ndarray:
    """float32 metres, axes of length 1 left out.

    Raises:
        DataError: it is no array, or not one of numbers.
    """
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.ndarray):
            stored.close()
            raise ValueError("it is an archive of several")
        if stored.dtype.kind not in NUMBERS:
            raise ValueError(f"it holds {stored.dtype.str if stored.dtype.kind in 'SU' else stored.dtype}")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"'{path}' is not an array of numbers ({first_line(error)}) – remove it or write it again"
        ) from None
    return stored.astype(np.float32).squeeze()
