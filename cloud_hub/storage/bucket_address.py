"""The address of a bucket, as ``--artifacts`` takes it; credentials are never part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from cloud_hub.errors import Invalid

Scheme = Literal["s3", "gs", "az"]
OPTIONS: Final[dict[str, frozenset[str]]] = {
    "s3": frozenset({"endpoint", "region", "public_endpoint", "redirect"}),
    "gs": frozenset({"redirect"}),
    "az": frozenset({"account", "endpoint", "public_endpoint", "redirect"}),
}
"""What may follow the question mark, by scheme."""

EXAMPLE: Final = "s3://bucket/prefix?endpoint=https://minio:9000&region=us-east-1"


@dataclass(frozen=True)
class BucketAddress:
    """A place for artifacts in a bucket.

    Attributes:
        scheme: whose interface the store speaks: S3 (and what is compatible), Google or Azure.
        bucket: its name; on Azure that of the container.
        prefix: below which everything of one hub lies; may be empty.
        endpoint: URL of the store, where it is not the cloud's own.
        public_endpoint: URL under which devices reach the same store.
        region: of the bucket.
        account: of Azure.
        redirects: devices download from the bucket itself; else through the hub.
    """

    scheme: Scheme
    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    public_endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    redirects: bool = True

    def __str__(self) -> str:
        place = f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")
        return place + (f" at {self.endpoint}" if self.endpoint else "")

    @classmethod
    def parse(cls, url: str) -> BucketAddress:
        """Read a URL such as ``s3://bucket/prefix?endpoint=…&region=…``.

        Raises:
            Invalid: it is none, or it carries credentials.
        """
        parts = urlsplit(url)
        if "@" in parts.netloc or _looks_secret(parts.query):
            # Not shown: what would be shown is the secret.
            raise Invalid(
                "artifacts: a URL must not carry credentials; they come from the environment, such "
                "as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the machine's own role"
            )
        allowed = OPTIONS.get(parts.scheme)
        if allowed is None or not parts.netloc or parts.fragment:
            raise Invalid(f"artifacts: expected a URL such as {EXAMPLE}, got {url!r:.200}")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        options = dict(pairs)
        unknown = sorted({*options} - allowed)
        if unknown or len(options) < len(pairs):
            raise Invalid(
                f"artifacts: expected each of {', '.join(sorted(allowed))} at most once after the "
                f"question mark of {parts.scheme}://, got {', '.join(unknown) or 'one twice'}"
            )
        return cls(
            cast("Scheme", parts.scheme), parts.netloc, _prefix(parts.path),
            _url("endpoint", options), _url("public_endpoint", options),
            options.get("region"), options.get("account"), _yes(options.get("redirect", "yes")),
        )  # fmt: skip


def _looks_secret(query: str) -> bool:
    names = [name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)]
    return any(word in name for name in names for word in ("key", "secret", "token", "password"))


def _prefix(path: str) -> str:
    prefix = unquote(path).strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise Invalid(f"artifacts: expected a prefix without empty parts or dots, got {path:.200}")
    return prefix


def _url(name: str, options: dict[str, str]) -> str | None:
    value = options.get(name)
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise Invalid(f"artifacts: {name}: expected a URL such as https://minio:9000")
    return value.rstrip("/")


def _yes(value: str) -> bool:
    if value not in ("yes", "no"):
        raise Invalid(f"artifacts: redirect: expected yes or no, got {value!r:.40}")
    return value == "yes"
