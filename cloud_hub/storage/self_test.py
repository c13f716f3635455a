"""What a hub asks of its bucket, tried before it serves; a right that is missing is one error."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Conflict, HubFault, NotFound, Unavailable
from cloud_hub.storage.artifact_store import CHUNK

if TYPE_CHECKING:
    from cloud_hub.storage.bucket import Bucket

CONTENT: Final = b"what an edge-hub wrote to see whether it may"


@dataclass(frozen=True)
class Step:
    """One thing that a bucket must do.

    Attributes:
        name: of it, after "cannot".
        needs: right of S3 that it takes, or the feature.
        does: it, to an object; false or a HubFault where it cannot.
    """

    name: str
    needs: str
    does: Callable[[Bucket, str], object]


def self_test(bucket: Bucket) -> None:
    """Write, read back, list and delete an object.

    Args:
        bucket: a folder of the hub's own, in which the object is left alone by everybody.

    Raises:
        Unavailable: it does not work; says what does not, and which right it takes.
    """
    name = f"self-test-{secrets.token_hex(8)}"
    for step in STEPS:
        try:
            worked = step.does(bucket, name)
        except HubFault as error:
            raise _cannot(bucket, step, str(error)) from error
        if not worked:
            raise _cannot(bucket, step, "it answered something else")


def _cannot(bucket: Bucket, step: Step, why: str) -> Unavailable:
    return Unavailable(
        f"artifacts: {bucket.address}: cannot {step.name} (it takes {step.needs}): {why}",
        seconds=30.0,
    )


def _write(bucket: Bucket, name: str) -> object:
    return bucket.put(name, CONTENT, create=True)


def _range(bucket: Bucket, name: str) -> object:
    return b"".join(bucket.stream(name, 5, 9, CHUNK)) == CONTENT[5:9]


def _missing(bucket: Bucket, name: str) -> object:
    # Without the right to list, S3 says "forbidden" of what is not there.
    return _raises(NotFound, bucket.size, f"{name}-none")


def _replace(bucket: Bucket, name: str) -> object:
    tag = bucket.get(name)[1]
    bucket.put(name, CONTENT + b"!", instead_of=tag)
    return _raises(Conflict, bucket.put, name, b"late", instead_of=tag)


def _delete(bucket: Bucket, name: str) -> object:
    bucket.delete(name)
    return _raises(NotFound, bucket.size, name)


def _raises(kind: type[HubFault], call: Callable[..., object], *given: Any, **named: Any) -> bool:
    try:
        call(*given, **named)
    except kind:
        return True
    return False


CONDITIONS: Final = "writes on a condition, If-None-Match and If-Match"
STEPS: Final = (
    Step("write an object", "s3:PutObject", _write),
    Step(
        "keep what is there from being written over",
        CONDITIONS,
        lambda bucket, name: _raises(Conflict, _write, bucket, name),
    ),
    Step("read an object", "s3:GetObject", lambda bucket, name: bucket.get(name)[0] == CONTENT),
    Step("read a range", "s3:GetObject and ranges", _range),
    Step("list objects", "s3:ListBucket", lambda bucket, name: name in bucket.list()),
    Step("tell that an object is not there", "s3:ListBucket", _missing),
    Step("replace an object only if nobody else did", CONDITIONS, _replace),
    Step("delete an object", "s3:DeleteObject", _delete),
)
