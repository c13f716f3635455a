"""The administrator's and publisher's client: what ``edge-hub`` and scripts use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import requests

from cloud_hub.client.errors import (
    ADVICE,
    checked_token,
    checked_url,
    foreign,
    is_of_a_hub,
    refused,
    unreached,
)
from cloud_hub.errors import HubFault, Invalid
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.client.experiments import ExperimentsClient


class AdminClient:
    """One hub, as its administrator sees it.

    Args:
        url: of the hub.
        token: the administrator's.
        timeout: seconds for each request.
        verify: TLS certificates are checked; a path names a private CA bundle.

    Raises:
        Invalid: the URL or the token is none.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 60.0, verify: bool | str = True
    ) -> None:
        self.url = checked_url(url)
        self._timeout = timeout
        self._advice = ADVICE
        self._session = requests.Session()
        # A kept connection may be closed by the hub just as it is used again, and not every command
        # may be sent twice; there are few, so each has a connection of its own.
        self._session.headers["Connection"] = "close"
        self._session.auth = _Bearer(checked_token(token.strip()))
        self._verify = verify

    @classmethod
    def of_data(cls, data: str | Path) -> AdminClient:
        """The client of a hub whose data folder is on this machine.

        Raises:
            Invalid: no hub was served from there.
        """
        folder = Path(data)
        if (folder / "admin.token").exists() and not (folder / "hub.url").exists():
            raise Invalid(f"{folder}: this hub was never served; run edge-hub serve {folder}")
        try:
            url = (folder / "hub.url").read_text(errors="replace").strip()
            token = (folder / "admin.token").read_text(errors="replace").strip()
        except OSError as error:
            raise Invalid(
                f"{folder}: expected the data folder of a hub on this machine; {error.strerror}"
            ) from error
        client = cls(url, token)
        client._advice = f"start the hub: edge-hub serve {folder}"
        client._session.trust_env = False  # no proxy stands before a hub on this machine
        return client

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of ``GET /v1/PATH``; raises HubFault."""
        return self._call("GET", path, query).json()

    def fetch(self, path: str, **query: Any) -> bytes:
        """The bytes of ``GET /v1/PATH``; raises HubFault."""
        return self._call("GET", path, query).content

    def post(self, path: str, data: bytes | None = None, **query: Any) -> Any:
        """The JSON of ``POST /v1/PATH``, ``None`` without one; raises HubFault."""
        response = self._call("POST", path, query, data)
        return response.json() if response.content else None

    def text(self, path: str) -> str:
        """The text of ``GET /v1/PATH``; raises HubFault."""
        return self._call("GET", path, {}).text

    @property
    def experiments(self) -> ExperimentsClient:
        """Experiments: plan, start, watch and end them."""
        from cloud_hub.client.experiments import ExperimentsClient

        return ExperimentsClient(self)

    def put(self, path: str, data: bytes, **query: Any) -> None:
        """``PUT /v1/PATH``; raises HubFault."""
        self._call("PUT", path, query, data)

    def publish(
        self,
        folder: str | Path,
        key: Path,
        *,
        training_state: bytes | None = None,
        override: str | None = None,
    ) -> Any:
        """Upload a release, sign it with the publisher's ``key``, and publish it.

        Args:
            folder: the release.
            key: private ``releases`` key (PEM).
            training_state: pickle of the estimator, for stateful retraining; never published.
            override: reason for publishing although the offline gate says no.

        Raises:
            EdgeError: the release is not whole.
            HubFault: the hub refuses.
        """
        from tuf.api.metadata import Metadata, Targets

        from cloud_hub.registry import signing

        release = Release.open(folder)
        for path in signing.release_targets(release).values():
            self.upload(path.read_bytes())
        state = self.upload(training_state) if training_state is not None else None
        current = Metadata[Targets].from_bytes(self._call("GET", "releases", {}).content)
        signed = signing.add_release(current, release, signing.load_signer(key))
        manifest = release.manifest
        path_ = f"models/{manifest.model}/versions/{manifest.version}"
        return self.post(path_, signed, state=state, override=override)

    def upload(self, raw: bytes) -> str:
        """Upload content that the hub may lack; its SHA-256."""
        digest = hashlib.sha256(raw).hexdigest()
        if self._send("HEAD", f"blobs/{digest}").status_code == 404:
            self.put(f"blobs/{digest}", raw)
        return digest

    def _call(
        self, method: str, path: str, query: dict[str, Any], data: bytes | None = None
    ) -> requests.Response:
        response = self._send(method, path, query, data)
        if not response.ok:
            raise HubFault(refused(self.url, response))
        return response

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] = MappingProxyType({}),
        data: bytes | None = None,
    ) -> requests.Response:
        """What a hub answers, whatever it is; raises HubFault if it is nothing of a hub's."""
        try:
            response = self._session.request(
                method,
                f"{self.url}/v1/{path}",
                params={name: value for name, value in query.items() if value is not None},
                data=data,
                timeout=self._timeout,
                verify=self._verify,  # given here it wins over REQUESTS_CA_BUNDLE
                allow_redirects=False,
            )
        except OSError as error:  # requests' own are OSErrors, and so is a CA file that is none
            said = unreached(self.url, error, self._timeout, self._advice)
            raise HubFault(said) from error
        if response.status_code < 400 and not is_of_a_hub(response):
            raise HubFault(foreign(self.url, response))
        return response


class _Bearer(requests.auth.AuthBase):
    """A token in the header; a bare header would give way to a ``.netrc``."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
