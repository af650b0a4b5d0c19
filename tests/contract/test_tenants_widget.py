"""The look of a tenant's chat window: set by admins, read by public keys, which get nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2 as pb

from services.common.errors import Kind
from tests.contract import administration_server as admin
from tests.contract.administration_server import OPERATOR, World, refused

database_url, world = admin.database_url, admin.world


async def set_look(world: World, **fields: Any) -> None:
    operator = await world.stubs(OPERATOR)
    await operator.tenants.UpdateTenant(
        pb.UpdateTenantRequest(tenant_id="metrica", settings={"widget": fields})
    )


async def test_a_public_key_gets_the_look_of_its_tenant_alone(world: World) -> None:
    await world.tenant(
        "metrica",
        brand_name="Metrica",
        llm={"base_url": "https://llm.example/v1", "system_prompt": "Be kind."},
    )
    await world.tenant("other")
    await set_look(world, accent_color="#FFDD00", greeting="Hi", position="left")
    _, token = await world.key("metrica", Access.PUBLIC, allowed_origins=["https://shop.example"])
    visitor = await world.stubs(token)
    look = await visitor.tenants.GetWidget(pb.GetWidgetRequest())
    assert (look.title, look.greeting, look.position) == ("Metrica", "Hi", "left")
    assert (look.accent_color, look.accent_text_color) == ("#ffdd00", "#000000")
    assert b"llm" not in look.SerializeToString() and b"kind" not in look.SerializeToString()
    assert (
        await refused(visitor.tenants.GetWidget(pb.GetWidgetRequest(tenant_id="other")))
    ).kind is Kind.FORBIDDEN
    assert (await refused(visitor.tenants.GetTenant(pb.GetTenantRequest()))).kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"accent_color": "red"}, "accent_color"),
        ({"accent_color": "#12345"}, "accent_color"),
        ({"accent_color": "#1234567"}, "accent_color"),
        ({"accent_color": "#123456\n"}, "accent_color"),
        ({"position": "top"}, "position"),
        ({"title": "x" * 300}, "title"),
        ({"greeting": "x" * 3000}, "greeting"),
    ],
)
async def test_what_is_no_look_is_refused_by_name(world: World, fields: dict[str, str], name: str) -> None:
    await world.tenant("metrica")
    operator = await world.stubs(OPERATOR)
    request = pb.UpdateTenantRequest(tenant_id="metrica", settings={"widget": fields})
    error = await refused(operator.tenants.UpdateTenant(request))
    assert error.kind is Kind.INVALID
    assert [fault.field for fault in error.fields] == [f"settings.widget.{name}"]


async def test_a_field_that_is_cleared_has_its_default_again(world: World) -> None:
    await world.tenant("metrica", locale="de")
    await set_look(world, accent_color="#000000", launcher_text="Fragen?")
    operator = await world.stubs(OPERATOR)
    await operator.tenants.UpdateTenant(
        pb.UpdateTenantRequest(
            tenant_id="metrica", update_mask=FieldMask(paths=["settings.widget.accent_color"])
        )
    )
    look = await operator.tenants.GetWidget(pb.GetWidgetRequest(tenant_id="metrica"))
    assert (look.accent_color, look.launcher_text, look.locale) == ("#2457c5", "Fragen?", "de")
    assert look.disclaimer.startswith("Bitte beachten Sie")
    assert (
        await refused(operator.tenants.GetWidget(pb.GetWidgetRequest(tenant_id="gone")))
    ).kind is Kind.NOT_FOUND
    assert (await refused(operator.tenants.GetWidget(pb.GetWidgetRequest()))).kind is Kind.INVALID
