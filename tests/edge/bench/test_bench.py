"""``edge bench``: every row is there and real, budgets hold, runs compare, nothing is guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge_sdk.bench import energy, machine
from edge_sdk.bench.bare import release_around
from edge_sdk.bench.budgets import breaches
from edge_sdk.bench.comparison import compare, to_markdown
from edge_sdk.bench.eight_threads import THREADS, throughput
from edge_sdk.bench.goals import HIT, SQLITE
from edge_sdk.bench.harness import QUICK, Candidate, Rounds, interleave
from edge_sdk.bench.plot import to_html, write_plot
from edge_sdk.bench.result import (
    BENCH_FORMAT,
    ONE_ROW,
    OURS,
    RSS,
    BenchResult,
    Findings,
    GoalRow,
    Timing,
    load,
)
from edge_sdk.bench.rows import affordable, different, mixed
from edge_sdk.bench.subject import Subject
from edge_sdk.cli.main import main
from edge_sdk.device import EdgeDevice
from edge_sdk.errors import BenchError
from edge_sdk.telemetry.meters import find_meter
from tests.edge.builders import CLASSES, FEATURES, make_release, onnx_bytes
from tests.edge.telemetry.counter_files import powercap

Capture = pytest.CaptureFixture[str]


def bench(capsys: Capture, *words: object) -> tuple[int, str, str]:
    code = main(["bench", *(str(word) for word in words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures of a real run, measured once for all tests."""
    folder = tmp_path_factory.mktemp("measured")
    release = make_release(folder)
    words = [release.folder, "--quick", "--json", folder / "a.json", "--markdown", folder / "a.md"]
    assert main(["bench", *map(str, words)]) == 0
    return folder / "a.json"


@pytest.fixture
def run(measured: Path) -> BenchResult:
    return load(measured)


# A run


def test_a_run_fills_every_row_of_the_table_of_goals(run: BenchResult) -> None:
    assert {claim.row for claim in run.findings.claims} == {1, 2, 3, 4, 5, 6, 7, 8}
    assert {t.group for t in run.findings.timings} == {
        "one row",
        "batch of 1,000",
        "hit in a pack of 1,000",
        "one row in a loop at full speed",
        "one row with a shadow",
    }
    assert all(0 < t.p50_us <= t.p90_us <= t.p99_us for t in run.findings.timings)
    assert run.findings.facts[RSS] > 10
    assert run.machine["onnxruntime"]


def test_the_raw_call_and_its_limit_stand_beside_the_device_with_as_many_calls(
    run: BenchResult,
) -> None:
    calls = {t.name: t.calls for t in run.findings.timings if t.group == ONE_ROW}
    assert list(calls) == [
        OURS,
        "session.run, default options",
        "session.run, one thread",
        "prebound IOBinding alone",
    ]
    assert len(set(calls.values())) == 1


def test_the_markdown_says_goal_result_and_whether_it_is_met(measured: Path) -> None:
    text = measured.with_name("a.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| 1 | one row, against")]
    assert len(lines) == 2
    assert all("≤" in line and line.endswith(("| yes |", "| **no** |")) for line in lines)
    assert "energy: not measured" in text or "energy of 1,000 predictions" in text


def test_the_file_holds_what_was_measured(run: BenchResult, tmp_path: Path) -> None:
    run.save(tmp_path / "b.json")
    assert load(tmp_path / "b.json") == run


def test_what_is_neither_release_nor_model_is_refused(tmp_path: Path, capsys: Capture) -> None:
    code, _, err = bench(capsys, tmp_path / "nothing.onnx")
    assert (code, "expected a release folder or an .onnx file" in err) == (1, True)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    code, _, err = bench(capsys, broken)
    assert (code, "onnxruntime cannot load it" in err) == (1, True)
    code, _, err = bench(capsys)
    assert (code, "or --compare" in err) == (1, True)


# The subject


