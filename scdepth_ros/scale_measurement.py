"""The scale of weights, measured frame by frame over a recording, by every source at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from scdepth_core.channels import to_grey, to_rgb
from scdepth_core.errors import ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import rectified_pose
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.pipeline import check_size
from scdepth_core.inference.validity import only
from scdepth_core.scale import Measurement, View
from scdepth_core.scale.robust import robust_mean
from scdepth_ros.bursts import Bursts
from scdepth_ros.extraction.frame_stream import Frame, FrameStream
from scdepth_ros.messages import decode_image
from scdepth_ros.reference_depth import reference_depth

ENOUGH = 5  # measurements


@dataclass
class Outcome:
    """What one source measured.

    Attributes:
        logs, sigmas: ln(metres per unit) of each frame, and their standard deviations.
        refused: frames without a measurement, by reason.
    """

    logs: list[float] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)

    def add(self, measured: Measurement) -> None:
        if measured.refused:
            self.refused[measured.refused] += 1
        else:
            self.logs.append(measured.log_scale)
            self.sigmas.append(measured.sigma)

    def scale(self) -> tuple[float, float] | None:
        """Metres per unit and its relative standard deviation; None with fewer than ENOUGH measurements."""
        if len(self.logs) < ENOUGH:
            return None
        log_scale, sigma = robust_mean(np.array(self.logs), np.array(self.sigmas))
        return float(np.exp(log_scale)), sigma

    def as_dict(self) -> dict:
        scale, sigma = self.scale() or (None, None)
        spread = float(np.std(self.logs)) if self.logs else None
        return {
            "metres_per_unit": scale,
            "sigma": sigma,
            "spread": spread,
            "measurements": len(self.logs),
            "refused": dict(self.refused),
        }


def measure(stream: FrameStream, estimator: DepthEstimator, sources: dict, most: int) -> dict[str, Outcome]:
    """Run every source over at most `most` images from all over the recording; Outcome by name of source."""
    outcomes = {name: Outcome() for name in sources}
    bag = stream.bag
    seconds = (bag.end_ns - bag.start_ns) / 1e9
    bursts = Bursts.of(bag.counts[stream.topics.image], seconds, most, neighbours="odometry" in sources)
    rectifier: Rectifier | None = None
    source_camera: Camera | None = None
    with tqdm(total=stream.message_count, unit="msg", desc="measuring", disable=None) as bar:
        for index, frame in enumerate(stream.frames(bar.update)):
            if not bursts.takes(index):
                continue
            if frame.camera is not source_camera:
                source_camera = frame.camera
                rectifier = Rectifier(source_camera.of_rectified_image() if stream.rectified else source_camera)
            if bursts.begins(index):
                for source in sources.values():
                    source.restart()
            try:
                view, complaint = _view(frame, rectifier, estimator)
            except ImageError as error:
                for outcome in outcomes.values():
                    outcome.refused[str(error)] += 1
                continue
            for name, source in sources.items():
                unusable = complaint if name == "reference_depth" else ""
                outcomes[name].add(Measurement.none(unusable) if unusable else source.measure(view))
    return outcomes


def _view(frame: Frame, rectifier: Rectifier, estimator: DepthEstimator) -> tuple[View, str]:
    """What the sources look at, and what is wrong with the depth message; empty: nothing.

    Raises:
        ImageError: the image cannot be used.
    """
    image = decode_image(frame.image)
    check_size(image, frame.camera)
    image = rectifier(image)
    reference, complaint = None, ""
    if frame.depth is not None:
        try:
            reference = reference_depth(frame.depth, rectifier, frame.place.from_sensor)
        except ImageError as error:
            complaint = str(error)
    ground_pose = None if frame.place.ground_pose is None else rectified_pose(frame.place.ground_pose, rectifier)
    depth = only(estimator.predict(to_rgb(image)), rectifier.valid)
    return View(depth, rectifier.camera.K, to_grey(image), reference, frame.pose, ground_pose), complaint
