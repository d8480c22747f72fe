"""Motion and sharpness of a scene: what teaches, what stands still, what is blurred, where it cuts."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from scdepth_core.data.doctor.findings import Finding
from scdepth_core.data.frame_selection import BLURRED, STATIC, FrameSelector
from scdepth_core.data.training_advice import LEAST_PARALLAX, stride_for

LONGEST = {STATIC: 4, BLURRED: 2}  # dropped frames in a row that nobody needs to hear about
MOST_MOTION = 0.15  # mean, as a share of the image's width
PASS_OVER = "or pass them over with --write-frame-index, and train with --samples.frame_index true"
CURES = {
    STATIC: f"take these frames out {PASS_OVER}",
    BLURRED: f"take these frames out {PASS_OVER}; record with a shorter exposure",
}


class MotionRecord:
    """Judges the frames of one scene in time order, as training sees them.

    Args:
        K: (3, 3) intrinsics of the frames as stored.
        rows: of a training sample; frames that have more are scaled down to so many before motion is measured.

    Attributes:
        motions: of each kept frame, pixels from frame to frame, with the rotation share of that motion.
        reasons: file and why it would be dropped (None: kept) of each frame.
        cuts: files of which nothing is found in the frame before.
    """

    def __init__(self, K: np.ndarray, rows: int):
        self._K, self._rows = K, rows
        self._selector: FrameSelector | None = None
        self._since_kept = self._width = 0
        self.motions: list[tuple[float, float]] = []
        self.reasons: list[tuple[Path, str | None]] = []
        self.cuts: list[Path] = []

    def add(self, path: Path, image: np.ndarray) -> None:
        """Judge the next frame, (H, W, 3) uint8."""
        scale = min(1.0, self._rows / image.shape[0])
        if scale < 1:
            image = cv2.resize(image, (round(scale * image.shape[1]), self._rows), interpolation=cv2.INTER_AREA)
        if self._selector is None:
            K = np.diag([scale, scale, 1]) @ self._K
            K[:2, 2] += (scale - 1) / 2  # pixel centres are at whole numbers
            self._selector, self._width = FrameSelector(K), image.shape[1]
        verdict = self._selector.judge(image)
        self._since_kept += 1
        self.reasons.append((path, verdict.reason))
        if not verdict.keep:
            return
        if verdict.motion == math.inf:
            self.cuts.append(path)
        elif verdict.motion is not None:
            self.motions.append((verdict.motion / self._since_kept, verdict.rotation_share))
        self._since_kept = 0

    @property
    def kept(self) -> list[int]:
        """Places of the frames that move and are sharp."""
        return [place for place, (_, reason) in enumerate(self.reasons) if reason is None]

    def count(self, reason: str) -> int:
        return sum(found == reason for _, found in self.reasons)

    @property
    def motion(self) -> float | None:
        """Mean over the frames that move, pixels from frame to frame."""
        return float(np.mean([motion for motion, _ in self.motions])) if self.motions else None

    @property
    def parallax(self) -> float | None:
        """Mean of what a turn on the spot does not explain, pixels from frame to frame."""
        return float(np.mean([motion * (1 - share) for motion, share in self.motions])) if self.motions else None

    @property
    def rotation_share(self) -> float | None:
        return float(np.median([share for _, share in self.motions])) if self.motions else None

    def findings(self, folder: Path) -> list[Finding]:
        """What is wrong with the motion of this scene."""
        found = [stretch for stretch in map(self._stretch, self._runs()) if stretch]
        cure = "start a new scene here, or take more frames a second"
        found += [
            Finding.warning("cut", path, "nothing of the frame before is found in it", cure) for path in self.cuts
        ]
        if self.parallax is None:
            if len(self.reasons) > 1:
                cure = "take the scene out of its listing: it teaches nothing"
                found.append(Finding.error("no motion", folder, "no motion could be tracked in it", cure))
        elif self.parallax < LEAST_PARALLAX:
            problem = (
                f"mean parallax is {self.parallax:.2f} pixels from frame to frame at a width of {self._width}, "
                f"expected {LEAST_PARALLAX:g}"
            )
            stride = stride_for(self.parallax)
            cure = f"train with --samples.stride {stride}, or record with more sideways and forward motion"
            found.append(Finding.warning("little parallax", folder, problem, cure))
        if self.motion is not None and self.motion > MOST_MOTION * self._width:
            share = self.motion / self._width
            problem = f"mean motion is {self.motion:.0f} pixels from frame to frame, {share:.0%} of the width"
            found.append(Finding.warning("fast", folder, problem, "take more frames a second, or move slower"))
        return found

    def _runs(self):
        """Frames in a row with the same verdict."""
        return [(reason, [path for path, _ in run]) for reason, run in groupby(self.reasons, key=lambda f: f[1])]

    @staticmethod
    def _stretch(run: tuple[str | None, list[Path]]) -> Finding | None:
        reason, paths = run
        if reason is None or len(paths) <= LONGEST[reason]:
            return None
        what = "do not move" if reason == STATIC else "are blurred"
        problem = f"{len(paths)} frames in a row {what}, up to '{paths[-1].name}'"
        return Finding.warning(reason, paths[0], problem, CURES[reason])
