"""edge-convert: exit codes, what goes where, and verification with the device's runtime alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import joblib
import numpy as np
import pandas
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from converters import ConversionError, convert
from converters.cli import output
from converters.cli.main import main
from converters.cli.row_files import read_rows
from converters.estimators.model_file import load
from edge_sdk.cli.logs import configure_logging
from edge_sdk.contract.manifest import CERTIFICATE, GOLDEN, MANIFEST, MODEL, PROFILE, Budget
from edge_sdk.model.release import Release, write_release
from tests.converters import builders
from tests.edge.builders import onnx_bytes, rows
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    X, y = builders.data_of("voting")
    out = tmp_path_factory.mktemp("cli") / "r"
    return convert(builders.model("voting"), X, y, name="iris", out=out)


@pytest.fixture
def files(tmp_path):
    X, y = builders.iris()
    joblib.dump(builders.model("voting"), tmp_path / "iris.joblib")
    np.savez(tmp_path / "held.npz", X=X, y=y)
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(0))
    np.savez(tmp_path / "rows.npz", X=rows(20))
    table = builders.measurements().assign(kind=y)
    table.to_csv(tmp_path / "held.csv", index=False)
    return tmp_path


def arguments(files, model="iris.joblib", data="held.npz"):
    return [str(files / model), "--data", str(files / data), "--name", "m", "--out"]


def test_convert_prints_the_table_on_stdout_and_its_log_on_stderr(files, capsys):
    out = str(files / "r")
    assert main(["--log-level", "info", *arguments(files), out, "--trust"]) == 0
    shown = capsys.readouterr()
    assert "| float32 |" in shown.out
    assert f"converting {files / 'iris.joblib'}" in shown.err
    assert Release.open(out).manifest.model == "m"


def converted(tmp_path, *options):
    X, y = builders.data_of("scaler and MLP")
    joblib.dump(builders.model("scaler and MLP"), tmp_path / "m.joblib")
    np.savez(tmp_path / "d.npz", X=X, y=y)
    out = str(tmp_path / "r")
    return main([*options, *arguments(tmp_path, "m.joblib", "d.npz"), out, "--trust"])


def test_convert_is_silent_where_nobody_watches(tmp_path, capfd):
    assert converted(tmp_path) == 0
    assert capfd.readouterr().err == ""


RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d INFO converters[\w.]*: .+")


def test_convert_writes_nothing_but_its_own_log(tmp_path, capfd):
    assert converted(tmp_path, "--log-level", "info") == 0
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert [line for line in lines if not RECORD.fullmatch(line)] == []


def test_log_lines_can_be_json_with_local_times(tmp_path, capfd):
    assert converted(tmp_path, "--log-level", "info", "--log-format", "json") == 0
    entries = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert entries[0]["message"].startswith("converting ")
    assert {(entry["level"], entry["logger"].split(".")[0]) for entry in entries} == {
        ("INFO", "converters")
    }
    assert datetime.fromisoformat(entries[0]["time"]).tzinfo is not None


def test_on_a_terminal_steps_are_shown_and_tables_drawn(release, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    configure_logging("warning", "text", ("converters", "edge_sdk"))
    output.print_certificate(release, as_json=False)
    with output.progress() as report:
        report("exporting [float32]")
    shown = capsys.readouterr()
    assert "|---" not in shown.out
    assert "float32" in shown.out
    assert "exporting [float32]" in shown.err


def test_the_word_convert_may_be_left_out_or_said(files):
    assert main(["convert", *arguments(files, "m.onnx", "rows.npz"), str(files / "a")]) == 0
    assert main([*arguments(files, "m.onnx", "rows.npz"), str(files / "b")]) == 0


def test_options_reach_the_manifest(files):
    options = ["--version", "1.1", "--parent", "1.0", "--licence", "MIT", "--p99-ms", "50"]
    out = files / "r"
    model = arguments(files, "m.onnx", "rows.npz")
    assert main([*model, str(out), *options, "--variants", "float32"]) == 0
    manifest = Release.open(out).manifest
    assert (manifest.version, manifest.licence) == ("1.1", "MIT")
    assert (manifest.lineage.parent, manifest.lineage.mode) == ("1.0", "stateful")
    assert manifest.budget == Budget(p99_ms=50.0)


def test_a_cascade_is_calibrated_against_a_release(files, release, capsys):
    against = ["--calibrate-against", str(release.folder)]
    assert main([*arguments(files), str(files / "r"), "--trust", *against]) == 0
    training = Release.open(files / "r").manifest.training
    assert "cascade" in training  # 150 rows certify nothing
    assert "not useful" in capsys.readouterr().out


def test_a_column_of_a_table_holds_the_labels(files, capsys):
    joblib.dump(builders.model("names"), files / "named.joblib")
    model = arguments(files, "named.joblib", "held.csv")
    assert main([*model, str(files / "r"), "--trust", "--label", "kind"]) == 0
    assert "score" in Release.open(files / "r").manifest.metrics


def test_what_a_table_is_its_first_bytes_say_and_its_texts_stay_texts(tmp_path):
    frame = pandas.DataFrame({"zip": ["01067", "80331"], "country": ["NA", None], "n": [1.5, None]})
    frame.to_csv(tmp_path / "rows.txt", index=False)
    frame.to_parquet(tmp_path / "rows.dat")
    for name in ("rows.txt", "rows.dat"):
        read = read_rows(tmp_path / name, None, []).X
        assert read["zip"].tolist() == ["01067", "80331"]
        assert read["country"].isna().tolist() == [False, True]
        assert read["country"][0] == "NA"
        assert read["n"].isna().tolist() == [False, True]
    with pytest.raises(ConversionError, match=r"none\.csv: cannot be read; No such file"):
        read_rows(tmp_path / "none.csv", None, [])


def test_a_skops_file_of_a_model_of_texts_needs_no_trust(tmp_path):
    texts = pandas.DataFrame({"city": np.array(["Bern", "Ulm"] * 20, dtype=object)})
    fitted = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(texts, [0, 1] * 20)
    (tmp_path / "texts.skops").write_bytes(skops.io.dumps(fitted))
    assert load(tmp_path / "texts.skops").predict(texts[:2]).tolist() == [0, 1]


REFUSED = {
    "a pickle that is not trusted": (["iris.joblib", "held.npz"], [], "--trust"),
    "a model that is not there": (["none.onnx", "held.npz"], [], "no such file"),
    "data that are not there": (["m.onnx", "none.npz"], [], "none.npz"),
    "data that are no archive": (["m.onnx", "m.onnx"], [], "expected an .npz"),
    "a column that is not in the table": (["m.onnx", "held.csv"], ["--label", "z"], "'z'"),
    "labels that are not in the archive": (["m.onnx", "rows.npz"], ["--label", "z"], "'z'"),
    "no variant": (["iris.joblib", "held.npz"], ["--trust", "--variants", ""], "variants: "),
    "a budget of nothing": (["iris.joblib", "held.npz"], ["--trust", "--budget", ""], "budget: "),
    "a parent that came later": (["m.onnx", "rows.npz"], ["--parent", "2.0"], "before 1.0, got"),
    "an unknown variant": (["iris.joblib", "held.npz"], ["--trust", "--variants", "x"], "'x'"),
    "a parent that is no version": (["m.onnx", "rows.npz"], ["--parent", "9.x"], "'9.x'"),
    "a budget of no time": (["m.onnx", "rows.npz"], ["--p99-ms", "-3"], "p99_ms"),
    "a budget of no number": (["m.onnx", "rows.npz"], ["--rss-mb", "nan"], "rss_mb"),
    "a cloud model that is not there": (
        ["iris.joblib", "held.npz"],
        ["--trust", "--calibrate-against", "nowhere"],
        "nowhere",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_exit_code_1_and_one_sentence(case, files, capsys):
    names, options, reason = REFUSED[case]
    assert main([*arguments(files, *names), str(files / "r"), *options]) == 1
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert last.startswith("edge-convert: ")
    assert reason in last
    assert not (files / "r").exists()


UNWRITABLE = {
    "a release in a file": (["--out", "held.npz/r"], "held.npz/r: cannot be written; Not a dir"),
    "a release that is there": (["--out", "there"], "there: exists already"),
    "a picture in a folder that is not there": (["--plot", "no/p.png"], "No such file"),
    "a picture where a folder is": (["--plot", "there.png"], "there.png: cannot be written; Is a"),
    "a picture of another kind": (["--plot", "p.doc"], "p.doc: expected a name that ends in .png"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_written_is_refused_before_the_work(case, files, capsys, monkeypatch):
    options, reason = UNWRITABLE[case]
    for name in ("there", "there.png"):
        (files / name).mkdir()
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    assert main([*arguments(files, "m.onnx", "rows.npz"), "r", *options]) == 1
    message = capsys.readouterr().err
    assert message.startswith("edge-convert: ")
    assert message.count("\n") == 1  # before any step of the work
    assert reason in message
    assert sorted(files.iterdir()) == before


def test_a_picture_is_drawn_where_it_is_wanted(files):
    for name in ("p.png", "p.svg"):
        model = arguments(files, "m.onnx", "rows.npz")
        assert main([*model, str(files / name[2:]), "--plot", str(files / name)]) == 0
    assert (files / "p.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (files / "p.svg").read_bytes()


def test_a_model_out_of_parity_is_refused_with_its_worst_rows(tmp_path, capsys):
    from sklearn.neighbors import KNeighborsRegressor

    grid = np.random.default_rng(0).integers(0, 3, (200, 4))  # which of equals is up to a heap
    joblib.dump(KNeighborsRegressor(3).fit(grid, np.arange(200.0)), tmp_path / "f.pkl")
    np.savez(tmp_path / "d.npz", X=grid, y=np.arange(200.0))
    assert main([*arguments(tmp_path, "f.pkl", "d.npz"), str(tmp_path / "r"), "--trust"]) == 1
    assert "worst rows" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["verify"], ["model.onnx"], ["--nonsense"]])
def test_wrong_usage_is_exit_code_2(argv, capsys):
    assert main(argv) == 2
    assert "usage" in capsys.readouterr().err


def test_help_is_exit_code_0(capsys):
    assert main(["--help"]) == 0
    assert "verify" in capsys.readouterr().out


def test_verify_agrees_with_a_whole_release(release, capsys):
    assert main(["verify", str(release.folder), "--digest", release.digest]) == 0
    assert release.digest in capsys.readouterr().out


LIES = {
    "another file's size": (
        lambda c: replace(c, variants=(replace(c.variants[0], bytes=1),)),
        "1 bytes",
    ),
    "another choice": (lambda c: replace(c, chosen="int8-storage"), "chose 'int8-storage'"),
    "another score": (
        lambda c: replace(c, variants=(replace(c.variants[0], score=1.0),)),
        "score is 1.0",
    ),
    "a file that was refused": (
        lambda c: replace(c, variants=(replace(c.variants[0], accepted=False, reason="flips"),)),
        "is refused: flips",
    ),
}


@pytest.mark.parametrize("case", LIES)
def test_verify_finds_a_certificate_with(case, release, tmp_path, capsys):
    """The manifest names the lie by its digest, as one who signs a wrong certificate would."""
    lie, reason = LIES[case]
    names = (MODEL, PROFILE, GOLDEN)
    files = {name: (release.folder / name).read_bytes() for name in names}
    files[CERTIFICATE] = lie(release.certificate()).to_json()
    write_release(tmp_path / "r", release.manifest, files)
    assert main(["verify", str(tmp_path / "r")]) == 1
    assert reason in capsys.readouterr().err


def test_verify_shows_this_machine_beside_the_one_that_certified(release, capsys):
    assert main(["verify", str(release.folder)]) == 0
    shown = capsys.readouterr().out
    assert "| | here | certified |" in shown
    assert "made with" in shown


@pytest.mark.parametrize("name", [MODEL, PROFILE, GOLDEN, CERTIFICATE])
def test_verify_finds_a_flipped_bit_in(name, release, tmp_path, capsys):
    folder = shutil.copytree(release.folder, tmp_path / "r")
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    assert main(["verify", str(folder)]) == 1
    assert f"{name}: expected SHA-256" in capsys.readouterr().err


def test_verify_finds_a_flipped_bit_anywhere_in_the_manifest_by_its_digest(release, tmp_path):
    folder = shutil.copytree(release.folder, tmp_path / "r")
    raw = (folder / MANIFEST).read_bytes()
    for place in range(0, len(raw), max(1, len(raw) // 40)):
        flipped = bytearray(raw)
        flipped[place] ^= 1
        (folder / MANIFEST).write_bytes(flipped)
        assert main(["verify", str(folder), "--digest", release.digest]) == 1


@pytest.mark.parametrize("name", [MANIFEST, MODEL, PROFILE, GOLDEN, CERTIFICATE])
def test_verify_finds_that_a_file_is_missing(name, release, tmp_path, capsys):
    folder = shutil.copytree(release.folder, tmp_path / "r")
    (folder / name).unlink()
    assert main(["verify", str(folder)]) == 1
    assert name in capsys.readouterr().err


def test_every_command_prints_json_for_programs(files, release, capsys):
    model = arguments(files, "m.onnx", "rows.npz")
    assert main([*model, str(files / "r"), "--json"]) == 0
    converted = json.loads(capsys.readouterr().out)
    assert converted["digest"] == Release.open(files / "r").digest
    assert main(["show", str(files / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == converted
    assert main(["verify", str(release.folder), "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert (verified["ok"], verified["digest"]) == (True, release.digest)
    assert set(verified["here"]) == set(verified["certified"])


def test_a_word_that_is_nearly_a_command_is_no_model(capsys):
    assert main(["verfy", "r"]) == 2
    assert "Did you mean 'verify'?" in capsys.readouterr().err


def test_help_tells_exit_codes_and_an_example(capsys):
    for command in ("convert", "verify", "show"):
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Exit codes: 0 done" in shown
        assert f"Example: edge-convert {command}" in shown


def test_show_prints_the_certificate(release, capsys):
    assert main(["show", str(release.folder)]) == 0
    shown = capsys.readouterr().out
    assert "iris 1.0 (classification), 150 check rows, chosen: float32" in shown


DEVICE_ONLY = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"onnx", "sklearn", "skl2onnx", "scipy", "pandas", "joblib"}:
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
from converters.cli.main import main
sys.exit(main(["verify", sys.argv[1]]) or main(["show", sys.argv[1]]))
"""


