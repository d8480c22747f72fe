"""A place for one frame between two threads: what is new replaces what was not fetched in time."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestSlot(Generic[Item]):
    """A queue of one that never blocks the giver. Items must not be None, which is what a closed slot gives."""

    def __init__(self):
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Leave the newest item.

        Returns:
            True when it replaced one that nobody had fetched. A closed slot takes nothing in and says False.
        """
        with self._changed:
            if self._closed:
                return False
            replaced = self._item is not None
            self._item = item
            self._changed.notify()
            return replaced

    def take(self) -> Item | None:
        """Wait for the newest item and fetch it; None once the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> bool:
        """Let go of the item and of whoever waits for one.

        Returns:
            True when there was an item that nobody had fetched.
        """
        with self._changed:
            dropped = self._item is not None
            self._item, self._closed = None, True
            self._changed.notify_all()
            return dropped
