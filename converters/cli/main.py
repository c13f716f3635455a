"""``edge-convert``: convert a model, verify a release, show its certificate."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge_sdk.cli.console import add_version, may_be_piped, part_of

COMMANDS: Final = ("convert", "verify", "show")


@may_be_piped
@part_of("convert", "edge-convert")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 is done, 1 refused, 2 wrong usage.

    ``edge-convert MODEL ...`` is short for ``edge-convert convert MODEL ...``.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if given and given[0] not in COMMANDS and not given[0].startswith("-"):
        given.insert(0, "convert")
    try:
        arguments = _parser().parse_args(given)
    except SystemExit as stop:
        return int(stop.code or 0)
    from converters.errors import ConversionError
    from edge_sdk.errors import EdgeError

    try:
        code: int = arguments.run(arguments)
    except (ConversionError, EdgeError) as error:
        print(f"edge-convert: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-convert", description="Turn a trained model into a small, certified release."
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_convert(commands.add_parser("convert", help="convert a model file into a release folder"))
    verify = commands.add_parser("verify", help="re-check a release with the device's runtime")
    verify.add_argument("release", type=Path, help="a release folder")
    verify.add_argument("--digest", help="SHA-256 that its manifest must have: the release's name")
    verify.set_defaults(run=_verify)
    show = commands.add_parser("show", help="print the certificate of a release")
    show.add_argument("release", type=Path, help="a release folder")
    show.set_defaults(run=_show)
    return parser


def _add_convert(make: argparse.ArgumentParser) -> None:
    make.add_argument("model", type=Path, help="an .onnx, .pkl, .joblib or .skops file")
    make.add_argument(
        "--data", type=Path, required=True, help="held-out rows: .npz (X, y), .csv or .parquet"
    )
    make.add_argument("--label", help="column of a table that holds the labels (default y)")
    make.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="COLUMN[:CUTS]",
        help="column by which rows are told apart, once for each: sex, or age:30,60",
    )
    make.add_argument(
        "--classes", help="labels of an .onnx file in the order of its probabilities, by comma"
    )
    make.add_argument("--name", required=True, help="name of the model")
    make.add_argument("--version", default="1.0", help="MAJOR.MINOR (default 1.0)")
    make.add_argument("--parent", help="version that this one continues (stateful training)")
    make.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    make.add_argument("--variants", help="files to try, by comma, or all (default: the usual)")
    make.add_argument(
        "--budget",
        help="what the file may cost: 'size<=200KB p99<=50us flips<=0.1%% accuracy-drop<=0.2%%'",
    )
    make.add_argument("--target", help="where it must run: any, pi4, pi3, jetson, laptop, legacy")
    make.add_argument("--plot", type=Path, help="picture of the variants to write, a .png or .svg")
    make.add_argument("--calibrate-against", type=Path, help="release of the cloud model")
    make.add_argument(
        "--cascade-metric",
        choices=("max_probability", "margin", "entropy"),
        default="max_probability",
        help="how sure an answer is (default max_probability)",
    )
    make.add_argument(
        "--cascade-disagreement",
        type=float,
        default=0.02,
        help="certified share of answers that stand and differ from the cloud's (default 0.02)",
    )
    make.add_argument("--p99-ms", type=float, help="budget: p99 of one row on a device, in ms")
    make.add_argument("--rss-mb", type=float, help="budget: memory of the process, in MiB")
    make.add_argument("--licence", help="of the model, as an SPDX identifier")
    make.add_argument("--trust", action="store_true", help="allow loading a pickle (it runs code)")
    make.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> int:
    from converters.certification.report import certificate_table, check_plot, write_plot
    from converters.conversion import convert

    if arguments.plot is not None:
        check_plot(arguments.plot)
    X, y, groups = _read(arguments.data, arguments.label, arguments.group)
    release = convert(
        arguments.model,
        X,
        y,
        name=arguments.name,
        out=arguments.out,
        version=arguments.version,
        licence=arguments.licence,
        trust=arguments.trust,
        groups=groups,
        budget=arguments.budget,
        target=arguments.target,
        progress=lambda message: print(message, file=sys.stderr),
        **_choices(arguments),
    )
    print(certificate_table(release))
    if arguments.plot is not None:
        write_plot(release.certificate(), arguments.plot)
    return 0


def _choices(arguments: argparse.Namespace) -> dict[str, Any]:
    """Arguments of ``convert`` for the options that were given."""
    from converters.release_spec import CascadeTarget
    from edge_sdk.contract.manifest import Budget
    from edge_sdk.model.release import Release

    choices: dict[str, Any] = {
        "device_budget": Budget(arguments.p99_ms, arguments.rss_mb),
        "cascade": CascadeTarget(arguments.cascade_metric, arguments.cascade_disagreement),
    }
    if arguments.classes is not None:
        choices["classes"] = _labels(arguments.classes)
    if arguments.variants is not None:
        choices["variants"] = _variants(arguments.variants)
    if arguments.calibrate_against is not None:
        choices["calibrate_against"] = Release.open(arguments.calibrate_against)
    if arguments.parent is not None:
        choices |= {"parent": arguments.parent, "mode": "stateful"}
    return choices


def _labels(text: str) -> list[Any]:
    """Labels by comma: whole numbers if all of them are, else texts."""
    from converters.errors import ConversionError

    labels = [label.strip() for label in text.split(",")]
    if "" in labels or len(set(labels)) < len(labels):
        raise ConversionError(f"--classes: expected different labels by comma, got {text!r}")
    try:
        return [int(label) for label in labels]
    except ValueError:
        return labels


def _variants(text: str) -> list[str]:
    from converters.quantization.variants import VARIANTS

    return list(VARIANTS) if text == "all" else text.split(",")


def _read(path: Path, label: str | None, groups: list[str]) -> tuple[Any, Any, Any]:
    """Rows, labels (``None`` if the file has none) and groups as ``convert`` takes them."""
    from converters.errors import ConversionError

    if path.suffix == ".npz":
        return _read_arrays(path, label, groups)
    frame = _read_table(path)
    if label is not None and label not in frame.columns:
        known = list(frame.columns)[:10]
        raise ConversionError(f"{path}: no column {label!r} (--label) among {known}")
    labels = frame.pop(label or "y").to_numpy() if (label or "y") in frame.columns else None
    return frame, labels, groups


def _read_table(path: Path) -> Any:
    from converters.errors import ConversionError

    try:
        import pandas
    except ImportError as error:
        raise ConversionError(f"{path}: reading tables needs pandas; pip install pandas") from error
    try:
        return pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
    except ImportError as error:
        raise ConversionError(f"{path}: reading this needs pyarrow; pip install pyarrow") from error
    except (OSError, ValueError, KeyError) as error:
        raise ConversionError(
            f"{path}: expected an .npz with X (and y), or a .csv or .parquet table; {_why(error)}"
        ) from error


def _read_arrays(path: Path, label: str | None, groups: list[str]) -> tuple[Any, Any, Any]:
    import numpy as np

    from converters.errors import ConversionError

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConversionError(
            f"{path}: expected an .npz with X (and y), without pickled objects; {_why(error)}"
        ) from error
    for needed in ("X", label or "X"):
        if needed not in arrays:
            raise ConversionError(f"{path}: no array {needed!r} among {sorted(arrays)[:10]}")
    names = {spec: spec if spec in arrays else spec.rpartition(":")[0] for spec in groups}
    apart = {spec: arrays.get(name) for spec, name in names.items()}
    return arrays["X"], arrays.get(label or "y"), apart


def _why(error: Exception) -> str:
    """What went wrong, without the number and the name that the system adds."""
    told = error.strerror if isinstance(error, OSError) else None
    return told or str(error)


def _verify(arguments: argparse.Namespace) -> int:
    from converters.certification.verify import verified
    from edge_sdk.errors import ReleaseError
    from edge_sdk.model.release import Release

    release = Release.open(arguments.release)
    if arguments.digest not in (None, release.digest):
        raise ReleaseError(
            f"{arguments.release}: expected the release {arguments.digest}, found {release.digest}"
        )
    print(verified(release))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from converters.certification.report import certificate_table
    from edge_sdk.model.release import Release

    print(certificate_table(Release.open(arguments.release)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
