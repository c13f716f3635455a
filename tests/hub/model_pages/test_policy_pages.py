"""The policy of a model, read, written, compared and applied on its page; how to publish."""

from __future__ import annotations

import html
import re

from cloud_hub.api.roles import Role
from cloud_hub.hub import Hub
from cloud_hub.policy.service import digest
from tests.hub.model_pages.conftest import Reader, words
from tests.hub.model_pages.test_page_rights import somebody

HERE = "/models/demo/policy"
TEXT = "# of the kiosks\nalarms: {lost_share: 0.3}\nsharing: {samples: true, per_window: 10}\n"


def fields_of(page: str) -> dict[str, str]:
    """What the form with the policy on a page would send."""
    hidden = re.search(r'name="expected" value="([^"]*)"', page)
    written = re.search(r"<textarea[^>]*name=\"policy\"[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert hidden is not None
    assert written is not None
    return {"expected": hidden[1], "policy": html.unescape(written[1])}


def test_a_publisher_writes_a_policy_sees_what_it_changes_and_applies_it(
    tried: Hub, reader: Reader
) -> None:
    pia = somebody(reader, tried, "pia", Role.PUBLISHER)
    assert "every setting is its default" in words(pia.get(HERE))
    form = fields_of(pia.get(f"{HERE}/edit"))
    assert form == {"expected": digest(""), "policy": "model: demo\n"}

    # A browser ends lines as mail does.
    form["policy"] = TEXT.replace("\n", "\r\n")
    seen = pia.post(f"{HERE}/changes", 200, **form)
    assert "3 changes" in words(seen)
    assert "alarms.lost_share changed 0.1 0.3" in words(seen)
    assert "devices get a new plan" in words(seen)
    assert tried.policies.text("demo") == ""

    pia.post(HERE, **fields_of(seen))
    assert tried.policies.text("demo") == TEXT
    (entry,) = tried.audit.entries("demo", 10, action="policy")
    assert (entry.actor, entry.detail["policy"]) == ("pia", TEXT)
    plan = tried.plans.current("demo")
    assert plan is not None
    assert (plan.serial, plan.sharing.per_window) == (2, 10)
    page = words(pia.get(HERE))
    assert "# of the kiosks alarms: {lost_share: 0.3}" in page
    assert "worn_uses: 20" in page  # with every default
    assert "pia" in page


def test_a_policy_that_is_none_comes_back_with_its_mistakes_and_as_it_was_typed(
    tried: Hub, reader: Reader
) -> None:
    typed = "alarms: {lost_share: 7}\n# </textarea><script>alert(1)</script>\n"
    page = reader.post(f"{HERE}/changes", 422, expected=digest(""), policy=typed)
    assert "lost_share: expected above 0 to 1, got 7" in words(page)
    assert fields_of(page)["policy"] == typed
    assert 'aria-invalid="true"' in page
    reader.post(HERE, 422, expected=digest(""), policy=typed)
    assert tried.policies.text("demo") == ""


def test_what_somebody_else_applied_meanwhile_stays(tried: Hub, reader: Reader) -> None:
    form = fields_of(reader.get(f"{HERE}/edit"))
    tried.policies.apply("demo", "budget: {runs_per_week: 2}", actor="other")
    form["policy"] = TEXT
    page = reader.post(f"{HERE}/changes", 200, **form)
    assert "Another policy was applied since you began" in words(page)
    assert '<button class="primary">Apply' not in page
    assert "plan again" in words(reader.post(HERE, 409, **form))
    assert tried.policies.text("demo") == "budget: {runs_per_week: 2}"


def test_comments_alone_are_no_change_and_the_same_text_cannot_be_applied_again(
    tried: Hub, reader: Reader
) -> None:
    tried.policies.apply("demo", TEXT, actor="test")
    form = fields_of(reader.get(f"{HERE}/edit"))
    assert "letter for letter" in words(reader.post(f"{HERE}/changes", 200, **form))
    form["policy"] = f"# and more\n{TEXT}"
    page = reader.post(f"{HERE}/changes", 200, **form)
    assert "No changes" in words(page)
    assert "Comments and layout differ" in words(page)
    kept = reader.post(f"{HERE}/edit", 200, **fields_of(page))
    assert fields_of(kept) == fields_of(page)


def test_a_policy_that_is_too_long_for_a_form_is_left_to_its_file(
    tried: Hub, reader: Reader
) -> None:
    long = f"# {'x' * 45_000}\nbudget: {{runs_per_week: 2}}\n"
    page = reader.post(HERE, 422, expected=digest(""), policy=long)
    assert "edge-hub policy apply FILE" in words(page)
    tried.policies.apply("demo", long, actor="test")
    page = reader.get(HERE)
    assert "too long for a form" in words(page)
    assert f'href="{HERE}/edit"' not in page


def test_who_is_no_publisher_reads_a_policy_and_changes_none(tried: Hub, reader: Reader) -> None:
    olga = somebody(reader, tried, "olga", Role.OPERATOR)
    assert "Edit…" not in olga.get(HERE)
    olga.get(f"{HERE}/edit", 403)
    for path in (HERE, f"{HERE}/changes", f"{HERE}/edit"):
        olga.post(path, 403, expected=digest(""), policy=TEXT)
    assert tried.policies.text("demo") == ""
    pia = somebody(reader, tried, "pia", Role.PUBLISHER)
    tried.policies.apply("demo", "approvals: {promote: true}", actor="test")
    form = fields_of(pia.get(f"{HERE}/edit")) | {"policy": TEXT}
    said = words(pia.post(f"{HERE}/changes", 403, **form))
    assert "only an administrator may drop that" in said
    pia.post(HERE, 403, **form)
    assert tried.policies.text("demo") == "approvals: {promote: true}"


def test_the_way_to_publish_names_this_hub_the_model_and_whose_key_signs(
    tried: Hub, reader: Reader
) -> None:
    page = words(reader.get("/publishing?model=demo"))
    assert "edge-hub login http://" in page
    assert "edge-hub publish demo-VERSION --key releases.pem" in page
    (releases,) = [role for role in tried.keys.status().roles if role.role == "releases"]
    assert releases.keys[0][:16] in page
    assert "on the hub" in page
    assert 'href="/publishing?model=demo"' in reader.get("/models/demo")
    odo = somebody(reader, tried, "odo", Role.OPERATOR, "other")
    odo.get("/publishing?model=demo", 404)
    assert "Publishing takes the role publisher" in words(odo.get("/publishing"))
