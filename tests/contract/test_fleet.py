"""What devices say about themselves."""

from __future__ import annotations

import pytest

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import EnrolRequest
from edge_sdk.contract.limits import ATTRIBUTES, NAME_CHARACTERS

REFUSED = {
    "a number": ({"floor": 1}, "expected texts by name"),
    "a name that is none": ({1: "eu"}, "expected texts by name"),
    "a text alone": ("eu", "expected texts by name"),
    "a list": (["eu"], "expected texts by name"),
    "a name that is unsafe": ({"../x": "eu"}, "expected 1 to 64 of"),
    "too many": ({f"a{i}": "x" for i in range(ATTRIBUTES + 1)}, "at most"),
    "too long a text": ({"region": "x" * (NAME_CHARACTERS + 1)}, "at most"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_attributes_are_refused_if_they_are(case: str) -> None:
    attributes, reason = REFUSED[case]
    with pytest.raises(ContractError, match=reason):
        EnrolRequest("m", attributes)  # type: ignore[arg-type]


def test_attributes_that_are_texts_by_name_are_taken() -> None:
    assert EnrolRequest("m", {"region": "eu"}).attributes == {"region": "eu"}
