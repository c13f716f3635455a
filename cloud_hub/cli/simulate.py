"""``edge-hub simulate``: what would this policy, canary or interval have done?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.engine_options import EngineKind, Processes, RayAddress, side_by_side
from cloud_hub.cli.shared.output import Result, progress
from cloud_hub.cli.shared.registration import ROLL_OUT, command

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.simulate.recorded import RecordedWindow
    from cloud_hub.simulate.repeat import Repeated
    from cloud_hub.simulate.scenario import Scenario

ScenarioFile = Annotated[
    Path, typer.Argument(metavar="SCENARIO", help="The fleet and its versions, YAML.")
]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="Policy; default: all defaults.")
]
ExperimentFile = Annotated[
    Path | None,
    typer.Option("--experiment", metavar="FILE", help="Experiment; default: the policy's own."),
]
AgainstFile = Annotated[
    Path | None,
    typer.Option("--against", metavar="FILE", help="Another policy, side by side."),
]
AgainstExperiment = Annotated[
    Path | None,
    typer.Option("--against-experiment", metavar="FILE", help="Another experiment, side by side."),
]
Recorded = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="CSV of what devices reported by window: the fleet and its versions are as it says.",
    ),
]
FromData = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="DATA", help="Data folder of a hub: the same from what it has recorded."
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", parser=types.whole(0), metavar="NUMBER", help="Of what is drawn.")
]
Times = Annotated[
    int,
    typer.Option(
        "--repeat", parser=types.whole(1, 10_000), metavar="N", help="Seeds; shares of outcomes."
    ),
]
PageFile = Annotated[
    Path | None, typer.Option("--page", metavar="FILE", help="HTML page with charts to write.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``simulate``."""
    example = "edge-hub simulate fleet.yaml --policy policy.yaml --against other.yaml --repeat 20"
    command(app, "simulate", panel=ROLL_OUT, example=example)(_simulate)


def _simulate(
    scenario: ScenarioFile,
    policy: PolicyFile = None,
    experiment: ExperimentFile = None,
    against: AgainstFile = None,
    against_experiment: AgainstExperiment = None,
    recorded: Recorded = None,
    from_data: FromData = None,
    seed: SeedOption = 0,
    repeat: Times = 1,
    page: PageFile = None,
    processes: Processes = 1,
    engine: EngineKind = "local",
    ray_address: RayAddress = "",
) -> Result:
    """Run a fleet in compressed time through the hub's gates, triggers and plans."""
    from cloud_hub.simulate.text import to_text

    fleet, unknown = _scenario(scenario, recorded, from_data)
    tried = [(policy, experiment)]
    if against is not None or against_experiment is not None:
        tried.append((against or policy, against_experiment or experiment))
    where = side_by_side(engine, ray_address, processes)
    done = [_one(fleet, *files, seed=seed, times=repeat, engine=where) for files in tried]
    if page is not None:
        _write_page(page, done)
    data = {"simulations": [asdict(each) for each in done], "recorded": list(unknown)}
    text = "\n".join([to_text(done), *(f"not known: {line}" for line in unknown)])
    return Result(data, lambda _: text)


def _scenario(
    file: Path, recorded: Path | None, data: Path | None
) -> tuple[Scenario, tuple[str, ...]]:
    from cloud_hub.errors import Invalid
    from cloud_hub.simulate.recorded import read_recorded, with_recorded
    from cloud_hub.simulate.scenario import parse_scenario
    from cloud_hub.text.yaml import text_of

    scenario = parse_scenario(text_of(file.read_bytes(), str(file)), str(file))
    if recorded is not None and data is not None:
        raise Invalid("--recorded, --from: expected one of them")
    if recorded is not None:
        return with_recorded(scenario, read_recorded(recorded))
    if data is not None:
        return with_recorded(scenario, _of_hub(data, scenario.model))
    return scenario, ()


def _of_hub(data: Path, model: str) -> list[RecordedWindow]:
    from cloud_hub.database.engine import connect, database_errors
    from cloud_hub.errors import Invalid
    from cloud_hub.settings import Settings
    from cloud_hub.simulate.recorded import recorded_by

    settings = Settings(data)
    if not (data / "hub.db").exists():
        raise Invalid(f"--from: expected the data folder of a hub, {data} has no hub.db")
    engine = connect(settings)
    try:
        with database_errors(settings):
            return recorded_by(engine, model)
    finally:
        engine.dispose()


def _one(
    scenario: Scenario,
    policy: Path | None,
    experiment: Path | None,
    *,
    seed: int,
    times: int,
    engine: Engine | None,
) -> Repeated:
    from cloud_hub.simulate.repeat import repeat

    named = " and ".join(file.name for file in (policy, experiment) if file) or "all defaults"
    return repeat(
        named, scenario, _policy(policy), _experiment(experiment), seed=seed, times=times,
        engine=engine, progress=lambda share: progress(f"{named}: {share:.0%}"),
    )  # fmt: skip


def _policy(file: Path | None) -> Policy:
    from cloud_hub.cli.policy_files import with_calendars
    from cloud_hub.policy.schema.parse import parse_policy
    from cloud_hub.text.yaml import text_of

    if file is None:
        return parse_policy("")
    return parse_policy(with_calendars(text_of(file.read_bytes(), str(file)), file), str(file))


def _experiment(file: Path | None) -> ExperimentSpec | None:
    from cloud_hub.experiments.verdict.spec import parse_experiment
    from cloud_hub.text.yaml import text_of

    if file is None:
        return None
    return parse_experiment(text_of(file.read_bytes(), str(file)), str(file))


def _write_page(page: Path, done: list[Repeated]) -> None:
    from cloud_hub.simulate.page import to_html
    from edge_sdk.system.files import write_atomic

    write_atomic(page, to_html(done).encode())
