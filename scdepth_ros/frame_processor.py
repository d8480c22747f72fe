"""What happens to one image in the inference thread, from the message to the published results."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import numpy as np
import rclpy

from scdepth_core.errors import CameraError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.inference.pipeline import FramePipeline, PipelineSettings, check_size, rectified
from scdepth_ros.frame_statistics import Statistics, Troubles
from scdepth_ros.inputs import Calibration, CameraInputs, Frame
from scdepth_ros.live_settings import LiveSettings
from scdepth_ros.messages import stamp_ns
from scdepth_ros.node_scale import NodeScale
from scdepth_ros.outputs import RELAY, DepthOutputs
from scdepth_ros.parameters import NodeSettings
from scdepth_ros.topics import CLOUD, COLOR


class FrameProcessor:
    """Decodes, computes and publishes. Only the inference thread calls `handle`, which never raises.

    Attributes:
        pipeline: the FramePipeline at work.
        scale: measures its scale; None when that is fixed.
        stages: milliseconds by stage of the last frame.
    """

    def __init__(
        self,
        pipeline: FramePipeline,
        decode: Callable[[object], np.ndarray],
        outputs: DepthOutputs,
        live: LiveSettings,
        statistics: Statistics,
        troubles: Troubles,
        scale: NodeScale | None = None,
    ):
        self.pipeline, self.scale, self.stages = pipeline, scale, {}
        self._decode, self._outputs, self._live = decode, outputs, live
        self._statistics, self._troubles = statistics, troubles
        self._calibration = Calibration()

    def apply(self, settings: NodeSettings) -> None:
        """Use these settings from the next frame on. Any thread may call it."""
        self.pipeline.settings = PipelineSettings(**settings.for_pipeline())
        if self.scale is not None:
            self.scale.begin_at_given()

    def open(self, node) -> None:
        """Listen to what the scale is measured with, if it is."""
        if self.scale is not None:
            self.scale.open(node)

    def close(self) -> None:
        if self.scale is not None:
            self.scale.close()

    def handle(self, frame: Frame) -> None:
        """Turn one frame into whatever is subscribed to; trouble is counted and said, and the next frame welcome."""
        try:
            self._process(frame)
        except ImageError as error:
            self._troubles.report(getattr(error, "kind", "corrupt_data"), f"image not used: {error}")
        except Exception:  # a bug, or a device that failed: the node lives on, and the traceback is in the log
            if rclpy.ok():
                self._troubles.report("internal_error", f"image not used because of a bug:\n{traceback.format_exc()}")

    def _process(self, frame: Frame) -> None:
        wanted = self._outputs.wanted()
        if not wanted:
            self._statistics.count("frames_unwanted")
            return
        image = self._decode(frame.msg)
        header = frame.msg.header
        camera = self._camera_of(image, header.stamp, frame.inputs)
        if wanted <= RELAY:  # no depth needed, the network may rest
            tables = camera and self.pipeline.tables(camera)
            self._outputs.relay(rectified(image, tables), tables and tables.camera, header, wanted)
            self._statistics.count("frames_relayed")
            return
        want_cloud = CLOUD in wanted and camera is not None
        result = self.pipeline.process(
            image,
            camera,
            want_cloud,
            want_color=COLOR in wanted,
            cloud_out=self._cloud_buffer(camera, want_cloud),
            stamp_ns=stamp_ns(header),
        )
        started = time.perf_counter()
        self._outputs.publish(result, header, self._live.current.depth_encoding, wanted)
        self.stages = {**result.timings, "publish": (time.perf_counter() - started) * 1e3}
        self._statistics.depth_published(time.monotonic() - frame.arrived)
        if self.scale is not None and camera is not None:
            started = time.perf_counter()
            self.scale.observe(result, self.pipeline.tables(camera).rectifier, header)
            self.stages["scale"] = (time.perf_counter() - started) * 1e3

    def _camera_of(self, image: np.ndarray, stamp, inputs: CameraInputs) -> Camera | None:
        """The image's camera, or None with the reason counted: depth is possible without, cloud and metres are not."""
        info = inputs.camera_info_of(stamp)
        if info is None:
            self._no_camera("no_camera_info", f"no camera_info on {inputs.info_topic} for this image")
            return None
        try:
            camera = self._calibration.camera(info)
            check_size(image, camera)
            self.pipeline.tables(camera)
        except CameraError as error:
            self._no_camera(getattr(error, "kind", "bad_camera_info"), str(error))
            return None
        return camera

    def _no_camera(self, kind: str, sentence: str) -> None:
        self._troubles.report(kind, f"{sentence}; until then depth comes without cloud, camera_info and rectification")

    def _cloud_buffer(self, camera: Camera | None, want_cloud: bool) -> np.ndarray | None:
        if not want_cloud:
            return None
        settings = self.pipeline.settings
        rays = self.pipeline.tables(camera).rays(settings.cloud_step)
        return self._outputs.cloud_buffer(rays.shape, settings.cloud_layout).points
