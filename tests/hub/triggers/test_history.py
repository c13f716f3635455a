"""What rules are judged by, as the database gives it: on PostgreSQL too (``pytest --postgres``)."""

from __future__ import annotations

import time

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.triggers.history import Histories
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import FeedbackReport, Message, Upload
from edge_sdk.contract.window import Window
from edge_sdk.hub.device_key import DeviceKey


def test_labels_by_attribute_are_those_of_the_model_on_devices_of_several(serving: Hub) -> None:
    now = int(time.time())
    body = to_plain(FeedbackReport(Window("demo", "1.0", now - 1, now), 10, 8, 10, 8))
    for region in ("eu", "eu", "us"):
        token = serving.fleet.new_token("demo", "other", uses=1, seconds=60, actor="test")
        request = DeviceKey.generate().enrolment((), token, attributes={"region": region})
        device = EnrolledDevice(serving.fleet.enrol(token, request).device, ("demo", "other"))
        upload = Upload((Message("b", 1, "feedback", body),))
        assert serving.telemetry.ingest(device, upload).accepted == 1
    history = Histories(serving.engine, serving.registry).load("demo", since=0.0, by=["region"])
    groups = history.versions["1.0"].groups["region"]
    assert {name: sum(w.labelled for w in counts) for name, counts in groups.items()} == {
        "eu": 20, "us": 10,
    }  # fmt: skip
