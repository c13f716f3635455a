"""``edge-hub init``, ``serve`` and ``db``: a hub on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from cloud_hub.cli.operating.settings import add_settings
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.alarm_options import (
    AlertNetworks,
    CloseSeconds,
    DeliverySeconds,
    DiskShare,
    OpenSeconds,
)
from cloud_hub.cli.shared.engine_options import EngineKind, RayAddress
from cloud_hub.cli.shared.output import Result
from cloud_hub.cli.shared.people_options import OidcFile, TlsCertificate, TlsKey, tls_of
from cloud_hub.cli.shared.registration import ADMINISTER, SET_UP, command, group
from cloud_hub.cli.shared.settings_file import SettingsFile
from cloud_hub.cli.shared.storage_options import Artifacts, Database

if TYPE_CHECKING:
    from cloud_hub.settings import Settings


ENVIRONMENT: Final = "EDGE_HUB_SERVE"
"""Prefix of variables that set options of ``serve``: ``EDGE_HUB_SERVE_PORT`` sets ``--port``.

No shorter one: Kubernetes gives each container ``EDGE_HUB_PORT=tcp://…`` where a service is named
``edge-hub``.
"""


def _rate(text: str) -> Any:
    return typer.Option(parser=types.amount(1e6, zero=True), metavar="NUMBER", help=text)


DataFolder = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder that holds everything of the hub.")
]
Port = Annotated[
    int, typer.Option(parser=types.whole(0, 65_535), metavar="PORT", help="0 chooses a free one.")
]
Tick = Annotated[
    float,
    typer.Option(
        parser=types.amount(3_600, zero=True),
        metavar="SECONDS",
        help="Time between two rounds of triggers, runs, experiments and packs; 0: none here.",
    ),
]
Trainings = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 64), metavar="NUMBER", help="Trainings at once on this machine."
    ),
]
Host = Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")]
Credentials = Annotated[
    float,
    typer.Option(
        parser=types.amount(31 * 86_400), metavar="SECONDS", help="Life of a device's credential."
    ),
]
Proxy = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS,…",
        help="Reverse proxies whose X-Forwarded-For says where a request comes from.",
    ),
]
SyncSeconds = Annotated[
    float,
    typer.Option(
        parser=types.amount(3_600, zero=True),
        metavar="SECONDS",
        help="Time between two syncs of a device, unless its own is longer; 0: its own.",
    ),
]
DeviceRate = Annotated[float, _rate("Requests of one device a second; 0: no limit.")]
AddressRate = Annotated[
    float, _rate("Requests without a credential, of one address a second; 0: no limit.")
]
FailureRate = Annotated[
    float, _rate("Wrong tokens and signatures, of one address a second; 0: no limit.")
]
Servers = Annotated[
    int,
    typer.Option(
        "--workers",
        parser=types.whole(1, 64),
        metavar="NUMBER",
        help="Processes that serve the address; more than one needs PostgreSQL.",
    ),
]
Connections = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 1_000),
        metavar="NUMBER",
        help="Connections to PostgreSQL that a process keeps; under load as many again.",
    ),
]
WORKERS = "Rights of trainings, beyond the least"
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    typer.Option(help="Least severe messages in the log, on standard error."),
]
LogFormat = Annotated[
    Literal["text", "json"], typer.Option(help="json: one object a line, for log collectors.")
]
OfflineCount = Annotated[
    int,
    typer.Option(parser=types.whole(1, 99), metavar="NUMBER", help="Offline keys to make."),
]
OfflineThreshold = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 99), metavar="NUMBER", help="Signatures of them that it takes."
    ),
]
OfflineFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where they are put; default: inside the hub's folder."),
]


WorkerUser = Annotated[
    str | None,
    typer.Option(
        metavar="USER",
        help="User that trainings run as; default nobody where the hub is root.",
        rich_help_panel=WORKERS,
    ),
]
WorkerNetwork = Annotated[
    bool,
    typer.Option(
        "--worker-network", help="Trainings may use the network.", rich_help_panel=WORKERS
    ),
]
WorkerEnv = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A variable of this environment that trainings see; may be given again.",
        rich_help_panel=WORKERS,
    ),
]
WorkerReads = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PATH",
        help="A file or folder that trainings may read; may be given again.",
        rich_help_panel=WORKERS,
    ),
]
TrustPipelines = Annotated[
    bool,
    typer.Option(
        "--trust-pipelines",
        help="Load what pipelines send, even where nothing isolates it.",
        rich_help_panel=WORKERS,
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``init``, ``serve`` and ``db``."""
    command(app, "init", panel=SET_UP, example="edge-hub init hub-data")(_init)
    serve = "edge-hub serve hub-data --host 0.0.0.0 --port 8000"
    command(app, "serve", panel=SET_UP, example=serve, environment=ENVIRONMENT)(_serve)
    add_settings(app, _serve, ENVIRONMENT)
    text = "Bring the hub's database to the tables of this version."
    database = group(app, "db", text, panel=ADMINISTER)
    command(database, "upgrade", example="edge-hub db upgrade hub-data")(_upgrade)
    command(database, "status", example="edge-hub db status hub-data")(_status)
    command(database, "check", example="edge-hub db check hub-data")(_check)


