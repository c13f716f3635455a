"""What other files show on SQLite, once more on PostgreSQL; and what only it could get wrong.

All of them: ``make postgres``.
"""

# ruff: noqa: F401, F811 (tests and fixtures are imported to be collected here too)
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import HubFault
from cloud_hub.experiments.tables import exposures
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import FeedbackReport, Message, Upload, kind_of
from edge_sdk.contract.window import Window
from tests.e2e.live import opened
from tests.edge.builders import make_release, rows
from tests.hub.experiments.test_experiments import (
    test_a_bad_canary_is_taken_back_and_not_offered_again,
    test_a_good_canary_goes_step_by_step_and_is_promoted,
    test_a_shadow_run_serves_nobody_and_concludes,
    test_an_ab_test_by_key_compares_within_each_device,
    test_an_arm_that_fails_is_dropped_and_the_others_go_on_to_a_winner,
    test_an_experiment_is_remembered_over_a_restart,
    test_resuming_acknowledges_failures_and_only_new_ones_trip_again,
    tried,
)
from tests.hub.experiments.test_exposure_sink import (
    test_windows_of_a_day_are_one_row_with_their_sums,
    trial,
)
from tests.hub.monitoring.test_groups import (
    fleet,
    release,
    test_a_model_that_gets_worse_for_one_group_alone_is_found_by_its_group,
    test_sums_of_groups_are_kept_by_the_hour_and_forgotten_in_the_end,
)
from tests.hub.registry.test_registry import (
    test_a_plan_that_was_noted_but_not_published_is_published_at_the_next_start,
    test_promote_and_rollback_go_back_and_forth,
)
from tests.hub.telemetry.test_telemetry import (
    test_a_key_counts_by_devices_and_not_by_how_often_one_asks,
    test_a_message_sent_again_is_counted_once,
    test_shared_rows_come_back_with_their_labels,
)
from tests.hub.triggers.test_triggers import (
    ready,
    test_a_firing_that_the_hub_died_over_is_handled_after_it_comes_back,
    test_every_evaluation_is_recorded_and_their_number_is_bounded,
)
from tests.postgres import Cluster
from tests.servers import HubProcess


@pytest.fixture
def database(cluster: Cluster) -> str:
    return cluster.database()


def test_uploads_of_one_device_at_once_are_all_counted(trial: tuple[Hub, str]) -> None:
    """Two may add to one row at the same moment; SQLite has one writer, PostgreSQL many."""
    hub, id_ = trial
    at = int(hub.experiments.get(id_).step_started_at) + 1
    window = Window("demo", "1.1", at, at + 1, id_, "candidate")
    body = FeedbackReport(window, 1, 1, 1, 1)

    def send(number: int) -> int:
        """Each message twice, at about the same time."""
        message = Message("boot", 1 + number // 2, kind_of(body), to_plain(body))
        return hub.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), Upload((message,))).accepted

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(128))) == 64
    with hub.engine.connect() as db:
        assert db.execute(select(exposures.c.labelled)).scalars().all() == [64]


def test_a_hub_that_is_killed_goes_on_with_what_it_knew(tmp_path: Path, cluster: Cluster) -> None:
    hub = HubProcess(tmp_path, database=cluster.database())
    try:
        release = make_release(tmp_path / "made", "kept")
        hub.admin.publish(release.folder, hub.key)
        hub.admin.post("models/kept/promote", version="1.0")
        with opened(tmp_path / "d", hub, "kept") as device:
            prediction = device.predict(rows(1)[0])
            device.feedback(prediction.id, label=prediction.label)
            device._service.collect(final=True)
            hub.kill()
            assert device.sync().errors
            hub.start()
        with opened(tmp_path / "e", hub, "kept") as other:
            assert other.predict(rows(1)[0]).version == "1.0"
        assert [v["version"] for v in hub.admin.get("models")[0]["versions"]] == ["1.0"]
    finally:
        hub.close()


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "hub", database=f"postgresql+psycopg://x@/x?host={tmp_path}")
    initialise(settings)
    with pytest.raises(HubFault, match="database: postgresql"):
        open_hub(settings)
