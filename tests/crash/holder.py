"""An owner that is stopped inside a transaction: it holds the store's lock and will not let go."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import apsw

from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.store.sqlite import SqliteStore

if __name__ == "__main__":
    path = Path(sys.argv[1])
    store = SqliteStore.open(path)
    store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    lock = apsw.Connection(str(path))
    lock.execute("BEGIN IMMEDIATE")
    sys.stdout.write("held\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGSTOP)
