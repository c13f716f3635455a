"""``edge-hub``: initialise and serve a hub, and everything an administrator does with one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import Answer, add_command, client_of, getting, without_warning
from cloud_hub.cli.experiments import add_commands as add_experiment_commands
from cloud_hub.cli.freshness import add_commands as add_freshness_commands
from cloud_hub.cli.monitoring import add_commands as add_monitor_commands
from cloud_hub.cli.policy import add_commands as add_policy_commands
from cloud_hub.cli.runs import add_commands as add_run_commands
from cloud_hub.cli.triggers import add_commands as add_trigger_commands
from edge_sdk.cli.console import add_version, may_be_piped, part_of, reason_of


@may_be_piped
@part_of("hub", "edge-hub")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 is done, 1 refused, 2 wrong usage."""
    arguments = _parser().parse_args(argv)
    from cloud_hub.errors import HubFault
    from edge_sdk.contract.errors import EdgeError

    try:
        result = arguments.run(arguments)
    except BrokenPipeError:
        raise
    except (HubFault, EdgeError, OSError) as error:
        print(f"edge-hub: {reason_of(error)}", file=sys.stderr)
        return 1
    if isinstance(result, Answer):
        print(result.text)
        return result.status
    if result is not None:
        print(result if isinstance(result, str) else json.dumps(result, indent=2, sort_keys=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-hub", description="Version, sign, roll out, watch and retrain edge models."
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _server_commands(commands)
    _release_commands(commands)
    _fleet_commands(commands)
    _loop_commands(commands)
    return parser


def _server_commands(commands: Any) -> None:
    init = commands.add_parser("init", help="make a new hub: keys, signed repository, admin token")
    init.add_argument("data", type=Path, help="folder that will hold everything")
    init.set_defaults(run=_init)
    serve = commands.add_parser("serve", help="serve a hub")
    serve.add_argument("data", type=Path)
    serve.add_argument("--host", default="127.0.0.1")
    port = words.whole(0, 65_535)
    serve.add_argument("--port", type=port, default=8000, help="0 chooses a free one")
    serve.add_argument("--database", help="SQLAlchemy URL (default: SQLite inside the folder)")
    serve.add_argument(
        "--trainings", type=words.whole(1, 64), default=1, help="how many may train at once"
    )
    tick = words.amount(3_600, zero=True)
    serve.add_argument("--tick", type=tick, default=1.0, help="seconds between looks of the loop")
    serve.set_defaults(run=_serve)


def _release_commands(commands: Any) -> None:
    publish = add_command(
        commands, "publish", "sign and publish a release folder", _publish, model=False
    )
    publish.add_argument("release", type=Path)
    publish.add_argument("--key", type=Path, help="releases key (default: the hub's own folder)")
    publish.add_argument("--training-state", type=Path, help="pickle, for stateful retraining")
    publish.add_argument(
        "--override", type=words.reason, metavar="REASON", help="publish past the offline gate"
    )
    publish.add_argument("--promote", action="store_true", help="let it serve everybody at once")
    add_command(commands, "models", "models, versions, what serves", getting("models"), model=False)
    add_command(commands, "plan", "the plan in force", getting("models/{model}/plan"))
    promote = add_command(commands, "promote", "let a version serve everybody", _promote)
    promote.add_argument("version", type=words.version)
    promote.add_argument("--reason", type=words.reason, default="by hand")
    rollback = add_command(
        commands, "rollback", "end the experiment, or go back a version", _rollback
    )
    rollback.add_argument("--reason", type=words.reason, default="by hand")
    canary = add_command(commands, "canary", "try a version on a share of the fleet", _canary)
    canary.add_argument("version", type=words.version)


def _fleet_commands(commands: Any) -> None:
    token = add_command(commands, "enrol-token", "a token with which devices join", _enrol_token)
    token.add_argument("--uses", type=words.whole(1, 10_000_000), default=1)
    token.add_argument("--hours", type=words.amount(words.LONGEST_HOURS), default=24.0)
    add_command(commands, "devices", "devices and their health", getting("devices"), model=False)
    telemetry = add_command(commands, "telemetry", "merged reports by window", _telemetry)
    telemetry.add_argument("--since", default="1d", help="how far back, for example 12h or 30d")


def _loop_commands(commands: Any) -> None:
    add_policy_commands(commands)
    dataset = add_command(commands, "dataset", "give rows: holdout, catalogue or train", _dataset)
    dataset.add_argument("kind", choices=("holdout", "catalogue", "train"))
    dataset.add_argument("file", type=Path, help=".npz with X and y")
    features = add_command(commands, "features", "batch features of entities", _features)
    features.add_argument("--put", type=Path, metavar="CSV", help="the entity, then columns")
    features.add_argument(
        "--default", action="append", default=[], metavar="NAME=VALUE", help="for other entities"
    )
    features.add_argument("--replace", action="store_true", help="forget all that is kept")
    features.add_argument(
        "--hours",
        type=words.amount(words.LONGEST_HOURS),
        help="after which devices stop using them",
    )
    add_monitor_commands(commands)
    add_trigger_commands(commands)
    add_run_commands(commands)
    add_experiment_commands(commands)
    add_freshness_commands(commands)
    add_command(commands, "packs", "packs that were built", getting("models/{model}/packs"))
    add_command(commands, "audit", "who did what, when, why", getting("audit"), model=False)


def _init(arguments: argparse.Namespace) -> str:
    from cloud_hub.hub import initialise
    from cloud_hub.settings import Settings

    initialise(Settings(arguments.data))
    return (
        f"hub initialised in {arguments.data}\n"
        f"  admin token: {arguments.data / 'admin.token'}\n"
        f"  root key:    {arguments.data / 'keys' / 'offline.pem'}: move it to a safe place; it is "
        "needed only to replace keys\n"
        f"next: edge-hub serve {arguments.data}"
    )


def _serve(arguments: argparse.Namespace) -> None:
    from cloud_hub.server import serve
    from cloud_hub.settings import Settings

    serve(
        Settings(
            arguments.data,
            arguments.database,
            arguments.host,
            arguments.port,
            arguments.tick,
            arguments.trainings,
        )
    )


def _publish(arguments: argparse.Namespace) -> Any:
    from cloud_hub.errors import Invalid

    client = client_of(arguments)
    key = arguments.key or (arguments.data and arguments.data / "keys" / "releases.pem")
    if key is None:
        raise Invalid("say which key signs: --key FILE")
    state = arguments.training_state.read_bytes() if arguments.training_state else None
    record = client.publish(
        arguments.release, key, training_state=state, override=arguments.override
    )
    if arguments.promote:
        client.post(f"models/{record['model']}/promote", version=record["version"])
    return record


def _promote(arguments: argparse.Namespace) -> Any:
    return client_of(arguments).post(
        f"models/{arguments.model}/promote", version=arguments.version, reason=arguments.reason
    )


def _rollback(arguments: argparse.Namespace) -> Any:
    return client_of(arguments).post(f"models/{arguments.model}/rollback", reason=arguments.reason)


def _canary(arguments: argparse.Namespace) -> Any:
    return client_of(arguments).post(f"models/{arguments.model}/canary", version=arguments.version)


def _enrol_token(arguments: argparse.Namespace) -> str:
    query = {"model": arguments.model, "uses": arguments.uses, "seconds": arguments.hours * 3_600}
    return str(without_warning(client_of(arguments).post("enrolment-tokens", **query))["token"])


def _dataset(arguments: argparse.Namespace) -> Any:
    path = f"models/{arguments.model}/datasets/{arguments.kind}"
    return without_warning(client_of(arguments).post(path, arguments.file.read_bytes()))


def _telemetry(arguments: argparse.Namespace) -> Any:
    from cloud_hub.text.durations import parse_duration

    path = f"models/{arguments.model}/telemetry"
    return client_of(arguments).get(path, seconds=parse_duration(arguments.since))


def _features(arguments: argparse.Namespace) -> Any:
    from cloud_hub.errors import Invalid

    client, path = client_of(arguments), f"models/{arguments.model}/features"
    if arguments.put is None:
        if arguments.default or arguments.hours or arguments.replace:
            raise Invalid("--default, --hours and --replace say how a file is taken in; --put CSV")
        return client.get(path)
    from cloud_hub.features.reading import parse_defaults, read_csv
    from edge_sdk.contract.codec import encode

    table = read_csv(arguments.put, parse_defaults(arguments.default))
    expires = int(time.time() + 3_600 * arguments.hours) if arguments.hours else None
    return client.post(path, encode(table), expires=expires, replace=arguments.replace or None)


if __name__ == "__main__":
    sys.exit(main())
