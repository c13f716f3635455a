"""Fixtures that several packages' tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from edge_sdk.model.release import Release
from tests.buckets import BucketServer, running_server
from tests.edge.builders import make_release
from tests.folders_in_memory import use_memory

if TYPE_CHECKING:  # a hub is only imported where a test asks for one: a device has none installed
    from tests.servers import HubProcess, Proxy

use_memory()
os.environ["no_proxy"] = "*"  # everything that tests talk with is on this machine

# Property tests try the same examples in every run, on machines of any speed. ``pytest
# --hypothesis-profile=search`` looks for others; what it finds becomes an ``@example``.
ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", ANY_SPEED, derandomize=True, database=None)
settings.register_profile("search", ANY_SPEED, max_examples=1_000)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", action="store_true", help="hubs in tests/hub use PostgreSQL")
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped fails the run")
    parser.addoption(
        "--failures-at-once", action="store_true", help="say why a test failed when it did"
    )


def pytest_configure(config: pytest.Config) -> None:
    # With xdist the workers' reports arrive in the process that prints.
    if config.getoption("--failures-at-once") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(config))


class FailuresAtOnce:
    """A run that is cut off says why tests failed, too: pytest itself does so at the end."""

    LINES = 60

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._say(report, f"{report.nodeid} ({report.when}, {report.duration:.1f} s)")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._say(report, report.nodeid)

    def _say(self, report: pytest.TestReport | pytest.CollectReport, title: str) -> None:
        if not report.failed:
            return
        lines = [f"{name}: {line}" for name, text in report.sections for line in text.splitlines()]
        lines += report.longreprtext.splitlines()
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        assert terminal is not None
        terminal.write_line(f"\nFAILED {title}")
        for line in lines[-self.LINES :]:
            terminal.write_line(line)
        terminal.flush()


SKIPPED: list[str] = []
"""Tests and files that were skipped in this run, each with its reason."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        SKIPPED.append(f"{report.nodeid}: {report.longrepr}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        SKIPPED.append(f"{report.nodeid}: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SKIPPED and session.config.getoption("--no-skips"):
        print("\n--no-skips, and these were skipped:", *SKIPPED, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# Tests below these places take seconds each, as do all that start a hub.
SLOW = (
    *("campaigns", "e2e", "examples", "hub/cli", "hub/client", "hub/database", "hub/experiments"),
    *("hub/freshness", "hub/monitoring", "hub/packs", "hub/policy", "hub/runs", "hub/test_"),
    *("converters/lowering", "converters/pipeline", "converters/trees", "converters/test_"),
    *("edge/bench", "packs_elsewhere", "test_benchmarks", "test_cli_help", "test_detection"),
    "test_readme",
    "test_statistics_campaign",
)


# Files that take longest; they begin first, or one worker would wait for the other in the end.
LONG = (
    *("hub/runs", "campaigns", "examples", "converters/pipeline", "hub/engine", "test_benchmarks"),
    *("hub/personalise", "hub/batch", "e2e", "hub/experiments", "hub/database", "hub/triggers"),
    *("edge/bench", "test_statistics_campaign", "test_detection", "test_docs", "test_layers"),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> None:
    """Files go out in the order of the tests, and not by their number."""
    config.option.loadscopereorder = False


def rank(item: pytest.Item) -> int:
    """The place of a test's file among those that begin first."""
    place = item.path.relative_to(Path(__file__).parent).as_posix()
    return next((at for at, name in enumerate(LONG) if place.startswith(name)), len(LONG))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=rank)
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        fixtures = getattr(item, "fixturenames", ())
        if place.startswith(SLOW) or "hub" in fixtures:
            item.add_marker(pytest.mark.slow)
        if "cluster" in fixtures:
            item.add_marker(pytest.mark.postgres)


LOGGERS = ("", "edge_sdk", "converters", "cloud_hub", "uvicorn")
"""Loggers that a program's ``--log-level`` configures; "" is the root."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Programs that a test runs in this process configure logging: not for the tests after it."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One real hub for the tests of a file, which keep apart by model name."""
    from tests.servers import running_hub

    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def proxy(hub: HubProcess) -> Iterator[Proxy]:
    """A way to the hub that can be made to misbehave."""
    from tests.servers import Proxy

    proxy = Proxy(hub.url)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def buckets() -> Iterator[BucketServer]:
    """A server for buckets, if one is installed."""
    yield from running_server()


Publish = Callable[..., Release]


@pytest.fixture
def publish(hub: HubProcess, tmp_path: Path) -> Publish:
    """Publish a small release; ``promote=True`` lets it serve."""

    def make(
        model: str, version: str = "1.0", *, promote: bool = True, **options: object
    ) -> Release:
        release = make_release(tmp_path / "made", model, version, **options)  # type: ignore[arg-type]
        hub.admin.publish(release.folder, hub.key, override="test")
        if promote:
            hub.admin.post(f"models/{model}/promote", version=version)
        return release

    return make
