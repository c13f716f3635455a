"""Messages to people: an e-mail through Apprise to a real SMTP server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.alerts.notifying import notify
from cloud_hub.alerts.rules import AlertRules
from cloud_hub.hub import Hub, open_hub
from cloud_hub.settings import Settings
from tests.new_hub import initialise
from tests.waiting import PATIENCE

smtp = pytest.importorskip("aiosmtpd.smtp", reason="needs aiosmtpd")
pytest.importorskip("apprise", reason="needs the extra [notify]")
# Apprise's plug-ins for e-mail import what Python is going to remove.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Box:
    """Keeps the mails that come."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def box() -> Iterator[tuple[Box, str]]:
    box, loop = Box(), asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: smtp.SMTP(box, loop=loop), "127.0.0.1", 0)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port = server.sockets[0].getsockname()[1]
    yield box, f"mailto://127.0.0.1:{port}?from=hub@example.org&to=ann@example.org&mode=insecure"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


def test_all_of_a_time_is_one_mail(tmp_path: Path, box: tuple[Box, str]) -> None:
    mails, url = box
    settings = Settings(tmp_path / "hub", tick_seconds=0, alert_networks=("127.0.0.0/8",))
    initialise(settings)
    hub: Hub = open_hub(settings)
    try:
        hub.alerts.add("ann", "apprise", url, AlertRules(digest_seconds=3_600.0), actor="ann")
        hub.audit.record("hub", "run failed", "m", {"reason": "no rows"})
        hub.audit.record("hub", "canary aborted", "m", {"reason": "errors"})
        hub.alerts._courier.deliver("ann")
        assert [each.reason for each in hub.alerts.deliveries("ann", 9)] == ["sent"]
    finally:
        hub.close()
    (mail,) = mails.mails
    text = "".join(str(part.get_payload(decode=True)) for part in mail.walk())
    assert "2 events (critical)" in str(mail["Subject"])
    assert "no rows" in text
    assert "errors" in text


def test_a_mail_server_on_this_machine_is_not_asked_unless_allowed(box: tuple[Box, str]) -> None:
    mails, url = box
    outcome = notify(url, "title", "text", "info", ())
    assert not outcome.delivered
    assert "not public" in outcome.reason
    assert mails.mails == []
