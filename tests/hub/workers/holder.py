"""A worker that does nothing but lead: ``DATABASE LEASE``.

It says ``leads TERM`` and ``follows`` as that changes. For each line that it is given it writes a
row as the leader of the term that it had last, and says ``wrote`` or ``refused``.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

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

    threading.Thread(target=listen, daemon=True).start()
    led = False
    while True:
        if asked.acquire(blocking=False):
            with leadership.fence():
                try:
                    Audit(engine).record("holder", "wrote", None)
                    print("wrote", flush=True)
                except LeadershipLost:
                    print("refused", flush=True)
        if leadership.take() is not led:
            led = not led
            print(f"leads {leadership.status().term}" if led else "follows", flush=True)
        time.sleep(0.02)
