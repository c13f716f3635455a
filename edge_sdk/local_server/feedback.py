"""The outcome of a prediction, as clients report it in JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from edge_sdk.local_server.refusal import BAD_REQUEST, RequestRefused

if TYPE_CHECKING:
    from edge_sdk.fleet.model_calls import ModelCalls

OUTCOMES: Final = frozenset({"label", "reward", "clicks"})


def take_feedback(to: ModelCalls, body: bytes) -> None:
    """Report an outcome: JSON with ``id``, and ``label``, ``reward`` or ``clicks``.

    Args:
        to: the model that made the prediction, or a device, which knows which one did.
        body: from the client.

    Raises:
        RequestRefused: it is no such object.
        InputError: the device refuses it.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(BAD_REQUEST, f"expected JSON; {error!s:.100}") from error
    if type(told) is not dict or type(told.get("id")) is not str:
        raise RequestRefused(BAD_REQUEST, "expected an object with the id of a prediction")
    given = told.keys() - {"id"}
    if not given or given - OUTCOMES:
        raise RequestRefused(
            BAD_REQUEST, f"expected id and some of {sorted(OUTCOMES)}, got {sorted(told)!s:.100}"
        )
    outcome = {name: told[name] for name in given}
    if type(outcome.get("clicks", [])) is not list:
        raise RequestRefused(BAD_REQUEST, "clicks: expected a list")
    to.feedback(told["id"], **outcome)
