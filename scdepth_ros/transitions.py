"""A lifecycle node that survives being asked for a transition that its present state does not have."""

from __future__ import annotations

from rclpy.lifecycle import LifecycleNode


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Answer `success: false` to a transition that the present state does not have.

    rclpy lets the error out of the service callback instead, which ends the process and leaves the caller waiting.
    """
    service = node._service_change_state
    original = service.callback

    def guarded(request, response):
        try:
            return original(request, response)
        except RuntimeError as error:  # rclpy's RCLError
            node.get_logger().warning(f"transition refused: {error}")
            response.success = False
            return response

    service.callback = guarded
