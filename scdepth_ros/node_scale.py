"""depth_node's scale: frames go in after they were published, and the scale of the frames to come is set."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from scdepth_core.errors import ImageError
from scdepth_core.geometry.image_geometry import rectified_pose
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.inference.pipeline import FramePipeline, FrameResult
from scdepth_core.inference.validity import only
from scdepth_core.scale import ScaleSettings, View
from scdepth_ros.frame_statistics import Troubles
from scdepth_ros.messages import stamp_ns
from scdepth_ros.reference_depth import reference_depth
from scdepth_ros.scale_inputs import WINDOW_NS, Matched, ScaleInputs, check_transforms


@dataclass(frozen=True)
class _Frame:
    result: FrameResult
    rectifier: Rectifier


class NodeScale:
    """Between the node's frames, what they are compared with, and the tracker.

    Args:
        settings: how it is measured.
        pipeline: whose `measured_scale` is kept up to date, beginning at its `given_scale`.
        troubles: where unusable measurements are counted.

    Attributes:
        tracker: measures.
        inputs: set while the node is active.

    Raises:
        ConfigError: for a number outside its range, or a source that needs TF where TF cannot be listened to.
    """

    def __init__(self, settings: ScaleSettings, pipeline: FramePipeline, troubles: Troubles):
        check_transforms(settings)
        self._given = pipeline.given_scale
        self.tracker = settings.tracker(self._given)
        self._settings, self._pipeline, self._troubles = settings, pipeline, troubles
        self.inputs: ScaleInputs | None = None
        self._last_stamp: int | None = None

    def open(self, node) -> None:
        """Subscribe to what the source needs; what came before is not connected to what comes."""
        self.tracker.restart()
        self._last_stamp = None
        self.inputs = ScaleInputs(node, self._settings, self._troubles.report)

    def close(self) -> None:
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None

    def observe(self, result: FrameResult, rectifier: Rectifier, header) -> None:
        """Take a published frame in; `header` is that of its image. Called by the inference thread."""
        inputs, stamp = self.inputs, stamp_ns(header)
        if inputs is None or self.tracker.state.frozen:
            return
        if self._last_stamp is not None and stamp < self._last_stamp - WINDOW_NS:  # a bag that began anew
            self.tracker.restart()
        self._last_stamp = stamp
        inputs.add(header, _Frame(result, rectifier))
        for matched in inputs.ready():
            self.tracker.observe(self._view(matched))
        self.apply()

    def begin_at_given(self) -> None:
        """Forget what was measured when the pipeline's `given_scale` has become another one, and begin there."""
        if self._pipeline.given_scale != self._given:
            self._given = self._pipeline.given_scale
            self.tracker.begin_at(self._given)
            self.apply()

    def apply(self) -> None:
        """Let the pipeline use what is known now."""
        state = self.tracker.state
        self._pipeline.measured_scale = state.value if state.is_measured else None

    def _view(self, matched: Matched) -> View:
        frame, reference = matched.frame, None
        result = frame.result
        if matched.depth is not None:
            try:
                reference = reference_depth(matched.depth, frame.rectifier, matched.place.from_sensor)
            except ImageError as error:
                self._troubles.report("bad_reference_depth", f"reference depth not used: {error}")
        # Not result.depth: its limits are metres of the scale that is measured here.
        depth = only(result.prediction, frame.rectifier.valid)
        grey = None if matched.pose is None else cv2.cvtColor(result.rgb, cv2.COLOR_RGB2GRAY)
        ground_pose = matched.place.ground_pose
        if ground_pose is not None:
            ground_pose = rectified_pose(ground_pose, frame.rectifier)
        return View(depth, result.camera.K, grey, reference, matched.pose, ground_pose)
