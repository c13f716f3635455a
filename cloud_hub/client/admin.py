"""The administrator's and publisher's client; ``edge-hub`` and scripts use it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

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
    from tuf.api.metadata import Metadata, Targets

    from cloud_hub.client.experiments import ExperimentsClient

PUBLISH_ATTEMPTS: Final = 5
"""How often a release is signed, where others publish at the same moment."""


class AdminClient:
    """One hub, as its administrator sees it.

    Args:
        url: URL of the hub.
        token: the administrator's token.
        timeout: seconds for each request.
        verify: whether TLS certificates are checked; a path names the file of a private CA.

    Raises:
        Invalid: the URL or the token cannot be one.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 60.0, verify: bool | str = True
    ) -> None:
        self.url = checked_url(url)
        self._timeout = timeout
        self._advice = ADVICE
        self._session = requests.Session()
        # The hub may close an idle connection at the moment when it is used again, and not every
        # request may be repeated. There are few, so each has a connection of its own.
        self._session.headers["Connection"] = "close"
        self._session.auth = _Bearer(checked_token(token.strip()))
        self._verify = verify

    @classmethod
    def of_data(cls, data: str | Path, *, timeout: float = 60.0) -> AdminClient:
        """Return the client of a hub whose data folder is on this machine.

        Args:
            data: the folder.
            timeout: seconds for each request.

        Raises:
            Invalid: no hub was ever served from this folder.
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
        client = cls(url, token, timeout=timeout)
        client._advice = f"start the hub: edge-hub serve {folder}"
        # No proxy of the environment stands before a hub on this machine.
        client._session.trust_env = False
        if url.startswith("https://"):
            from cloud_hub.client.local_certificate import expect_certificate

            expect_certificate(client._session, folder)
            client._verify = False  # by its name; the very certificate is compared instead
        return client

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of ``GET /v1/PATH``; raises HubFault."""
        return self._call("GET", path, query).json()

    def health(self) -> tuple[Mapping[str, Any], str | None]:
        """Return how the hub says it is, and its ``Date``, the time there; raises HubFault."""
        response = self._call("GET", "health", {})
        return response.json(), response.headers.get("Date")

    def fetch(self, path: str, **query: Any) -> bytes:
        """Return the bytes of ``GET /v1/PATH``; raises HubFault."""
        return self._call("GET", path, query).content

    def save(self, path: str, file: Path, **query: Any) -> int:
        """Write the bytes of ``GET /v1/PATH`` to a file; return how many they are.

        The file appears whole or not at all, however large it is.

        Raises:
            HubFault: the hub refuses or breaks off, or the file cannot be written.
        """
        new = file.with_name(f"{file.name}.new")
        try:
            with self._call("GET", path, query, stream=True) as response, new.open("wb") as target:
                for chunk in response.iter_content(1 << 20):
                    target.write(chunk)
                length = target.tell()
            new.replace(file)
        except OSError as error:  # requests' errors are OSErrors too
            new.unlink(missing_ok=True)
            raise HubFault(f"{file}: not written; {error}") from error
        return length

    def post(self, path: str, data: bytes | None = None, **query: Any) -> Any:
        """Return the JSON of ``POST /v1/PATH``, ``None`` if the response is empty.

        Args:
            path: below ``/v1/``.
            data: body.
            query: parameters; those that are ``None`` are left out.

        Raises:
            HubFault: the hub refuses, or cannot be reached.
        """
        response = self._call("POST", path, query, data)
        return response.json() if response.content else None

    def response(
        self, method: str, path: str, data: bytes | None = None, **query: Any
    ) -> requests.Response:
        """Return the whole response to a request below ``/v1/``, with its headers.

        Args:
            method: of HTTP.
            path: below ``/v1/``.
            data: body.
            query: parameters; those that are ``None`` are left out.

        Raises:
            HubFault: the hub refuses, or cannot be reached.
        """
        return self._call(method, path, query, data)

    def text(self, path: str) -> str:
        """Return the text of ``GET /v1/PATH``; raises HubFault."""
        return self._call("GET", path, {}).text

    @property
    def experiments(self) -> ExperimentsClient:
        """Experiments: plan, start, watch and end them."""
        from cloud_hub.client.experiments import ExperimentsClient

        return ExperimentsClient(self)

    def put(self, path: str, data: bytes, **query: Any) -> None:
        """Send ``PUT /v1/PATH``.

        Args:
            path: below ``/v1/``.
            data: body.
            query: parameters; those that are ``None`` are left out.

        Raises:
            HubFault: the hub refuses, or cannot be reached.
        """
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
            folder: release folder.
            key: file of the private ``releases`` key (PEM); it stays here.
            training_state: pickle of the estimator, for stateful retraining; devices never get it.
            override: reason for publishing although the offline gate refuses.

        Returns:
            The record of the version, as the hub keeps it.

        Raises:
            EdgeError: the release is incomplete or damaged.
            HubFault: the hub refuses.
        """
        from cloud_hub.registry import signing

        release = Release.open(folder)
        for path in signing.release_targets(release).values():
            self.upload(path.read_bytes())
        state = self.upload(training_state) if training_state is not None else None
        signer, manifest = signing.load_signer(key), release.manifest
        path_ = f"models/{manifest.model}/versions/{manifest.version}"
        current = self._releases()
        for attempts_left in reversed(range(PUBLISH_ATTEMPTS)):
            version, keys = current.signed.version, list(current.signatures)
            signed = signing.add_release(current, release, signer)
            try:
                return self.post(path_, signed, state=state, override=override)
            except HubFault as error:
                current = self._releases()
                # The hub published a pack, or somebody a version: this one goes on top of that.
                if attempts_left and current.signed.version != version:
                    continue
                own = signer.public_key.keyid
                if own in keys:
                    raise
                raise _by_another_key(error, keys, own, key) from error
        raise AssertionError("the last attempt returns or raises")

    def _releases(self) -> Metadata[Targets]:
        """Return the newest signed list of releases."""
        from tuf.api.metadata import Metadata, Targets

        return Metadata[Targets].from_bytes(self._call("GET", "releases", {}).content)

    def upload(self, raw: bytes) -> str:
        """Upload content unless the hub has it; return its SHA-256."""
        digest = hashlib.sha256(raw).hexdigest()
        if self._send("HEAD", f"blobs/{digest}").status_code == 404:
            self.put(f"blobs/{digest}", raw)
        return digest

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        data: bytes | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        response = self._send(method, path, query, data, stream=stream)
        if not response.ok:
            raise HubFault(refused(self.url, response))
        return response

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] = MappingProxyType({}),
        data: bytes | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        """Return a hub's response, refusals included; raises HubFault if somebody else gave it."""
        try:
            response = self._session.request(
                method,
                f"{self.url}/v1/{path}",
                params={name: value for name, value in query.items() if value is not None},
                data=data,
                timeout=self._timeout,
                stream=stream,
                verify=self._verify,  # passed here it wins over REQUESTS_CA_BUNDLE
                allow_redirects=False,  # a login page elsewhere must not get the token
            )
        except OSError as error:  # requests' errors are OSErrors; so is an unreadable CA file
            message = unreached(self.url, error, self._timeout, self._advice)
            raise HubFault(message) from error
        if response.status_code < 400 and not is_of_a_hub(response):
            raise HubFault(foreign(self.url, response))
        return response


def _by_another_key(error: HubFault, keys: Sequence[str], own: str, key: Path) -> HubFault:
    """Return a refusal that also says by which keys.

    It is not looked at before: after a rotation the current list is still signed by the old key,
    while the hub takes the new one.

    Args:
        error: of the hub.
        keys: names of those that signed the current list.
        own: name of the key that signed the new one.
        key: file of that key.
    """
    theirs = ", ".join(keys) or "none"
    return HubFault(f"{error}; {key} is the key {own}, the last release was signed by {theirs}")


class _Bearer(requests.auth.AuthBase):
    """Puts the token into the header; a bare header would give way to a ``.netrc``."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
