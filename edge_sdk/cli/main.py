"""``edge``: enrol a device, run it, ask it, look at its packs, measure a model on this machine."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.console import add_version, may_be_piped
from edge_sdk.cli.enrolment import add_enrolment_commands
from edge_sdk.cli.help import CommandGroups, json_option
from edge_sdk.cli.log_options import add_log_options
from edge_sdk.cli.output import show
from edge_sdk.cli.owner_logs import add_logs_command
from edge_sdk.cli.packs import add_pack_commands
from edge_sdk.cli.providers import add_provider_options, providers_of
from edge_sdk.cli.provisioning import add_provision
from edge_sdk.cli.reaching import add_state, enrolled, provisioned, reached
from edge_sdk.cli.replay import add_replay_command
from edge_sdk.cli.serving import add_serve
from edge_sdk.cli.watching import add_health_command, add_status_command

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.model.prediction import Prediction


@may_be_piped
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if it is done, 1 if it was refused or failed, 2 for wrong usage."""
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
    commands = CommandGroups(parser)
    json_output = json_option()
    commands.group("set up")
    add_enrolment_commands(commands, json_output)
    add_provision(commands, json_output)
    commands.group("operate")
    _add_run(commands)
    add_serve(commands)
    add_status_command(commands, json_output)
    text = "sync an enrolled device with its hub once, whoever runs it"
    sync = commands.add("sync", text, ["edge sync state/"], parent=json_output)
    add_state(sync)
    sync.set_defaults(run=_sync)
    add_health_command(commands, json_output)
    add_logs_command(commands, json_output)
    commands.group("look into")
    _add_predict(commands, json_output)
    add_pack_commands(commands, _row)
    add_replay_command(commands, json_output)
    commands.group("measure")
    _add_bench(commands)
    return parser


def _add_run(commands: CommandGroups) -> None:
    run = commands.add(
        "run",
        "run a device until SIGTERM; JSON rows on stdin are answered in JSON, line by line, and "
        "their end ends it",
        [
            "edge run state/ < /dev/null",
            "edge run state/ --model digits < rows.jsonl",
            "edge run state/ --first-boot /boot/firmware/edge.json < /dev/null",
            "edge run state/ --providers openvino,cpu --provider-option openvino.device_type=GPU",
        ],
    )
    add_state(run)
    run.add_argument(
        "--model", help="which of several models answers the rows (default: the only one)"
    )
    run.add_argument(
        "--health-file",
        metavar="FILE",
        default="",
        help="write here every ten seconds how the device is, for edge health",
    )
    run.add_argument(
        "--first-boot",
        type=Path,
        metavar="FILE",
        help="join with this file of edge provision at the first start; it is removed then",
    )
    run.add_argument(
        "--send-log",
        action="store_true",
        help="let operators of the hub ask for the newest lines of the SDK's log",
    )
    add_provider_options(run)
    add_log_options(run)
    run.set_defaults(run=_run)


def _add_predict(commands: CommandGroups, json_output: argparse.ArgumentParser) -> None:
    example = "edge predict digits-1.0/ '[5.1, 3.5, 1.4, 0.2]'"
    predict = commands.add(
        "predict", "answer one row with a release folder", [example], parent=json_output
    )
    predict.add_argument("release", type=Path, help="a release folder")
    predict.add_argument("row", help="a JSON array, or an object by column name")
    add_provider_options(predict)
    predict.set_defaults(run=_predict)


def _add_bench(commands: CommandGroups) -> None:
    bench = commands.add(
        "bench",
        "measure a model on this machine, or compare two runs",
        [
            "edge bench digits-1.0/ --quick",
            "edge bench model.onnx --json new.json --max-p99-ms 2",
            "edge bench --compare old.json new.json",
        ],
    )
    bench.add_argument("target", type=Path, nargs="?", help="a release folder or an .onnx file")
    bench.add_argument("--quick", action="store_true", help="seconds instead of minutes, coarser")
    bench.add_argument(
        "--energy", action="store_true", help="joules alone; exit 1 where nothing counts them"
    )
    bench.add_argument("--rows", type=Path, help="real rows to measure with, as .npy or .npz")
    bench.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=Path("-"),
        metavar="FILE",
        help="print JSON, for programs; with FILE write the figures there besides the tables",
    )
    bench.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    bench.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw here: .html, or .png with matplotlib"
    )
    bench.add_argument(
        "--max-p99-ms", type=_budget, metavar="MS", help="exit 1 if one row takes longer"
    )
    bench.add_argument(
        "--max-rss-mb", type=_budget, metavar="MB", help="exit 1 if a serving process holds more"
    )
    bench.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A.json", "B.json"), help="ratios of two runs"
    )
    bench.set_defaults(run=_bench)


def _budget(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:  # NaN is not
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number


def _run(arguments: argparse.Namespace) -> int:
    from edge_sdk.cli.logs import configure_logging
    from edge_sdk.config import DeviceConfig
    from edge_sdk.errors import EdgeError
    from edge_sdk.service.run import run_device

    configure_logging(arguments.log_level, arguments.log_format)

    def answer(device: EdgeDevice, line: bytes) -> None:
        try:
            p = device.predict(_row(line.decode(errors="replace")))
            answered = {"id": p.id, **_answer(p)}
        except EdgeError as error:  # the next row may do better, or a release has come
            answered = {"error": str(error)}
        print(json.dumps(answered), flush=True)

    rows = sys.stdin.buffer if sys.stdin is not None else None
    providers = providers_of(arguments)
    config = DeviceConfig(health_file=arguments.health_file, logs=arguments.send_log)

    def opened() -> EdgeDevice:
        state, hub, model = arguments.state, arguments.hub, arguments.model
        if arguments.first_boot is not None:
            return provisioned(
                state, arguments.first_boot, hub, model=model, providers=providers, config=config
            )
        return enrolled(state, hub, model=model, providers=providers, config=config)

    run_device(opened, rows, answer)
    return 0


def _sync(arguments: argparse.Namespace) -> int:
    with reached(arguments.state, arguments.hub, background=False) as device:
        result = device.sync()
    show(vars(result), as_json=arguments.json)
    return 0 if result.reached else 1


def _predict(arguments: argparse.Namespace) -> int:
    from edge_sdk.device import EdgeDevice

    with EdgeDevice.offline(arguments.release, providers=providers_of(arguments)) as device:
        p = device.predict(_row(arguments.row))
        answer = {**_answer(p), "probabilities": _plain(p.probabilities)}
    show(answer, as_json=arguments.json)
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
