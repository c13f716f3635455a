"""What leaves a device of its log: no values, no secrets, no traces, and not more than asked."""

from __future__ import annotations

import pytest

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.fleet import DeviceLog
from edge_sdk.contract.limits import LOG_CHARACTERS, LOG_LINES
from edge_sdk.fleet.connection import _log_of
from edge_sdk.hub.outgoing_log import outgoing_lines, without_values
from edge_sdk.system.logs import Log, LogEntry

MESSAGES = {
    "column age: expected a number, got 41, from Oslo": "column age: expected a number, got …",
    "on_event failed at 'row 41'\nTraceback: secret": "on_event failed at '…'",
    'cannot read "/home/ann/x"': "cannot read '…'",
    "https://ann:pw@hub:8000/v1: no answer": "https://…@hub:8000/v1: no answer",
    "Authorization: Bearer abc": "Authorization: Bearer …",
    "release 0123456789abcdef0123456789abcdef: staged": "release 01234567…: staged",
    "the hub is back, after 12 s": "the hub is back, after 12 s",
    "a\x00b\ud800c": "a b c",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_values_secrets_and_traces_stay_on_the_device(message: str) -> None:
    assert without_values(message) == MESSAGES[message]


def test_the_newest_lines_are_sent_each_cut_to_its_length_whatever_the_clock_says() -> None:
    entries = [LogEntry(i, -5.0, "INFO", "edge_sdk", f"{i} " * 400) for i in range(LOG_LINES + 9)]
    lines = outgoing_lines(entries)
    assert (len(lines), lines[0].message[:2], lines[0].at) == (LOG_LINES, "9 ", 0.0)
    assert {len(line.message) for line in lines} == {LOG_CHARACTERS}


def test_an_owner_who_said_nothing_has_allowed_nothing() -> None:
    Log("edge_sdk.test").info("a line")
    assert _log_of(DeviceConfig()) == DeviceLog(allowed=False)
    assert _log_of(DeviceConfig(logs=True)).lines[-1].message == "a line"
