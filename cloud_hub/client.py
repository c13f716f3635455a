"""The administrator's and publisher's client: what ``edge-hub`` and scripts use."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from cloud_hub.errors import HubFault, Invalid
from edge_sdk.release import Release

if TYPE_CHECKING:
    from cloud_hub.experiments.client import ExperimentsClient


class AdminClient:
    """One hub, as its administrator sees it.

    Args:
        url: of the hub.
        token: the administrator's.
        timeout: seconds for each request.
        verify: TLS certificates are checked; a path names a private CA bundle.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 60.0, verify: bool | str = True
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.verify = verify

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
            url = (folder / "hub.url").read_text().strip()
            token = (folder / "admin.token").read_text().strip()
        except OSError as error:
            raise Invalid(
                f"{folder}: expected the data folder of a hub on this machine; {error.strerror}"
            ) from error
        return cls(url, token)

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
        from cloud_hub.experiments.client import ExperimentsClient

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
        known = self._session.head(f"{self.url}/v1/blobs/{digest}", timeout=self._timeout)
        if known.status_code == 404:
            self.put(f"blobs/{digest}", raw)
        return digest

    def _call(
        self, method: str, path: str, query: dict[str, Any], data: bytes | None = None
    ) -> requests.Response:
        url = f"{self.url}/v1/{path}"
        given = {name: value for name, value in query.items() if value is not None}
        try:
            response = self._session.request(
                method, url, params=given, data=data, timeout=self._timeout
            )
        except requests.RequestException as error:
            raise HubFault(f"{url}: no answer; is the hub running? ({error})") from error
        if not response.ok:
            raise HubFault(_reason(response))
        return response


def _reason(response: requests.Response) -> str:
    try:
        said = response.json()
    except ValueError:
        return f"the hub answered {response.status_code}"
    lines = [str(said.get("error", f"the hub answered {response.status_code}"))]
    for row in said.get("gate", []):
        verdict = "ok" if row["ok"] else "NO"
        lines.append(f"  {row['check']}: {row['candidate']} against {row['incumbent']} {verdict}")
    return "\n".join(lines)