def _init(
    data: DataFolder,
    offline_keys: OfflineCount = 1,
    threshold: OfflineThreshold = 1,
    offline_keys_to: OfflineFolder = None,
    artifacts: Artifacts = None,
) -> Result:
    """Make a new hub: keys, signed repository, administrator's token."""
    from cloud_hub.hub import initialise
    from cloud_hub.registry.key_folder import OfflineKeys
    from cloud_hub.settings import Settings

    folder = offline_keys_to or data / "keys"
    plain = (offline_keys, threshold, offline_keys_to) == (1, 1, None)
    offline = None if plain else OfflineKeys(folder, offline_keys, threshold)
    initialise(Settings(data, artifacts=artifacts), offline)
    names = ["offline.pem"] if plain else [f"offline-{i + 1}.pem" for i in range(offline_keys)]
    files = {
        "data": str(data),
        "admin_token": str(data / "admin.token"),
        "pipeline_token": str(data / "pipeline.token"),
        "root_key": str(folder / names[0]),
        "offline_keys": [str(folder / name) for name in names],
        "threshold": threshold,
        "on_the_hub": offline_keys_to is None,
    }
    return Result(files, _init_text)


def _init_text(files: dict[str, Any]) -> str:
    keys = files["offline_keys"]
    takes = f" ({files['threshold']} of {len(keys)} sign)" if len(keys) > 1 else ""
    move = (
        ": move it to a safe place; the hub does not need it, you do, once a year and to "
        "replace keys"
        if files["on_the_hub"]
        else f"{takes}: keep them apart from each other and from the hub"
    )
    return (
        f"hub initialised in {files['data']}\n"
        f"  admin token: {files['admin_token']}: for the beginning; a person of your own is\n"
        f"               edge-hub people add NAME --role administrator --data {files['data']}\n"
        f"  for CI:      {files['pipeline_token']}: uploads and runs, no decisions\n"
        f"  root key:    {', '.join(keys)}{move}\n"
        f"next: edge-hub serve {files['data']}"
    )