def test_verify_and_show_need_only_the_devices_packages(release):
    command = [sys.executable, "-c", DEVICE_ONLY, str(release.folder)]
    subprocess.run(
        command, cwd=Path(__file__).parents[3], check=True, capture_output=True, timeout=PATIENCE
    )


LIGHT = """
import sys, converters, converters.cli.main
try:
    converters.cli.main.main(["--help"])
finally:
    heavy = {"onnx", "onnxruntime", "sklearn", "skl2onnx", "scipy", "numpy"} & set(sys.modules)
    assert not heavy, heavy
"""


def test_importing_the_package_and_its_help_load_nothing_heavy():
    command = [sys.executable, "-c", LIGHT]
    subprocess.run(
        command, cwd=Path(__file__).parents[3], check=True, capture_output=True, timeout=PATIENCE
    )


@pytest.mark.parametrize(
    ("labels", "expected"), [("0,1,2", (0, 1, 2)), ("a, b,c", ("a", "b", "c"))]
)
def test_the_labels_of_an_onnx_file_are_given_by_comma(files, labels, expected):
    out = str(files / "r")
    assert main([*arguments(files, "m.onnx", "rows.npz"), out, "--classes", labels]) == 0
    assert Release.open(out).manifest.signature.classes == expected


@pytest.mark.parametrize("output", ["probabilities", "probabilities=probabilities,label=values"])
def test_the_meaning_of_an_output_is_declared(files, output):
    out = str(files / "r")
    assert main([*arguments(files, "m.onnx", "rows.npz"), out, "--output", output]) == 0
    assert Release.open(out).manifest.task == "classification"


