"""Policies: every default, every typo and contradiction refused by its line, plan, apply, show."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sqlalchemy import update

from cloud_hub.cli.main import main
from cloud_hub.errors import Conflict, Invalid
from cloud_hub.experiments.policy_defaults import canary_of, spec_of
from cloud_hub.hub import Hub
from cloud_hub.policy.schema import (
    Condition,
    GatePolicy,
    GroupRule,
    Policy,
    TrainPolicy,
    TriggerRule,
    parse_policy,
)
from cloud_hub.policy.schema.parse import as_yaml, changes
from cloud_hub.registry.tables import models
from converters import convert
from tests.conftest import Publish
from tests.servers import HubProcess

TRIGGER = "triggers:\n  - name: a\n    when: {when}\n    {more}\n"
SHARED = "sharing: {samples: true, per_window: 5}\n"


def trigger(when: str, more: str = "", before: str = "") -> str:
    return before + TRIGGER.replace("{when}", when).replace("{more}", more)


REFUSED = {
    "an unknown section": ("trigger: []\n", "policy.yaml:1: trigger: unknown"),
    "an unknown key": ("experiment:\n  step: 1\n", "policy.yaml:2: experiment.step: unknown"),
    "an unknown key of a trigger": (
        trigger("{every: 1d}", "evry: 1"), "policy.yaml:4: triggers[0].evry: unknown",
    ),
    "an unknown condition": (trigger("{moon: full}"), "triggers[0].when.moon: unknown"),
    "no condition": (trigger("{}"), "triggers[0].when: expected exactly one of"),
    "two conditions at once": (
        trigger("{cron: '* * * * *', drift: {}}"), "got ['cron', 'drift']",
    ),
    "one of a kind in all": (trigger("{all: [{drift: {}}]}"), "all: expected two or more"),
    "an unknown key deep inside": (
        trigger("{any: [{drift: {}}, {all: [{drift: {}}, {volume: {grow: 1}}]}]}"),
        "policy.yaml:3: triggers[0].when.any[1].all[1].volume.grow: unknown",
    ),
    "a cron line of four": (trigger("{cron: '* * * *'}"), "cron: expected minute hour day"),
    "a cron line that never comes": (trigger("{cron: '0 0 30 2 *'}"), "cron: expected minute"),
    "an accuracy above one": (trigger("{performance: {below: 90}}"), "below: expected an accuracy"),
    "two triggers of one name": (
        trigger("{drift: {}}") + "  - name: a\n    when: {drift: {}}\n", "expected different names",
    ),
    "an interval shorter than the cool-down": (
        trigger("{every: 10m}"), "every: expected at least the cooldown",
    ),
    "an interval shorter than not_before": (
        trigger("{every: 1d}", "not_before: 7d"), "every: expected at least the cooldown",
    ),
    "a manual condition among others": (
        trigger("{all: [{manual: true}, {drift: {}}]}"), "manual: expected alone",
    ),
    "volume without shared rows": (trigger("{volume: {}}"), "but sharing.samples is false"),
    "a mode without training": (trigger("{drift: {}}", "mode: stateful"), "has no train"),
    "training without shared rows": ("train: {entry: 'a:b'}\n", "but sharing.samples is false"),
    "sharing of nothing": ("sharing: {samples: true}\n", "per_window is 0"),
    "sharing of tensors alone": ("sharing: {tensor_bytes: 5}\n", "samples is false"),
    "packs without votes": (
        "packs: {every: 1m}\nreporting: {votes: 0}\n", "built from votes, but reporting.votes is 0",
    ),
    "a cloud that nobody named": ("cascade: {mode: cloud}\n", "names no cloud model"),
    "an entry that is no function": (SHARED + "train: {entry: train}\n", "module:function"),
    "drift of an unknown kind": (trigger("{drift: {kinds: [moon]}}"), "kinds[0]: expected one of"),
    "a budget of nothing": ("budget: {runs_per_week: 0}\n", "runs_per_week: expected at least 1"),
    "steps that go down": ("experiment: {steps: [0.5, 0.2]}\n", "expected shares that rise"),
    "a canary with one share": ("experiment: {share: 0.5}\n", "share: a canary has steps"),
    "a test without a control": (
        "experiment: {strategy: ab, share: 1}\n", "share: expected above 0 and at most 0.99",
    ),
    "an unknown strategy": ("experiment: {strategy: hope}\n", "strategy: expected one of"),
    "steps beyond the fleet": ("experiment: {steps: [0.5, 2.0]}\n", "expected shares up to 1"),
    "text for a number": ("packs: {entries: many}\n", "expected an integer"),
    "an interval beyond all clocks": (
        trigger("{every: 1.0e+300}"), "when.every: expected seconds, or 90s, 10m, 36h, 7d, at most",
    ),
    "a time before": ("experiment: {soak: -5}\n", "experiment.soak: expected seconds, or 90s"),
    "a chance below none": ("experiment: {alpha: -1}\n", "alpha: expected above 0 and below 0.5"),
    "a margin of all": ("experiment: {margin: 1}\n", "margin: expected 0 to below 0.5"),
    "an experiment on nobody": ("experiment: {minimum_devices: 0}\n", "minimum_devices: expected"),
    "packs of nothing": ("packs: {entries: 0}\n", "entries: expected at least 1"),
    "packs that one device fills": ("packs: {minimum_devices: 0}\n", "minimum_devices: expected"),
    "a file of no bytes": ("gate: {max_bytes: 0}\n", "max_bytes: expected more than 0"),
    "histograms of nothing": (
        "reporting: {minimum_observations: 0}\n", "minimum_observations: expected at least 1",
    ),
    "fewer votes than none": ("reporting: {votes: -1}\n", "votes: expected at least 0"),
    "a seed that NumPy does not take": (
        SHARED + "train: {entry: 'a:b', seed: -1}\n", "seed: expected 0 to below 2**32",
    ),
    "a window of no length": ("reporting: {window: 0}\n", "expected at least 1"),
    "a model of no name": ("model: ../../etc\n", "model"),
    "the format of before": ("[packs]\nevery_seconds = 1\n", "policy.yaml:2: expected YAML"),
}  # fmt: skip


def test_an_empty_policy_is_all_defaults() -> None:
    assert parse_policy("") == Policy()


SEVERAL = {
    "values of different sections": (
        "gate:\n  minimum_rows: many\npacks:\n  entries: 0\nmonitoring:\n  minimum: 5\n",
        [
            "policy.yaml:2: gate.minimum_rows: expected an integer",
            "policy.yaml:4: packs.entries: expected at least 1",
            "policy.yaml:6: monitoring.minimum: expected at least 100",
        ],
    ),
    "values of one section": (
        "experiment:\n  margin: 0.9\n  alpha: 0.5\n  minimum_labels: -1\n",
        ["yaml:2: experiment.margin: expected", "yaml:3: experiment.alpha: expected", "yaml:4: "],
    ),
    "two triggers": (
        "triggers:\n- name: a\n  when: {cron: soon}\n- name: b\n  when: {volume: {growth: 0}}\n",
        ["policy.yaml:3: triggers[0].when.cron: ", "yaml:5: triggers[1].when.volume.growth: "],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SEVERAL)
def test_every_mistake_of_a_policy_is_named_at_once_with_its_line(case: str) -> None:
    text, expected = SEVERAL[case]
    with pytest.raises(Invalid) as caught:
        parse_policy(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected), lines
    for part in expected:
        assert any(part in line for line in lines), (part, lines)


def test_sections_that_contradict_each_other_are_named_once_each_is_right() -> None:
    text = "cascade: {mode: cloud}\ngate: {max_bytes: -1}\n"
    with pytest.raises(Invalid, match="max_bytes") as caught:
        parse_policy(text)
    assert "cascade" not in str(caught.value)
    with pytest.raises(Invalid, match="cascade: mode is cloud"):
        parse_policy(text.replace("-1", "1"))


@pytest.mark.parametrize("case", REFUSED)
def test_a_policy_that_means_nothing_or_contradicts_itself_is_refused(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        parse_policy(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("policy.yaml:")


DEMO = Path("examples/digits/policy.yaml")


def test_the_demo_policy_is_read_whole() -> None:
    policy = parse_policy(DEMO.read_text())
    assert [rule.when.kind for rule in policy.triggers] == ["performance", "drift", "webhook"]
    assert policy.train is not None
    assert policy.experiment.steps == (0.4, 1.0)


@given(
    st.integers(1, 10**6),
    st.sampled_from(["local", "cascade"]),
    st.lists(st.sampled_from(["{every: 2d}", "{drift: {}}", "{webhook: true}"]), max_size=4),
)
def test_a_policy_written_whole_is_the_same_policy(
    window: int, mode: str, kinds: list[str]
) -> None:
    rules = "".join(f"  - {{name: t{i}, when: {kind}}}\n" for i, kind in enumerate(kinds))
    text = f"reporting: {{window: {window}}}\ncascade: {{mode: {mode}}}\n"
    policy = parse_policy(text + ("triggers:\n" + rules if kinds else ""))
    assert parse_policy(as_yaml(policy)) == policy
    assert changes(policy, parse_policy(as_yaml(policy))) == []


GUIDE = Path("docs/POLICY.md")


def test_the_guide_shows_the_defaults_as_they_are() -> None:
    block = GUIDE.read_text().split("```yaml\n")[1].split("```")[0]
    assert block == as_yaml(Policy()), "put the new defaults into docs/POLICY.md"


@pytest.mark.parametrize("part", [TrainPolicy, TriggerRule, GatePolicy, GroupRule, Condition])
def test_the_guide_names_every_key(part: type) -> None:
    text = GUIDE.read_text()
    keys = [field.name.removesuffix("_seconds") for field in dataclasses.fields(part)]
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []


def test_changes_are_told_by_path_and_triggers_by_name() -> None:
    before = parse_policy("packs: {every: 1h}\n" + trigger("{drift: {}}"))
    after = parse_policy(trigger("{drift: {signals: 9}}") + "  - {name: b, when: {every: 7d}}\n")
    lines = [change.line() for change in changes(before, after)]
    assert lines[0] == "~ packs.every: 1h -> 0s"
    assert lines[1] == "~ triggers[a].when.drift.signals: 1 -> 9"
    assert lines[2].startswith("+ triggers[b]: {cooldown: 1h, ")
    assert [c.line()[0] for c in changes(after, before)] == ["~", "~", "-"]
    assert changes(before, before) == []


def test_the_order_of_triggers_and_comments_change_nothing() -> None:
    first = "  - {name: x, when: {every: 7d}}\n"
    second = "  - {name: y, when: {every: 9d}}\n"
    one, two = (
        parse_policy("triggers:\n" + t) for t in (first + second, second + "# no\n" + first)
    )
    assert changes(one, two) == []


def test_devices_get_a_new_plan_when_the_policy_says_something_to_them(serving: Hub) -> None:
    told = "model: demo\nreporting: {window: 7s}\n"
    plan = serving.policies.apply("demo", told, actor="me")
    assert plan.replan
    current = serving.plans.current("demo")
    assert current is not None
    assert (current.reporting.window_seconds, current.serial) == (7, 2)
    plan = serving.policies.apply("demo", told + "experiment: {margin: 0.1}\n", actor="me")
    assert not plan.replan
    again = serving.plans.current("demo")
    assert again is not None
    assert again.serial == 2


def test_a_policy_that_was_replaced_since_it_was_planned_is_a_conflict(serving: Hub) -> None:
    seen = serving.policies.plan("demo", "experiment: {margin: 0.1}\n").digest
    serving.policies.apply("demo", "experiment: {margin: 0.2}\n", actor="somebody else")
    with pytest.raises(Conflict, match="plan again"):
        serving.policies.apply("demo", "experiment: {margin: 0.1}\n", actor="me", expected=seen)
    assert serving.registry.policy("demo").experiment.margin == 0.2


def test_a_policy_that_cannot_be_read_any_more_is_replaced_by_one_that_can(serving: Hub) -> None:
    serving.registry.set_policy("demo", "budget: {runs_per_week: 3}\n", "test")
    with serving.engine.begin() as db:  # as an older hub left it
        db.execute(update(models).values(policy="[packs]\nevery_seconds = 1\n"))
    serving.policies.apply("demo", "budget: {runs_per_week: 4}\n", actor="me")
    assert serving.registry.policy("demo").budget.runs_per_week == 4


def test_a_policy_of_another_model_is_refused(serving: Hub) -> None:
    with pytest.raises(Invalid, match="is for model other, not demo"):
        serving.policies.apply("demo", "model: other\n", actor="me")


STRATEGIES = {
    "canary": ("{steps: [0.1, 1.0], soak: 5s}", "promote"),
    "ab": ("{strategy: ab, share: 0.3}", "promote"),
    "shadow": ("{strategy: shadow, share: 0.2, margin: 0.1}", "conclude"),
    "interleave": ("{strategy: interleave}", "promote"),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_candidate_is_tried_as_the_policy_says(strategy: str) -> None:
    text, end = STRATEGIES[strategy]
    policy = parse_policy(f"experiment: {text}\n").experiment
    spec = spec_of("demo", "1.1", policy)
    assert spec.strategy == strategy
    assert [arm.version for arm in spec.tried] == ["1.1"]
    assert spec.promotes is (end == "promote")
    assert canary_of("demo", "1.1", policy).strategy == "canary"


def edge_hub(hub: HubProcess, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main([*words, "--data", str(hub.data)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_plan_apply_and_show_on_the_command_line(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("gitted")
    file = tmp_path / "policy.yaml"
    text = "model: gitted  # in git\nbudget: {runs_per_week: 2}\nreporting: {window: 9s}\n"
    file.write_text(text)
    line = "  ~ budget.runs_per_week: 7 -> 2\n"
    code, out = edge_hub(hub, capsys, "policy", "plan", str(file))
    assert (code, line in out, "devices get a new plan" in out) == (0, True, True)
    assert edge_hub(hub, capsys, "policy", "plan", str(file), "--exit-code")[0] == 3
    code, out = edge_hub(hub, capsys, "policy", "apply", str(file), "--dry-run")
    assert (code, line in out, "nothing was changed" in out) == (0, True, True)
    assert "all defaults" in edge_hub(hub, capsys, "policy", "show", "gitted")[1]
    code, out = edge_hub(hub, capsys, "policy", "apply", str(file))
    assert (code, line in out, "policy applied" in out) == (0, True, True)
    assert edge_hub(hub, capsys, "policy", "show", "gitted") == (0, text)
    whole = edge_hub(hub, capsys, "policy", "show", "gitted", "--whole")[1]
    assert parse_policy(whole) == parse_policy(text)
    code, out = edge_hub(hub, capsys, "policy", "plan", str(file), "--exit-code")
    assert (code, "nothing changes" in out) == (0, True)
    assert (
        json.loads(edge_hub(hub, capsys, "plan", "gitted", "--json")[1])["reporting"][
            "window_seconds"
        ]
        == 9
    )


def test_files_that_are_no_policy_are_refused_before_the_hub_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.yaml"
    refusals = {
        b"model: m\nexperiment:\n  step: 1\n": f"{file}:3: experiment.step: unknown",
        b"cloud: c\n": "say which model the policy is for",
        b"\xff\xfe": "expected UTF-8",
    }
    for raw, reason in refusals.items():
        file.write_bytes(raw)
        for action in ("plan", "apply"):
            assert main(["policy", action, str(file), "--hub", "http://x", "--token", "t"]) == 1
            assert reason in capsys.readouterr().err
    assert main(["policy", "plan", str(tmp_path / "none.yaml"), "--hub", "h", "--token", "t"]) == 1


TRAIN = "model: {model}\nsharing: {{samples: true, per_window: 5}}\ntrain: {{{how}}}\n"
IMPOSSIBLE = {
    "a module that is not there": (
        "entry: 'not_there.at_all:train'",
        "train.entry: not_there.at_all:train cannot be used on the hub's machine: "
        "ModuleNotFoundError: No module named 'not_there' (train.path says in which folder",
    ),
    "a module without the function": ("entry: 'json:train'", "no attribute 'train'"),
    "a function that is none": ("entry: 'os:environ'", "TypeError: environ is no function"),
    "a module that ends the process": ("entry: 'os_exit:train', path: FOLDER", "left no result"),
    "a module that raises": ("entry: 'raises:train', path: FOLDER", "ZeroDivisionError"),
    "a module that never ends": (
        "entry: 'hangs:train', path: FOLDER, timeout: 1s", "took longer than the 1 s",
    ),
    "a folder that is none": ("entry: 'json:loads', path: /not/there", "/not/there is no folder"),
    "a program that is not there": ("command: [not-there, x]", "no program not-there"),
    "a program that cannot be run": (
        "command: [./raises.py], path: FOLDER", "no program ./raises.py",
    ),
}  # fmt: skip
MODULES = {
    "os_exit": "import os\nos._exit(3)\n",
    "raises": "1 / 0\n",
    "hangs": "import time\ntime.sleep(1000)\n",
    "fine": "def train(context): ...\n",
}


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    tmp_path.chmod(0o755)  # for the worker's user
    return tmp_path


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_training_that_cannot_begin_is_refused_when_its_policy_is_applied(
    serving: Hub, modules: Path, case: str
) -> None:
    how, reason = IMPOSSIBLE[case]
    text = TRAIN.format(model="demo", how=how.replace("FOLDER", str(modules)))
    (warning,) = serving.policies.plan("demo", text).warnings
    assert reason in warning
    with pytest.raises(Invalid) as caught:
        serving.policies.apply("demo", text, actor="me")
    assert reason in str(caught.value)
    assert "insist with --override REASON" in str(caught.value)
    assert serving.policies.text("demo") == ""


def test_a_training_that_can_begin_is_applied_and_never_loaded_into_the_hub(
    serving: Hub, modules: Path
) -> None:
    for how in (f"entry: 'fine:train', path: {modules}", "command: [sh, train.sh]"):
        text = TRAIN.format(model="demo", how=how)
        assert serving.policies.plan("demo", text).warnings == ()
        serving.policies.apply("demo", text, actor="me")
        assert serving.policies.text("demo") == text
    assert "fine" not in sys.modules


def test_a_reason_puts_a_training_in_force_whose_module_comes_later(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("early")
    file = tmp_path / "policy.yaml"
    file.write_text(TRAIN.format(model="early", how="entry: 'comes.later:train'"))
    said = "train.entry: comes.later:train cannot be used on the hub's machine"
    code, out = edge_hub(hub, capsys, "policy", "plan", str(file))
    assert (code, f"\nwarning: {said}" in out) == (0, True)
    code, out = edge_hub(hub, capsys, "policy", "apply", str(file))
    assert (code, f"edge-hub: {said}" in out) == (1, True)
    code, out = edge_hub(hub, capsys, "policy", "apply", str(file), "--override", "comes tomorrow")
    assert (code, "early: policy applied" in out) == (0, True), out
    told = [row for row in hub.admin.get("audit", model="early") if row["action"] == "policy"]
    assert [row["detail"]["override"] for row in told] == ["comes tomorrow"]


def test_a_policy_for_a_model_that_is_new_warns_of_a_typo(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("letters")
    file = tmp_path / "policy.yaml"
    file.write_text("model: leters\n")
    code, out = edge_hub(hub, capsys, "policy", "plan", str(file))
    assert (code, "warning: leters: is new here; did you mean letters? " in out) == (0, True)


def test_applying_what_is_in_force_says_one_thing(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("twice")
    file = tmp_path / "policy.yaml"
    file.write_text("model: twice\nbudget: {runs_per_week: 2}\n")
    code, out = edge_hub(hub, capsys, "policy", "apply", str(file))
    assert (code, out.splitlines()[-1]) == (0, "twice: policy applied")
    again = edge_hub(hub, capsys, "policy", "apply", str(file))
    assert again == (0, f"twice: nothing changed; {file} is in force\n")


def test_accuracy_of_a_regressor_needs_a_bound_and_a_plan_warns_without(
    inner: Hub, tmp_path: Path
) -> None:
    X = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    model = LinearRegression().fit(X, X.sum(axis=1))
    release = convert(model, X, X.sum(axis=1), name="numbers", out=tmp_path / "r")
    inner.registry.publish(release, actor="test")
    inner.plans.promote("numbers", "1.0", actor="test", reason="first")
    rule = "triggers:\n- name: worse\n  when: {performance: {below: 0.8}}\n"
    (warning,) = inner.policies.plan("numbers", rule).warnings
    assert "none is right unless right_within says" in warning
    told = f"reporting: {{right_within: 0.5}}\n{rule}"
    assert inner.policies.plan("numbers", told).warnings == ()
    inner.policies.apply("numbers", told, actor="test")
    plan = inner.plans.current("numbers")
    assert plan is not None
    assert plan.reporting.right_within == 0.5


def test_a_plan_warns_that_rows_with_texts_are_not_what_a_training_can_use(
    inner: Hub, tmp_path: Path
) -> None:
    X = pd.DataFrame({"area": np.arange(60.0), "town": ["Bonn", "Oslo", "Rome"] * 20})
    encoded = ColumnTransformer([("town", OneHotEncoder(), ["town"])], remainder="passthrough")
    model = make_pipeline(encoded, LinearRegression()).fit(X, X["area"])
    release = convert(model, X, X["area"], name="homes", out=tmp_path / "r", variants=["float32"])
    inner.registry.publish(release, actor="test")
    inner.plans.promote("homes", "1.0", actor="test", reason="first")
    bound, shares = "reporting: {right_within: 1}\n", "sharing: {samples: true, per_window: 9}\n"
    train = "train: {entry: 'homes:train'}\n"
    (warning,) = inner.policies.plan("homes", bound + shares + train, check=False).warnings
    assert "homes has texts (town)" in warning
    assert inner.policies.plan("homes", bound + shares, check=False).warnings == ()


def test_a_folder_that_depends_on_where_the_hub_was_started_is_warned_of(serving: Hub) -> None:
    text = "train: {entry: 'm:train', path: ., minimum_samples: 0}\n"
    (warning,) = serving.policies.plan("demo", text, check=False).warnings
    assert warning.startswith(
        "train.path: . is relative to the folder in which the hub was started"
    )
    told = text.replace("path: .", f"path: {Path.cwd()}")
    assert serving.policies.plan("demo", told, check=False).warnings == ()
