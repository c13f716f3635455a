"""What each message refuses because of its meaning, beyond the types of its fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_sdk.contract.codec import encode, from_plain
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version, check_name
from tests.contract.examples import EXAMPLES

# sentence: (message, path, damage, what the error says)
RULES: dict[str, tuple[str, list[Any], Any, str]] = {
    "a model name with a slash": ("plan", ["model"], "a/b", "expected 1 to 64 of a-z"),
    "a model name that climbs": ("plan", ["model"], "a..b", "expected 1 to 64 of a-z"),
    "a model name that is too long": ("plan", ["model"], "a" * 65, "expected 1 to 64 of a-z"),
    "a plan without a serial": ("plan", ["serial"], 0, "serial: expected at least 1"),
    "an unknown plan format": ("plan", ["format"], 2, "format: expected one of [1], got 2"),
    "a format given as a boolean": ("plan", ["format"], True, "expected one of [1], got true"),
    "a version of one number": ("plan", ["serving", "version"], "1", "expected a version such as"),
    "a version with a leading zero": ("plan", ["serving", "version"], "01.0", "expected a version"),
    "a digest that is short": ("plan", ["serving", "manifest"], "ab", "expected a SHA-256"),
    "slots beyond the circle": (
        "plan", ["experiment", "arms", 0, "slots"], [[0, 10_001]], "expected ranges within",
    ),
    "slots of nothing": (
        "plan", ["experiment", "arms", 0, "slots"], [[5, 5]], "expected ranges within",
    ),
    "slots that overlap": (
        "plan", ["experiment", "arms", 0, "slots"], [[0, 9], [8, 10]], "do not overlap",
    ),
    "an arm that is named as what serves": (
        "plan", ["experiment", "arms", 0, "name"], "control", "is the serving release",
    ),
    "an experiment without arms": ("plan", ["experiment", "arms"], [], "expected at least one"),
    "an unknown strategy": ("plan", ["experiment", "strategy"], "luck", "expected one of"),
    "a canary of two candidates": (
        "plan_staged", ["experiment", "arms"],
        [{"name": n, "release": {"version": "1.1", "manifest": "f" * 64}} for n in "ab"],
        "canary tries one candidate, got 2",
    ),
    "a shadow by key": ("plan_shadowed", ["experiment", "unit"], "key", "shadow is by device"),
    "a shadow in stages": (
        "plan_shadowed", ["experiment", "completed"],
        [{"attribute": "region", "values": ["eu"]}], "shadow has no stages",
    ),
    "a shadow of no requests": ("plan_shadowed", ["experiment", "share"], 0, "expected above"),
    "a shadow of too many": ("plan_shadowed", ["experiment", "share"], 1.5, "most 1, got 1.5"),
    "an A/B of a share of requests": (
        "plan_by_key", ["experiment", "share"], 0.5, "give the arms fewer slots instead",
    ),
    "an A/B arm that owns nothing": (
        "plan_by_key", ["experiment", "arms", 0, "slots"], [], "['b'] own no slots",
    ),
    "an A/B without control": (
        "plan_by_key", ["experiment", "arms", 1, "slots"], [[3_000, 10_000]],
        "ab leaves no slots to the serving",
    ),
    "a metric that nobody reports": (
        "plan_by_key", ["experiment", "outcomes", 0, "metric"], "joy", "expected one of",
    ),
    "an effect below zero": (
        "plan_by_key", ["experiment", "outcomes", 0, "minimum_effect"], -1, "bought: expected a",
    ),
    "two outcomes of one name": (
        "plan_staged", ["experiment", "outcomes", 1, "name"], "accuracy", "outcomes: expected diff",
    ),
    "a cohort of nobody": (
        "plan_staged", ["experiment", "cohort", "values"], [], "expected at least one value of reg",
    ),
    "a cohort of an attribute that cannot be": (
        "plan_staged", ["experiment", "cohort", "attribute"], "a b", "attribute: expected 1 to 64",
    ),
    "a group column without groups": (
        "manifest_grouped", ["groups", 1, "values"], [], "expected either values or edges",
    ),
    "a group column of values and edges": (
        "manifest_grouped", ["groups", 1, "edges"], [1.0], "expected either values or edges",
    ),
    "cut points that fall": (
        "manifest_grouped", ["groups", 0, "edges"], [60.0, 30.0], "expected ascending numbers",
    ),
    "two groups of one name": (
        "manifest_grouped", ["groups", 1, "values"], ["f", "f"], "sex: expected groups of",
    ),
    "two group columns of one name": (
        "manifest_grouped", ["groups", 0, "name"], "sex", "groups: expected different columns",
    ),
    "more groups than are counted": (
        "manifest_grouped", ["groups", 1, "values"], list(map(str, range(33))), "at most 32 groups",
    ),
    "more group columns than are counted": (
        "manifest_grouped", ["groups"], [{"name": str(i), "edges": [0]} for i in range(9)],
        "at most 8 columns",
    ),
    "a profile of a group in another layout": (
        "profile_grouped", ["groups", 0, "outputs"], [[1, 2]], "sex=f: expected [4] counts",
    ),
    "a group of nobody": (
        "window_report_grouped", ["groups", "sex", "f", "observations"], 0, "expected at least 1",
    ),
    "more groups than a column can have": (
        "window_report_grouped", ["groups", "sex"],
        {str(i): {"observations": 1} for i in range(35)}, "expected at most 34 of a column, got 35",
    ),
    "a group with more right than labelled": (
        "feedback_report_grouped", ["groups", "sex", "f"], [9, 10], "0 to as many correct as",
    ),
    "labels of groups that do not add up": (
        "feedback_report_grouped", ["groups", "sex", "f"], [8, 8], "expected a sum of (15, 14)",
    ),
    "more disagreements than comparisons": (
        "shadow_report", ["disagreements"], 91, "expected 0 to compared",
    ),
    "skipped less than nothing": (
        "shadow_report", ["skipped", "queue"], -1, "counts: expected at least 0",
    ),
    "a pair table below zero": ("shadow_report", ["labelled", "both"], -1, "pairs: expected"),
    "squares below zero": ("shadow_report", ["latency", "squares"], -1, "squares: expected"),
    "a win of a team that does not play": (
        "interleave_report", ["wins", "other"], 1, "expected teams ['candidate', 'control']",
    ),
    "fewer than no ties": ("interleave_report", ["ties"], -1, "counts: expected at least 0"),
    "a manifest without a model file": ("manifest", ["files"], {}, "expected model.onnx"),
    "a manifest without variants": ("manifest", ["variants"], [], "expected at least one"),
    "a variant whose file is not listed": (
        "manifest", ["variants", 0, "model"], "other.onnx", "files: expected other.onnx",
    ),
    "two variants of one name": (
        "manifest_of_two_variants", ["variants", 1, "name"], "int8-storage",
        "variants: expected different names",
    ),
    "two variants that share a file": (
        "manifest_of_two_variants", ["variants", 1, "golden"], "golden.npz",
        "variants: expected files of their own",
    ),
    "a variant whose golden vectors are its model": (
        "manifest", ["variants", 0, "golden"], "model.onnx", "expected three different files",
    ),
    "a variant in the place of the profile": (
        "manifest", ["variants", 0, "certificate"], "profile.json",
        "variants: expected files of their own",
    ),
    "a variant in the place of a document": (
        "manifest_of_two_variants", ["variants", 1, "model"], "model-card.md",
        "variants: expected files of their own",
    ),
    "a variant of a precision that is no name": (
        "manifest", ["variants", 0, "precision"], "half\nprecision", "precision: expected 1 to 64",
    ),
    "a manifest that lists itself": (
        "manifest", ["files", "manifest.json"], {"length": 1, "sha256": "0" * 64},
        "files: expected another name than manifest.json",
    ),
    "a file with the name of a download in progress": (
        "manifest", ["files", "model.onnx.part"], {"length": 1, "sha256": "0" * 64},
        "files: expected another name than model.onnx.part",
    ),
    "a variant whose name climbs": (
        "manifest", ["variants", 0, "name"], "../x", "name: expected 1 to 64",
    ),
    "a column of no tensor": (
        "manifest", ["signature", "columns", 0, "tensor"], "x", "is in no input tensor",
    ),
    "two inputs of one name": (
        "manifest", ["signature", "inputs", 1, "name"], "age", "expected different names",
    ),
    "a file that leaves the folder": (
        "manifest", ["files", "../evil"], {"length": 1, "sha256": "0" * 64}, "expected 1 to 64",
    ),
    "a file of negative length": (
        "manifest", ["files", "model.onnx", "length"], -1, "length: expected 0 to",
    ),
    "a watched tensor with a step too few": (
        "profile_watched", ["watched", 0, "steps"], [0.1], "picture: expected 2 steps",
    ),
    "a step of nothing": (
        "profile_watched", ["watched", 0, "steps"], [0.1, 0.0], "picture: expected steps above 0",
    ),
    "directions of another width": (
        "profile_watched", ["embedding", "directions"], [[1.0]], "expected directions of 2 numbers",
    ),
    "no direction": (
        "profile_watched", ["embedding", "directions"], [], "expected 1 to 32 directions",
    ),
    "a statistic without a histogram": (
        "profile_watched", ["watched", 0],
        {"tensor": "x", "kind": "image", "statistics": ["a", "b", "c"], "steps": [1.0, 1.0, 1.0]},
        "expected 5 statistics, got 4",
    ),
    "edges that do not ascend": (
        "profile", ["features", 0, "edges"], [1.0, 1.0, 2.0], "expected ascending edges",
    ),
    "a profile with a count too few": (
        "profile", ["features", 0, "counts"], [1, 2, 3], "expected 4 counts, got 3",
    ),
    "a profile with both edges and categories": (
        "profile", ["features", 0, "categories"], ["a"], "either edges or categories",
    ),
    "a window that ends before it starts": (
        "window_report_packed", ["window", "end"], 5, "expected after 1700000000",
    ),
    "an unknown source": (
        "window_report_packed", ["predictions", "oracle"], 1, "expected sources of",
    ),
    "a negative count": ("window_report_packed", ["errors", "shape"], -1, "expected at least 0"),
    "histograms as numbers": (
        "window_report_packed", ["features"], [[60, 38, 1, 1]], "features: expected a string",
    ),
    "a latency histogram that is short": (
        "window_report_packed", ["latency", "model"], [1], "latency: expected 64 bins",
    ),
    "a window that drew nothing": (
        "window_report_metered", ["energy", "joules"], 0.0, "joules: expected above 0, at most",
    ),
    "a window that drew a city's worth": (
        "window_report_metered", ["energy", "joules"], 1e10, "at most 1e+09, got 10000000000.0",
    ),
    "energy that no prediction shares": (
        "window_report_metered", ["energy", "predictions"], 0, "expected at least one prediction",
    ),
    "energy of no time": (
        "window_report_metered", ["energy", "seconds"], 0.0, "seconds: expected above 0",
    ),
    "more correct than labelled": ("feedback_report", ["correct"], 21, "expected 0 to labelled"),
    "rows without labels": ("sample_batch", ["labels"], ["yes"], "expected a label and time"),
    "a vote given twice": ("key_votes", ["keys"], ["00" * 16] * 2, "expected each once"),
    "a vote that is no key": ("key_votes", ["keys"], ["xyz"], "expected 32 hexadecimal"),
    "a sequence from zero": ("upload", ["messages", 0, "sequence"], 0, "expected at least 1"),
    "a directory of too many bits": ("pack_header", ["directory_bits"], 25, "expected 0 to 24"),
    "a filter of too many bits": ("pack_header", ["filter_bits"], 30, "expected 0 to 29"),
    "a pack value of no fields": ("pack_header", ["fields"], [], "expected at least one"),
    "too many attributes": (
        "enrol_request", ["attributes"], {f"a{i}": "x" for i in range(33)}, "expected at most 32",
    ),
    "an attribute that is a book": (
        "enrol_request", ["attributes", "region"], "x" * 65, "expected at most 64 characters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_a_message_that_means_nothing_is_refused_with_the_reason(case: str) -> None:
    name, path, damage, message = RULES[case]
    plain = json.loads(encode(EXAMPLES[name]))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = damage
    with pytest.raises(ContractError) as caught:
        from_plain(type(EXAMPLES[name]), plain)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a", "digits", "digits-cloud", "a.b_c-1", "0", "a" * 64])
def test_a_plain_name_is_taken(name: str) -> None:
    check_name("model", name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "ä", ".", "..", "a\n", "a/../b"])
def test_a_name_that_is_unsafe_somewhere_is_refused(name: str) -> None:
    with pytest.raises(ContractError):
        check_name("model", name)


def test_versions_order_by_number_and_not_by_text() -> None:
    assert Version.parse("1.10") > Version.parse("1.9")
    assert str(Version.parse("2.0")) == "2.0"
