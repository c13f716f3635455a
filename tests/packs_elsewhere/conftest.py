"""The readers, made once in a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.packs_elsewhere.readers import PackReader


@pytest.fixture(
    scope="session",
    params=[pytest.param("c", marks=pytest.mark.c), pytest.param("js", marks=pytest.mark.node)],
)
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PackReader]:
    """Each reader in turn."""
    made = PackReader.of(request.param, tmp_path_factory.mktemp("readers"))
    yield made
    made.close()
