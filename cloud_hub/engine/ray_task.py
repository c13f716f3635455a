"""What a node of a Ray cluster is sent. Pickled by value, so it needs nothing of ours to say that
nothing of ours is there.
"""

from __future__ import annotations

import platform


def run_task(order: bytes, common: bytes, item: bytes) -> tuple[str, bytes]:
    """Compute one item on a node.

    Args:
        order: see :class:`cloud_hub.engine.node.DriverOrder`.
        common: what all items share.
        item: to be computed.

    Returns:
        ``result`` and its bytes, or the kind of an error and its message.
    """
    try:
        from cloud_hub.engine.node import compute_item
    except ImportError as error:
        text = (
            f"Ray node {platform.node()}: expected the packages of the hub, got {error}; install "
            "the same packages on every node and restart Ray there"
        )
        return "HubFault", text.encode()
    return compute_item(order, common, item)
