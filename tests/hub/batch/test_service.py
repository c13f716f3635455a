"""Batch jobs: computed by real workers, visible whole, kept by policy, refused in words."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.features.table import FeatureTable
from cloud_hub.hub import Hub, open_hub
from tests.edge.builders import make_release, rows, softmax
from tests.hub.batch.shop import computed, declare, job, outcome_here, settled, user_database, users


def test_a_job_answers_every_entity_as_the_model_does(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet", 2_500)
    declare(serving, job(f"{{parquet: {path}}}", "attributes: [region], partition_rows: 1000"))
    record = computed(serving)
    assert record.status == "whole", record.reason
    assert (record.rows, record.partitions, record.done) == (2_500, 3, 3)
    assert (record.line, record.version) == ("demo", "1.0")
    generation = serving.generations.current("demo", "users")
    assert generation is not None
    parts = list(generation.stream(rows=700))
    assert sum(len(part.entities) for part in parts) == 2_500
    shares = softmax(rows(2_500), 0)
    by_name = dict(
        zip(
            [n for p in parts for n in p.entities],
            np.concatenate([p.columns["probabilities"] for p in parts]),
            strict=True,
        )
    )
    np.testing.assert_allclose(by_name["user-77"], shares[77], rtol=1e-5)
    assert parts[0].attributes["region"][:2] == ["us", "eu"]
    found = generation.find(["user-77", "nobody"])
    assert set(found) == {"user-77"}
    np.testing.assert_allclose(found["user-77"]["probabilities"], shares[77], rtol=1e-5)
    assert not serving.batches._workers.folder(record.id).exists()


@pytest.mark.parametrize("output", ["sql", "parquet"])
@pytest.mark.parametrize("kind", ["table", "query", "csv", "parquet"])
def test_every_source_gives_the_same_answers(
    serving: Hub, tmp_path: Path, kind: str, output: str
) -> None:
    url = user_database(tmp_path / "shop.db")
    path = users(tmp_path / "users.parquet")
    if kind == "csv":
        import pyarrow.csv as csv
        import pyarrow.parquet as pq

        csv.write_csv(pq.read_table(path), tmp_path / "users.csv")
    source = {
        "table": f"{{table: users, url: '{url}'}}",
        "query": f"{{query: 'SELECT * FROM users WHERE at < :as_of', url: '{url}'}}",
        "csv": f"{{csv: {tmp_path / 'users.csv'}}}",
        "parquet": f"{{parquet: {path}}}",
    }[kind]
    declare(serving, job(source, f"output: {output}"))
    record = computed(serving)
    assert record.status == "whole", record.reason
    generation = serving.generations.get(record.id)
    [part] = generation.stream(["probabilities"])
    assert part.entities[7] == "user-7"
    np.testing.assert_allclose(part.columns["probabilities"], softmax(rows(50), 0), rtol=1e-4)


def test_entities_of_the_feature_store_are_a_source(serving: Hub) -> None:
    columns = {f"f{i}": (float(i), "2") for i in range(4)}
    table = FeatureTable(("a", "b"), columns, dict.fromkeys(columns, 0.0))
    serving.features.put("demo", table, actor="test")
    declare(serving, job("{entities: user}"))
    assert computed(serving).rows == 2
    name, found = serving.lookups.job("demo", None)
    known, unknown = serving.lookups.find("demo", name, found, ["a", "stranger"])
    assert (known.source, unknown.source) == ("batch", "model")
    assert unknown.version == "demo 1.0"
    np.testing.assert_allclose(
        unknown.values["probabilities"], softmax(np.zeros((1, 4), np.float32), 0)[0], rtol=1e-5
    )


def test_an_entity_without_an_answer_gets_the_default_and_says_so(
    serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "default: 2"))
    computed(serving)
    name, found = serving.lookups.job("demo", "users")
    [answer] = serving.lookups.find("demo", name, found, ["stranger"])
    assert (answer.source, answer.values, answer.version) == ("default", {"prediction": 2}, None)


def test_what_is_too_old_is_not_given(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "valid: 0.01s"))
    computed(serving)
    time.sleep(0.05)
    name, found = serving.lookups.job("demo", None)
    [answer] = serving.lookups.find("demo", name, found, ["user-1"])
    assert answer.source == "none"


def test_a_ranked_list_of_classes(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "top: 2"))
    assert computed(serving).status == "whole"
    generation = serving.generations.current("demo", "users")
    assert generation is not None
    shares = softmax(rows(50), 0)
    [part] = generation.stream()
    assert part.columns["items"].shape == (50, 2)
    best = np.argsort(-shares, axis=1)[:, :2]
    assert part.columns["items"].tolist() == [[str(c) for c in row] for row in best.tolist()]
    found = generation.find(["user-3"])["user-3"]
    assert found["items"] == [str(c) for c in best[3]]
    assert found["scores"] == sorted(found["scores"], reverse=True)


BAD = {
    "another column": ("{table: other, url: '%s'}", "expected the columns ['f3'] too, got user"),
    "an entity twice": ("{table: twice, url: '%s'}", "expected each entity once, 'a' came again"),
    "a missing number": ("{table: gap, url: '%s'}", "entity 'b': feature 'f2'"),
    "a text": ("{table: words, url: '%s'}", "column f0: expected numbers, got 'many'"),
    "no rows": ("{table: vacant, url: '%s'}", "expected at least one row"),
    "no table": ("{table: absent, url: '%s'}", "no such table: absent"),
    "no name": ("{table: nameless, url: '%s'}", "column user: expected a name in each row, row 1"),
    "a column twice": ("{query: 'SELECT *, f0 FROM gap', url: '%s'}", "expected each column once"),
    "no SQL": ("{query: 'SELECT FROM', url: '%s'}", "syntax error"),
    "a write": ("{query: 'DELETE FROM gap', url: '%s'}", "readonly"),
    "no database": ("{table: users, url: 'sqlite:////nowhere/x.db'}", "there is no such database"),
    "no driver": ("{table: users, url: 'oracle://x'}", "with a driver here"),
    "no file": ("{parquet: /nowhere/*.parquet}", "there is no such file"),
    "no Parquet": ("{parquet: %s.txt}", "expected Parquet"),
    "no CSV": ("{csv: %s.txt}", "expected the columns"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_the_generation_before_stays(
    serving: Hub, tmp_path: Path, case: str
) -> None:
    import sqlite3

    good = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {good}}}"))
    first = computed(serving)
    file = tmp_path / "bad.db"
    (tmp_path / "bad.db.txt").write_text("no,columns\n1,2\n")
    with sqlite3.connect(file) as db:
        for name, columns in (
            ("other", "user, f0, f1, f2"), ("twice", "user, f0, f1, f2, f3"),
            ("gap", "user, f0, f1, f2, f3"), ("words", "user, f0, f1, f2, f3"),
            ("vacant", "user, f0, f1, f2, f3"), ("nameless", "user, f0, f1, f2, f3"),
        ):  # fmt: skip
            db.execute(f"CREATE TABLE {name} ({columns})")
        db.execute("INSERT INTO other VALUES ('a', 1, 2, 3)")
        db.execute(
            "INSERT INTO twice VALUES ('a', 1, 2, 3, 4), ('b', 1, 2, 3, 4), ('a', 1, 2, 3, 4)"
        )
        db.execute("INSERT INTO gap VALUES ('a', 1, 2, 3, 4), ('b', 1, 2, NULL, 4)")
        db.execute("INSERT INTO words VALUES ('a', 'many', 2, 3, 4)")
        db.execute("INSERT INTO nameless VALUES ('a', 1, 2, 3, 4), (NULL, 1, 2, 3, 4)")
    db.close()
    source, said = BAD[case]
    where = f"sqlite:///{file}" if "url" in source else str(file)
    declare(serving, job(source % where if "%s" in source else source))
    outcome = outcome_here(serving)
    assert outcome.status == "failed"
    assert said in outcome.reason
    current = serving.generations.current("demo", "users")
    assert current is not None
    assert current.record.id == first.id
    assert len(current.find(["user-3"])) == 1


def test_a_worker_that_fails_leaves_the_reason_and_no_file(serving: Hub, tmp_path: Path) -> None:
    declare(serving, job("{parquet: /nowhere/*.parquet}"))
    record = computed(serving)
    assert (record.status, record.rows) == ("failed", 0)
    assert "there is no such file" in record.reason
    assert not list((serving.settings.data / "predictions").rglob("*.db"))


def test_a_url_that_the_environment_lacks_is_refused_at_once(serving: Hub) -> None:
    declare(serving, job("{table: users, url_env: NOT_SET_HERE}"))
    with pytest.raises(Invalid, match="the hub's environment has no NOT_SET_HERE"):
        serving.batches.run("demo", "users", actor="test")


def test_predictions_that_are_nan_are_refused(inner: Hub, tmp_path: Path) -> None:
    inner.registry.publish(
        make_release(tmp_path / "made", defect="nan"), actor="test", override="test"
    )
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    declare(inner, job(f"{{parquet: {users(tmp_path / 'users.parquet')}}}"))
    outcome = outcome_here(inner)
    assert outcome.status == "failed"
    assert "expected finite probabilities, entity 'user-0'" in outcome.reason


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    from cloud_hub.batch.sources.parts import parts_of, read_part

    path = users(tmp_path / "users.parquet", 3_000)
    parts = parts_of([path], 1_000)
    read = read_part(parts[1], ["user"], 10)
    next(read)
    users(path, 3_000, seed=2)
    with pytest.raises(Invalid, match="was changed or removed while it was read"):
        list(read)
    with pytest.raises(Invalid, match="was changed"):
        list(read_part(parts[2], ["user"], 10))


def test_a_job_runs_once_at_a_time(serving: Hub, tmp_path: Path) -> None:
    declare(serving, job(f"{{parquet: {users(tmp_path / 'users.parquet')}}}"))
    record = serving.batches.run("demo", "users", actor="test")
    with pytest.raises(Conflict, match=f"generation {record.id} is waiting"):
        serving.batches.run("demo", "users", actor="test")
    assert settled(serving, record.id).status == "whole"


def test_a_schedule_that_overlaps_itself_leaves_out_and_says_so(
    serving: Hub, tmp_path: Path
) -> None:
    declare(serving, job(f"{{parquet: {users(tmp_path / 'u.parquet')}}}", "every: 10s"))
    now = time.time()
    serving.batches.tick(now)
    [record] = serving.batches.records("demo")
    assert record.cause == "schedule"
    serving.batches._ask("demo", now + 60)
    serving.batches._ask("demo", now + 120)
    [record] = serving.batches.records("demo")
    assert "asked again while this one was" in record.reason
    assert settled(serving, record.id, now).status == "whole"
    serving.batches.tick(now + 11)
    assert len(serving.batches.records("demo")) == 2


def test_another_version_that_serves_starts_a_job(serving: Hub, tmp_path: Path) -> None:
    source = f"{{parquet: {users(tmp_path / 'u.parquet')}}}"
    declare(serving, job(source, "after_promote: true"))
    now = time.time()
    serving.batches.tick(now)
    first = settled(serving, serving.batches.records("demo")[0].id)
    serving.batches.tick(now + 1)
    assert len(serving.batches.records("demo")) == 1
    other = make_release(tmp_path / "other", version="1.1", seed=5)
    serving.registry.publish(other, actor="test", override="test")
    serving.plans.promote("demo", "1.1", actor="test", reason="better")
    serving.batches.tick(now + 2)
    second = serving.batches.records("demo")[-1]
    assert (first.version, second.cause) == ("1.0", "promote")
    assert settled(serving, second.id).version == "1.1"


def test_old_generations_go_and_the_newest_stay(serving: Hub, tmp_path: Path) -> None:
    source = f"{{parquet: {users(tmp_path / 'u.parquet')}}}"
    declare(serving, job(source, "keep: 2"))
    ids = [computed(serving).id for _ in range(4)]
    statuses = [serving.batches.get(id_).status for id_ in ids]
    assert statuses == ["dropped", "dropped", "whole", "whole"]
    with pytest.raises(NotFound, match="was dropped"):
        serving.generations.get(ids[0])
    serving.batches.drop(ids[3], actor="test", reason="wrong")
    current = serving.generations.current("demo", "users")
    assert current is not None
    assert current.record.id == ids[2]
    assert len(current.find(["user-1"])) == 1


def test_a_backfill_fills_the_past_and_is_never_in_front(serving: Hub, tmp_path: Path) -> None:
    url = user_database(tmp_path / "shop.db")
    query = "SELECT * FROM users WHERE at < :as_of"
    declare(serving, job(f"{{query: '{query}', url: '{url}'}}", "keep: 1"))
    newest = computed(serving)
    asked = serving.batches.backfill("demo", "users", [300.0, 200.0, 50.0], actor="test")
    again = serving.batches.backfill("demo", "users", [200.0, 300.0], actor="test")
    assert {r.id for r in again} < {r.id for r in asked}
    ended = [settled(serving, record.id) for record in asked]
    assert [r.status for r in ended] == ["failed", "whole", "whole"]  # nobody was there at 50
    assert serving.batches.get(ended[1].id).status == "whole"
    current = serving.generations.current("demo", "users")
    assert current is not None
    assert current.record.id == newest.id


def test_a_backfill_needs_a_source_that_knows_the_past(serving: Hub, tmp_path: Path) -> None:
    declare(serving, job(f"{{parquet: {users(tmp_path / 'u.parquet')}}}"))
    with pytest.raises(Invalid, match="a query that uses :as_of"):
        serving.batches.backfill("demo", "users", [1.0], actor="test")


def test_a_job_that_does_not_exist_is_named_with_those_that_do(serving: Hub) -> None:
    declare(serving, job("{csv: x}", name="hotels"))
    with pytest.raises(NotFound, match="did you mean hotels"):
        serving.batches.run("demo", "hotel", actor="test")


def test_one_that_is_cancelled_leaves_nothing(serving: Hub, tmp_path: Path) -> None:
    declare(serving, job(f"{{parquet: {users(tmp_path / 'u.parquet', 20_000)}}}"))
    record = serving.batches.run("demo", "users", actor="test")
    serving.batches.tick(time.time())
    cancelled = serving.batches.cancel(record.id, actor="test", reason="wrong data")
    assert cancelled.status == "cancelled"
    serving.batches.tick(time.time())
    assert not serving.batches._workers.folder(record.id).exists()
    assert serving.generations.current("demo", "users") is None
    assert computed(serving).status == "whole"


def test_a_hub_that_opens_again_goes_on(inner: Hub, tmp_path: Path) -> None:
    inner.registry.publish(make_release(tmp_path / "made"), actor="test")
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    declare(
        inner, job(f"{{parquet: {users(tmp_path / 'u.parquet', 30_000)}}}", "partition_rows: 1000")
    )
    record = inner.batches.run("demo", "users", actor="test")
    inner.batches.tick(time.time())
    assert inner.batches.get(record.id).status == "running"
    inner.batches.stop()
    again = open_hub(inner.settings)
    try:
        ended = settled(again, record.id)
    finally:
        again.close()
    assert (ended.status, ended.rows) == ("whole", 30_000), ended.reason


def test_a_backfill_goes_on_when_the_hub_opens_again_and_nothing_is_there_twice(
    inner: Hub, tmp_path: Path
) -> None:
    inner.registry.publish(make_release(tmp_path / "made"), actor="test")
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    url = user_database(tmp_path / "shop.db")
    query = "SELECT * FROM users WHERE at < :as_of"
    declare(inner, job(f"{{query: '{query}', url: '{url}'}}"))
    asked = inner.batches.backfill("demo", "users", [200.0, 300.0, 400.0], actor="test")
    inner.batches.tick(time.time())
    inner.batches.stop()
    again = open_hub(inner.settings)
    try:
        again.batches.backfill("demo", "users", [200.0, 300.0, 400.0], actor="test")
        ended = [settled(again, record.id) for record in asked]
        assert len(again.batches.records("demo")) == 3
    finally:
        again.close()
    assert [(r.status, r.rows) for r in ended] == [("whole", 50)] * 3
