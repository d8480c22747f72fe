"""Optional libraries: imported when a backend needs them, with a way out where they are missing, and kept silent."""

from __future__ import annotations

import importlib
import importlib.util
import os
from contextlib import contextmanager
from types import ModuleType

from scdepth_core.errors import BackendError, ScDepthError, first_line

ONNX_FOR_CUDA = "pip uninstall onnxruntime, then pip install onnxruntime-gpu"  # they share a folder


def is_installed(*modules: str) -> bool:
    """True when all of these can be imported; imports none."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a library of one of our extras.

    Args:
        module: such as 'openvino.frontend'.
        extra: of this package, which installs it.
        purpose: what needs it, for the message: 'backend openvino'.

    Raises:
        BackendError: it is not installed, or its import fails.
    """
    try:
        with unreported():
            return importlib.import_module(module)
    except ImportError as error:
        raise BackendError(
            f"{purpose} needs '{module}', which cannot be imported ({error}) – "
            f"pip install '.[{extra}]' in the folder of scdepth_ros, or choose another backend"
        ) from error


@contextmanager
def failures_explained(library: str):
    """What a library raises inside becomes a BackendError with the first line of its reason; ours pass."""
    try:
        yield
    except ScDepthError:
        raise
    except Exception as error:  # each library has its own kinds
        reason = first_line(error)
        raise BackendError(f"{library} cannot run this network here ({reason}) – choose another backend") from error


@contextmanager
def unreported():
    """For calls that may import OpenVINO or ONNX Runtime.

    Both report their use to their makers from the moment they are imported, unless they run in continuous integration.
    We promise to ask the network for nothing, so this looks like that to them.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
