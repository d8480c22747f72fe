"""The inference thread: one frame at a time, always the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic

from scdepth_ros.newest_slot import Item, NewestSlot


class FrameWorker(Generic[Item]):
    """Calls `handle(item)` in a thread of its own, for the newest item whenever the last one is done.

    Args:
        handle: called with one item; must not raise.
    """

    def __init__(self, handle: Callable[[Item], None]):
        self._handle = handle
        self._slot: NewestSlot[Item] = NewestSlot()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Hand over the newest item; True when it took the place of one that was still waiting."""
        return self._slot.put(item)

    def close(self) -> bool:
        """Take nothing more, and drop what waits; True when something did."""
        return self._slot.close()

    def stop(self, timeout: float) -> bool:
        """Close, and let the item in work finish.

        Returns:
            False when that took longer than `timeout` seconds; the thread then ends by itself, later.
        """
        self.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._slot.take()) is not None:
            self._handle(item)
