"""Secrets of registries where docker keeps them: in the file, or with a real helper program."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from converters.errors import ExchangeError
from converters.exchange.credentials import RegistrySecret, registry_secret

HOST = "registry.example:5000"

# As docker's own helpers: the host on standard input, JSON or a sentence on standard output.
HELPER = """#!{python}
import json, pathlib, sys
assert sys.argv[1:] == ["get"]
host = sys.stdin.read()
kept = json.loads(pathlib.Path(__file__).with_suffix(".json").read_text())
if host not in kept:
    print("credentials not found in native keychain")
    sys.exit(1)
if isinstance(kept[host], str):
    print(kept[host])
    sys.exit(0 if kept[host].startswith("[") else 2)
print(json.dumps({{"ServerURL": host, **kept[host]}}))
"""


def add_helper(folder: Path, name: str, kept: dict[str, Any]) -> None:
    """Write a helper into a folder of programs that has a login for some hosts."""
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(HELPER.format(python=sys.executable))
    program.chmod(0o755)
    program.with_suffix(".json").write_text(json.dumps(kept))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Variables of somebody whose helpers ``one`` and ``all`` have logins."""
    programs = tmp_path / "bin"
    add_helper(programs, "one", {HOST: {"Username": "ann", "Secret": "of one"}})
    logins = {host: {"Username": "ann", "Secret": "of all"} for host in (HOST, "other.example")}
    logins["https://index.docker.io/v1/"] = {"Username": "ann", "Secret": "of docker's"}
    logins["azure.example"] = {"Username": "<token>", "Secret": "identity"}
    add_helper(programs, "all", logins)
    add_helper(programs, "broken", {HOST: "the key ring is locked", "other.example": "[1, 2]"})
    return {"DOCKER_CONFIG": str(tmp_path), "PATH": str(programs)}


def asked(home: dict[str, str], config: Any, host: str = HOST) -> RegistrySecret:
    (Path(home["DOCKER_CONFIG"]) / "config.json").write_text(json.dumps(config))
    return registry_secret(host, home)


def basic(password: str) -> RegistrySecret:
    return RegistrySecret(basic=base64.b64encode(f"ann:{password}".encode()).decode())


OF_FILE = {"auths": {HOST: {"auth": basic("of the file").basic}}}
FOUND: dict[str, tuple[dict[str, Any], str, RegistrySecret]] = {
    "the host's helper": (
        {"credHelpers": {HOST: "one"}, "credsStore": "all", **OF_FILE}, HOST, basic("of one"),
    ),
    "the helper of all": (
        {"credHelpers": {"x": "one"}, "credsStore": "all"}, HOST, basic("of all"),
    ),
    "the file, where the helper has nothing": (
        {"credHelpers": {"other.example": "one"}, "auths": {"other.example": {"auth": "eA=="}}},
        "other.example", RegistrySecret(basic="eA=="),
    ),
    "an empty entry beside a helper, as docker leaves one": (
        {"auths": {HOST: {}}, "credsStore": "all"}, HOST, basic("of all"),
    ),
    "the address of Docker Hub": ({"credsStore": "all"}, "docker.io", basic("of docker's")),
    "an address with https": (
        {"auths": {f"https://{HOST}": {"auth": "eA=="}}}, HOST, RegistrySecret(basic="eA=="),
    ),
    "an identity token of a helper": (
        {"credsStore": "all"}, "azure.example", RegistrySecret(identity="identity"),
    ),
    "an identity token of the file": (
        {"auths": {HOST: {"auth": "eA==", "identitytoken": "i"}}}, HOST,
        RegistrySecret(identity="i"),
    ),
    "nobody": ({"credsStore": "all"}, "unknown.example", RegistrySecret()),
    "another host": (OF_FILE, "registry.example", RegistrySecret()),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_a_secret_is_found_where_docker_would_find_it(home: dict[str, str], case: str) -> None:
    config, host, expected = FOUND[case]
    assert asked(home, config, host) == expected


WRONG: dict[str, tuple[Any, str, str]] = {
    "a helper that fails": (
        {"credsStore": "broken"}, HOST, r"docker-credential-broken: failed .*exit 2\); the key",
    ),
    "a helper that writes something else": (
        {"credsStore": "broken"}, "other.example", "expected JSON with Username and Secret",
    ),
    "a helper that is not there": ({"credHelpers": {HOST: "gone"}}, HOST, "not on the PATH"),
    "a path for a helper": ({"credsStore": "../bin/one"}, HOST, "expected the name"),
    "a list for a helper": ({"credsStore": ["one"]}, HOST, "expected the name"),
    "a list": ([], HOST, "expected what docker login writes"),
    "a text for an entry": ({"auths": {HOST: "x"}}, HOST, "auths: expected an object"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_is_an_error_without_a_secret(home: dict[str, str], case: str) -> None:
    config, host, reason = WRONG[case]
    with pytest.raises(ExchangeError, match=reason):
        asked(home, config, host)


def test_the_environment_goes_before_what_docker_keeps(home: dict[str, str]) -> None:
    variables = {**home, "EDGE_REGISTRY_USERNAME": "ann", "EDGE_REGISTRY_PASSWORD": "mine"}
    assert asked(variables, {"credsStore": "broken"}) == basic("mine")
