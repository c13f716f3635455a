"""What devices say about themselves."""

from __future__ import annotations

import pytest

from edge_sdk.contract.codec import decode
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import (
    CheckIn,
    CredentialRequest,
    EnrolReply,
    EnrolRequest,
    ReportedState,
    credential_bytes,
    enrolment_bytes,
)
from edge_sdk.contract.limits import ATTRIBUTES, MODELS, NAME_CHARACTERS

KEY, SIGNATURE = "0a" * 32, "1b" * 64

REFUSED = {
    "a number": ({"floor": 1}, "expected texts by name"),
    "a name that is none": ({1: "eu"}, "expected texts by name"),
    "a text alone": ("eu", "expected texts by name"),
    "a list": (["eu"], "expected texts by name"),
    "a name that is unsafe": ({"../x": "eu"}, "expected 1 to 64 of"),
    "too many": ({f"a{i}": "x" for i in range(ATTRIBUTES + 1)}, "at most"),
    "a NUL": ({"region": "e\0u"}, "printable characters"),
    "half of a surrogate pair": ({"region": "\ud800"}, "printable characters"),
    "too long a text": ({"region": "x" * (NAME_CHARACTERS + 1)}, "at most"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_attributes_are_refused_if_they_are(case: str) -> None:
    attributes, reason = REFUSED[case]
    with pytest.raises(ContractError, match=reason):
        EnrolRequest(("m",), KEY, SIGNATURE, attributes)  # type: ignore[arg-type]


def test_attributes_that_are_texts_by_name_are_taken() -> None:
    request = EnrolRequest(("m",), KEY, SIGNATURE, {"region": "eu"})
    assert request.attributes == {"region": "eu"}


SERIALS_REFUSED = ["", " ", "-x", "x-", "a b", "a,b", "ä", "x" * 65, "a\n"]


@pytest.mark.parametrize("serial", SERIALS_REFUSED)
def test_a_serial_that_no_file_or_log_could_take_is_refused(serial: str) -> None:
    with pytest.raises(ContractError, match="serial: expected 1 to 64"):
        EnrolRequest(("m",), KEY, SIGNATURE, serial=serial)


def test_keys_signatures_and_nonces_are_hexadecimal_of_their_length() -> None:
    for request in (
        lambda: EnrolRequest(("m",), KEY[2:], SIGNATURE),
        lambda: EnrolRequest(("m",), KEY, SIGNATURE.upper()),
        lambda: EnrolRequest(("m",)),
        lambda: CredentialRequest("d-1", 0, "zz" * 16, SIGNATURE),
    ):
        with pytest.raises(ContractError, match="hexadecimal digits"):
            request()


def test_an_enrolment_of_the_protocol_before_is_read_so_that_it_can_be_refused_by_name() -> None:
    old = b'{"model": "m", "public_key": "", "attributes": {}, "protocol": 2}'
    assert decode(EnrolRequest, old, limit=100).protocol == 2
    assert (
        decode(CheckIn, b'{"model": "m", "version": "1.0", "protocol": 2}', limit=100).protocol == 2
    )


MODELS_REFUSED = {
    "a path": (("../m",), "model: expected"),
    "twice": (("m", "m"), "expected each once"),
    "too many": (tuple(f"m{i}" for i in range(MODELS + 1)), f"expected at most {MODELS}, got"),
}


@pytest.mark.parametrize("case", MODELS_REFUSED)
def test_models_are_refused_if_they_are(case: str) -> None:
    models, reason = MODELS_REFUSED[case]
    with pytest.raises(ContractError, match=reason):
        EnrolRequest(models, KEY, SIGNATURE)
    with pytest.raises(ContractError, match=reason):
        EnrolReply("d-1", "{}", models)
    if len(set(models)) == len(models):
        with pytest.raises(ContractError, match=reason):
            CheckIn({name: ReportedState() for name in models})


def test_a_signature_of_one_purpose_is_none_of_another() -> None:
    assert enrolment_bytes(None, ["m"], KEY, {}, None) != credential_bytes("m", 0, KEY)
    # Where one text ends and the next begins is part of what is signed.
    assert enrolment_bytes("a", ["b"], KEY, {}, None) != enrolment_bytes("ab", [], KEY, {}, None)
    assert credential_bytes("d", 1, "1") != credential_bytes("d", 11, "")
