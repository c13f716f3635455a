"""What of an answer tells that it is a success, and whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import requests

OK: Final = (200, 204, 206, 304)


def is_delimited(response: requests.Response) -> bool:
    """Return whether the answer says where its body ends.

    The hub's always do. Where the head was cut they do not, and a body of nothing would pass for
    the whole: as metadata it would be refused, and what was verified before thrown away.
    """
    lacks_body = response.status_code in (204, 304)
    ends = ("Content-Length", "Transfer-Encoding")
    return lacks_body or any(name in response.headers for name in ends)
