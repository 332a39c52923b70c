"""The templates (the server's images) that are there, through both SDKs."""

from __future__ import annotations

import pytest
from hopx_ai.errors import APIError, NotFoundError

from tests.conformance.python.blocking import Blocking
from tests.conformance.python.surface import in_both

Account = dict[str, str]


@in_both("Sandbox.list_templates", "Sandbox.get_template")
def test_the_vendors_two_templates_are_there(sdk: Blocking, account: Account) -> None:
    listed = {template.name: template for template in sdk.list_templates(**account)}
    assert {"base", "code-interpreter"} <= set(listed)
    for name in ("base", "code-interpreter"):
        template = sdk.get_template(name, **account)
        assert (template.id, template.status) == (listed[name].id, "active")
        assert template.is_active
    assert sdk.get_template(listed["base"].id, **account).name == "base"


@in_both("Sandbox.list_templates")
def test_templates_are_filtered(sdk: Blocking, account: Account) -> None:
    everything = sdk.list_templates(**account)
    for template in everything:
        alike = sdk.list_templates(
            category=template.category, language=template.language, **account
        )
        assert template.id in {found.id for found in alike}
    assert sdk.list_templates(category="none", **account) == []
    assert sdk.list_templates(language="none", **account) == []


@in_both("Sandbox.get_template")
def test_an_unknown_template_is_not_found(sdk: Blocking, account: Account) -> None:
    with pytest.raises(NotFoundError):
        sdk.get_template("no-such-template", **account)


@in_both("Sandbox.delete_template")
def test_the_vendors_own_templates_cannot_be_deleted(sdk: Blocking, account: Account) -> None:
    base = sdk.get_template("base", **account)
    with pytest.raises(APIError) as refused:
        sdk.delete_template(base.id, **account)
    assert refused.value.status_code == 403
    assert sdk.get_template("base", **account).is_active
