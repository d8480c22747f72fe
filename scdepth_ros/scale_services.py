"""depth_node's services about its scale: freeze it, measure it anew, write it into the weights."""

from __future__ import annotations

import math

from std_srvs.srv import SetBool, Trigger

from scdepth_core.errors import ScDepthError

NOT_MEASURED = "scale.source is fixed, so no scale is measured – set it to odometry, camera_height or reference_depth"
NOT_CONFIGURED = "the node is not configured, so there is no scale yet"


class ScaleServices:
    """~/freeze_scale, ~/reset_scale and ~/save_scale, for as long as the node lives; each answers in a sentence.

    Args:
        node: a rclpy node.
        find: gives the FrameProcessor at work, or None while the node is not configured.
        weights_file: gives the path of the weights in use, "" for the starter weights.
    """

    def __init__(self, node, find, weights_file):
        self._find, self._weights_file, self._logger = find, weights_file, node.get_logger()
        for kind, name, answer in (
            (SetBool, "~/freeze_scale", self._freeze),
            (Trigger, "~/reset_scale", self._reset),
            (Trigger, "~/save_scale", self._save),
        ):
            node.create_service(kind, name, self._guarded(answer))

    def _guarded(self, answer):
        def callback(request, response):
            try:
                response.message, response.success = answer(request), True
            except (ScDepthError, OSError) as error:
                response.message, response.success = str(error), False
            self._logger.info(response.message)
            return response

        return callback

    def _freeze(self, request) -> str:
        scale = self._scale()
        scale.tracker.freeze(request.data)
        known = _in_words(scale.tracker.state)
        return f"the scale is frozen at {known}" if request.data else f"the scale is measured again, from {known}"

    def _reset(self, request) -> str:
        scale = self._scale()
        scale.tracker.reset()
        scale.apply()
        return f"all measurements are forgotten; the scale starts from {_in_words(scale.tracker.state)}"

    def _save(self, request) -> str:
        from scdepth_core.checkpoint import write_scale  # brings PyTorch along, which a configured node has loaded

        pipeline = self._processor().pipeline
        if not pipeline.is_metric:
            raise ScDepthError("the scale is not known yet, so there is nothing to save")
        path = self._weights_file()
        if not path:
            raise ScDepthError(
                "the starter weights belong to the package and stay as they are – name a copy of them in weights"
            )
        write_scale(path, pipeline.scale)
        return f"{pipeline.scale:.5g} metres per unit written into '{path}'"

    def _processor(self):
        processor = self._find()
        if processor is None:
            raise ScDepthError(NOT_CONFIGURED)
        return processor

    def _scale(self):
        scale = self._processor().scale
        if scale is None:
            raise ScDepthError(NOT_MEASURED)
        return scale


def _in_words(state) -> str:
    if state.value is None:
        return "nothing, the weights carry none"
    sure = f" (± {100 * state.sigma:.2g} %)" if math.isfinite(state.sigma) else ""
    return f"{state.value:.5g} metres per unit{sure}"
