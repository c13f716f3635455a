"""Full examples of every message and file, the source of the frozen golden bytes.

Where fields came later, a second example has them; the first stays as old peers know it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_sdk.contract.certificate import Certificate, GroupResult, VariantResult
from edge_sdk.contract.entity_index import EntityIndex, EntityShare
from edge_sdk.contract.experiment_reports import InterleaveReport, Moments, Pairs, ShadowReport
from edge_sdk.contract.fleet import (
    CheckIn,
    CloudReply,
    CloudRequest,
    CredentialReply,
    CredentialRequest,
    DeviceLog,
    DeviceLogLine,
    EnrolReply,
    EnrolRequest,
    ReportedState,
)
from edge_sdk.contract.groups import GroupColumn, GroupCounts, GroupProfile
from edge_sdk.contract.key import ENTITY_ANSWERS
from edge_sdk.contract.key_buckets import BUCKETS, BucketOutcomes, BucketRequests
from edge_sdk.contract.manifest import (
    Budget,
    Cascade,
    Column,
    FileRef,
    Lineage,
    Manifest,
    OutputSpec,
    RuntimeNeeds,
    Signature,
    TensorSpec,
    Variant,
)
from edge_sdk.contract.messages import (
    FeedbackReport,
    KeyVotes,
    Message,
    Rejection,
    SampleBatch,
    TensorSample,
    UpdateEvent,
    Upload,
    UploadReply,
    WindowReport,
)
from edge_sdk.contract.pack import EntityPackInfo, PackHeader, ValueField
from edge_sdk.contract.pack_delta import DeltaHeader, Indices
from edge_sdk.contract.patch import Form, FormIndex, PatchHeader
from edge_sdk.contract.personal.ranking_report import PolicySums, RankingReport
from edge_sdk.contract.personal.report import DELTA, PersonalReport
from edge_sdk.contract.personal.session_features import RunningFeature, SessionFeatures
from edge_sdk.contract.plan import Arm, Cohort, Experiment, Outcome, PackRef, Plan, ReleaseRef
from edge_sdk.contract.profile import (
    EmbeddingDirections,
    FeatureProfile,
    ReferenceProfile,
    WatchedTensor,
)
from edge_sdk.contract.serving_terms import CascadePolicy, Reporting, Sharing
from edge_sdk.contract.window import LATENCY_BINS, Energy, Window
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.histograms import HistogramCounts


def histogram_text(*histograms: tuple[int, ...]) -> str:
    """The text in which ``histograms`` travel."""
    sizes = [len(counts) for counts in histograms]
    return encode_histograms(HistogramCounts(np.array(sum(histograms, ()), np.int64), sizes))


DIGEST = "0123456789abcdef" * 4
OTHER = "f" * 64

SIGNATURE = Signature(
    inputs=(TensorSpec("age", "float32", (None, 1)), TensorSpec("city", "string", (None, 1))),
    outputs=(
        OutputSpec("label", "string", (None,), "label"),
        OutputSpec("probabilities", "float32", (None, 2), "probabilities"),
    ),
    columns=(Column("age", "float32", "age"), Column("city", "string", "city")),
    classes=("no", "yes"),
)

MANIFEST = Manifest(
    model="churn",
    version="1.1",
    task="classification",
    signature=SIGNATURE,
    files={
        name: FileRef(1234, DIGEST)
        for name in ("model.onnx", "profile.json", "golden.npz", "certificate.json")
    },
    variants=(Variant("int8-storage", RuntimeNeeds(10, {"": 18, "ai.onnx.ml": 3})),),
    lineage=Lineage("stateful", "1.0", DIGEST, 5000),
    metrics={"accuracy": 0.93},
    cascade=Cascade(0.8, "max_probability", 0.02, 0.05, 0.9),
    budget=Budget(p99_ms=2.0, rss_mb=80.0),
    licence="Apache-2.0",
    training={"estimator": "LogisticRegression"},
)

CATEGORISED = replace(
    MANIFEST,
    signature=replace(
        SIGNATURE,
        columns=tuple(
            replace(column, lacking=True, categories=("Oslo", "Łódź"))
            if column.dtype == "string"
            else column
            for column in SIGNATURE.columns
        ),
    ),
)

GROUPED = replace(
    MANIFEST,
    groups=(GroupColumn("age", edges=(30.0, 60.0)), GroupColumn("sex", values=("f", "m"))),
)

HALF = Variant(
    "float16",
    RuntimeNeeds(10, {"": 18}),
    "float16",
    "jetson",
    "CUDAExecutionProvider",
    "model-float16.onnx",
    "golden-float16.npz",
    "certificate-float16.json",
)

OF_TWO_VARIANTS = replace(
    MANIFEST,
    files={
        **MANIFEST.files,
        **{name: FileRef(2345, OTHER) for name in (*HALF.files, "model-card.md", "bom.cdx.json")},
    },
    variants=(*MANIFEST.variants, HALF),
)

PROFILE = ReferenceProfile(
    rows=6,
    features=(
        FeatureProfile("age", (2, 3, 1, 0), edges=(18.0, 40.0, 90.0)),
        FeatureProfile("city", (4, 2, 0, 0), categories=("Oslo", "Łódź")),
    ),
    outputs=(FeatureProfile("label", (3, 3, 0, 0), categories=("no", "yes")),),
)

CALIBRATED = replace(
    PROFILE,
    outputs=(
        *PROFILE.outputs,
        FeatureProfile("confidence", (2, 4, 0, 0), edges=(0.5, 0.8, 1.0), correct=(1, 4)),
    ),
)

PROFILE_OF_GROUPS = replace(
    PROFILE,
    groups=(
        GroupProfile("sex", "f", 4, ((3, 1, 0, 0),)),
        GroupProfile("sex", "m", 2, ((0, 2, 0, 0),)),
    ),
)

PROFILE_OF_TENSORS = ReferenceProfile(
    rows=6,
    features=(
        FeatureProfile("picture brightness", (3, 3, 0, 0), edges=(0.1, 0.4, 0.9)),
        FeatureProfile("picture sharpness", (2, 4, 0, 0), edges=(-12.5, -9.0, -3.0)),
        FeatureProfile("hidden direction 1", (1, 2, 0, 0), edges=(-1.5, 0.0, 2.0)),
        FeatureProfile("hidden off directions", (2, 1, 0, 0), edges=(0.25, 0.5, 1.0)),
    ),
    watched=(
        WatchedTensor("picture", "image", ("brightness", "sharpness"), (0.001, 0.01), (0.5, 0.4)),
    ),
    embedding=EmbeddingDirections("hidden", (0.5, 0.0), ((0.6, 0.8),), (0.01, 0.02)),
)

CERTIFICATE = Certificate(
    chosen="float32",
    variants=(
        VariantResult("float32", 900, 500, 0.0, 1e-6, 1e-7, 0.93, 5.0, 0.4, 1.5, accepted=True),
    ),
    rows=500,
    original_score=0.93,
    tolerances={"probability": 1e-4},
    tools={"onnx": "1.23.2"},
    machine={"cpu": "example"},
    repeat="edge-convert verify churn-1.1",
)

CERTIFICATE_OF_GROUPS = replace(
    CERTIFICATE, groups=(GroupResult("f", 300, 0.94, 0.93, 0.01, 1e-6, column="sex"),)
)

CERTIFICATE_OF_BOUNDS = replace(
    CERTIFICATE,
    variants=(
        replace(
            CERTIFICATE.variants[0], flips_bound=0.00597, score_bound=0.9083, drop_bound=0.00597
        ),
    ),
    groups=(
        GroupResult(
            "f", 300, 0.94, 0.93, 0.01, 1e-6, column="sex", flips_bound=0.0257, score_bound=0.9005
        ),
    ),
    confidence=0.95,
)

PLAN = Plan(
    model="churn",
    serial=7,
    serving=ReleaseRef("1.0", DIGEST, PackRef(FileRef(4096, OTHER))),
    experiment=Experiment(
        id="canary-3",
        strategy="canary",
        salt="pepper",
        arms=(Arm("candidate", ReleaseRef("1.1", OTHER), ((0, 500), (9_000, 9_100))),),
        cohort=Cohort("region", ("eu", "us")),
    ),
    reporting=Reporting(60, 100, 50),
    sharing=Sharing(samples=True, per_window=20),
    cascade=CascadePolicy("cascade", 0.75, 200),
)

WITH_SESSIONS = replace(
    PLAN,
    sessions=SessionFeatures(
        "visit",
        2,
        (
            RunningFeature("clicks", "int64", kind="count"),
            RunningFeature(
                "bought", "int32", kind="count", window_seconds=300.0, where={"paid": True}
            ),
            RunningFeature(
                "usual", "float32", 0.5, kind="mean", field="price", half_life_seconds=60.0
            ),
            RunningFeature("before", "string", "none", kind="last", field="item", nth=2),
            RunningFeature("items", "int16", kind="distinct", field="item", most=40),
        ),
        {"item": "string", "price": "float64", "paid": "bool"},
        idle_seconds=600.0,
        sessions=500,
        memory_bytes=4_000_000,
        kept=True,
    ),
)

CANDIDATE = ReleaseRef("1.1", OTHER)
STAGED = replace(
    PLAN,
    experiment=Experiment(
        id="canary-4",
        strategy="canary",
        salt="pepper",
        arms=(Arm("candidate", CANDIDATE, ((0, 2_500),)),),
        cohort=Cohort("region", ("us",)),
        completed=(Cohort("region", ("eu",)), Cohort("site", ("lab",))),
        paused=True,
        outcomes=(
            Outcome("accuracy", "accuracy", "up", 0.01),
            Outcome("speed", "latency", "down"),
        ),
    ),
)
BY_KEY = replace(
    PLAN,
    experiment=Experiment(
        id="ab-1",
        strategy="ab",
        salt="pepper",
        arms=(Arm("b", CANDIDATE, ((0, 3_000),)), Arm("c", CANDIDATE, ((3_000, 6_000),))),
        unit="key",
        outcomes=(Outcome("bought", "reward", "up", 0.02),),
    ),
)
BY_ENERGY = replace(
    PLAN,
    experiment=Experiment(
        "ab-2", "ab", "pepper", (Arm("b", CANDIDATE, ((0, 3_000),)),),
        outcomes=(Outcome("power", "energy", minimum_effect=0.05),),
    ),
)  # fmt: skip
DROPPED = replace(
    BY_KEY,
    experiment=Experiment(
        id="ab-2",
        strategy="ab",
        salt="pepper",
        arms=(Arm("c", CANDIDATE, ((3_000, 6_000),)),),
        dropped=(Arm("b", ReleaseRef("1.2", DIGEST), ((0, 3_000),)),),
    ),
)
SHADOWED = replace(
    PLAN,
    experiment=Experiment(
        "shadow-1", "shadow", "pepper", (Arm("candidate", CANDIDATE, ((0, 10_000),)),), share=0.25
    ),
)

WINDOW = Window("churn", "1.0", 1_700_000_000, 1_700_000_060, "canary-3", "candidate")
LATENCIES = tuple(range(LATENCY_BINS))
REPORT = WindowReport(
    window=WINDOW,
    profile=DIGEST,
    predictions={"pack": 40, "model": 50, "cloud": 10},
    features=histogram_text((60, 38, 1, 1), (50, 49, 0, 1)),
    outputs=histogram_text((70, 30, 0, 0)),
    observations=100,
    degraded=2,
    errors={"shape": 1},
    latency={"model": LATENCIES},
    lost={"ring": 3},
    resources={"rss_mb": 61.5},
)
FEEDBACK = FeedbackReport(
    WINDOW, 20, 18, 15, 14, {"model": (15, 14), "pack": (5, 4)}, 2, 1.5, 1.25, 1
)
REPORT_OF_GROUPS = replace(
    REPORT,
    groups={
        "sex": {
            "f": GroupCounts(150, histogram_text((110, 40, 0, 0))),
            "other": GroupCounts(100, histogram_text((60, 39, 1, 0))),
        }
    },
)
FEEDBACK_OF_GROUPS = replace(FEEDBACK, groups={"sex": {"f": (9, 9), "missing": (6, 5)}})
FEEDBACK_OF_NUMBERS = FeedbackReport(
    WINDOW, measured=3, error_sum=2.5, error_squares=2.25, error_fourths=2.0625
)
ONE_EACH = (1,) * 10 + (0,) * (BUCKETS - 10)
REPORT_BY_KEY = replace(
    REPORT,
    units=10,
    buckets=BucketRequests(
        ONE_EACH, units=ONE_EACH, latency_n=ONE_EACH,
        latency_sum=(6.125,) * 10 + (0.0,) * (BUCKETS - 10),
        latency_squares=(37.515625,) * 10 + (0.0,) * (BUCKETS - 10),
    ),
)  # fmt: skip
FEEDBACK_BY_KEY = replace(FEEDBACK, buckets=BucketOutcomes(ONE_EACH, ONE_EACH))
SHADOW = ShadowReport(
    Window("churn", "1.1", 1_700_000_000, 1_700_000_060, "shadow-1", "candidate"),
    incumbent="1.0",
    compared=90,
    disagreements=7,
    confidence=Moments(90, -1.5, 0.75),
    value=Moments(),
    latency=Moments(12, 3.5, 2.25),
    errors={"model": 1},
    skipped={"queue": 4, "source": 5},
    labelled=Pairs(10, 3, 2, 1),
)
INTERLEAVED = InterleaveReport(
    Window("shop", "1.1", 1_700_000_000, 1_700_000_060, "taste-1", "candidate"),
    incumbent="1.0",
    sessions=20,
    wins={"candidate": 6, "control": 4},
    ties=2,
    clicks={"candidate": 9, "control": 7},
    first={"candidate": 11, "control": 9},
    refused={"not_shown": 1},
    seed="8f1b",
)
SAMPLES = SampleBatch("churn", "1.0", ((41.0, "Oslo"), (None, "Łódź")), ("yes", "no"), (5, 6))
TENSORS = TensorSample(
    "faces", "1.0", {"x": (1, 2, 2)}, "KLUv/SAEIQAAAQIDBA==", "smile", 1_700_000_000
)
VOTES = KeyVotes("churn", "1.0", 28_333_333, ("00" * 16, "ff" * 16))
EVENT = UpdateEvent("churn", "activated", "1.1", 1_700_000_001, "1.0", "commit", None, "canary-3")
UPLOAD = Upload((Message("boot-1", 1, "feedback", {"labelled": 1}),))

PACK_HEADER = PackHeader(
    model="churn",
    version="1.0",
    manifest=DIGEST,
    canonicaliser="columns-v1",
    count=3,
    directory_bits=2,
    filter_bits=1,
    fields=(
        ValueField("label", "label", "int32"),
        ValueField("probabilities", "probabilities", "float32", (2,), "uint8", 0.004, 0.01, 0.002),
    ),
    answered_by="churn-cloud 1.0",
    body=OTHER,
    expires=1_800_000_000,
)

DELTA_HEADER = DeltaHeader(
    base=DIGEST,
    result=FileRef(4096, OTHER),
    head=576,
    value_bytes=6,
    removed=Indices(0, 1),
    changed=Indices(2, 2),
    added=Indices(1, 4),
)

RANKINGS = RankingReport(
    Window("shop", "1.1", 1_700_000_000, 1_700_000_060),
    units=20,
    lists=40,
    shown=55,
    clipped=1,
    policies={
        "own": PolicySums(40.0, 800.0, 12.0, 160.0, 200.0, 11.5, 90.25, 2),
        "adapted": PolicySums(41.0, 46.5, 21.0, 20.5, 23.25, 20.75, 19.5),
        "logged": PolicySums(40.0, 40.0, 20.0, 18.5, 20.0, 20.0, 18.5),
    },
)
PERSONAL_REPORT = PersonalReport(
    "churn", "1.1", 3, DIGEST, 1_700_000_000, 1_700_600_000,
    units=24.0, crossed=22.0, labels=812.0, served=11.5, off=2.0, both=19.25, model_only=0.75,
    personal_only=2.5, neither=1.5, gain_squares=0.75, better=9.0, worse=3.0, model_loss=9.5,
    personal_loss=6.25, shift=(1.5, -2.25), squares=(31.0, 18.5), cross=(12.0, -0.5), cohort="eu",
)  # fmt: skip

PERSONAL_REPORT_WITH_NOISE = replace(
    PERSONAL_REPORT, units=-3.5, better=-1.25, epsilon=1.0, delta=DELTA
)

EXAMPLES = {
    "manifest": MANIFEST,
    "personal_report": PERSONAL_REPORT,
    "personal_report_with_noise": PERSONAL_REPORT_WITH_NOISE,
    "manifest_categorised": CATEGORISED,
    "manifest_grouped": GROUPED,
    "manifest_of_two_variants": OF_TWO_VARIANTS,
    "profile": PROFILE,
    "profile_calibrated": CALIBRATED,
    "profile_grouped": PROFILE_OF_GROUPS,
    "profile_watched": PROFILE_OF_TENSORS,
    "certificate": CERTIFICATE,
    "certificate_grouped": CERTIFICATE_OF_GROUPS,
    "certificate_bounded": CERTIFICATE_OF_BOUNDS,
    "plan": PLAN,
    "plan_with_sessions": WITH_SESSIONS,
    "plan_staged": STAGED,
    "plan_by_key": BY_KEY,
    "plan_dropped": DROPPED,
    "plan_shadowed": SHADOWED,
    "plan_by_energy": BY_ENERGY,
    "window_report_packed": replace(REPORT, units=17),
    "window_report_by_key": REPORT_BY_KEY,
    "window_report_grouped": REPORT_OF_GROUPS,
    "window_report_stale": replace(REPORT, stale=3),
    "window_report_metered": replace(REPORT, energy=Energy(181.25, 103, 60.5)),
    "feedback_report": FEEDBACK,
    "feedback_report_by_key": FEEDBACK_BY_KEY,
    "feedback_report_grouped": FEEDBACK_OF_GROUPS,
    "feedback_report_measured": FEEDBACK_OF_NUMBERS,
    "shadow_report": SHADOW,
    "shadow_report_measured": replace(SHADOW, off=Moments(16, -1.25, 4.5)),
    "interleave_report": INTERLEAVED,
    "ranking_report": RANKINGS,
    "sample_batch": SAMPLES,
    "tensor_sample": TENSORS,
    "key_votes": VOTES,
    "update_event": EVENT,
    "update_event_waiting": replace(EVENT, outcome="waiting"),
    "patch_header": PatchHeader(FileRef(4096, OTHER), FileRef(4000, OTHER)),
    "form_index": FormIndex({OTHER: (Form(FileRef(96, OTHER), OTHER), Form(FileRef(500, OTHER)))}),
    "upload": UPLOAD,
    "upload_reply": UploadReply(1, 1, (Rejection("boot-1", 3, "unknown version 9.9"),)),
    "enrol_request": EnrolRequest(
        ("churn", "fraud"), "0a" * 32, "1b" * 64, {"region": "eu"}, "SN-17/b"
    ),
    "enrol_reply": EnrolReply("device-1", "{}", ("churn", "fraud"), {"region": "eu"}, "pending"),
    "credential_request": CredentialRequest("device-1", 3, "2c" * 16, "3d" * 64),
    "credential_reply": CredentialReply("secret", 3_600.0),
    "check_in": CheckIn(
        {"churn": ReportedState("1.0", 7, OTHER, failed=(OTHER,)), "fraud": ReportedState()},
        {"region": "eu"},
        waiting=3,
        sharing=True,
    ),
    "check_in_holding": CheckIn({"churn": ReportedState("1.0", 7, holds=("1.1",))}),
    "check_in_expected": CheckIn({"churn": ReportedState("1.0", 7)}, interval=60.0),
    "device_log": DeviceLog(
        True, (DeviceLogLine(1_700_000_000.5, "INFO", "edge_sdk.update.syncer", "the hub is away"),)
    ),
    "cloud_request": CloudRequest("churn", "1.0", (41.0, "Oslo")),
    "cloud_reply": CloudReply("1.0", "yes", (0.1, 0.9)),
    "pack_header": PACK_HEADER,
    "pack_header_checked": replace(PACK_HEADER, check_bits=1),
    "pack_header_by_entity": replace(
        PACK_HEADER,
        canonicaliser=ENTITY_ANSWERS,
        check_bits=1,
        entities=EntityPackInfo(
            "hotels", 17, 1_700_000_000.5, ("no", "yes"), share="eu", default="no"
        ),
    ),
    "entity_index": EntityIndex(
        "churn",
        "hotels",
        17,
        "churn-large 2.0",
        1_700_000_000.5,
        1_700_014_400.5,
        "region",
        {"eu": EntityShare(FileRef(4096, OTHER), 40, OTHER, FileRef(96, OTHER))},
    ),
    "delta_header": DELTA_HEADER,
}
