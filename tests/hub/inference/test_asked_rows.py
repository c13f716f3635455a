"""Rows of devices over the quick way and the general one: the same answers, refusals included."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cloud_hub.api import device_posts
from cloud_hub.cost.tables import costs
from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.hub.polls.asgi import Answered, application, ask
from tests.simulated_device import credentialed

FEATURES = 4


def body(**changes: Any) -> bytes:
    return json.dumps(
        {"model": "demo", "version": "1.0", "row": [0.5] * FEATURES} | changes
    ).encode()


BODIES = {
    "a row that fits": body(),
    "whole numbers": body(row=[1] * FEATURES),
    "a row of another length": body(row=[1.0]),
    "a row of texts": body(row=["a"] * FEATURES),
    "a version that nobody published": body(version="7.0"),
    "a model of others": body(model="other"),
    "a row that is none": body(row={}),
    "a number that is not finite": b'{"model":"demo","version":"1.0","row":[1e999]}',
    "no JSON": b"no JSON",
    "a long body": body() + b" " * device_posts.SHORT,
}


@pytest.fixture
def credential(serving: Hub, tmp_path: Path) -> str:
    """The credential of a device of ``demo``, whose cloud line is ``cloud``."""
    serving.registry.publish(make_release(tmp_path / "cloud", model="cloud"), actor="test")
    serving.plans.promote("cloud", "1.0", actor="test", reason="first")
    serving.registry.set_policy("demo", "cloud: cloud\n", actor="test")
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    return credentialed(serving, token)[1]


def posted(app: Any, credential: str, content: bytes) -> Answered:
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    return asyncio.run(ask(app, "/v1/predict", headers, method="POST", content=content))


async def nobody(*_: object) -> None:
    """What finds no device: then a request goes the general way."""


def test_both_ways_give_the_same_answers(
    serving: Hub, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(serving)
    quick = {case: posted(app, credential, content) for case, content in BODIES.items()}
    monkeypatch.setattr(device_posts, "looked_up_device", nobody)
    general = {case: posted(app, credential, content) for case, content in BODIES.items()}
    assert quick == general
    statuses = {case: answered.status for case, answered in quick.items()}
    answered = {"a row that fits", "whole numbers", "a long body"}
    assert {case for case, status in statuses.items() if status == 200} == answered
    assert {statuses[case] for case in statuses.keys() - answered} == {404, 422}


def test_rows_of_both_ways_are_counted_and_cost(
    serving: Hub, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(serving)
    assert posted(app, credential, body()).status == 200
    monkeypatch.setattr(device_posts, "looked_up_device", nobody)
    assert posted(app, credential, body()).status == 200
    assert posted(app, credential, body(row=[])).status == 422
    counted = app.state.metrics.text([]).decode()
    assert 'edge_hub_inference_rows_total{asker="device",model="demo"} 2.0' in counted
    assert 'edge_hub_http_requests_total{code="2xx",group="predict",method="POST"} 2.0' in counted
    serving.costs.ledger.flush()
    noted = select(costs.c.amount).where(costs.c.kind == "cloud_answers")
    with serving.engine.connect() as db:
        assert db.execute(noted).scalars().all() == [2.0]