def test_an_output_that_is_none_is_refused(files, capsys):
    argv = [*arguments(files, "m.onnx", "rows.npz"), str(files / "r"), "--output", "z=logits"]
    assert main(argv) == 1
    assert "output: expected names of outputs" in capsys.readouterr().err


def test_the_kind_of_an_input_and_its_embedding_are_declared(files):
    np.savez(files / "many.npz", X=rows(40))
    argv = [*arguments(files, "m.onnx", "many.npz"), str(files / "r"), "--kind", "X=tensor"]
    assert main([*argv, "--embedding", "scores", "--output", "probabilities"]) == 0
    profile = Release.open(files / "r").profile()
    assert [tensor.kind for tensor in profile.watched] == ["tensor"]
    assert profile.embedding is not None
    assert profile.embedding.output == "scores"


@pytest.mark.parametrize(
    ("kind", "said"), [("X", "--kind: expected INPUT=KIND"), ("X=film", "kinds: X: expected one")]
)
def test_a_kind_that_is_none_is_refused(files, capsys, kind, said):
    argv = [*arguments(files, "m.onnx", "rows.npz"), str(files / "r"), "--kind", kind]
    assert main(argv) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["", "a,,b", "1,1,2"])
def test_labels_that_are_none_are_refused(files, capsys, labels):
    argv = [*arguments(files, "m.onnx", "rows.npz"), str(files / "r"), "--classes", labels]
    assert main(argv) == 1
    assert "--classes: expected different labels by comma" in capsys.readouterr().err


def test_without_its_packages_convert_names_the_extra_that_brings_them():
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from converters import ConversionError, convert\n"
        "try:\n    convert(object(), [[1.0]], name='m', out='r')\n"
        "except ConversionError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    expected = 'sklearn is not installed: pip install "edge-deployment-sdk[convert]"'
    assert done.stdout.strip() == expected


def test_seconds_bound_the_search_and_the_certificate_says_so(files, capsys):
    out = files / "r"
    rest = ["--trust", "--variants", "float16-storage", "--seconds", "0.001"]
    assert main([*arguments(files), str(out), *rest]) == 0
    certificate = Release.open(out).certificate()
    assert [variant.name for variant in certificate.variants] == ["float32"]
    assert certificate.not_chosen == {"float16-storage": "not tried: 0.001 seconds were over"}


@pytest.mark.parametrize(("seconds", "code"), [("-1", 1), ("nan", 1), ("soon", 2)])
def test_seconds_that_are_no_time_are_refused(files, capsys, seconds, code):
    out = files / "r"
    assert main([*arguments(files), str(out), "--trust", "--seconds", seconds]) == code
    assert "seconds" in capsys.readouterr().err
    assert not out.exists()
