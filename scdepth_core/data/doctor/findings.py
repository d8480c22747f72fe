"""Finding: one thing that is wrong with a data set. SceneFigures: what was measured of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scdepth_core.errors import DataError

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        level: ERROR where training or evaluation would stop or learn something false, WARNING where it would suffer.
        kind: a short name, the same for all findings of this kind.
        file: the file or folder that it is about.
        problem: what is wrong; cure: what to do about it.
    """

    level: str
    kind: str
    file: str
    problem: str
    cure: str

    @classmethod
    def error(cls, kind: str, file: Path, problem: str, cure: str) -> Finding:
        return cls(ERROR, kind, str(file), problem, cure)

    @classmethod
    def warning(cls, kind: str, file: Path, problem: str, cure: str) -> Finding:
        return cls(WARNING, kind, str(file), problem, cure)

    @classmethod
    def refused(cls, kind: str, file: Path, error: DataError, cure: str) -> Finding:
        """From the sentence with which the package refuses a file; its own cure counts, where it has one."""
        problem, _, own = str(error).partition(" – ")
        return cls(ERROR, kind, str(file), problem, own or cure)

    def __str__(self) -> str:
        return f"{self.level}: {self.file}: {self.problem} – {self.cure}"


@dataclass(frozen=True)
class SceneFigures:
    """What was measured of one scene.

    Attributes:
        frames: image files; depths: of them, how many have ground truth.
        width, height: of the first frame, pixels; None where no frame could be read.
        motion: mean motion from a frame to the next, pixels of a training sample; parallax: what is left of it without
            the rotation.
        rotation_share: median share of the motion that a turn on the spot explains.
        static, blurred: frames that do not move, or are blurred.
        The last five are of the frames that were looked at; None or 0 where nothing could be tracked.
    """

    name: str
    split: str
    frames: int
    depths: int = 0
    width: int | None = None
    height: int | None = None
    motion: float | None = None
    parallax: float | None = None
    rotation_share: float | None = None
    static: int = 0
    blurred: int = 0
