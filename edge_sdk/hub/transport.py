"""Connections of a client, and what of an answer tells that it is whole."""

from __future__ import annotations

from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from edge_sdk.hub.deadlines import POOLS

OK: Final = (200, 204, 206, 304)


def new_session() -> requests.Session:
    """Return a session whose connections a watch may shut down; it is one thread's alone."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


class _Adapter(HTTPAdapter):
    """Connections that a watch may shut down, also those to a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager


def is_delimited(response: requests.Response) -> bool:
    """Return whether the answer says where its body ends.

    The hub's always do. Where the head was cut they do not, and a body of nothing would pass for
    the whole: as metadata it would be refused, and what was verified before thrown away.
    """
    lacks_body = response.status_code in (204, 304)
    ends = ("Content-Length", "Transfer-Encoding")
    return lacks_body or any(name in response.headers for name in ends)
