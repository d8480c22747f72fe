"""The sheet that a paint fills: metric coordinates and noise for one side of one solid."""

from __future__ import annotations

import cv2
import numpy as np


class Canvas:
    """A texture in the making.

    Attributes:
        rng: the random generator of this surface alone.
        width, height: metres.
        shape: (rows, columns) texels.
        u, v: (1, columns) and (rows, 1) float32 metres from the left and from the top, at texel centres.
    """

    def __init__(self, rng: np.random.Generator, width: float, height: float, texels_per_metre: float):
        self.rng, self.width, self.height = rng, width, height
        self.shape = (max(2, round(height * texels_per_metre)), max(2, round(width * texels_per_metre)))
        rows, columns = self.shape
        self.texel = 1.0 / texels_per_metre
        self.u = ((np.arange(columns, dtype=np.float32) + 0.5) * (width / columns))[None]
        self.v = ((np.arange(rows, dtype=np.float32) + 0.5) * (height / rows))[:, None]

    def fill(self, colour) -> np.ndarray:
        """(rows, columns, 3) float32 of one colour in [0, 1]."""
        return np.full((*self.shape, 3), colour, np.float32)

    def noise(self, wavelength: float, octaves: int = 1, stretch: tuple[float, float] = (1.0, 1.0), fall: float = 0.6):
        """Value noise (rows, columns) float32, about standard normal: octaves from `wavelength` metres downwards.

        stretch: factors on the wavelength along u and v; fall: amplitude of an octave relative to the one above.
        """
        total = np.zeros(self.shape, np.float32)
        power = 0.0
        for octave in range(octaves):
            step = wavelength / 2**octave
            if max(stretch) * step < 2 * self.texel:
                break
            amplitude = fall**octave
            total += amplitude * self._layer(step * stretch[0], step * stretch[1])
            power += amplitude**2
        return total / np.sqrt(max(power, 1e-9)) * 1.4  # cubic interpolation of a lattice loses about 0.7

    def _layer(self, step_u: float, step_v: float) -> np.ndarray:
        rows, columns = self.shape
        pitch_u, pitch_v = max(step_u / self.texel, 1.0), max(step_v / self.texel, 1.0)
        lattice = self.rng.standard_normal((int(rows / pitch_v) + 4, int(columns / pitch_u) + 4), np.float32)
        shift = self.rng.random(2) + 1.0
        matrix = np.array([[1 / pitch_u, 0, shift[0]], [0, 1 / pitch_v, shift[1]]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(lattice, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def cell_tones(self, row_index: np.ndarray, column_index: np.ndarray, amount: float) -> np.ndarray:
        """One random tone (standard deviation `amount`) per cell of a pattern; the indices broadcast to the canvas."""
        rows, columns = np.broadcast_arrays(row_index.astype(np.int32), column_index.astype(np.int32))
        rows, columns = rows - rows.min(), columns - columns.min()
        table = self.rng.standard_normal((int(rows.max()) + 1, int(columns.max()) + 1)).astype(np.float32)
        return amount * table[rows, columns]


def random_colour(rng: np.random.Generator, saturation=(0.1, 0.6), value=(0.3, 0.9), hue=None) -> np.ndarray:
    """(3,) float32 RGB in [0, 1]; hue in [0, 1] with a small spread, or any, favouring the warm ones of interiors."""
    if hue is None:
        h = rng.normal(0.08, 0.04) if rng.random() < 0.5 else rng.random()
    else:
        h = hue + 0.03 * rng.standard_normal()
    s = saturation[0] + (saturation[1] - saturation[0]) * rng.random() ** 1.7
    v = rng.uniform(*value)
    k = (np.array([5.0, 3.0, 1.0]) + 6 * (h % 1.0)) % 6
    return (v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)
