"""What devices said of a prior, as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from cloud_hub.web.pages import page_template

if TYPE_CHECKING:
    from cloud_hub.personalise.learned.learning import PersonalEvidence


def to_html(evidence: PersonalEvidence) -> str:
    """Render evidence."""
    return str(_template().render(e=evidence))


@functools.cache
def _template() -> Any:
    return page_template("cloud_hub.personalise.learned", "evidence.html")
