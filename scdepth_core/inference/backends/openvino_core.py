"""The one `openvino.Core` of a process."""

from __future__ import annotations

from functools import cache

from scdepth_core.inference.backends.libraries import import_optional


def openvino_core(purpose: str = "backend openvino"):
    """The Core, made on first use and kept for the life of the process.

    Each Core gives its thread a stack for signal handlers, and puts the one before back when it ends. Of two Cores that
    do not end in the reverse order of their beginnings, the second puts back a stack that the first has freed, and the
    next signal (Ctrl-C, a child that ends) kills the process. So there is one, and it never ends.

    Args:
        purpose: what needs it, for the message.

    Raises:
        BackendError: openvino is not installed.
    """
    return _core_of(import_optional("openvino", "openvino", purpose))


@cache
def _core_of(library):
    return library.Core()
