"""Requests to every route, made from what the application says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import strategies as st

from tests.campaigns.fuzzing.bodies import noise
from tests.campaigns.fuzzing.in_process import Asked

ROLES = ("nobody", "device", "administrator", "newcomer", "webhook")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO")
ODD_PARTS = (
    *("%00", "a%00b", "%ED%A0%80", "%FF", "%C3%28", "..", "%2e%2e%2f%2e%2e", "a" * 199, "a" * 300),
    *(
        "%E2%80%AE",
        "a%0Ab",
        "%",
        "%zz",
        ".",
        "x" * 5_000,
        "%C3%A9" * 90,
        "2" * 40,
        "-1",
        "0",
        "1e5",
    ),
    *("nan", "null", "9.9", "1.0%20", "demo%2Fx", "other", "..%2Fadmin.token", "CON", "a;b", "~"),
)
ODD_VALUES = (
    *ODD_PARTS,
    *("inf", "-inf", "1e400", "1e308", "2147483648", "9223372036854775808", "1e18"),
    *("true", "false", "", "None", "253402300800", "8589934592", "0.0000001", "%F0%9F%98%80"),
)
HEADERS = {
    "Range": (
        "bytes=0-",
        "bytes=5-2",
        "bytes=-5",
        "bytes=99999999999999999999-",
        "bytes=0-0,3-4",
        "bytes=-",
        "bytes=a-b",
        "bytes=\xb2-",
        "x" * 300,
        "bytes=18446744073709551616-1",
    ),
    "If-Range": ('"x"', "W/", "\xff", "Wed, 99 Foo 2026"),
    "If-None-Match": ('"x"', "*", "\xff" * 50),
    "Content-Type": (
        "application/json",
        "multipart/form-data",
        "text/plain; charset=\xff",
        "x",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=",
    ),
    "Host": ("[", "a:b:c", "[::1", "\xff", "x" * 300, "hub:99999", "", "a/b?c#d", "@"),
    "Accept": ("*/*", "\xff", "text/html"),
    "Accept-Encoding": ("gzip", "br;q=2", ""),
    "Content-Encoding": ("gzip", "deflate"),
    "Content-Length": ("-1", "99999999999999999999", "abc", "\xb2", "1"),
    "Authorization": (
        "",
        "Bearer",
        "Bearer ",
        "Basic x",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 5_000,
        "bearer\tx",
        "Digest a=b",
    ),
    "X-Forwarded-For": ("1.2.3.4", "x" * 300),
    "Cookie": ("a=b", "\xff"),
    "Expect": ("100-continue",),
    "Upgrade": ("websocket",),
    "Date": ("x",),
}


def operations(document: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return (path template, method, names of its query) of an OpenAPI document."""
    return [
        (path, method.upper(), [p["name"] for p in op.get("parameters", ()) if p["in"] == "query"])
        for path, methods in document["paths"].items()
        for method, op in methods.items()
    ]


@st.composite
def own(
    draw: st.DrawFn,
    known: Sequence[tuple[str, str, list[str]]],
    values: Mapping[str, Sequence[str]],
    bodies: Mapping[str, st.SearchStrategy[bytes]],
) -> Asked:
    """A request that knows the formats: valid but for a few things, so that it gets far.

    Args:
        known: what :func:`operations` returned.
        values: good values of parameters of paths and queries, by name.
        bodies: strategies by the end of the path.
    """
    reading = [each for each in known if each[1] != "GET" and each[0].endswith(tuple(bodies))]
    most = [each for each in known if each[0].endswith("/messages")]
    template, method, names = draw(st.sampled_from([*known, *reading * 3, *most * 60]))
    odd = draw(st.integers(0, 3)) == 0  # most paths are good: what is behind them is tried

    def value(name: str, among: Sequence[str]) -> str:
        good = values.get(name, ("x",))
        wrong = odd and draw(st.booleans())
        return (
            draw(st.sampled_from(among)) if wrong else quote(draw(st.sampled_from(good)), safe="")
        )

    path = re.sub(r"\{(\w+)(?::path)?\}", lambda match: value(match[1], ODD_PARTS), template)
    chosen = [name for name in names if name in values or draw(st.booleans())]
    query = "&".join(f"{name}={value(name, ODD_VALUES)}" for name in chosen)
    if draw(st.integers(0, 19)) == 0:
        method = draw(st.sampled_from(METHODS))
    headers = tuple(
        (name, draw(st.sampled_from(HEADERS[name])))
        for name in draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=2 if odd else 1))
    )
    ends = [end for end in bodies if template.endswith(end)]
    if method == "GET" or (not ends and draw(st.integers(0, 3))):
        body = b""
    elif ends and draw(st.integers(0, 7)):
        body = draw(bodies[max(ends, key=len)])
    else:
        body = draw(st.one_of(noise(), *bodies.values()))
    role = draw(st.sampled_from(_likely(template)))
    return Asked(role, method, path, query, headers, body, chunked=draw(st.integers(0, 9)) == 0)


def _likely(template: str) -> tuple[str, ...]:
    """Roles, the one that a route is for more often than the others."""
    devices = template.endswith(("/messages", "/checkin", "/predict")) or "targets" in template
    made_for = {"/enrol": "newcomer", "/call": "webhook"}
    role = next((role for end, role in made_for.items() if template.endswith(end)), None)
    return (*ROLES, *[role or ("device" if devices else "administrator")] * 20)


def of_schema(document: Mapping[str, Any]) -> st.SearchStrategy[Asked]:
    """Requests as schemathesis makes them from the OpenAPI document."""
    schema = schemathesis.openapi.from_dict(dict(document))
    cases = st.one_of([found.ok().as_strategy() for found in schema.get_all_operations()])
    return st.builds(_of_case, st.sampled_from(ROLES), cases)


def _of_case(role: str, case: Any) -> Asked:
    path = re.sub(
        r"[^\x21-\x7e]", lambda match: quote(match[0], errors="replace"), case.formatted_path
    )
    query = "&".join(
        f"{quote(str(name), errors='replace')}={quote(str(value), errors='replace')}"
        for name, value in (case.query or {}).items()
    )
    headers = tuple((str(n), str(v)) for n, v in (case.headers or {}).items())
    return Asked(role, case.method.upper(), path, query, headers)
