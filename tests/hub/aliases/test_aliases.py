"""Aliases, tags and descriptions: given, moved, taken away, understood where a version is named."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from cloud_hub.aliases.service import MOST
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.hub.model_pages.conftest import Reader
from tests.hub.polls.asgi import application, ask

MODEL = "demo"


class Served:
    """Requests of the administrator to a hub in this process."""

    def __init__(self, hub: Hub) -> None:
        self._app = application(hub)
        token = (hub.settings.data / "admin.token").read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, query: bytes = b"", status: int = 200) -> Any:
        answer = asyncio.run(ask(self._app, path, self._headers, method, query))
        assert answer.status == status, answer.body
        return json.loads(answer.body) if answer.body else None


@pytest.fixture
def hub(serving: Hub, tmp_path: Path) -> Hub:
    """One that serves 1.0, and has 1.1 and 2.0."""
    for version in ("1.1", "2.0"):
        serving.registry.publish(
            make_release(tmp_path / version, version=version), actor="test", gated=True
        )
    return serving


@pytest.fixture
def served(hub: Hub) -> Served:
    return Served(hub)


def test_words_name_versions(hub: Hub) -> None:
    assert hub.aliases.set_alias(MODEL, "champion", "1.0", actor="ann") == "1.0"
    words = {
        "1.1": "1.1", "1": "1.1", "2": "2.0", "@latest": "2.0", "serving": "1.0",
        "@champion": "1.0", "models:/demo@champion": "1.0", "demo/2": "2.0",
    }  # fmt: skip
    assert {word: hub.aliases.resolve(MODEL, word) for word in words} == words
    with pytest.raises(NotFound, match="no version 7.x"):
        hub.aliases.resolve(MODEL, "7")
    with pytest.raises(NotFound, match="has the alias nobody; there are champion"):
        hub.aliases.resolve(MODEL, "@nobody")


def test_an_alias_moves_and_the_audit_says_from_where(hub: Hub) -> None:
    hub.aliases.set_alias(MODEL, "champion", "1.0", actor="ann")
    hub.aliases.set_alias(MODEL, "challenger", "@champion", actor="ann")
    hub.aliases.set_alias(MODEL, "champion", "latest", actor="ann")
    assert hub.aliases.names(MODEL).aliases == {"challenger": "1.0", "champion": "2.0"}
    last = hub.audit.entries(MODEL, 1)[0]
    assert (last.actor, last.action) == ("ann", "alias set")
    assert last.detail == {"alias": "champion", "version": "2.0", "before": "1.0"}
    hub.aliases.remove_alias(MODEL, "champion", actor="ann")
    with pytest.raises(NotFound):
        hub.aliases.remove_alias(MODEL, "champion", actor="ann")
    assert hub.plans.current(MODEL).serving.version == "1.0"  # type: ignore[union-attr]


def test_an_alias_of_what_is_not_published_is_refused(hub: Hub) -> None:
    with pytest.raises(NotFound, match="not published"):
        hub.aliases.set_alias(MODEL, "champion", "9.9", actor="ann")
    assert hub.aliases.names(MODEL).aliases == {}


def test_tags_and_descriptions_of_models_and_versions(hub: Hub) -> None:
    hub.aliases.set_tag(MODEL, "team", "vision", actor="ann")
    hub.aliases.set_tag(MODEL, "reviewed", "no", word="1.1", actor="ann")
    hub.aliases.set_tag(MODEL, "reviewed", "yes", word="1.1", actor="ann")
    hub.aliases.describe(MODEL, "reads digits", actor="ann")
    hub.aliases.describe(MODEL, "new scanner", word="@latest", actor="ann")
    names = hub.aliases.names(MODEL)
    assert (names.model.description, names.model.tags) == ("reads digits", {"team": "vision"})
    assert (names.of("1.1").tags, names.of("2.0").description) == (
        {"reviewed": "yes"}, "new scanner",
    )  # fmt: skip
    hub.aliases.describe(MODEL, "", actor="ann")
    hub.aliases.remove_tag(MODEL, "team", actor="ann")
    assert hub.aliases.names(MODEL).model.document() == {
        "description": "", "tags": {}, "aliases": [],
    }  # fmt: skip
    with pytest.raises(NotFound, match="no tag team"):
        hub.aliases.remove_tag(MODEL, "team", actor="ann")


def test_nobody_fills_the_database_with_names(hub: Hub) -> None:
    for i in range(MOST):
        hub.aliases.set_tag(MODEL, f"k{i}", "", actor="ann")
    with pytest.raises(Conflict, match="remove one first"):
        hub.aliases.set_tag(MODEL, "one-more", "", actor="ann")
    assert "one-more" not in hub.aliases.names(MODEL).model.tags
    hub.aliases.set_tag(MODEL, "k0", "changed", actor="ann")


def test_an_alias_that_many_move_at_once_names_one_version(hub: Hub) -> None:
    def move(version: str) -> None:
        for _ in range(5):
            hub.aliases.set_alias(MODEL, "champion", version, actor=version)

    threads = [threading.Thread(target=move, args=(v,)) for v in ("1.0", "1.1", "2.0")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = hub.audit.entries(MODEL, 1, action="alias set")[0]
    assert hub.aliases.resolve(MODEL, "@champion") == newest.detail["version"]
    moves = [each.detail for each in hub.audit.entries(MODEL, 100, action="alias set")]
    assert [m["before"] for m in moves[1:]] == [m["version"] for m in moves[:-1]]


def test_a_version_goes_by_its_names_in_every_request(hub: Hub, served: Served) -> None:
    hub.aliases.set_alias(MODEL, "champion", "1.1", actor="ann")
    assert served("GET", f"/v1/models/{MODEL}/versions/@champion")["version"]["version"] == "1.1"
    assert served("GET", f"/v1/models/{MODEL}/versions/champion/datasets") == {}
    preview = served("POST", f"/v1/models/{MODEL}/promote", b"version=@champion&dry_run=true")
    assert preview["serves_next"] == "1.1"
    served("POST", f"/v1/models/{MODEL}/promote", b"version=models:/demo@champion&reason=r")
    plan = served("GET", f"/v1/models/{MODEL}/plan")
    assert (plan["serving"]["version"], plan["serving_aliases"]) == ("1.1", ["champion"])
    refused = served("POST", f"/v1/models/{MODEL}/promote", b"version=@nobody", status=404)
    assert "there are champion" in refused["error"]


def test_names_are_given_and_shown_by_http(hub: Hub, served: Served) -> None:
    path = f"/v1/models/{MODEL}"
    served("PUT", f"{path}/aliases/champion", b"version=latest")
    served("PUT", f"{path}/tags/team", b"value=vision", status=204)
    served("PUT", f"{path}/description", b"text=new&version=@champion", status=204)
    (model,) = served("GET", "/v1/models")
    assert (model["aliases"], model["tags"]) == ({"champion": "2.0"}, {"team": "vision"})
    newest = served("GET", f"{path}/versions")[-1]
    assert (newest["aliases"], newest["description"]) == (["champion"], "new")
    served("DELETE", f"{path}/aliases/champion", status=204)
    served("DELETE", f"{path}/tags/team", status=204)
    assert served("PUT", f"{path}/aliases/serving", b"version=1.0", status=422)


def test_the_page_of_a_version_names_it(hub: Hub) -> None:
    reader = Reader(application(hub), (hub.settings.data / "admin.token").read_text().strip())
    page = f"/models/{MODEL}/versions/2.0"
    reader.post(f"/models/{MODEL}/names/alias", version="2.0", name="champion")
    reader.post(f"/models/{MODEL}/names/tag", version="2.0", name="reviewed", value="<b>")
    reader.post(f"/models/{MODEL}/names/describe", version="", value="reads digits")
    shown = reader.get(page)
    assert "demo@champion" in shown
    assert "reviewed" in shown
    assert "<b>" not in shown
    assert "@champion" in reader.get(f"/models/{MODEL}")
    reader.post(f"/models/{MODEL}/names/unalias", version="2.0", name="champion")
    assert "demo@champion" not in reader.get(page)
    reader.post(f"/models/{MODEL}/names/alias", 422, version="2.0", name="serving")


def test_a_list_of_models_asks_for_names_as_often_for_many_as_for_one(
    hub: Hub, served: Served, tmp_path: Path
) -> None:
    def asked() -> int:
        """Queries for names that the list makes."""
        found: list[str] = []

        def note(_db: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            found.extend(each for each in ("version_tags", "version_notes", "version_aliases")
                         if f"FROM {each}" in statement)  # fmt: skip

        event.listen(hub.engine, "before_cursor_execute", note)
        served("GET", "/v1/models")
        event.remove(hub.engine, "before_cursor_execute", note)
        return len(found)

    assert asked() == 3
    for name in ("moon", "sun"):
        release = make_release(tmp_path / name, model=name)
        hub.registry.publish(release, actor="test", gated=True)
    hub.aliases.set_alias("sun", "champion", "1.0", actor="ann")
    hub.aliases.describe(MODEL, "numbers", actor="ann")
    assert asked() == 3
    listed = {row["model"]: row for row in served("GET", "/v1/models")}
    assert (listed["sun"]["aliases"], listed["moon"]["aliases"]) == ({"champion": "1.0"}, {})
    assert (listed[MODEL]["description"], listed["moon"]["description"]) == ("numbers", "")
