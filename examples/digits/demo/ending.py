"""Last steps of the demo: a bad version is caught, and every report has arrived once."""

from __future__ import annotations

from cloud_hub.errors import HubFault
from examples.digits.demo import journals
from examples.digits.demo.story import BAD, DEVICES, KILLED, Outcome, Story


def bad_version(story: Story) -> Outcome:
    """Publish a bad version past the gate by hand; its canary catches it and rolls it back."""
    release = story.prepared(BAD)
    try:
        story.publish(release)
        refused = "not refused"
    except HubFault as error:
        refused = str(error).splitlines()[0]
    story.publish(release, override="demo: a person overrides the gate")
    story.hub.post("models/digits/canary", version=BAD)
    story.mark(f"{BAD} on canary")
    story.wait(lambda: story.experiment(BAD)["status"] != "running", "the verdict")
    trial = story.experiment(BAD)
    story.mark(f"{BAD} rolled back", trial["ended_at"])
    story.wait(lambda: story.versions() == ["1.1"] * DEVICES, "all devices back on 1.1")
    seconds = trial["ended_at"] - trial["started_at"]
    exposed = trial["figures"]["arms"]["candidate"]["predictions"]
    ok = trial["status"] == "aborted" and "not refused" not in refused
    return ok, (
        f"gate refused it ({refused}); overridden; canary aborted after {seconds:.1f} s and "
        f"{exposed} reported answers: {trial['reason']}; all devices back on 1.1"
    )


def exactly_once(story: Story) -> Outcome:
    """Compare the reports at the hub with the journals: each arrived exactly once."""
    after = story.answers(story.promoted_at + 5)
    good = [line for line in after if line["version"] != BAD]
    story.fleet.stop_devices()
    reported = story.hub.get("models/digits/telemetry")["devices"]
    shown, ok = [], True
    for number in range(DEVICES):
        made = len(story.device_answers(number))
        arrived = reported.get(journals.device_name(story.fleet.journal(number)), 0)
        lost = made - arrived
        ok &= 0 <= lost <= (600 if number == KILLED else 0)
        shown.append(f"{arrived}/{made}")
    return ok, (
        f"reported/made by device: {', '.join(shown)} (device {KILLED} was killed and lost "
        f"what it had not yet stored); accuracy on changed pictures now "
        f"{journals.accuracy(good):.3f}"
    )
