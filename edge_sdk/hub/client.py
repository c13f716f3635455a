"""The conversation with the hub over HTTP: the only module that knows requests.

Every failure is a :class:`HubError`; no answer at all is :class:`HubUnreachable`. Bodies are read
with a limit, a download resumes where it stopped, and it alone may be sent to another place
(:mod:`edge_sdk.hub.redirects`). Every request has
an end (:mod:`edge_sdk.hub.deadlines`), all of one sync together (:meth:`HubClient.conversation`).
Connections are kept; one that the hub closed while a request was on its way costs no request: every
request may be sent again, since the hub takes all as often as they come. Who asks,
:class:`Credentials` says; a credential that the hub does not take is renewed once, and the request
sent again.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args

import requests
from requests.adapters import HTTPAdapter

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.fleet import (
    CheckIn,
    CloudReply,
    CloudRequest,
    CredentialReply,
    CredentialRequest,
    DeviceLog,
    EnrolReply,
    EnrolRequest,
    Standing,
)
from edge_sdk.contract.limits import MANIFEST_BYTES
from edge_sdk.contract.messages import Upload, UploadReply
from edge_sdk.contract.patch import Form, FormIndex, form_path, index_path
from edge_sdk.errors import (
    ContractError,
    HubBusy,
    HubError,
    HubUnreachable,
    IdentityRefused,
)
from edge_sdk.hub.address import checked_bundle, checked_url
from edge_sdk.hub.answers import OK, is_delimited
from edge_sdk.hub.deadlines import POOLS, Body, Late, Watch, reading, watch_answer
from edge_sdk.hub.network_errors import HUNG_UP, first_cause, why
from edge_sdk.hub.news import HubAdvice, advice_of
from edge_sdk.hub.pause import Pause, retry_after
from edge_sdk.hub.redirects import REDIRECT, follow, may_be_elsewhere
from edge_sdk.hub.transfers import Transfers

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import FileRef
    from edge_sdk.hub.credentials import Credentials

T = TypeVar("T")
_CHUNK: Final = 1 << 16
NEWS_PATH: Final = "/v1/metadata/timestamp.json"
SMALL_BYTES: Final = 1 << 16
"""Bodies that are not asked for (refusals, check-ins) are read up to this."""

CLOUD_CALLS: Final = 8
"""Cloud predictions under way at once; more wait, within their deadline."""


class HubClient:
    """One hub, as one device sees it. Safe from several threads.

    Attributes:
        advice: what the hub said with the last answer to a poll.

    Args:
        url: of the hub, without a path (``https://hub:8000``).
        timeout: seconds to connect, and between two reads.
        conversation: seconds of a request in all, and of those of one sync together; transfers that
            get on are not counted.
        verify: TLS certificates are checked; a path names a private CA bundle.
        bytes_per_second: that downloads may take; 0 for all that there is.

    Raises:
        HubError: ``url`` is none, or ``verify`` names no file.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        conversation: float = 120.0,
        verify: bool | str = True,
        bytes_per_second: int = 0,
    ) -> None:
        self.url = checked_url(url)
        self._timeout = timeout
        self._conversation = conversation
        self._watches: set[Watch] = set()
        self._verify = checked_bundle(verify)
        self._credentials: Credentials | None = None
        self._pause = Pause()
        self.advice = HubAdvice()
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(CLOUD_CALLS, thread_name_prefix="edge-cloud")
        self._interrupted = threading.Event()
        self._transfers = Transfers(
            lambda path, headers: self._send("GET", path, headers=headers, head=True),
            lambda path, headers: self._send("GET", path, headers=headers),
            bytes_per_second,
        )

    @contextlib.contextmanager
    def conversation(self, seconds: float | None = None, *, final: bool = False) -> Iterator[None]:
        """Give the requests of this thread within the block one deadline together.

        Args:
            seconds: in all; by default the client's.
            final: they are made in spite of :meth:`interrupt`.
        """
        local = self._local
        local.left, local.final = self._conversation if seconds is None else seconds, final
        try:
            yield
        finally:
            local.left, local.final = None, False

    def interrupt(self) -> None:
        """End every request that is under way, and every later one; the part of a download waits to
        be resumed.
        """
        self._interrupted.set()
        self._transfers.interrupt()
        for watch in tuple(self._watches):
            watch.end()

    def authenticate(self, credentials: Credentials) -> None:
        """Ask as the device of ``credentials`` from now on."""
        self._credentials = credentials

    @property
    def credentials(self) -> Credentials | None:
        """Credentials of the device that asks, once it has enrolled."""
        return self._credentials

    def ask_again(self) -> None:
        """Let the next request ask, even if the hub refused this device before."""
        if self._credentials is not None:
            self._credentials.ask_again()

    def enrol(self, token: str | None, request: EnrolRequest) -> EnrolReply:
        """Join the fleet with an enrolment token, a one-time secret, or a registered key alone."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return self._post("/v1/enrol", request, EnrolReply, headers=headers, own=False)

    def _exchange(self, request: CredentialRequest) -> CredentialReply:
        return self._post("/v1/credentials", request, CredentialReply, own=False)

    def alive(self) -> None:
        """Say that this device is there, and no more."""
        _read(self._send("POST", "/v1/alive"), SMALL_BYTES)

    def checkin(self, checkin: CheckIn) -> None:
        """Send the device's check-in."""
        _read(self._send("POST", "/v1/checkin", data=encode(checkin)), SMALL_BYTES)

    def send_log(self, log: DeviceLog) -> None:
        """Answer the hub that asked for this device's log."""
        _read(self._send("POST", "/v1/device-log", data=encode(log)), SMALL_BYTES)

    def upload(self, upload: Upload) -> UploadReply:
        """Hand over messages."""
        return self._post("/v1/messages", upload, UploadReply)

    def predict(self, request: CloudRequest, deadline: float) -> CloudReply:
        """Ask the cloud model; ``deadline`` in seconds bounds connecting and waiting."""
        call = self._pool.submit(self._post, "/v1/predict", request, CloudReply, timeout=deadline)
        try:
            return call.result(timeout=deadline)
        except TimeoutError:
            # A hub that drips its answer keeps a read alive for ever; the caller does not wait.
            call.cancel()
            raise HubUnreachable(f"/v1/predict: no answer within {deadline} s") from None

    def changed(self, etag: str | None, wait: int = 0) -> str | None:
        """Return the ETag of the newest metadata, ``None`` if unchanged: the one cheap question.

        Args:
            etag: of what is here.
            wait: seconds for which the hub may keep an answer back that there is nothing new.
        """
        headers = {"If-None-Match": etag} if etag else {}
        options: dict[str, Any] = {}
        if wait:
            headers["Prefer"] = f"wait={wait}"
            options["timeout"] = wait + self._timeout
        response = self._send("GET", NEWS_PATH, headers=headers, **options)
        _read(response, SMALL_BYTES)
        self.advice = advice_of(response.headers)
        return None if response.status_code == 304 else response.headers.get("ETag", "")

    def stream(self, url: str) -> Iterator[bytes]:
        """Yield the body of an absolute ``url`` of this hub, in chunks."""
        if not url.startswith(self.url + "/"):
            raise HubError(f"expected a URL of {self.url}, got {url}")
        return self._transfers.stream(url.removeprefix(self.url))

    def download(self, target: str, ref: FileRef, destination: Path) -> None:
        """Put the signed target at ``destination``: whole and verified, or not at all.

        A partial download waits in ``destination.part`` and is resumed; see
        :mod:`edge_sdk.hub.transfers`.

        Args:
            target: path of the signed target.
            ref: its length and SHA-256.
            destination: its place; the folder is there.

        Raises:
            HubError: the hub refused, or sent something else than ``ref``.
        """
        folder, _, name = target.rpartition("/")
        self._transfers.download(f"/v1/targets/{folder}/{ref.sha256}.{name}", ref, destination)

    def forms(self, key: str) -> FormIndex:
        """Return the forms in which the files of a release or pack can be had besides whole.

        Args:
            key: SHA-256 of the release's manifest, or of the pack.

        Raises:
            HubUnreachable: no answer.
            HubError: there are none, or they cannot be read.
        """
        raw = b""
        for chunk in self._transfers.stream(index_path(key)):
            raw += chunk
            if len(raw) > MANIFEST_BYTES:
                raise HubError(f"{key}: expected at most {MANIFEST_BYTES} bytes of forms")
        try:
            return FormIndex.from_json(raw)
        except ContractError as error:
            raise HubError(f"{key}: its forms cannot be read; {error}") from error

    def download_form(self, key: str, form: Form, destination: Path) -> None:
        """Put a form's bytes at ``destination``, as :meth:`download` does.

        Args:
            key: as for :meth:`forms`.
            form: one of them.
            destination: its place; the folder is there.
        """
        self._transfers.download(form_path(key, form), form.file, destination)

    def _post(self, path: str, message: Any, answer: type[T], **options: Any) -> T:
        response = self._send("POST", path, data=encode(message), **options)
        raw = _read(response, MANIFEST_BYTES)
        try:
            return decode(answer, raw, limit=MANIFEST_BYTES)
        except ContractError as error:
            raise HubError(f"{path}: the hub's answer cannot be read; {error}") from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        own: bool = True,
        **options: Any,
    ) -> requests.Response:
        """Return the hub's answer; without ``own`` the device's credential stays here."""
        self._pause.check(self.url + path)

        def ask(credential: Mapping[str, str]) -> requests.Response:
            return self._request(method, path, {**credential, **(headers or {})}, **options)

        try:
            if own and self._credentials is not None:
                return self._credentials.authorised(self._exchange, ask)
            return ask({})
        except HubBusy as busy:
            self._pause.begin(busy.retry_after)
            raise

    def _request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        timeout: float | None = None,
        data: bytes | None = None,
        head: bool = False,
    ) -> requests.Response:
        """Return the hub's answer, whose body is to be read; with ``head`` the deadline is one for
        its head alone.
        """
        watch = self._watch(path, timeout)
        try:
            with watch.watching():
                response = self._answer(method, path, headers, timeout, data, watch)
            if watch.over:  # what came of the head may pass for all of it
                response.close()
                raise Late(self.url + path)
        except BaseException:
            watch.close()
            raise
        if head:
            watch.close()
        else:
            watch_answer(response, watch)
        return response

    def _watch(self, path: str, timeout: float | None) -> Watch:
        """Begin the deadline of one request."""
        left = getattr(self._local, "left", None)
        if self._interrupted.is_set() and not getattr(self._local, "final", False):
            raise HubUnreachable(f"{path}: not asked, this device is being closed")
        if left is not None and left <= 0:
            raise HubUnreachable(f"{path}: not asked, the time for this sync is over")
        watch = Watch(timeout or (self._conversation if left is None else left), self._unwatch)
        self._watches.add(watch)
        return watch

    def _unwatch(self, watch: Watch) -> None:
        """Take the time of one request, which has ended, from that of the sync."""
        self._watches.discard(watch)
        if getattr(self._local, "left", None) is not None:
            self._local.left -= watch.spent

    def _answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None,
        timeout: float | None,
        data: bytes | None,
        watch: Watch,
    ) -> requests.Response:
        url = self.url + path
        large = data is not None and len(data) > SMALL_BYTES
        options: dict[str, Any] = {
            "data": Body(data, watch) if data is not None and large else data,
            "headers": headers,
            "timeout": timeout or self._timeout,
        }
        response = self._delimited(method, url, url, options, watch)
        if response.status_code == REDIRECT and may_be_elsewhere(method, path):
            return follow(
                self.url, path, response, options,
                lambda at, where, asked: self._delimited("GET", at, where, asked, watch),
            )  # fmt: skip
        if response.status_code not in OK:
            raise _refusal(url, response)
        return response

    def _delimited(
        self, method: str, url: str, where: str, options: dict[str, Any], watch: Watch
    ) -> requests.Response:
        """Return an answer whose head is whole.

        Args:
            method: of the request.
            url: that is asked.
            where: the same for errors.
            options: of the request.
            watch: its end.
        """
        try:
            response = self._ask(method, url, options)
        except requests.RequestException as error:
            if watch.over:
                raise Late(where) from error
            raise HubUnreachable(f"{where}: no answer; {why(error)}") from error
        if not is_delimited(response):
            response.close()
            raise HubUnreachable(f"{where}: the connection ended within the head of the answer")
        return response

    def _ask(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        """One request; again if the connection was closed at the other end before the answer.

        A hub closes connections that were idle for some seconds, and may do so just as it is asked.
        """
        fixed: dict[str, Any] = {
            "stream": True, "verify": self._verify, "allow_redirects": False,
        }  # fmt: skip
        try:
            return self._session().request(method, url, **options, **fixed)
        except requests.ConnectionError as error:
            if not isinstance(first_cause(error), HUNG_UP):
                raise
            if isinstance(options["data"], Body):
                options["data"].rewind()
            return self._session().request(method, url, **options, **fixed)

    def _session(self) -> requests.Session:
        """A session per thread: requests' are not safe to share."""
        try:
            session: requests.Session = self._local.session
        except AttributeError:
            session = self._local.session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter())
        return session


class _Adapter(HTTPAdapter):
    """Connections that a watch may shut down, also those to a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager


def _read(response: requests.Response, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes."""
    raw = b""
    with reading(response, response.url):
        for chunk in response.iter_content(_CHUNK):
            raw += chunk
            if len(raw) > limit:
                raise HubError(f"{response.url}: expected at most {limit} bytes of answer")
    return raw


def _refusal(url: str, response: requests.Response) -> HubError:
    """Return the error for an answer that is no success: the hub's reason, in one line."""
    status = response.status_code
    body = _json_object(response)
    reason = body.get("error")
    message = f"{url}: the hub answered {status}" + (f": {reason}" if reason else "")
    standing = body.get("standing")
    if status in (401, 403) and standing in get_args(Standing):
        return IdentityRefused(message, status, cast("Standing", standing))
    if status == 429 or (status == 503 and "Retry-After" in response.headers):
        return HubBusy(message, status, retry_after(response.headers))
    return HubError(message, status)


def _json_object(response: requests.Response) -> dict[str, Any]:
    try:
        body = json.loads(_read(response, SMALL_BYTES))
    except (ValueError, HubError):
        return {}
    return body if isinstance(body, dict) else {}
