"""A registry that speaks the OCI distribution API.

Invariants:

* No byte is believed before its digest was compared, and none beyond the size that was announced is
  read.
* A secret goes to the registry's own address, and to the address of tokens that this one names, and
  over plain HTTP to this machine alone.
* What is there already is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from converters.errors import ExchangeError
from converters.exchange.credentials import RegistrySecret, bearer_challenge
from converters.exchange.modelpack import IMAGE_MANIFEST, MANIFEST_LIMIT, Descriptor, digest_of
from converters.exchange.references import ArtifactName
from edge_sdk.local_server.http_access import is_loopback

if TYPE_CHECKING:
    import requests

SECONDS: Final = (10.0, 60.0)
"""To connect, and between two pieces of an answer."""

CHUNK: Final = 1 << 20
_TOKEN_BYTES: Final = 1 << 20
CLIENT: Final = "edge-convert"
"""What tokens of a registry are given to, as OAuth 2 asks it."""


class RegistryClient:
    """One repository of a registry.

    Args:
        name: says which.
        secret: shown when the registry asks for it.
        plain_http: speak without TLS.

    Raises:
        ExchangeError: a secret would cross a network in the clear.
    """

    def __init__(
        self, name: ArtifactName, secret: RegistrySecret, *, plain_http: bool = False
    ) -> None:
        import requests

        here = is_loopback(urlsplit(f"//{name.host}").hostname or "")
        if plain_http and secret.is_secret and not here:
            raise ExchangeError(f"{name.host}: no secret is sent over plain HTTP; use TLS")
        self._plain = plain_http
        self._name, self._secret = name, secret
        self._base = f"{'http' if plain_http else 'https'}://{name.host}/v2/{name.repository}/"
        self._authorization: str | None = None
        self._session = requests.Session()
        self._session.auth = lambda request: request  # none of a netrc file

    def has(self, blob: Descriptor) -> bool:
        """Return whether a blob is there."""
        with self._asked("HEAD", f"blobs/{blob.digest}", allowed=(404,)) as response:
            return bool(response.status_code == 200)

    def send(self, blob: Descriptor, content: Path | bytes) -> None:
        """Upload a blob."""
        with self._asked("POST", "blobs/uploads/", allowed=()) as response:
            place = self._place(response)
        separator = "&" if urlsplit(place).query else "?"
        url = f"{place}{separator}digest={blob.digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        if isinstance(content, bytes):
            with self._asked("PUT", url, data=content, headers=headers):
                return
        with content.open("rb") as file, self._asked("PUT", url, data=file, headers=headers):
            return

    def receive(self, blob: Descriptor, file: IO[bytes], begin: int) -> None:
        """Write the rest of a blob to a file, which has ``begin`` bytes of it.

        Where the registry begins anew, the file does.
        """
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        with self._asked(
            "GET", f"blobs/{blob.digest}", headers=headers, stream=True, allowed=(416,)
        ) as response:
            if response.status_code != 206 and begin:
                file.seek(0)
                file.truncate()
                begin = 0
            if response.status_code != 416:
                for piece in _pieces(response, blob.size - begin):
                    file.write(piece)

    def put_manifest(self, raw: bytes) -> None:
        """Have the tag, or the digest, name an artifact whose blobs are there."""
        headers = {"Content-Type": IMAGE_MANIFEST}
        wanted = self._name.tag or digest_of(raw)
        with self._asked("PUT", f"manifests/{wanted}", data=raw, headers=headers):
            return

    def manifest(self) -> bytes:
        """Return the image manifest that the name says, of the digest that it says, if any."""
        headers = {"Accept": IMAGE_MANIFEST}
        with self._asked(
            "GET", f"manifests/{self._name.wanted}", headers=headers, stream=True
        ) as response:
            raw = b"".join(_pieces(response, MANIFEST_LIMIT))
        wanted = self._name.digest
        if wanted is not None and digest_of(raw) != wanted:
            raise ExchangeError(f"{self._where}: expected {wanted}, got {digest_of(raw)}")
        return raw

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    @property
    def _where(self) -> str:
        return f"{self._name.host}/{self._name.repository}"

    def _place(self, response: requests.Response) -> str:
        place = response.headers.get("Location", "")
        url = urljoin(response.url, place)
        if not place or not (url.startswith("https://") or self._plain):
            raise ExchangeError(f"{self._where}: expected a place for an upload, got {place!r:.80}")
        return url

    @contextmanager
    def _asked(
        self, method: str, path: str, *, allowed: tuple[int, ...] = (), **more: Any
    ) -> Iterator[requests.Response]:
        """Give the answer to a request, with a token where the registry wants one.

        Args:
            method: of HTTP.
            path: below the repository, or a URL.
            allowed: statuses besides those of success.
            more: what ``requests`` takes.

        Raises:
            ExchangeError: the registry refuses, or cannot be reached.
        """
        url = urljoin(self._base, path)
        with _foreign(self._where):
            response = self._send(method, url, **more)
            if response.status_code == 401 and self._authorize(response):
                response.close()
                if (file := more.get("data")) is not None and hasattr(file, "seek"):
                    file.seek(0)
                response = self._send(method, url, **more)
            with response:
                if response.status_code >= 400 and response.status_code not in allowed:
                    raise ExchangeError(_refusal(self._where, method, response))
                yield response

    def _send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> requests.Response:
        own = urlsplit(url).netloc == urlsplit(self._base).netloc
        shown = {"Authorization": self._authorization} if own and self._authorization else {}
        # requests takes the header away where a registry sends on to another host.
        return self._session.request(
            method, url, headers={**(headers or {}), **shown}, timeout=SECONDS, **more
        )

    def _authorize(self, response: requests.Response) -> bool:
        """Do what a refusal asks for; return whether that is worth another try."""
        before, header = self._authorization, response.headers.get("WWW-Authenticate", "")
        challenge = bearer_challenge(header)
        if challenge is None:
            self._authorization = f"Basic {self._secret.basic}" if self._secret.basic else None
        elif self._secret.bearer is not None:
            self._authorization = f"Bearer {self._secret.bearer}"
        else:
            self._authorization = f"Bearer {self._token(challenge.realm, challenge.query)}"
        return self._authorization is not None and self._authorization != before

    def _token(self, realm: str, query: Mapping[str, str]) -> str:
        """Return a token of the address that the registry names."""
        if not (realm.startswith("https://") or self._plain):
            raise ExchangeError(f"{self._where}: expected tokens over TLS, got {realm!r:.80}")
        basic, identity = self._secret.basic, self._secret.identity
        if identity is not None:
            form = {
                **query, "grant_type": "refresh_token", "refresh_token": identity,
                "client_id": CLIENT,
            }  # fmt: skip
            response = self._session.post(
                realm, data=form, timeout=SECONDS, stream=True, allow_redirects=False
            )
        else:
            response = self._session.get(
                realm, params=dict(query), timeout=SECONDS, stream=True, allow_redirects=False,
                headers={"Authorization": f"Basic {basic}"} if basic else {},
            )  # fmt: skip
        with response:
            if response.status_code != 200:
                raise ExchangeError(_refusal(self._where, "token", response))
            try:
                answer = json.loads(b"".join(_pieces(response, _TOKEN_BYTES)))
                token = answer.get("token") or answer["access_token"]
            except (ValueError, KeyError, AttributeError) as error:
                raise ExchangeError(
                    f"{self._where}: expected a token, got something else"
                ) from error
        return str(token)


def digest_of_file(path: Path) -> str:
    """Return the digest of a file as OCI writes it."""
    found = sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            found.update(piece)
    return f"sha256:{found.hexdigest()}"


@contextmanager
def _foreign(where: str) -> Iterator[None]:
    """Have errors of the network be ours."""
    import requests

    try:
        yield
    except (requests.RequestException, ValueError) as error:
        raise ExchangeError(
            f"{where}: the registry cannot be reached; {type(error).__name__}. Run it again: what "
            "is there is not sent or fetched once more"
        ) from error


def _pieces(response: requests.Response, most: int) -> Iterator[bytes]:
    """Yield a body of at most ``most`` bytes; raises ExchangeError."""
    size = 0
    for piece in response.iter_content(CHUNK):
        size += len(piece)
        if size > most:
            raise ExchangeError(f"registry: expected at most {most} bytes, got more")
        yield piece


def _refusal(where: str, what: str, response: requests.Response) -> str:
    advice = {
        401: "; sign in: docker login, or EDGE_REGISTRY_USERNAME and EDGE_REGISTRY_PASSWORD",
        403: "; this name may not do that there",
        404: "; there is no such artifact or repository",
    }.get(response.status_code, "")
    return f"{where}: the registry answered {response.status_code} to {what}{advice}"
