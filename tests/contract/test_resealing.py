"""Changing the key that secrets are sealed with, on a database that the service has written."""

from __future__ import annotations

from metachat.escalation.v1 import tenant_pb2, webhook_pb2
from metachat.escalation.v1.settings_pb2 import LlmSettings, TenantSettings

from services.common.settings import Secret
from services.escalation.secrets.box import SecretBox, key_id_of
from services.escalation.secrets.resealing import Resealed, reseal
from services.escalation.secrets.stored import every_secret
from tests.contract import escalation_server as server
from tests.contract.escalation_server import KEY, TENANT, World

database_url, world = server.database_url, server.world
NEW = "the-next-secret-key-of-this-test-installation"


def box(*keys: str) -> SecretBox:
    return SecretBox(Secret(",".join(keys)))


async def secrets_of(world: World) -> None:
    """One of each kind; the webhook's was rotated, so that two of it are in use."""
    await world.tenants().PutChannel(
        tenant_pb2.PutChannelRequest(
            tenant_id=TENANT, kind=server.WHATSAPP, account_id="15550001", access_token="EAAG-1"
        )
    )
    await world.tenants().UpdateTenant(
        tenant_pb2.UpdateTenantRequest(
            tenant_id=TENANT, settings=TenantSettings(llm=LlmSettings(api_key="sk-1"))
        )
    )
    for rotate in (False, True):
        await world.webhooks().PutWebhook(
            webhook_pb2.PutWebhookRequest(
                tenant_id=TENANT, webhook_id="desk", url="https://desk.example/hook", rotate_secret=rotate
            )
        )


async def opened(world: World, secret_box: SecretBox) -> dict[str, str]:
    found = await world.database.read(lambda c: list(every_secret(c)))
    return {
        f"{one.name} {one.column.name}": secret_box.open(
            one.ciphertext, tenant_id=one.tenant_id, name=one.name
        ).reveal()
        for one in found
    }


async def test_after_it_the_old_key_may_go(world: World) -> None:
    await secrets_of(world)
    before = await opened(world, box(KEY.reveal()))
    assert len(before) == 4 and "EAAG-1" in before.values() and "sk-1" in before.values()
    both = box(NEW, KEY.reveal())
    assert await reseal(world.database, both) == Resealed(4, 0, ())
    assert await opened(world, box(NEW)) == before
    rows = await world.database.read(lambda c: list(every_secret(c)))
    assert {key_id_of(row.ciphertext) for row in rows} == {both.key_id}
    assert await reseal(world.database, both) == Resealed(0, 4, ())


async def test_what_no_key_opens_is_named_and_left(world: World) -> None:
    await secrets_of(world)
    before = await opened(world, box(KEY.reveal()))
    done = await reseal(world.database, box(NEW))
    assert (done.anew, done.already) == (0, 0)
    assert sorted(done.unreadable) == [
        f"{TENANT}: channel.whatsapp.accessToken",
        f"{TENANT}: model key",
        f"{TENANT}: webhook.desk.secret",
        f"{TENANT}: webhook.desk.secret",
    ]
    assert await opened(world, box(KEY.reveal())) == before


async def test_what_was_changed_meanwhile_stays(world: World) -> None:
    await secrets_of(world)
    stale = await world.database.read(lambda c: list(every_secret(c)))
    await world.tenants().UpdateTenant(
        tenant_pb2.UpdateTenantRequest(
            tenant_id=TENANT, settings=TenantSettings(llm=LlmSettings(api_key="sk-2"))
        )
    )
    [key] = [one for one in stale if one.words.endswith("model key")]
    assert not await world.database.write(lambda c: key.replace(c, b"older", "0"))
    assert "sk-2" in (await opened(world, box(KEY.reveal()))).values()
