"""What torch.compile says when it cannot, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scdepth_core.errors import BackendError


@contextmanager
def compiler_explained(way_out: str) -> Iterator[None]:
    """Failures of the compiler inside become a BackendError that ends with the way out."""
    from torch._dynamo.exc import TorchDynamoException  # takes seconds, and most programs compile nothing

    try:
        yield
    except TorchDynamoException as error:
        reason = " ".join(str(error).strip().partition("\n\n")[0].split())  # what follows is advice to developers
        raise BackendError(f"torch.compile cannot compile this model here ({reason}) – {way_out}") from error