def test_rows_of_row_one_miss_the_pack_and_those_of_row_four_hit_it(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    subject = Subject.prepare(release.folder, tmp_path, EdgeDevice.offline, entries=2_000)
    assert len(subject.inputs) >= 512
    assert len({x.tobytes() for x in subject.inputs}) == len(subject.inputs)
    with subject.device() as device:
        assert {device.predict(x).source for x in subject.inputs} == {"model"}
        hits = [feed["X"][0] for feed in subject.hits]
        assert {device.predict(x).source for x in hits} == {"pack"}


def test_the_limit_answers_what_the_raw_call_answers(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    subject = Subject.prepare(release.folder, tmp_path, EdgeDevice.offline, entries=10)
    limit, raw = subject.limit(), subject.raw(1)
    assert limit is not None
    binding = limit.inputs[7]
    limit.ask(binding)
    (probabilities,) = binding.copy_outputs_to_cpu()
    expected = raw.ask(raw.inputs[7])
    assert isinstance(expected, list)
    assert np.array_equal(probabilities, expected[1])


def test_a_bare_file_is_served_by_a_device_that_answers_as_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    path.write_bytes(onnx_bytes(0))
    release = release_around(path, tmp_path / "release")
    golden = release.golden()
    with EdgeDevice.offline(release.folder) as device:
        batch = device.predict_batch(golden.inputs["X"])
        assert np.array_equal(batch.labels, golden.outputs["label"])
        p = device.predict(golden.inputs["X"][3])
    assert p.label == golden.outputs["label"][3]
    assert release.manifest.signature.classes == tuple(range(CLASSES))


def test_a_bare_file_of_several_inputs_is_measured_with_feeds_and_held_to_budgets(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "two.onnx"
    _save_sum_of_two(path)
    words = ("--json", tmp_path / "two.json", "--max-p99-ms", 0, "--max-rss-mb", 1)
    code, out, err = bench(capsys, path, "--quick", *words)
    assert (code, "allowed 0 ms" in err, "allowed 1 MiB" in err) == (1, True, True)
    assert "no pack: its inputs have no keys" in out
    assert {c.row for c in load(tmp_path / "two.json").findings.claims} == {1, 2, 3, 5, 6, 7, 8}


def _save_sum_of_two(path: Path) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in ("a", "b")
    ]
    out = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "g", values, [out])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))


