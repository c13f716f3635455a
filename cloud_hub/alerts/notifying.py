"""Messages to people through Apprise: e-mail, Slack, Teams and a hundred others."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cloud_hub.alerts.addresses import Network, checked_address
from cloud_hub.alerts.webhook import TryOutcome
from cloud_hub.errors import Forbidden, HubFault, Invalid

REFUSED: Final = frozenset({
    # They act on the hub's own machine, or ask any URL: for that there are webhooks.
    "apprise", "apprises", "dbus", "file", "form", "forms", "glib", "gnome", "json", "jsons",
    "kde", "macosx", "qt", "syslog", "windows", "xml", "xmls",
})  # fmt: skip

HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+|localhost|\[?[0-9a-f:]+\]?", re.IGNORECASE)


def checked_notification(url: str) -> None:
    """Raise Invalid unless Apprise knows what to do with a URL; HubFault if it is missing."""
    scheme = url.partition("://")[0].lower()
    if "://" not in url or scheme in REFUSED or len(url) > 2_000:
        raise Invalid(
            "url: expected one of Apprise's, such as mailtos://… or slack://…; what asks a URL "
            "is a webhook"
        )
    if _apprise().Apprise.instantiate(url, suppress_exceptions=True) is None:
        raise Invalid(f"url: Apprise does not understand this {scheme}:// URL")


def notify(url: str, title: str, text: str, worst: str, allowed: Sequence[Network]) -> TryOutcome:
    """Send a message, and return what became of it.

    Args:
        url: of Apprise.
        title: one line.
        text: plain text.
        worst: the severity.
        allowed: networks that are not public, and may be asked.
    """
    try:
        _check_hosts(url, allowed)
        apprise = _apprise()
        kinds = {"critical": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}
        asset = apprise.AppriseAsset(app_id="edge-hub", app_desc="edge-hub", async_mode=False)
        sender = apprise.Apprise(asset=asset)
        sender.add(url)
        log = io.StringIO()
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s", delete=False) as captured:
            sent = sender.notify(
                text, title, kinds.get(worst, apprise.NotifyType.INFO), body_format="text"
            )
            log.write(captured.getvalue())
    except HubFault as error:
        return TryOutcome(False, str(error))
    except Exception as error:  # of one of a hundred plug-ins
        return TryOutcome(False, f"{type(error).__name__}: {error}"[:300])
    last = (log.getvalue().strip().splitlines() or ["refused, without a reason"])[-1]
    return TryOutcome(True, "sent") if sent else TryOutcome(False, last[:300])


def _check_hosts(url: str, allowed: Sequence[Network]) -> None:
    """Refuse a server that is not public, as far as the URL names one.

    Apprise looks names up by itself, so unlike for webhooks this is no proof against a name server
    that answers differently the second time.
    """
    parts = urlsplit(url)
    named = [parts.hostname, *parse_qs(parts.query).get("smtp", [])]
    for host in named:
        if not host or not HOST.fullmatch(host):
            continue  # a token of a service
        try:
            checked_address(host, parts.port or 443, allowed)
        except Forbidden:
            raise
        except HubFault:
            continue  # no host at all, or Apprise will say so


def _apprise() -> Any:
    try:
        import apprise
    except ImportError as error:
        extra = 'pip install "edge-deployment-sdk[notify]"'
        raise HubFault(f"Apprise is not installed; {extra}") from error
    return apprise
