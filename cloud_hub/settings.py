"""Settings of a hub's process. Everything else is policy, per model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Rate:
    """Requests a second in the long run, and how many may come at once; 0 a second: no limit."""

    per_second: float
    burst: float

    @property
    def limits(self) -> bool:
        """Whether there is a limit at all."""
        return self.per_second > 0


@dataclass(frozen=True)
class RateSettings:
    """Rates at which one hub process serves.

    Attributes:
        device: of each device that has a credential. A fast one asks the cloud model for many rows,
            and one that was offline for long has much to tell.
        address: of strangers, enrolments and new credentials from one address. All of a fleet
            behind one address ask for a credential at once when the hub was away for an hour.
        failures: wrong tokens, secrets and signatures from one address.
    """

    device: Rate = Rate(50, 2_000)
    address: Rate = Rate(50, 3_000)
    failures: Rate = Rate(0.5, 100)

    @classmethod
    def of(cls, device: float, address: float, failures: float) -> RateSettings:
        """Return settings with other rates (a second, 0: no limit); bursts grow with them."""
        return cls(
            Rate(device, max(1.0, 40 * device)),
            Rate(address, max(1.0, 60 * address)),
            Rate(failures, max(1.0, 200 * failures)),
        )

    @classmethod
    def unlimited(cls) -> RateSettings:
        """Return settings without any limit, for measurements."""
        return cls.of(0, 0, 0)


@dataclass(frozen=True)
class WorkerSettings:
    """Rights of workers beyond the least, as the machine's operator gives them.

    Attributes:
        user: name of the user that workers run as; default ``nobody`` where the hub is root, else
            the hub's own.
        network: workers may use the network.
        environment: names of variables of the hub's environment that they see.
        reads: files and folders that they may read.
        trust_pipelines: load what pipelines send even where nothing isolates workers, and types
            that skops does not know.
    """

    user: str | None = None
    network: bool = False
    environment: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    trust_pipelines: bool = False


@dataclass(frozen=True)
class EngineSettings:
    """Where heavy work is computed.

    Attributes:
        kind: ``local`` on this machine, or ``ray`` on the nodes of a Ray cluster.
        address: of the cluster, as ``ray.init`` takes it: ``HOST:6379`` where this machine is one
            of its nodes, ``ray://HOST:10001`` where it is not.
    """

    kind: Literal["local", "ray"] = "local"
    address: str = ""


@dataclass(frozen=True)
class TlsSettings:
    """Files of PEM with which the hub ends TLS itself; both are read again when they change.

    Attributes:
        certificate: of the hub, and the authorities in between.
        key: its private key, without a passphrase.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True)
class AlarmSettings:
    """When alarms of the hub as a whole open and close; those of a model's fleet are its policy's.

    Attributes:
        open_seconds: for which a condition that is not critical holds before its alarm opens.
        close_seconds: for which it is gone before the alarm closes, so that one that comes and
            goes is one alarm and not a hundred.
        delivery_seconds: for which a destination of alerts fails before that is an alarm.
        disk_share: of the disk of the data: with less room than that, and less than 5 GiB, it is
            an alarm.
    """

    open_seconds: float = 60.0
    close_seconds: float = 300.0
    delivery_seconds: float = 3_600.0
    disk_share: float = 0.1


@dataclass(frozen=True)
class Settings:
    """Settings of one hub process.

    Attributes:
        data: folder of everything that the hub stores.
        database: SQLAlchemy URL of the tables; default SQLite inside ``data``.
        artifacts: URL of a bucket for artifacts and signed metadata; default folders inside
            ``data``.
        host: address to listen on.
        port: to listen on; 0 chooses a free one.
        tick_seconds: from one tick of the loop to the next; 0 switches it off in this process.
        trainings: workers that may train at once on this machine.
        credential_seconds: life of a device's credential.
        rates: at which it serves.
        proxy: addresses of reverse proxies whose ``X-Forwarded-For`` is believed, with commas
            between them.
        workers: rights of the processes that train, convert and evaluate.
        connections: to PostgreSQL that a process keeps open; under load as many again.
        servers: processes that serve the address; more than one needs PostgreSQL.
        sync_seconds: from one sync of a device to the next, unless its application wants it more
            rarely; 0: each keeps its own.
        engine: where heavy work is computed.
        oidc: file that says which provider of OpenID Connect people sign in at.
        tls: certificate and key of the address, where the hub ends TLS itself.
        alert_networks: that are not public and that alerts may be sent to, such as ``10.0.0.0/8``.
        alarms: when alarms of the hub open and close.
    """

    data: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    tick_seconds: float = 1.0
    trainings: int = 1
    credential_seconds: float = 3_600.0
    rates: RateSettings = RateSettings()
    proxy: str = "127.0.0.1"
    workers: WorkerSettings = WorkerSettings()
    connections: int = 10
    servers: int = 1
    artifacts: str | None = None
    sync_seconds: float = 0.0
    engine: EngineSettings = EngineSettings()
    oidc: Path | None = None
    tls: TlsSettings | None = None
    alert_networks: tuple[str, ...] = ()
    alarms: AlarmSettings = AlarmSettings()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the tables."""
        return self.database or f"sqlite:///{self.data / 'hub.db'}"

    @property
    def on_server(self) -> bool:
        """Whether the tables are on a database server, which takes many processes."""
        return not self.database_url.startswith("sqlite")
