"""What a search tries, and the command that repeats it."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from converters.certification.parity import Tolerances
from converters.certification.search import plan_of
from converters.cli.app import app
from converters.quantization.targets import TARGETS


@pytest.mark.parametrize("target", [None, *TARGETS])
@pytest.mark.parametrize("budget", [None, "size<=1MB"])
def test_half_precision_is_tried_where_the_processor_computes_in_it(target, budget):
    plan = plan_of(None, Tolerances(), budget, target)
    computes = target is not None and TARGETS[target].float16
    assert ("float16" in plan.variants) == computes
    assert plan.variants[0] == "float32"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ((None, None, None, ()), ()),
        ((["float32", "mixed"], None, None, ()), ("--variants float32,mixed",)),
        ((None, "size<=1MB", "pi4", ("float32",)), ("--budget", "--target pi4", "--ship float32")),
    ],
)
def test_the_command_that_repeats_a_conversion_is_one_that_the_command_line_takes(arguments, given):
    variants, budget, target, ship = arguments
    plan = plan_of(variants, Tolerances(), budget, target, ship)
    _, command = plan.repeat("m-1.0").split("; ")
    assert all(option in command for option in given)
    assert ("--variants" in command) == (variants is not None or budget is not None)
    words = shlex.split(command)
    assert words[:2] == ["edge-convert", "convert"]
    convert = typer.main.get_command(app).commands["convert"]
    context = convert.make_context(
        "convert", re.sub("MODEL|FILE", __file__, " ".join(words[2:])).split()
    )
    assert context.params["name"] == "NAME"
