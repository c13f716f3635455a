"""``edge-convert``: convert a model, verify a release, show its certificate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 is done, 1 refused, 2 wrong usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
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
    make = commands.add_parser("convert", help="convert a model file into a release folder")
    make.add_argument("model", type=Path, help="an .onnx, .pkl or .joblib file")
    make.add_argument("--data", type=Path, required=True, help="held-out rows: .npz (X, y), .csv")
    make.add_argument("--target", default="y", help="column of a .csv that holds the labels")
    make.add_argument("--name", required=True, help="name of the model")
    make.add_argument("--version", default="1.0", help="MAJOR.MINOR (default 1.0)")
    make.add_argument("--out", type=Path, required=True, help="folder to write")
    make.add_argument("--trust", action="store_true", help="allow loading a pickle (it runs code)")
    make.set_defaults(run=_convert)
    verify = commands.add_parser("verify", help="re-check a release with the device's runtime")
    verify.add_argument("release", type=Path)
    verify.set_defaults(run=_verify)
    show = commands.add_parser("show", help="print the certificate of a release")
    show.add_argument("release", type=Path)
    show.set_defaults(run=_show)
    return parser


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
        trust=arguments.trust,
        progress=lambda message: print(message, file=sys.stderr),
    )
    print(certificate_table(release))
    return 0


def _read(path: Path, target: str) -> tuple[Any, Any]:
    import numpy as np

    from converters.errors import ConversionError

    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return file["X"], file["y"] if "y" in file.files else None
        import pandas

        frame = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConversionError(
            f"{path}: expected an .npz with X (and y), or a .csv or .parquet table (needs pandas); "
            f"{error}"
        ) from error
    labels = frame.pop(target).to_numpy() if target in frame.columns else None
    return frame, labels


def _verify(arguments: argparse.Namespace) -> int:
    from edge_sdk.probe import probe
    from edge_sdk.release import Release

    release = Release.open(arguments.release)
    release.profile()
    release.certificate()
    result = probe(release)
    manifest = release.manifest
    print(
        f"ok: {manifest.model} {manifest.version} ({release.digest[:12]}…), "
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
