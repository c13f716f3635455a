"""What each file of an archive is, and which article asks for it. Pure.

EU AI Act: Regulation (EU) 2024/1689. Cyber Resilience Act: Regulation (EU) 2024/2847. That a file
answers an article says where an auditor finds what it asks for, not that the law is obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ACT_11: Final = "EU AI Act, Article 11 and Annex IV: technical documentation"
ACT_12: Final = "EU AI Act, Article 12: record-keeping"
ACT_10: Final = "EU AI Act, Article 10: data and data governance"
ACT_13: Final = "EU AI Act, Article 13: information for deployers"
ACT_14: Final = "EU AI Act, Article 14: human oversight"
ACT_15: Final = "EU AI Act, Article 15: accuracy, robustness and cybersecurity"
ACT_72: Final = "EU AI Act, Article 72: post-market monitoring"
ACT_73: Final = "EU AI Act, Article 73: reporting of serious incidents"
CRA_BOM: Final = "Cyber Resilience Act, Annex I, Part II (1): software bill of materials"
CRA_INTEGRITY: Final = (
    "Cyber Resilience Act, Annex I, Part I (2)(f): integrity of programs and data"
)
CRA_UPDATES: Final = "Cyber Resilience Act, Annex I, Part II (7): secure distribution of updates"
CRA_LOGS: Final = "Cyber Resilience Act, Annex I, Part I (2)(l): recording and monitoring"


@dataclass(frozen=True)
class EvidenceKind:
    """Files of an archive by the beginning of their name: what they are, and what they answer."""

    prefix: str
    what: str
    articles: tuple[str, ...]


KINDS: Final = (
    EvidenceKind("release/model-card.md", "model card", (ACT_11, ACT_13)),
    EvidenceKind("release/bom.cdx.json", "bill of materials (CycloneDX ML-BOM)", (CRA_BOM, ACT_11)),
    EvidenceKind(
        "release/certificate", "what was measured when the release was made", (ACT_15, ACT_11)
    ),
    EvidenceKind("release/profile.json", "distributions of the training data", (ACT_10, ACT_72)),
    EvidenceKind(
        "release/manifest.json", "digests of every file of the release", (CRA_INTEGRITY, ACT_11)
    ),
    EvidenceKind("release/", "another document of the release", (ACT_11,)),
    EvidenceKind(
        "signatures/", "signed metadata, from the root of trust", (CRA_INTEGRITY, CRA_UPDATES)
    ),
    EvidenceKind("data.json", "data sets with their fingerprints", (ACT_10,)),
    EvidenceKind("evaluation.json", "scores by group, and what the gate found", (ACT_15, ACT_10)),
    EvidenceKind("decisions.json", "each decision with its evidence", (ACT_12, ACT_14)),
    EvidenceKind("audit.json", "who did what, when and why", (ACT_12, ACT_14, CRA_LOGS)),
    EvidenceKind("incidents.json", "alarms, and releases that were taken back", (ACT_72, ACT_73)),
    EvidenceKind("drift.json", "drift by feature and window", (ACT_72,)),
    EvidenceKind("names.json", "aliases, tags and descriptions", (ACT_11,)),
    EvidenceKind("README.md", "how to read and verify the archive", ()),
)


def kind_of(name: str) -> EvidenceKind:
    """Return what a file of an archive is; raises KeyError for one that is none."""
    for kind in KINDS:
        if name.startswith(kind.prefix):
            return kind
    raise KeyError(name)


def readme(model: str, version: str, names: Iterable[str], limits: Iterable[str]) -> str:
    """Return the page that an auditor reads first, in Markdown.

    Args:
        model: name of the line.
        version: of it.
        names: of the files.
        limits: sentences on what was left out.
    """
    rows = [
        f"| `{name}` | {kind_of(name).what} | {'; '.join(kind_of(name).articles) or '–'} |"
        for name in sorted(names)
    ]
    return "\n".join(
        [
            f"# {model} {version}: evidence",
            "",
            "The state of one hub at one moment. `statement.json` holds the digest of each file "
            "below, signed by the hub (DSSE, in-toto). Verify it with nothing but the public root "
            "of trust:",
            "",
            "```console",
            "edge-hub export verify ARCHIVE --root root.json",
            "```",
            "",
            "The hub vouches for its own records (audit, decisions, drift); the publisher vouches "
            "for the release, by the chain in `signatures/`. An article beside a file says where "
            "an auditor finds what it asks for, not that the law is obeyed.",
            "",
            "| file | is | answers |",
            "|---|---|---|",
            *rows,
            "",
            *(f"- {limit}" for limit in limits),
            "",
        ]
    )
