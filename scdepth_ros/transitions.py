"""Transitions of a lifecycle node that it survives, whatever goes wrong in them."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from scdepth_core.errors import ScDepthError

SUCCESS, FAILURE, ERROR = (getattr(TransitionCallbackReturn, name) for name in ("SUCCESS", "FAILURE", "ERROR"))


def attempt(
    logger, what: str, work: Callable[[], object], undo: Callable[[], object]
) -> tuple[TransitionCallbackReturn, str]:
    """Do the work of a transition, or log why it cannot be done and undo it: rclpy keeps exceptions to itself.

    Args:
        what: "configure" or "activate".

    Returns:
        the outcome, and why it failed; empty when it did not.
    """
    outcome = FAILURE
    try:
        work()
        return SUCCESS, ""
    except ScDepthError as error:
        reason = str(error)
    except ImportError as error:
        hint = "install it beside this Python, or start the node from the environment that has it"
        reason = f"{error.name or 'a library'} cannot be imported ({error}) – {hint}"
    except Exception as error:
        logger.error(traceback.format_exc())
        reason, outcome = f"{type(error).__name__}: {error}", ERROR
    logger.error(f"cannot {what}: {reason}")
    undo()
    return outcome, f"{what} failed: {reason}"


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
