"""Optional libraries: imported when a backend needs them, with a way out where they are missing, and kept silent."""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType

from scdepth_core.errors import BackendError


def is_installed(*modules: str) -> bool:
    """True when all of these can be imported; imports none."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a library of one of our extras.

    OpenVINO and ONNX Runtime report their use to their makers from the moment they are imported, unless they run in
    continuous integration. We promise to ask the network for nothing, so this import looks like that to them.

    Args:
        module: such as 'openvino.frontend'.
        extra: of this package, which installs it.
        purpose: what needs it, for the message: 'backend openvino'.

    Raises:
        BackendError: it is not installed, or its import fails.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BackendError(
            f"{purpose} needs '{module}', which cannot be imported ({error}) – "
            f"pip install 'scdepth_ros[{extra}]', or choose another backend"
        ) from error
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
