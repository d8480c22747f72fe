"""depth_node's scale: frames go in after they were published, and the scale of the frames to come is set."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import ImageError
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.inference.pipeline import FramePipeline, FrameResult
from scdepth_core.scale import ScaleTracker, View
from scdepth_ros.extraction.geometry import registered_depth
from scdepth_ros.frame_statistics import Troubles
from scdepth_ros.messages import decode_depth
from scdepth_ros.scale_inputs import WINDOW_NS, ScaleInputs


@dataclass(frozen=True)
class _Frame:
    result: FrameResult
    rectifier: Rectifier


class NodeScale:
    """Between the node's frames, what they are compared with, and the tracker.

    Args:
        tracker: measures.
        pipeline: whose `measured_scale` is kept up to date.
        troubles: where unusable measurements are counted.

    Attributes:
        inputs: set while the node is active.
    """

    def __init__(self, tracker: ScaleTracker, pipeline: FramePipeline, troubles: Troubles):
        self.tracker, self._pipeline, self._troubles = tracker, pipeline, troubles
        self.inputs: ScaleInputs | None = None
        self._last_stamp: int | None = None

    def open(self, node) -> None:
        """Subscribe to what the source needs; what came before is not connected to what comes."""
        self.tracker.restart()
        self._last_stamp = None
        self.inputs = ScaleInputs(node, self.tracker.source, self._troubles.report)

    def close(self) -> None:
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None

    def observe(self, result: FrameResult, rectifier: Rectifier, stamp_ns: int) -> None:
        """Take a published frame in. Called by the inference thread."""
        inputs = self.inputs
        if inputs is None or self.tracker.state.frozen:
            return
        if self._last_stamp is not None and stamp_ns < self._last_stamp - WINDOW_NS:  # a bag that began anew
            self.tracker.restart()
        self._last_stamp = stamp_ns
        inputs.add(stamp_ns, _Frame(result, rectifier))
        for frame, depth, pose in inputs.ready():
            self.tracker.observe(self._view(frame, depth, pose))
        self.apply()

    def apply(self) -> None:
        """Let the pipeline use what is known now."""
        state = self.tracker.state
        self._pipeline.measured_scale = state.value if state.is_measured else None

    def _view(self, frame: _Frame, depth_message, pose: np.ndarray | None) -> View:
        result, reference = frame.result, None
        if depth_message is not None:
            try:
                reference = registered_depth(decode_depth(depth_message), frame.rectifier)
            except ImageError as error:
                self._troubles.report("bad_reference_depth", f"reference depth not used: {error}")
        depth = result.depth / np.float32(result.metres_per_unit or 1)
        grey = None if pose is None else cv2.cvtColor(result.rgb, cv2.COLOR_RGB2GRAY)
        return View(depth, result.camera.K, grey, reference, pose)
