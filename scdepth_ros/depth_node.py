"""depth_node: camera images in; metric depth, clouds and coloured depth out.

A lifecycle node with two threads. The spinning one receives messages and answers services; the inference thread loads
the network, takes the newest image and publishes what comes of it. PyTorch is imported on configure, not before.
"""

from __future__ import annotations

import gc
import signal
import sys
import time
from typing import NoReturn

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from scdepth_core.errors import ConfigError
from scdepth_ros import qos
from scdepth_ros.diagnostics import DiagnosticsWriter, NodeReport
from scdepth_ros.frame_statistics import Statistics, Troubles
from scdepth_ros.inputs import CameraInputs, Frame
from scdepth_ros.live_settings import LiveSettings
from scdepth_ros.messages.converter import image_decoder
from scdepth_ros.outputs import DepthOutputs
from scdepth_ros.ros_arguments import init_ros, only_ros_arguments
from scdepth_ros.scale_services import ScaleServices
from scdepth_ros.shutdown import end_process, until_shutdown
from scdepth_ros.silence import SilenceWatch
from scdepth_ros.transitions import ERROR, SUCCESS, attempt, refuse_impossible_transitions
from scdepth_ros.worker import FrameWorker

STOP_TIMEOUT = 10.0  # seconds that deactivate gives the frame in flight
EXIT_TIMEOUT = 1.0  # and what it gets when the process is asked to end
WARM_UP_SHAPE = (480, 640, 3)
DESCRIPTION = """\
Metric depth, clouds and coloured depth of a camera: a lifecycle node that configures and activates itself.

    depth_node --ros-args -p weights:=FILE -r image:=/camera/image_raw -r camera_info:=/camera/camera_info

in:  image (or image/compressed), camera_info; for scale.source odom, reference_depth, reference_points or TF
out: depth/image_rect, depth/camera_info, points, rgb/image_rect_color, rgb/camera_info, depth/colorized, ~/scale,
     /diagnostics

-p sets a parameter, -r renames a topic; `python -m scdepth_ros.parameters` lists all parameters.
"""