def _serve(
    data: DataFolder, settings: SettingsFile = None, host: Host = "127.0.0.1", port: Port = 8000,
    database: Database = None,
    artifacts: Artifacts = None, trainings: Trainings = 1, tick: Tick = 1.0,
    credential_seconds: Credentials = 3_600.0, proxy: Proxy = "127.0.0.1",
    sync_seconds: SyncSeconds = 0.0, device_rate: DeviceRate = 50.0,
    address_rate: AddressRate = 50.0, failure_rate: FailureRate = 0.5,
    log_level: LogLevel = "info", log_format: LogFormat = "text",
    worker_user: WorkerUser = None, worker_network: WorkerNetwork = False,
    worker_env: WorkerEnv = None, worker_reads: WorkerReads = None,
    trust_pipelines: TrustPipelines = False, workers: Servers = 1,
    connections: Connections = 10, engine: EngineKind = "local", ray_address: RayAddress = "",
    oidc: OidcFile = None, tls_cert: TlsCertificate = None, tls_key: TlsKey = None,
    alert_network: AlertNetworks = None, alarm_open_seconds: OpenSeconds = 60.0,
    alarm_close_seconds: CloseSeconds = 300.0, alarm_delivery_seconds: DeliverySeconds = 3_600.0,
    alarm_disk_share: DiskShare = 0.1,
) -> None:  # fmt: skip
    """Serve a hub until SIGTERM or Ctrl-C."""
    from cloud_hub.cli.server_log import configure_logging
    from cloud_hub.settings import (
        AlarmSettings,
        EngineSettings,
        RateSettings,
        Settings,
        WorkerSettings,
    )

    configure_logging(log_level, log_format)
    rates = RateSettings.of(device_rate, address_rate, failure_rate)
    rights = WorkerSettings(
        worker_user, worker_network, tuple(worker_env or ()), tuple(worker_reads or ()),
        trust_pipelines,
    )  # fmt: skip
    _imported_server()(
        Settings(
            data, database, host, port, tick, trainings, credential_seconds, rates, proxy, rights,
            connections=connections, servers=workers, artifacts=artifacts,
            sync_seconds=sync_seconds, engine=EngineSettings(engine, ray_address), oidc=oidc,
            tls=tls_of(tls_cert, tls_key), alert_networks=tuple(alert_network or ()),
            alarms=AlarmSettings(
                alarm_open_seconds, alarm_close_seconds, alarm_delivery_seconds, alarm_disk_share
            ),
        )
    )  # fmt: skip


def _imported_server() -> Callable[[Settings], None]:
    from cloud_hub.deferred.start import quick_imports, use_one_blas_thread

    use_one_blas_thread()
    with quick_imports():
        from cloud_hub.server import serve
    return serve


def _upgrade(data: DataFolder, database: Database = None) -> Result:
    """Migrate the database to the newest tables; back it up before.

    Stop the hub before, too, where the database is SQLite.
    """
    from cloud_hub.database.migrate import upgrade

    status = upgrade(_settings(data, database))
    return Result(
        _plain(status), lambda s: f"{data}: the database is at {s['current']}, the newest"
    )


def _check(data: DataFolder, database: Database = None) -> Result:
    """Say whether the database needs an upgrade; exit status 1 if it does."""
    from cloud_hub.database.migrate import check

    status = _plain(check(_settings(data, database)))
    # A status of its own, so that a deployment script can ask before it starts the hub.
    pending = bool(status["pending"])
    text = f"{data}: the database is at {status['current'] or 'no revision'}, "
    text += (
        f"the newest is {status['head']}; run edge-hub db upgrade {data}"
        if pending
        else "the newest"
    )
    return Result(status, lambda _: text, status=int(pending))


def _status(data: DataFolder, database: Database = None) -> Result:
    """Say at which tables the database is, which hubs may use it, and who leads."""
    from cloud_hub.database.inspection import inspect_database

    return Result(_plain(inspect_database(_settings(data, database))), _status_text)


def _status_text(status: dict[str, Any]) -> str:
    pending = ", ".join(status["pending"]) or "none"
    served = status["oldest"] or "none"
    text = (
        f"database: {status['kind']}, at {status['current'] or 'no revision'}; this hub's newest "
        f"is {status['head']}\n  to apply: {pending}\n  hubs it serves: {served} and newer"
    )
    for process in status["processes"]:
        leads = f" leads, term {status['term']}" if process == status["leader"] else ""
        text += f"\n  connected: {process}{leads}"
    return text


def _settings(data: Path, database: str | None) -> Settings:
    from cloud_hub.settings import Settings

    return Settings(data, database)


def _plain(status: Any) -> dict[str, Any]:
    """A ``MigrationStatus`` as plain JSON: ``current``, ``head``, ``pending``."""
    return asdict(status)
