"""A worker that does nothing but lead: ``DATABASE LEASE``.

It says ``leads TERM`` and ``follows`` as that changes. For each line that it is given it writes a
row as the leader of the term that it had last, and says ``wrote`` or ``refused``.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from sqlalchemy.exc import OperationalError

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import connect
from cloud_hub.database.leader import TermLeadership
from cloud_hub.errors import LeadershipLost
from cloud_hub.settings import Settings

if __name__ == "__main__":
    engine = connect(Settings(Path("unused"), sys.argv[1]))
    leadership = TermLeadership(engine, lease=float(sys.argv[2]))
    asked = threading.Semaphore(0)

    def listen() -> None:
        for _ in sys.stdin:
            asked.release()

    def written() -> str:
        """Try until the database answers: a session may have been ended."""
        with leadership.fence():
            while True:
                try:
                    Audit(engine).record("holder", "wrote", None)
                except LeadershipLost:
                    return "refused"
                except OperationalError:
                    continue
                return "wrote"

    threading.Thread(target=listen, daemon=True).start()
    led = False
    while True:
        if asked.acquire(blocking=False):
            print(written(), flush=True)
        if leadership.take() is not led:
            led = not led
            print(f"leads {leadership.status().term}" if led else "follows", flush=True)
        time.sleep(0.02)