def test_a_file_whose_output_is_no_tensor_is_refused_with_advice(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    kind = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    out = helper.make_value_info("maps", helper.make_sequence_type_proto(kind))
    node = helper.make_node(
        "ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([node], "g", [x], [out])
    path = tmp_path / "maps.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    with pytest.raises(BenchError, match="exported without it"):
        release_around(path, tmp_path / "release")


def test_real_rows_are_taken_where_they_are_given(tmp_path: Path) -> None:
    path, table = tmp_path / "bare.onnx", tmp_path / "rows.npy"
    path.write_bytes(onnx_bytes(0))
    x = np.random.default_rng(0).uniform(100, 200, (40, FEATURES))
    np.save(table, x)
    subject = Subject.prepare(path, tmp_path, EdgeDevice.offline, entries=10, rows=table)
    values = np.array(subject.inputs)
    assert values.dtype == np.float32
    assert 100 <= values.min() <= values.max() <= 200
    np.savez(tmp_path / "wrong.npz", Y=x)
    with pytest.raises(BenchError, match=r"the inputs \['X'\], \['X'\] are missing"):
        Subject.prepare(
            path, tmp_path / "other", EdgeDevice.offline, entries=10, rows=tmp_path / "wrong.npz"
        )


@given(st.integers(1, 6), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_mixed_rows_hold_only_values_that_occur_at_their_place(
    rows: int, count: int, seed: int
) -> None:
    x = np.random.default_rng(seed).integers(0, 9, (rows, 3)).astype(np.float32)
    words = np.array([["a"], ["bb"]] * rows, dtype=object)[:rows]
    found = mixed({"x": x, "words": words}, count)
    assert len(found["x"]) == len(found["words"]) == count
    for column in range(3):
        assert set(found["x"][:, column]) <= set(x[:, column])
    assert set(found["words"][:, 0]) <= set(words[:, 0])


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_different_rows_differ_even_where_the_given_ones_repeat(
    rows: int, count: int, seed: int
) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (rows, 8)).astype(np.float32)
    found = different({"x": np.concatenate([x, x])}, count)["x"]
    assert 1 <= len(found) <= count
    assert len({row.tobytes() for row in found}) == len(found)


def test_of_pictures_there_are_as_many_rows_as_memory_allows() -> None:
    pictures = np.zeros((3, 260, 300, 3), np.uint8)
    assert affordable({"picture": pictures}) == 127
    assert affordable({"X": np.zeros((3, 30), np.float32)}) > 100_000
    pictures[1:] = [[[[1]]], [[[2]]]]
    assert len(different({"picture": pictures}, 1_024)["picture"]) == 63


# Taking turns


def test_candidates_take_turns_and_each_begins_a_round() -> None:
    order: list[str] = []
    names = ("a", "b", "c")
    candidates = [Candidate(name, order.append, [name]) for name in names]
    found = interleave("g", candidates, rounds=3, calls=10)
    turns = [order[i] for i in range(0, len(order), 11)]  # ten calls and one to warm up
    assert turns == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert {t.name: t.calls for t in found.timings} == dict.fromkeys(names, 30)


def test_no_two_calls_in_a_row_get_the_same_input() -> None:
    seen: list[int] = []
    candidate = Candidate("a", seen.append, range(5))
    candidate.turn(12)
    candidate.turn(12)
    assert all(a != b for a, b in pairwise(seen))


def test_a_ratio_is_taken_within_rounds_so_a_change_of_pace_does_not_show() -> None:
    pace = np.array([1.0, 1.0, 2.0, 2.0, 2.0])[:, None] * np.ones(3)
    rounds = Rounds("g", {"ours": 3 * pace, "peer": 4 * pace}, calls=1)
    assert rounds.ratio("ours", "peer") == pytest.approx(0.75)


def test_threads_ask_all_the_inputs_between_them_and_an_error_reaches_the_caller() -> None:
    seen: set[int] = set()
    assert throughput(Candidate("a", seen.add, range(64)), seconds=0.05) > 0
    assert seen == set(range(64))

    def fail(x: object) -> object:
        raise ValueError(f"no {x}")

    with pytest.raises(ValueError, match="no "):
        throughput(Candidate("b", fail, range(THREADS)), seconds=0.01)


# Goals and budgets


def example(
    p99_us: float = 2_000.0, facts: dict[str, float] | None = None, name: str = OURS
) -> BenchResult:
    timing = Timing(ONE_ROW, name, 10.0, 20.0, p99_us, 100)
    claims = (GoalRow.of(HIT, 3.5), GoalRow.of(SQLITE, 2.0))
    found = Findings((timing,), claims, facts or {})
    return BenchResult("model", found, {"cpu": "A", "numpy": "2"}, {})


def test_a_goal_is_met_at_its_limit_from_the_right_side() -> None:
    assert GoalRow.of(HIT, 4.0).met is True
    assert GoalRow.of(HIT, 4.1).met is False
    assert GoalRow.of(SQLITE, 3.0).met is True
    assert GoalRow.of(SQLITE, 2.9).met is False
    assert GoalRow(1, "shown", 5.0, "x").met is None


@pytest.mark.parametrize(
    ("p99_ms", "rss_mb", "expected"),
    [
        (None, None, []),
        (2.0, 80.0, []),
        (1.9, None, ["p99 of one row is 2 ms, allowed 1.9 ms"]),
        (None, 79.0, ["memory of a serving process is 80 MiB, allowed 79 MiB"]),
    ],
)
def test_a_budget_is_broken_by_what_exceeds_it(
    p99_ms: float | None, rss_mb: float | None, expected: list[str]
) -> None:
    assert breaches(example(facts={RSS: 80.0}), p99_ms, rss_mb) == expected


def test_a_budget_that_cannot_be_judged_is_broken() -> None:
    nothing_known = example(name="another")
    found = breaches(nothing_known, 1e9, 1e9)
    assert [("cannot be judged" in text) for text in found] == [True, True]
    assert breaches(nothing_known) == []


# Comparing


def test_a_run_compared_with_itself_has_ratios_of_one_and_no_warning(
    measured: Path, capsys: Capture
) -> None:
    code, out, _ = bench(capsys, "--compare", measured, measured)
    assert code == 0
    assert "Warning" not in out
    ratios = {line.split("|")[-2].strip() for line in out.splitlines() if line.startswith("| ")}
    assert ratios - {"ratio", ""} == {"1.000"}


def test_a_slower_run_shows_its_ratio_and_another_machine_a_warning() -> None:
    before, after = example(), example(p99_us=3_000.0)
    after = replace(after, machine={"cpu": "B", "numpy": "2"})
    found = compare(before, after)
    ratios = {row.what: row.ratio for row in found.ratios}
    assert ratios["one row, EdgeDevice, p99"] == pytest.approx(1.5)
    assert ratios["one row, EdgeDevice, p50"] == pytest.approx(1.0)
    assert found.warnings == ("the machines differ in cpu: A and B",)
    assert to_markdown(found).startswith("> **Warning**: the machines differ in cpu: A and B")


def test_runs_of_different_things_are_not_compared() -> None:
    other = replace(example(name="another"), findings=Findings())
    with pytest.raises(BenchError, match="no row in common"):
        compare(example(), other)
    found = compare(example(), example(facts={RSS: 1.0}))
    assert found.only == (RSS,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": 1}', f"expected benchmark format {BENCH_FORMAT}, got 1"),
        (b'{"rows": []}', f"expected benchmark format {BENCH_FORMAT}, got None"),
        (b"[]", "expected the JSON of a benchmark"),
        (b"{", "expected the JSON of a benchmark"),
        (json.dumps({"format": BENCH_FORMAT}).encode(), "the field is missing"),
    ],
)
def test_a_file_of_another_format_is_refused(
    content: bytes, message: str, measured: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(content)
    code, _, err = bench(capsys, "--compare", measured, other)
    assert (code, message in err, str(other) in err) == (1, True, True)


# Pictures


class _References(HTMLParser):
    """What a page would fetch, and the words that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v or "" for n, v in attrs if n in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_html_stands_alone_and_shows_every_latency(run: BenchResult) -> None:
    page = _References()
    page.feed(to_html(replace(run, target="<model>")))
    assert page.fetched == []
    assert "<model>" in page.text
    for timing in run.findings.timings:
        assert f"{timing.p50_us:,.2f} / {timing.p99_us:,.2f}" in page.text


def test_a_bitmap_is_drawn_where_matplotlib_is_installed(run: BenchResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib: the extra [plot]")
    write_plot(run, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_without_latencies_is_drawn_too(run: BenchResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib: the extra [plot]")
    write_plot(replace(run, findings=Findings()), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_html_is_drawn_and_a_bitmap_refused_with_advice(
    run: BenchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    write_plot(run, tmp_path / "a.html")
    with pytest.raises(BenchError, match=r"or ask for \.html"):
        write_plot(run, tmp_path / "a.png")
    with pytest.raises(BenchError, match=r"expected a plot as \.html"):
        write_plot(run, tmp_path / "a.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


# The machine


def test_energy_is_measured_where_counters_are_and_a_note_says_where_not(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    subject = Subject.prepare(release.folder, tmp_path, EdgeDevice.offline, entries=10)
    if find_meter() is None:
        assert "energy: not measured, no meter" in energy.measure(subject, QUICK).notes[0]
    still = find_meter(powercap(tmp_path / "powercap", package=10), tmp_path)
    found = energy.measure(subject, QUICK, still)
    assert list(found.facts.values()) == [0.0, 0.0, 0.0]

    def broken() -> float:
        raise OSError("no such device")

    assert "the meter failed: no such device" in energy.measure(subject, QUICK, broken).notes[0]


def test_joules_are_what_the_counters_gained_for_a_thousand_calls(tmp_path: Path) -> None:
    root = powercap(tmp_path, package=10)
    path, meter = root / "intel-rapl:0" / "energy_uj", find_meter(root, tmp_path)
    assert meter is not None

    def ask(x: object) -> object:
        return path.write_text(str(int(path.read_text()) + 3))

    assert energy.joules(Candidate("a", ask, [0]), 0.01, meter) == pytest.approx(3e-3)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("throttled=0x0", "none"),
        ("throttled=0x50005", "under-voltage now, throttled now, under-voltage since boot, "
         "throttled since boot"),
        ("80000", "soft temperature limit since boot"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_firmwares_word_on_throttling_is_told(word: str, expected: str) -> None:
    assert machine.firmware_throttling(word) == expected


def test_a_raspberry_pi_tells_board_clock_temperature_and_throttling(tmp_path: Path) -> None:
    files = {
        "proc/device-tree/model": "Raspberry Pi 4 Model B\0",
        "proc/cpuinfo": "processor\t: 0\nModel\t\t: Raspberry Pi 4 Model B\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/thermal/thermal_zone0/temp": "61835\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "20000\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    facts, conditions = machine.facts(tmp_path), machine.conditions(tmp_path)
    assert (facts["board"], facts["governor"]) == ("Raspberry Pi 4 Model B", "ondemand")
    assert conditions == {"MHz": "1500", "°C": "61.8", "throttling": "frequency capped since boot"}
