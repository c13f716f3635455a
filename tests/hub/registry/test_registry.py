"""Publishing: what comes in, what is refused, what a killed hub finds again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import Conflict, GateRefused, Invalid, NotFound
from cloud_hub.hub import Hub, open_hub
from cloud_hub.registry import signing
from cloud_hub.settings import Settings
from edge_sdk.model.release import Release
from tests.edge.builders import make_release, rows, softmax
from tests.new_hub import initialise


def test_a_published_version_is_there_with_its_lineage_and_files(
    inner: Hub, tmp_path: Path
) -> None:
    release = make_release(tmp_path / "made")
    record = inner.registry.publish(release, actor="ci", training_state=b"state")
    assert (record.version, record.status, record.actor) == ("1.0", "published", "ci")
    assert inner.registry.training_state("demo", "1.0") == b"state"
    assert Release.open(inner.registry.release("demo", "1.0").folder).digest == release.digest


def test_the_training_state_is_never_a_file_that_devices_can_ask_for(
    inner: Hub, tmp_path: Path
) -> None:
    inner.registry.publish(make_release(tmp_path), actor="ci", training_state=b"secret state")
    targets = list(inner.repository.targets.list())
    assert len(targets) > 3
    assert all(b"secret state" not in inner.repository.read_target(name) for name in targets)


def test_a_version_cannot_be_published_twice_with_other_content(inner: Hub, tmp_path: Path) -> None:
    inner.registry.publish(make_release(tmp_path / "a"), actor="ci")
    with pytest.raises(Conflict, match="published already, with other content"):
        inner.registry.publish(make_release(tmp_path / "b", seed=1), actor="ci")


def test_somebody_who_published_meanwhile_is_noticed(inner: Hub, tmp_path: Path) -> None:
    stale = inner.repository.releases()
    inner.registry.publish(make_release(tmp_path / "a"), actor="ci")
    late = make_release(tmp_path / "b", version="1.1")
    for path in signing.release_targets(late).values():
        inner.blobs.put(path.read_bytes())
    raw = signing.add_release(stale, late, inner.repository.signer("releases"))
    with pytest.raises(Conflict, match="somebody else published meanwhile"):
        inner.registry.accept(raw, "demo", "1.1", actor="ci")


def test_content_that_was_not_uploaded_is_missed(inner: Hub, tmp_path: Path) -> None:
    release = make_release(tmp_path / "a")
    signer = inner.repository.signer("releases")
    raw = signing.add_release(inner.repository.releases(), release, signer)
    with pytest.raises(NotFound, match="upload it first"):
        inner.registry.accept(raw, "demo", "1.0", actor="ci")


def test_a_published_target_cannot_be_taken_away(serving: Hub) -> None:
    releases = serving.repository.releases()
    releases.signed.targets.clear()
    raw = signing.add_targets(releases, {}, serving.repository.signer("releases"))
    with pytest.raises(Conflict, match="cannot be changed or removed"):
        serving.repository.accept_releases(raw, serving.blobs.get)


def test_content_with_another_hash_is_refused(inner: Hub) -> None:
    target = TargetFile.from_data("models/demo/1.0/x", b"right")
    releases = inner.repository.releases()
    signer = inner.repository.signer("releases")
    raw = signing.add_targets(releases, {target.path: target}, signer)
    with pytest.raises(Invalid, match=r"models/demo/1\.0/x"):
        inner.repository.accept_releases(raw, lambda _: b"wrong")


def test_counters_of_releases_rise(inner: Hub, tmp_path: Path) -> None:
    for version in ("1.0", "1.1", "2.0"):
        inner.registry.publish(make_release(tmp_path, version=version), actor="ci")
    targets = inner.repository.releases().signed.targets
    counters = [
        signing.counter_of(targets[f"models/demo/{version}/manifest.json"])
        for version in ("1.0", "1.1", "2.0")
    ]
    assert counters == [1, 2, 3]


def test_a_version_that_was_signed_but_not_noted_is_found_at_the_next_start(
    tmp_path: Path,
) -> None:
    settings = Settings(tmp_path / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    release = make_release(tmp_path / "made")
    for path in signing.release_targets(release).values():
        hub.blobs.put(path.read_bytes())
    signer = hub.repository.signer("releases")
    raw = signing.add_release(hub.repository.releases(), release, signer)
    hub.repository.accept_releases(raw, hub.blobs.get)  # and here it was killed
    hub.close()
    again = open_hub(settings)
    assert [record.version for record in again.registry.versions("demo")] == ["1.0"]
    again.close()


def test_a_plan_that_was_noted_but_not_published_is_published_at_the_next_start(
    serving: Hub,
) -> None:
    def crash(plan: object) -> None:
        raise KeyboardInterrupt

    publish, serving.repository.publish_plan = serving.repository.publish_plan, crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        serving.plans.change("demo", lambda p: p, actor="test", reason="crash")
    serving.repository.publish_plan = publish  # type: ignore[method-assign]
    again = open_hub(serving.settings)
    plan = again.plans.current("demo")
    assert plan is not None
    assert plan.serial == 2
    assert again.repository.has_plan(plan)
    again.close()


@pytest.mark.parametrize(
    ("parent", "mode", "expected"),
    [("1.0", "stateful", "1.2"), ("1.1", "stateless", "3.0"), ("2.0", "stateful", "2.1")],
)
def test_the_next_version_says_how_it_was_trained(
    inner: Hub, tmp_path: Path, parent: str, mode: str, expected: str
) -> None:
    for version in ("1.0", "1.1", "2.0"):
        inner.registry.publish(make_release(tmp_path, version=version), actor="ci")
    assert inner.registry.next_version("demo", parent, mode) == expected


def test_a_worse_version_by_hand_is_refused_with_the_table_unless_overridden(
    serving: Hub, tmp_path: Path
) -> None:
    x = rows(200, seed=11)
    labels = softmax(x, 0).argmax(axis=1)
    serving.datasets.add("demo", "holdout", Dataset.of(x, labels), actor="test")
    worse = make_release(tmp_path, version="1.1", seed=5)
    with pytest.raises(GateRefused, match="forgetting") as caught:
        serving.registry.publish(worse, actor="ci")
    assert caught.value.table[0]["check"] == "forgetting"
    for path in signing.release_targets(worse).values():
        serving.blobs.put(path.read_bytes())
    signer = serving.repository.signer("releases")
    raw = signing.add_release(serving.repository.releases(), worse, signer)
    record = serving.registry.accept(raw, "demo", "1.1", actor="ann", override="I know better")
    assert record.override == "I know better"
    assert serving.audit.entries("demo")[-1].detail["override"] == "I know better"


def test_promote_and_rollback_go_back_and_forth(serving: Hub, tmp_path: Path) -> None:
    serving.registry.publish(make_release(tmp_path, version="1.1", seed=2), actor="ci")
    serving.plans.promote("demo", "1.1", actor="ann", reason="better")
    plan = serving.plans.rollback("demo", actor="ann", reason="worse after all")
    assert (plan.serving.version, plan.serial) == ("1.0", 3)
    assert serving.registry.version("demo", "1.1").status == "rolled_back"
    with pytest.raises(Conflict, match="not rolled back itself; promote one"):  # said twice
        serving.plans.rollback("demo", actor="ann", reason="worse after all")
    assert serving.registry.version("demo", "1.0").status == "serving"


def test_a_model_without_another_version_cannot_be_rolled_back(serving: Hub) -> None:
    with pytest.raises(Conflict, match="no other version served"):
        serving.plans.rollback("demo", actor="ann", reason="x")


def test_the_repository_renews_what_the_online_key_signs_before_it_expires(serving: Hub) -> None:
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    assert not serving.repository.renew(now)
    before = (serving.repository.files.path / "timestamp.json").read_bytes()
    assert serving.repository.renew(now + datetime.timedelta(hours=13))
    assert (serving.repository.files.path / "timestamp.json").read_bytes() != before
    assert serving.repository.renew(now + datetime.timedelta(days=4))


def test_pages_of_versions_go_back_from_the_newest_and_meet_each_once(
    inner: Hub, tmp_path: Path
) -> None:
    for number in range(5):
        inner.registry.publish(
            make_release(tmp_path / f"{number}", version=f"{number}.0"), actor="ci", gated=True
        )
    seen: list[str] = []
    before = None
    while page := inner.registry.page("demo", 2, before=before):
        seen = [record.version for record in page] + seen
        before = page[0].version
    assert seen == [record.version for record in inner.registry.versions("demo")]
    with pytest.raises(NotFound, match=r"demo 9\.0: not published; there are 0\.0, 1\.0"):
        inner.registry.page("demo", 2, before="9.0")


def test_a_report_that_is_known_says_what_became_of_its_version(inner: Hub, tmp_path: Path) -> None:
    inner.registry.publish(make_release(tmp_path / "made"), actor="ci")
    before = inner.registry.report("demo", "1.0")
    inner.registry.set_status("demo", "1.0", "retired")
    (after,) = inner.registry.reports("demo", 10)
    assert (before.version.status, after.version.status) == ("published", "retired")
    assert after.variants == before.variants
