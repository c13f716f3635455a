"""``edge``: enrol a device, run it, ask it, look at its packs, measure a model on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.console import add_version, may_be_piped
from edge_sdk.cli.packs import add_pack_commands

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.model.prediction import Prediction


@may_be_piped
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 is done, 1 refused, 2 wrong usage."""
    arguments = _parser().parse_args(argv)
    from edge_sdk.errors import EdgeError

    try:
        code: int = arguments.run(arguments)
    except EdgeError as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge", description="Predictions on the device: from a pack, the model, or the cloud."
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _device_commands(commands)
    add_pack_commands(commands, _row)
    _bench_command(commands)
    return parser


def _device_commands(commands: Any) -> None:
    enrol = commands.add_parser("enrol", help="join a fleet")
    enrol.add_argument("state", type=Path, help="folder for the device's state")
    enrol.add_argument("--hub", required=True, help="URL of the hub")
    enrol.add_argument("--token", required=True, help="enrolment token, from edge-hub enrol-token")
    enrol.add_argument("--model", required=True)
    enrol.add_argument("--attribute", type=_pair, action="append", default=[], metavar="NAME=VALUE")
    enrol.set_defaults(run=_enrol)
    run = commands.add_parser("run", help="keep a device in step with its hub; JSON rows on stdin")
    _add_state(run)
    run.set_defaults(run=_run)
    status = commands.add_parser("status", help="how an enrolled device is")
    _add_state(status)
    status.set_defaults(run=_status)
    sync = commands.add_parser("sync", help="sync an enrolled device once")
    _add_state(sync)
    sync.set_defaults(run=_sync)
    predict = commands.add_parser("predict", help="answer one row with a release folder")
    predict.add_argument("release", type=Path)
    predict.add_argument("row", help="a JSON array, or an object by column name")
    predict.set_defaults(run=_predict)


def _add_state(command: argparse.ArgumentParser) -> None:
    command.add_argument("state", type=Path, help="the device's state folder")
    command.add_argument("--hub", help="URL of the hub (default: the one of the last time)")


def _bench_command(commands: Any) -> None:
    bench = commands.add_parser(
        "bench", help="measure a model on this machine, or compare two runs"
    )
    bench.add_argument("target", type=Path, nargs="?", help="a release folder or an .onnx file")
    bench.add_argument("--quick", action="store_true", help="seconds instead of minutes, coarser")
    bench.add_argument("--rows", type=Path, help="real rows to measure with, as .npy or .npz")
    bench.add_argument("--json", type=Path, help="write the figures here")
    bench.add_argument("--markdown", type=Path, help="write the tables here")
    bench.add_argument("--plot", type=Path, help="draw here: .html, or .png with matplotlib")
    bench.add_argument("--max-p99-ms", type=_budget, help="exit 1 if one row takes longer")
    bench.add_argument("--max-rss-mb", type=_budget, help="exit 1 if a serving process holds more")
    bench.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A.json", "B.json"), help="ratios of two runs"
    )
    bench.set_defaults(run=_bench)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def _budget(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:  # NaN is not
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _enrolled(arguments: argparse.Namespace, **more: Any) -> EdgeDevice:
    """The device of a state folder that is there; a look must not make one."""
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import StateError

    if not (arguments.state / "device.db").is_file():
        raise StateError(
            f"{arguments.state}: no device is enrolled here; begin with edge enrol "
            f"{arguments.state} --hub {arguments.hub or 'URL'} --token T --model M"
        )
    return EdgeDevice(arguments.state, hub=arguments.hub or _known_hub(arguments.state), **more)


def _known_hub(state: Path) -> str:
    from edge_sdk.errors import StateError
    from edge_sdk.fleet.enrolment import hub_of
    from edge_sdk.state_db import StateDatabase

    with contextlib.closing(StateDatabase(state)) as store:
        known = hub_of(store)
    if known is None:
        raise StateError(f"{state}: does not say which hub; say --hub URL")
    return known


def _enrol(arguments: argparse.Namespace) -> int:
    from edge_sdk.device import EdgeDevice

    options = {"token": arguments.token, "model": arguments.model}
    attributes = dict(arguments.attribute)
    with EdgeDevice(
        arguments.state, hub=arguments.hub, attributes=attributes, background=False, **options
    ) as device:
        _print(device.status())
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from edge_sdk.errors import EdgeError

    with _enrolled(arguments) as device:
        for line in sys.stdin.buffer if sys.stdin is not None else ():
            if not line.strip():
                continue
            try:
                p = device.predict(_row(line.decode(errors="replace")))
                answer = {"id": p.id, **_answer(p)}
            except EdgeError as error:  # the next row may do better, or a release has come
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    with _enrolled(arguments, background=False) as device:
        _print(device.status())
    return 0


def _sync(arguments: argparse.Namespace) -> int:
    with _enrolled(arguments, background=False) as device:
        result = device.sync()
    _print(vars(result))
    return 0 if result.reached else 1


def _predict(arguments: argparse.Namespace) -> int:
    from edge_sdk.device import EdgeDevice

    with EdgeDevice.offline(arguments.release) as device:
        p = device.predict(_row(arguments.row))
        _print({**_answer(p), "probabilities": _plain(p.probabilities)})
    return 0


def _answer(p: Prediction) -> dict[str, Any]:
    outputs = {"outputs": _plain(p.outputs)} if p.outputs else {}
    return {"label": p.label, "value": _plain(p.value), "confidence": _plain(p.confidence),
            **outputs, "source": p.source, "version": p.version}  # fmt: skip


def _plain(value: Any) -> Any:
    """For JSON: arrays as lists, and nothing where there is no number."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(text: str) -> Any:
    from edge_sdk.errors import InputError

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("shape", f"expected a JSON array or object, got {text[:40]!r}") from error


def _bench(arguments: argparse.Namespace) -> int:
    from edge_sdk.bench.command import run_bench

    return run_bench(arguments)


if __name__ == "__main__":
    sys.exit(main())
