"""``edge-convert``: convert a model, verify a release, show its certificate."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

COMMANDS: Final = ("convert", "verify", "show")


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
    make.add_argument("--target", help="column of a table that holds the labels (default y)")
    make.add_argument("--name", required=True, help="name of the model")
    make.add_argument("--version", default="1.0", help="MAJOR.MINOR (default 1.0)")
    make.add_argument("--parent", help="version that this one continues (stateful training)")
    make.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    make.add_argument("--variants", help="files to try, by comma (default: all that there are)")
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
    from converters.conversion import convert
    from converters.report import certificate_table

    X, y = _read(arguments.data, arguments.target)
    release = convert(
        arguments.model,
        X,
        y,
        name=arguments.name,
        out=arguments.out,
        version=arguments.version,
        licence=arguments.licence,
        trust=arguments.trust,
        progress=lambda message: print(message, file=sys.stderr),
        **_choices(arguments),
    )
    print(certificate_table(release))
    return 0


def _choices(arguments: argparse.Namespace) -> dict[str, Any]:
    """Arguments of ``convert`` for the options that were given."""
    from converters.wish import CascadeTarget
    from edge_sdk.contract.manifest import Budget
    from edge_sdk.release import Release

    choices: dict[str, Any] = {
        "budget": Budget(arguments.p99_ms, arguments.rss_mb),
        "cascade": CascadeTarget(arguments.cascade_metric, arguments.cascade_disagreement),
    }
    if arguments.variants:
        choices["variants"] = arguments.variants.split(",")
    if arguments.calibrate_against:
        choices["calibrate_against"] = Release.open(arguments.calibrate_against)
    if arguments.parent:
        choices |= {"parent": arguments.parent, "mode": "stateful"}
    return choices


def _read(path: Path, target: str | None) -> tuple[Any, Any]:
    """Rows and labels of a data file; labels are ``None`` where there are none."""
    from converters.errors import ConversionError

    try:
        if path.suffix == ".npz":
            return _read_arrays(path)
        import pandas

        frame = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
    except (OSError, ValueError, KeyError, ImportError, zipfile.BadZipFile) as error:
        raise ConversionError(
            f"{path}: expected an .npz with X (and y), or a .csv or .parquet table (needs pandas); "
            f"{error}"
        ) from error
    if target is not None and target not in frame.columns:
        raise ConversionError(f"{path}: no column {target!r} among {list(frame.columns)[:10]}")
    labels = frame.pop(target or "y").to_numpy() if (target or "y") in frame.columns else None
    return frame, labels


def _read_arrays(path: Path) -> tuple[Any, Any]:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return file["X"], file["y"] if "y" in file.files else None


def _verify(arguments: argparse.Namespace) -> int:
    from edge_sdk.errors import ReleaseError
    from edge_sdk.probe import probe
    from edge_sdk.release import Release

    release = Release.open(arguments.release)
    if arguments.digest not in (None, release.digest):
        raise ReleaseError(
            f"{arguments.release}: expected the release {arguments.digest}, found {release.digest}"
        )
    release.profile()
    release.certificate()
    result = probe(release)
    manifest = release.manifest
    print(
        f"ok: {manifest.model} {manifest.version} ({release.digest}), "
        f"{len(manifest.files)} files whole, {result.golden_rows} golden rows agree, "
        f"p99 of one row {result.p99_ms * 1e3:.0f} µs here"
    )
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from converters.report import certificate_table
    from edge_sdk.release import Release

    print(certificate_table(Release.open(arguments.release)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
