"""Two runs side by side, also where they have little in common."""

from __future__ import annotations

from typing import Any

from cloud_hub.runs.code.service import PipelineVersion
from cloud_hub.runs.comparison import RunFacts, compare_runs
from cloud_hub.runs.steps.store import StepRecord
from cloud_hub.runs.store import RunRecord


def run(id_: int, **values: Any) -> RunRecord:
    known: dict[str, Any] = dict.fromkeys(RunRecord.__dataclass_fields__)
    known |= {"id": id_, "model": "demo", "gate": (), "datasets": (), "parameters": {}}
    return RunRecord(**{**known, **values})


def code(number: int, **values: Any) -> PipelineVersion:
    known: dict[str, Any] = dict.fromkeys(PipelineVersion.__dataclass_fields__)
    return PipelineVersion(**{**known, "number": number, "lock": "", "files": {}, **values})


def step(name: Any, **values: Any) -> StepRecord:
    return StepRecord(1, "demo", 1, name, "done", 0.0, 1.0, **values)


def test_a_training_here_and_one_elsewhere_are_told_apart_by_what_is_known_of_each() -> None:
    here = RunFacts(
        run(1, mode="stateless", parameters={"entry": "m:f", "seed": 1}, datasets=("fresh@1",)),
        [
            step("collect", outputs={"datasets": {"fresh@1": "a" * 64}, "rehearsal": ["train@1"]}),
            step("train", inputs={"environment": "e" * 64, "features": {"shop@2": "f" * 64}},
                 resources={"seconds": 2.0}),
            step("evaluate", metrics={"accuracy": 0.9}),
        ],
        code(1, files={"code/m.py": "b" * 64}, lock="c" * 64),
    )  # fmt: skip
    elsewhere = RunFacts(
        run(2, mode="stateful", parameters={"webhook": "http://ml", "seed": 1}),
        [step("evaluate", metrics={"accuracy": 0.92})],
        code(2, elsewhere="git 3f2c"),
    )
    values = {(v.kind, v.name): (v.before, v.after) for v in compare_runs(here, elsewhere).values}
    assert values["result", "mode"] == ("stateless", "stateful")
    assert values["parameter", "entry"] == ("m:f", None)
    assert values["parameter", "seed"] == (1, 1)
    assert values["data", "fresh"] == ("fresh@1 aaaaaaaaaaaa", None)
    assert values["data", "rehearsal"] == (["train@1"], None)
    assert values["data", "features shop@2"] == ("ffffffffffff", None)
    assert values["code", "elsewhere"] == (None, "git 3f2c")
    assert values["code", "packages"] == ("eeeeeeeeeeee", None)
    assert values["code", "file code/m.py"] == ("bbbbbbbbbbbb", None)
    assert values["metric", "evaluate accuracy"] == (0.9, 0.92)
    assert values["seconds", "train"] == (2.0, None)
