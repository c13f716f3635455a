"""A TCP proxy that cuts connections after random numbers of bytes, and counts all of them."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from urllib.parse import urlsplit

from tests.waiting import PATIENCE


class CuttingProxy:
    """Passes bytes on to a hub, and ends each connection where chance says.

    Args:
        hub: URL.
        seed: of the cuts, which are the same in every run for the same connections.
        mean: bytes from the hub, on average, after which a connection is cut; 0 for never.

    Attributes:
        down: bytes from the hub that were passed on, headers included.
        up: bytes to the hub.
        cuts: connections that were cut.
    """

    def __init__(self, hub: str, *, seed: int = 0, mean: int = 0) -> None:
        parts = urlsplit(hub)
        self._hub = (parts.hostname or "", parts.port or 80)
        self._random = random.Random(seed)
        self.mean = mean
        self.down = self.up = self.cuts = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        self.down = self.up = self.cuts = 0

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                device, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(device,), daemon=True).start()

    def _serve(self, device: socket.socket) -> None:
        with self._lock:
            room = int(self._random.expovariate(1 / self.mean)) if self.mean else None
        with device, contextlib.suppress(OSError):
            hub = socket.create_connection(self._hub)
            up = threading.Thread(target=self._upward, args=(device, hub), daemon=True)
            up.start()
            with hub:
                self._downward(hub, device, room)
                for end in (device, hub):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            up.join(PATIENCE)

    def _downward(self, hub: socket.socket, device: socket.socket, room: int | None) -> None:
        while chunk := hub.recv(1 << 14):
            if room is not None:
                chunk, room = chunk[:room], room - len(chunk)
            device.sendall(chunk)
            with self._lock:
                self.down += len(chunk)
            if room is not None and room <= 0:
                with self._lock:
                    self.cuts += 1
                return

    def _upward(self, device: socket.socket, hub: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := device.recv(1 << 14):
                hub.sendall(chunk)
                with self._lock:
                    self.up += len(chunk)
