"""Read recordings that were cut off: killed recorders, full disks, half-copied files.

`salvage(path)` reads one storage file from its beginning, record by record, without the index that a recorder
writes last. It yields whatever is complete and says what is not.
"""

from __future__ import annotations

from pathlib import Path

from scdepth_core.errors import BagError
from scdepth_ros.bag_recovery.mcap import SalvagedMcap
from scdepth_ros.bag_recovery.ros1 import SalvagedRos1
from scdepth_ros.bag_recovery.salvaged import Salvaged
from scdepth_ros.bag_recovery.sqlite import SalvagedSqlite, has_write_ahead_log, missing_bytes

_BY_SUFFIX = {".mcap": SalvagedMcap, ".db3": SalvagedSqlite, ".bag": SalvagedRos1, ".active": SalvagedRos1}

__all__ = ["Salvaged", "needs_salvage", "salvage"]


def salvage(path: Path) -> Salvaged:
    """Open a storage file (.mcap, .db3, .bag, .bag.active) that the ordinary reader refuses.

    Raises:
        BagError: for another kind of file, or one without a single readable message.
    """
    kind = _BY_SUFFIX.get(path.suffix)
    if kind is None:
        raise BagError(f"'{path}' is no recording that can be read, expected .mcap, .db3 or .bag")
    found = kind(path)
    if not found.message_count:
        raise BagError(f"'{path}' holds no readable message: {found.damage or 'it is empty'}")
    return found


def needs_salvage(path: Path) -> bool:
    """Whether the ordinary reader would open this file and silently leave messages out."""
    return path.suffix == ".db3" and (has_write_ahead_log(path) or missing_bytes(path) > 0)
