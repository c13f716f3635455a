"""The hub's own parts publish side by side: none of them fails because another was faster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Targets

from cloud_hub.errors import Conflict
from cloud_hub.hub import Hub
from cloud_hub.packs.publishing import sign_files
from cloud_hub.registry import own_publishing, signing
from cloud_hub.registry.own_publishing import publish_on_newest
from tests.edge.builders import make_release


def _file(hub: Hub, number: int) -> tuple[str, bytes]:
    raw = f"content {number}".encode()
    hub.blobs.put(raw)
    return f"packs/demo/{number}.pack", raw


def test_parts_of_a_hub_that_sign_at_once_all_publish(inner: Hub, tmp_path: Path) -> None:
    before = inner.repository.releases().signed.version

    def publish(number: int) -> None:
        if number % 4:
            path, raw = _file(inner, number)
            sign_files(inner.registry, {path: raw})
        else:
            release = make_release(tmp_path / str(number), version=f"1.{number}")
            inner.registry.publish(release, actor="run")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, range(16)))
    releases = inner.repository.releases().signed
    assert releases.version == before + 16
    packs = {path for path in releases.targets if path.startswith("packs/")}
    assert packs == {f"packs/demo/{number}.pack" for number in range(16) if number % 4}
    versions = {record.version for record in inner.registry.page("demo", 10)}
    assert versions == {"1.0", "1.4", "1.8", "1.12"}


def _signs_after(hub: Hub, others: Callable[[], None]) -> Callable[[Metadata[Targets]], bytes]:
    signer = hub.repository.signer("releases")

    def sign(newest: Metadata[Targets]) -> bytes:
        raw = signing.add_targets(newest, {}, signer)
        others()
        return raw

    return sign


def _publish_elsewhere(hub: Hub) -> None:
    signer = hub.repository.signer("releases")
    raw = signing.add_targets(hub.repository.releases(), {}, signer)
    hub.repository.accept_releases(raw, hub.blobs.get)


def test_what_a_publisher_published_meanwhile_is_built_upon(inner: Hub) -> None:
    once = [lambda: _publish_elsewhere(inner)]
    before = inner.repository.releases().signed.version
    sign = _signs_after(inner, lambda: once.pop()() if once else None)
    publish_on_newest(
        inner.repository, sign, lambda raw: inner.repository.accept_releases(raw, inner.blobs.get)
    )
    assert inner.repository.releases().signed.version == before + 2


def test_a_publisher_who_is_always_faster_is_told_in_the_end(inner: Hub) -> None:
    before = inner.repository.releases().signed.version
    sign = _signs_after(inner, lambda: _publish_elsewhere(inner))
    with pytest.raises(Conflict, match="somebody else published meanwhile"):
        publish_on_newest(
            inner.repository,
            sign,
            lambda raw: inner.repository.accept_releases(raw, inner.blobs.get),
        )
    assert inner.repository.releases().signed.version == before + own_publishing.ATTEMPTS


def test_a_conflict_of_another_kind_is_not_tried_again(inner: Hub) -> None:
    attempts = []

    def refuse(raw: bytes) -> None:
        attempts.append(raw)
        raise Conflict("published already, with other content")

    with pytest.raises(Conflict, match="other content"):
        publish_on_newest(inner.repository, _signs_after(inner, lambda: None), refuse)
    assert len(attempts) == 1
