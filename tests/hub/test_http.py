"""The hub over HTTP: tokens, refusals, files; and edge-hub on top of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from cloud_hub.cli.main import main
from cloud_hub.errors import HubFault
from edge_sdk.contract.codec import encode
from edge_sdk.hub.device_key import DeviceKey
from tests.conftest import Publish
from tests.edge.builders import make_release
from tests.servers import HubProcess
from tests.waiting import PATIENCE


def call(
    hub: HubProcess, method: str, path: str, token: str | None = None, **more: object
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, hub.url + path, headers=headers, timeout=PATIENCE, **more)  # type: ignore[arg-type]


def enrol(
    hub: HubProcess, token: str, model: str, key: DeviceKey | None = None
) -> requests.Response:
    request = (key or DeviceKey.generate()).enrolment((model,), token)
    return call(hub, "POST", "/v1/enrol", token, data=encode(request))


def credential(hub: HubProcess, model: str) -> str:
    """The credential of a new device."""
    key = DeviceKey.generate()
    device = enrol(hub, hub.token(model), model, key).json()["device"]
    request = key.credential_request(device, 0, "0a" * 16)
    reply = call(hub, "POST", "/v1/credentials", data=encode(request))
    return str(reply.json()["credential"])


REFUSED: dict[str, tuple[str, str, bytes | None, int, str]] = {
    "no token": ("GET", "/v1/models", None, 401, "Authorization: Bearer"),
    "a page that is not there": ("GET", "/v2/x", None, 404, "Not Found"),
    "metadata without a credential": ("GET", "/v1/metadata/1.root.json", None, 401, "Bearer"),
    "metadata that is not there": ("GET", "/v1/metadata/evil.json", None, 401, "Bearer"),
    "a target without a credential": ("GET", "/v1/targets/models/x", None, 401, "Bearer"),
    "the routes": ("GET", "/openapi.json", None, 401, "administrator's token"),
    "metadata outside the folder": ("GET", "/v1/metadata/..%2Fadmin.token", None, 404, "Not Found"),
    "a method that is not offered": ("DELETE", "/v1/health", None, 405, "Method Not Allowed"),
    "enrolling with noise": ("POST", "/v1/enrol", b"\x00", 422, "expected UTF-8 JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_in_json_with_a_reason(hub: HubProcess, case: str) -> None:
    method, path, body, status, reason = REFUSED[case]
    token = "guess" if "enrol" in path else None
    response = call(hub, method, path, token, data=body)
    assert response.status_code == status
    assert reason in response.json()["error"]


def test_a_wrong_admin_token_is_refused(hub: HubProcess) -> None:
    assert call(hub, "GET", "/v1/models", "guess").status_code == 401


def test_a_device_token_is_no_admin_token_and_the_other_way_round(
    hub: HubProcess, publish: Publish
) -> None:
    publish("tokens")
    own = credential(hub, "tokens")
    assert call(hub, "GET", "/v1/devices", own).status_code == 403
    admin = (hub.data / "admin.token").read_text()
    assert call(hub, "POST", "/v1/messages", admin, data=b"{}").status_code == 403
    assert call(hub, "POST", "/v1/messages", own, data=b"{}").status_code == 422
    for token in (own, admin):
        assert call(hub, "GET", "/v1/metadata/timestamp.json", token).status_code == 200
        assert call(hub, "GET", "/v1/metadata/evil.json", token).status_code == 404


def test_a_401_says_how_to_authenticate_and_a_stranger_learns_only_that_the_hub_is_up(
    hub: HubProcess,
) -> None:
    response = call(hub, "GET", "/v1/models", "guess")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="edge-hub"'
    assert call(hub, "GET", "/v1/health").json() == {"ok": True}
    admin = (hub.data / "admin.token").read_text()
    told = call(hub, "GET", "/v1/health", admin).json()
    assert {name: told.pop(name) for name in ("ok", "loop", "keys", "clock", "due")} == {
        "ok": True, "loop": {}, "keys": "ok", "clock": "ok", "due": {},
    }  # fmt: skip
    assert told.keys() == {"worker", "leader", "checks"}


def test_the_administrator_reads_the_routes_also_in_a_browser(hub: HubProcess) -> None:
    admin = (hub.data / "admin.token").read_text()
    assert "/v1/enrol" in call(hub, "GET", "/openapi.json", admin).json()["paths"]
    url = f"{hub.url}/openapi.json"
    browser = requests.get(url, auth=("anybody", admin), timeout=PATIENCE)
    assert (browser.status_code, "/v1/enrol" in browser.text) == (200, True)
    wrong = requests.get(url, auth=("anybody", "guess"), timeout=PATIENCE)
    assert (wrong.status_code, "Basic" in wrong.headers["WWW-Authenticate"]) == (401, True)


def test_the_page_of_the_routes_is_for_who_has_signed_in(hub: HubProcess) -> None:
    stranger = requests.get(f"{hub.url}/docs", timeout=PATIENCE)
    assert stranger.url == f"{hub.url}/sign-in?next=/docs"
    assert "swagger" not in stranger.text
    admin = (hub.data / "admin.token").read_text()
    assert "swagger" in call(hub, "GET", "/docs", admin).text


def test_whoever_guesses_is_told_when_to_come_again_and_their_neighbours_are_not(
    hub: HubProcess,
) -> None:
    def guess(address: str, token: str = "guess") -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
        return session.get(f"{hub.url}/v1/models", headers=headers, timeout=PATIENCE)

    with requests.Session() as session:
        answers = [guess("203.0.113.9") for _ in range(130)]
        assert {answer.status_code for answer in answers} == {401, 429}
        busy = answers[-1]
        assert (busy.status_code, int(busy.headers["Retry-After"]) >= 1) == (429, True)
        assert guess("203.0.113.10").status_code == 401
        # Long random secrets need no such shelter: the administrator behind the same address works.
        admin = (hub.data / "admin.token").read_text()
        assert guess("203.0.113.9", admin).status_code == 200
        # A subscriber has a whole network of IPv6 addresses to guess from.
        networks = [guess(f"2001:db8:7:7::{n:x}").status_code for n in range(1, 131)]
        assert networks[-1] == 429


def test_an_enrolment_token_is_used_up(hub: HubProcess, publish: Publish) -> None:
    publish("used")
    token = hub.token("used")
    assert enrol(hub, token, "used").status_code == 200
    assert enrol(hub, token, "used").status_code == 403


def test_an_enrolment_token_is_for_one_model(hub: HubProcess) -> None:
    assert enrol(hub, hub.token("ours"), "theirs").status_code == 403


def test_an_upload_with_another_hash_is_refused(hub: HubProcess) -> None:
    admin = (hub.data / "admin.token").read_text()
    response = call(hub, "PUT", "/v1/blobs/" + "0" * 64, admin, data=b"content")
    assert response.status_code == 422
    assert "expected SHA-256" in response.json()["error"]


def test_a_body_that_is_too_large_is_refused(hub: HubProcess) -> None:
    response = call(hub, "POST", "/v1/enrol", "guess", data=b" " * (2 << 20))
    assert (response.status_code, "at most" in response.json()["error"]) == (413, True)


def test_unchanged_metadata_costs_a_304(hub: HubProcess) -> None:
    admin = (hub.data / "admin.token").read_text()
    first = call(hub, "GET", "/v1/metadata/timestamp.json", admin)
    again = requests.get(
        hub.url + "/v1/metadata/timestamp.json",
        headers={"If-None-Match": first.headers["ETag"], "Authorization": f"Bearer {admin}"},
        timeout=PATIENCE,
    )
    assert (again.status_code, again.content) == (304, b"")


def edge_hub(hub: HubProcess, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main([*words, "--data", str(hub.data)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_the_commands_publish_promote_and_show(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = make_release(tmp_path, "by-hand")
    code, out = edge_hub(hub, capsys, "publish", str(release.folder), "--promote", "--json")
    assert (code, json.loads(out)["version"]) == (0, "1.0")
    for command in ("plan", "telemetry show", "triggers status", "runs list", "packs"):
        code, out = edge_hub(hub, capsys, *command.split(), "by-hand", "--json")
        assert code == 0, out
        json.loads(out)
        code, out = edge_hub(hub, capsys, *command.split(), "by-hand")
        assert (code, out[:1] in "{[") == (0, False), out
    for command in ("models", "devices list", "tokens list", "audit"):
        code, out = edge_hub(hub, capsys, *command.split())
        assert code == 0, out
    code, out = edge_hub(hub, capsys, "enrol-token", "by-hand", "--uses", "3")
    assert (code, len(out.strip()) > 20) == (0, True)


def test_commands_that_cannot_be_done_say_why(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("idle", promote=False)
    refusals = {
        ("promote", "idle", "9.0"): "idle 9.0: not published; there are 1.0",
        ("plan", "idle"): "has no plan yet",
        ("rollback", "idle"): "has no plan",
        ("publish", str(tmp_path)): "expected a release folder",
        ("runs", "start", "idle"): "no train section",
        ("policy", "plan", str(tmp_path / "p.yaml")): "p.yaml: No such file",
        ("data", "add", "idle", "holdout", __file__): "expected Parquet, an .npz, or CSV",
        ("triggers", "log", "idle", "--trigger", "x"): "no trigger 'x'; its policy has none",
    }
    for words, reason in refusals.items():
        code, out = edge_hub(hub, capsys, *words)
        assert (code, reason in out) == (1, True), out
    assert main(["models"]) == 1
    assert "say which hub" in capsys.readouterr().err


ABOUT_A_MODEL = [
    "plan M", "promote M 1.0", "rollback M", "canary M 1.0", "telemetry show M", "policy show M",
    "features status M", "monitor status M", "monitor history M", "monitor acknowledge M drift:x",
    "triggers status M", "triggers log M", "triggers fire M t", "triggers rearm M t",
    "triggers hook M t", "triggers dry-run M", "runs list M", "runs start M", "experiments list M",
    "freshness M", "packs M",
]  # fmt: skip


@pytest.mark.parametrize("command", ABOUT_A_MODEL)
def test_a_model_that_is_not_there_is_an_error_that_names_those_that_are(
    hub: HubProcess, publish: Publish, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    publish("numbers", promote=False)
    words = command.replace("M", "nubmers").split()
    code, out = edge_hub(hub, capsys, *words)
    assert code == 1
    assert out.startswith("edge-hub: nubmers: no such model; did you mean numbers? this hub has ")
    assert out.count("\n") == 1


def test_devices_may_be_enrolled_before_the_first_version_with_a_warning(
    hub: HubProcess, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enrol-token", "coming-soon", "--data", str(hub.data)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.strip()) > 20
    assert printed.err.startswith("edge-hub: warning: coming-soon: no such model; ")
    publish("coming-soon", promote=False)
    assert main(["enrol-token", "coming-soon", "--data", str(hub.data)]) == 0
    assert capsys.readouterr().err == ""


def test_a_folder_is_initialised_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "h")]) == 0
    assert main(["init", str(tmp_path / "h")]) == 1
    assert "holds a repository already" in capsys.readouterr().err
    assert main(["models", "--data", str(tmp_path / "h")]) == 1
    assert "never served; run edge-hub serve" in capsys.readouterr().err
    assert main(["models", "--data", str(tmp_path)]) == 1
    assert "expected the data folder of a hub on this machine" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "nothing")]) == 1


def test_lists_are_cut_by_time_model_and_number(hub: HubProcess, publish: Publish) -> None:
    publish("listed")
    assert enrol(hub, hub.token("listed"), "listed").status_code == 200
    newest = hub.admin.get("audit", model="listed", limit=1)
    assert [entry["action"] for entry in newest] == ["enrol"]
    assert hub.admin.get("audit", model="listed", since=newest[0]["at"]) == newest
    assert hub.admin.get("audit", since=newest[0]["at"] + 3_600) == []
    (device,) = hub.admin.get("devices", model="listed", limit=1)
    assert hub.admin.get("devices", model="listed", since=device["seen_at"]) == [device]
    assert hub.admin.get("devices", since=device["seen_at"] + 3_600) == []
    for path in ("audit", "devices"):
        for wrong in ({"since": "yesterday"}, {"since": "nan"}, {"limit": 0}):
            with pytest.raises(HubFault, match=f"query.{next(iter(wrong))}"):
                hub.admin.get(path, **wrong)
