"""Archives of evidence, signed.

The hub's online key signs: the archive holds what the hub says of itself, and the publisher, who
keeps the releases key elsewhere, has not seen it. What the publisher vouches for has their
signature inside, in ``signatures/``. The envelope is DSSE, whose signed bytes begin with its type,
so that no archive can pass for metadata that the same key signs for devices, nor the other way
round.
"""

from __future__ import annotations

import datetime
import json
import time
from typing import TYPE_CHECKING

from cloud_hub.compliance.archive import PAYLOAD, STATEMENT, packed, statement
from cloud_hub.compliance.articles import readme
from cloud_hub.compliance.gathering import gathered

if TYPE_CHECKING:
    from cloud_hub.hub import Hub


def compliance_archive(
    hub: Hub, model: str, version: str, *, actor: str, now: float | None = None
) -> bytes:
    """Return the signed archive of a version, and note in the audit that somebody made it.

    Args:
        hub: that knows the version.
        model: name of the line.
        version: of it.
        actor: who asks.
        now: Unix seconds.

    Raises:
        NotFound: there is no such version.
        Conflict: the clock cannot be believed, so nothing is signed.
    """
    from securesystemslib.dsse import Envelope

    now = time.time() if now is None else now
    hub.repository.check_clock()
    files, limits = gathered(hub, model, version)
    files["README.md"] = readme(model, version, files, limits).encode()
    about = {
        "hub": hub.repository.identity(),
        "madeAt": datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds"),
        "madeBy": actor,
        "limits": limits,
    }
    told = statement(files, model=model, version=version, about=about)
    envelope = Envelope(json.dumps(told, sort_keys=True).encode(), PAYLOAD, {})
    envelope.sign(hub.repository.signer("online"))
    files[STATEMENT] = json.dumps(envelope.to_dict(), indent=1).encode()
    hub.audit.record(actor, "compliance exported", model, {"version": version})
    return packed(files)
