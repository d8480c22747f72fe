"""Compare what depth_node published with what was measured, in numbers and in pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scdepth_core.channels import to_rgb
from scdepth_core.errors import BagError
from scdepth_core.evaluation import Evaluation, evaluate
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.metrics import Protocol
from scdepth_core.visualization import save_cloud_views, save_depth_sheet
from scdepth_ros.bag import BagMessage, BagReader
from scdepth_ros.extraction.topics import Topics
from scdepth_ros.messages import decode_camera_info, decode_depth, decode_image, stamp_ns
from scdepth_ros.topics import DEPTH

TOLERANCE_NS = 20_000_000  # between a depth image of the node and a measured one
MOST_COMPARED = 200
SHOWN = 4


@dataclass(frozen=True)
class Compared:
    """One frame: rgb (H, W, 3) uint8; predicted and measured depth (H, W) float32, NaN where unknown."""

    rgb: np.ndarray
    predicted: np.ndarray
    measured: np.ndarray | None


def write_report(source: Path, output: Path, topics: Topics, folder: Path) -> dict:
    """Write depth.png and cloud.png into `folder`, and return the errors.

    Args:
        source: the bag with the camera and, where there is one, measured depth.
        output: the bag with what the node published.

    Returns:
        the fields of scdepth_core.evaluation.Evaluation; nothing when the bag has no measured depth.
    """
    with BagReader(source) as bag:
        rectifier = Rectifier(decode_camera_info(next(bag.messages([topics.camera_info])).decode()))
    shown: list[Compared] = []
    frames = _keep_some(_compare(source, output, topics, rectifier), shown)
    if topics.depth is None:
        result, scale, note = None, 1.0, "the recording has no measured depth"
        for _ in frames:
            pass
    else:
        result = evaluate(((f.predicted, f.measured) for f in frames if f.measured is not None), Protocol(20.0))
        scale, note = result.scale, _note(result)
    if not shown:
        raise BagError(f"'{output}' holds no depth for any image of '{source}' – did the node run?")
    rows = [(f.rgb, scale * f.predicted, f.measured) for f in _spread(shown, SHOWN)]
    save_depth_sheet(folder / "depth.png", rows, note)
    rgb, predicted, measured = rows[len(rows) // 2]
    clouds = {"predicted": predicted} if measured is None else {"predicted": predicted, "measured": measured}
    save_cloud_views(folder / "cloud.png", rectifier.camera.K, rgb, clouds)
    return dataclasses.asdict(result) if result else {}


def _compare(source: Path, output: Path, topics: Topics, rectifier: Rectifier) -> Iterator[Compared]:
    """Frames that the node made depth of, at most MOST_COMPARED of them, evenly spread."""
    with BagReader(output) as made, BagReader(source) as recorded:
        step = -(-made.counts[f"/{DEPTH}"] // MOST_COMPARED)
        images = _Stream(recorded, topics.image)
        truths = _Stream(recorded, topics.depth) if topics.depth else None
        for index, message in enumerate(made.messages([f"/{DEPTH}"])):
            if index % step:
                continue
            depth = message.decode()
            stamp = stamp_ns(depth.header)
            image, truth = images.nearest(stamp), truths and truths.nearest(stamp)
            if image is not None:
                measured = None if truth is None else rectifier.rectify_depth(decode_depth(truth))
                yield Compared(to_rgb(rectifier(decode_image(image))), decode_depth(depth), measured)


class _Stream:
    """The messages of one topic by header stamp, asked for in order of time."""

    def __init__(self, bag: BagReader, topic: str):
        self._messages: Iterator[BagMessage] = bag.messages([topic])
        self._next = None

    def nearest(self, wanted_ns: int):
        """The first message no older than TOLERANCE_NS before that stamp, if it is within TOLERANCE_NS after."""
        while self._next is None or self._next[0] < wanted_ns - TOLERANCE_NS:
            message = next(self._messages, None)
            if message is None:
                return None
            decoded = message.decode()
            self._next = stamp_ns(decoded.header), decoded
        return self._next[1] if self._next[0] <= wanted_ns + TOLERANCE_NS else None


def _keep_some(frames: Iterator[Compared], kept: list[Compared]) -> Iterator[Compared]:
    """Pass all frames on, keeping in `kept` between SHOWN and 2 SHOWN of them, evenly spread however many come."""
    stride = 1
    for index, frame in enumerate(frames):
        if index % stride == 0:
            kept.append(frame)
        if len(kept) > 2 * SHOWN:
            del kept[1::2]
            stride *= 2
        yield frame


def _spread(items: list, count: int) -> list:
    """`count` of the items, evenly spread over the list; all when there are fewer."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _note(result: Evaluation) -> str:
    return (
        f"abs_rel {result.errors['set']['abs_rel']:.3f} with one scale for all {result.images} frames "
        f"(a constant depth: {result.constant['abs_rel']:.3f}), scale spread {result.scale_spread:.3f}"
    )
