"""Rows of devices that are unsure: answered, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.codec import decode, to_plain
from edge_sdk.contract.fleet import CloudReply, CloudRequest

if TYPE_CHECKING:
    from cloud_hub.cost.ledger import CostLedger
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.inference.micro_batches import MicroBatches
    from cloud_hub.observability.metrics import HubMetrics

PATH: Final = "/v1/predict"
BODY_BYTES: Final = 1 << 20
"""Of one row."""


class AskedRows:
    """Answers rows of devices.

    Args:
        cascade: answers those that wait at the same time.
        ledger: of what models cost.
        metrics: of this process.
    """

    def __init__(
        self,
        cascade: MicroBatches[CloudRequest, CloudReply],
        ledger: CostLedger,
        metrics: HubMetrics,
    ) -> None:
        self._cascade, self._ledger, self._metrics = cascade, ledger, metrics

    async def answer(self, device: EnrolledDevice, raw: bytes) -> Any:
        """Return the answer to a device, as JSON.

        Args:
            device: that asks.
            raw: the body of its request.

        Raises:
            ContractError: it is no row.
            HubFault: the row is refused; the message says why.
        """
        row = decode(CloudRequest, raw, limit=BODY_BYTES)
        device.check_model(row.model)
        reply = await self._cascade.ask(row)
        self._ledger.note("cloud_answers", row.model, row.version, 1)
        self._metrics.inferred(row.model, "device", 1)
        return to_plain(reply)