class DepthNode(LifecycleNode):
    """Parameters are in parameters.py, topics in inputs.py and outputs.py, the work in frame_processor.py.

    Raises:
        ConfigError: when a parameter's initial value is not allowed.
    """

    def __init__(self, **kwargs):
        super().__init__("depth_node", **kwargs)
        self._processor = None
        self._outputs: DepthOutputs | None = None
        self._inputs: CameraInputs | None = None
        self._worker = FrameWorker()
        self._model = self._failure = ""
        self._live = LiveSettings(
            self,
            is_configured=lambda: self._processor is not None,
            on_change=lambda settings: self._processor and self._processor.apply(settings),
        )
        self._statistics = Statistics()
        self._troubles = Troubles(self._statistics, self.get_logger().warning)
        self._silence = SilenceWatch(self)
        self._diagnostics = DiagnosticsWriter(self.get_name())
        self._diagnostics_publisher = qos.advertise(self, DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock may stand still, diagnostics must not
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        ScaleServices(self, lambda: self._processor, lambda: self._live.current.weights)
        refuse_impossible_transitions(self)

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so. A failed configure leaves the node unconfigured."""
        if self._live.current.autostart and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    # Transitions

    def on_configure(self, state) -> TransitionCallbackReturn:
        """Load the weights and run them once; on failure say why and stay unconfigured."""
        outcome, self._failure = attempt(self.get_logger(), "configure", self._load, undo=self._free)
        return outcome

    def on_activate(self, state) -> TransitionCallbackReturn:
        """Subscribe, and compute from now on. Statistics start afresh. On failure say why and stay inactive."""
        outcome, self._failure = attempt(self.get_logger(), "activate", self._open, undo=self._stop)
        return super().on_activate(state) if outcome == SUCCESS else outcome

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        """Unsubscribe and finish the frame in flight."""
        finished = self._stop()
        if not finished:
            self.get_logger().error(f"the frame in flight did not finish within {STOP_TIMEOUT:g} s")
            return ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        """Free the network and the publishers."""
        self._failure = ""
        self._free()
        return SUCCESS

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        self._stop()
        self._free()
        return SUCCESS

    def on_error(self, state) -> TransitionCallbackReturn:
        """Whatever went wrong: let go of everything and be unconfigured."""
        self._stop()
        self._free()
        return SUCCESS

    def close(self) -> None:
        """Stop for good, in any state; a frame in flight gets a second."""
        self._stop(EXIT_TIMEOUT)
        self._worker.end()
        self.destroy_node()

    # Work

    def _load(self) -> None:
        self._outputs = DepthOutputs(self)
        self._processor = self._worker.call(self._load_processor)
        self.get_logger().info(f"configured with {self._model}")
        if not self._processor.pipeline.is_metric:
            self.get_logger().warning(
                "depth is not metric: the weights carry no scale – set metres_per_unit to the metres of one unit, or "
                "let scale.source measure it"
            )

    def _open(self) -> None:
        self._statistics.restart()
        self._worker.start(self._processor.handle)
        self._processor.open(self)
        settings = self._live.current
        transport, sync = settings.image_transport, settings.camera_info_sync
        self._inputs = CameraInputs(self, transport, sync, self._on_image, self._troubles.report)
        self.get_logger().info(f"waiting for images on {self._inputs.image_topic}")

    def _load_processor(self):
        """Import PyTorch, load the weights and run them once, so that the first frame takes as long as the tenth."""
        from scdepth_core.inference import DepthEstimator
        from scdepth_core.inference.pipeline import FramePipeline
        from scdepth_core.inference.temporal import TemporalConsistency
        from scdepth_core.inference.threads import limit_threads
        from scdepth_core.scale import ScaleSettings
        from scdepth_ros.frame_processor import FrameProcessor
        from scdepth_ros.node_scale import NodeScale

        settings = self._live.current
        limit_threads(settings.threads)
        estimator = DepthEstimator.load(settings.weights or None, settings.device, settings.backend, settings.precision)
        temporal = None
        if settings.temporal_tolerance:
            files = {"weights": settings.weights or None, "motion": settings.motion_weights or None}
            temporal = TemporalConsistency.load(**files, tolerance=settings.temporal_tolerance, device=settings.device)
        pipeline = FramePipeline(estimator, temporal, **settings.for_pipeline())
        pipeline.process(np.zeros(WARM_UP_SHAPE, np.uint8), camera=None)
        used = estimator.backend
        self._model = f"{settings.weights or 'starter weights'}, {used.name} {used.precision} on {used.device}"
        wanted = settings.for_scale()
        scale = wanted and NodeScale(ScaleSettings(**wanted), pipeline, self._troubles)
        return FrameProcessor(
            pipeline, image_decoder(), self._outputs, self._live, self._statistics, self._troubles, scale
        )

    def _stop(self, timeout: float = STOP_TIMEOUT) -> bool:
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        if self._processor is not None:
            self._processor.close()
        if self._worker.close():
            self._statistics.count("frames_dropped")
        finished = self._worker.stop(timeout)
        if not finished:  # whatever comes next needs one that answers
            self._worker.end()
            self._worker = FrameWorker()
        return finished

    def _free(self) -> None:
        self._processor, self._model = None, ""
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _on_image(self, msg) -> None:
        if self._inputs is None:  # deactivated while this message was on its way
            return
        stamp = msg.header.stamp  # rclpy's Time would raise for a negative one
        self._statistics.image_arrived(self.get_clock().now().nanoseconds * 1e-9 - stamp.sec - stamp.nanosec * 1e-9)
        if self._worker.submit(Frame(msg, self._inputs, time.monotonic())):
            self._statistics.count("frames_replaced")

    def _publish_diagnostics(self) -> None:
        pipeline = self._processor and self._processor.pipeline
        scale = self._processor and self._processor.scale
        state = scale and scale.tracker.state
        seen = self._statistics.snapshot()
        report = NodeReport(
            state=self._state_machine.current_state[1],
            failure=self._failure,
            image_topic=self._inputs.image_topic if self._inputs else "",
            info_topic=self._inputs.info_topic if self._inputs else "",
            silence=self._silence.look(self._inputs, seen.since_image),
            frames_overtaken=self._inputs.lost.in_queue if self._inputs else 0,
            model=self._model,
            scale=pipeline and pipeline.scale,
            is_metric=pipeline is not None and pipeline.is_metric,
            scale_source=self._live.current.scale_source,
            scale_topic=scale.inputs.topic if scale and scale.inputs else "",
            scale_silence=self._silence.look_at_scale(None if state is None or state.frozen else scale.inputs),
            scale_state=state,
            stages=tuple(self._processor.stages.items()) if self._processor else (),
        )
        stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(self._diagnostics.array(stamp, report, seen))


def main(args: list[str] | None = None) -> NoReturn:
    """Run the node until it is asked to end (SIGINT or SIGTERM), then end the process, in two seconds at most."""
    end_process(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the node until it is asked to end; returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also while PyTorch is being imported
    node = None
    try:
        with until_shutdown():
            init_ros(only_ros_arguments("depth_node", DESCRIPTION, args))
            node = DepthNode()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            node.autostart()
            executor.spin()
    except ConfigError as error:
        rclpy.logging.get_logger("depth_node").fatal(str(error))
        return 1
    finally:
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.SIG_IGN)  # being asked twice must not cut the clean-up short
        if node is not None:
            node.close()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    main()
