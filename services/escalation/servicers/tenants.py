"""TenantService: requests and answers of tenants, channels and API keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from metachat.escalation.v1 import tenant_pb2, tenant_pb2_grpc

from services.common.access import TokenVerifier
from services.common.caller import current_caller
from services.common.errors import Kind, ServiceError
from services.common.settings import Secret
from services.escalation.accounts import keys
from services.escalation.accounts.access_tokens import ApiKeys, ListedKey
from services.escalation.secrets.headers import header_token
from services.escalation.servicers.requests import line, tenant_of
from services.escalation.servicers.translation import storable, timestamp
from services.escalation.store.codec import dump_json
from services.escalation.store.pages import page_size, page_token, position_of
from services.escalation.tenants.administration import Administration, TenantChange
from services.escalation.tenants.directory import ChannelRecord, TenantDirectory, TenantRecord, TenantUpdate
from services.escalation.tenants.removal import TenantRemoval
from services.escalation.tenants.widget_look import look_of

_KINDS: Final = {
    tenant_pb2.Channel.WHATSAPP: "whatsapp",
    tenant_pb2.Channel.MESSENGER: "messenger",
}
_NUMBERS: Final = {word: number for number, word in _KINDS.items()}
_PAGE: Final = 100
_AUDIT_PAGE: Final = 50


class TenantServicer(tenant_pb2_grpc.TenantServiceServicer):
    """See the contract."""

    def __init__(
        self,
        directory: TenantDirectory,
        administration: Administration,
        api_keys: ApiKeys,
        tokens: TokenVerifier,
        removal: TenantRemoval,
    ) -> None:
        """`tokens` knows all tokens that VerifyApiKey may be asked about."""
        self._directory = directory
        self._administration = administration
        self._api_keys = api_keys
        self._tokens = tokens
        self._removal = removal

    async def CreateTenant(self, request: tenant_pb2.CreateTenantRequest, _context: Any) -> tenant_pb2.Tenant:
        """See the contract."""
        return tenant_message(
            await self._administration.create(
                request.id, request.name, request.settings, request_id=line(request.request_id, "request_id")
            )
        )

    async def GetTenant(self, request: tenant_pb2.GetTenantRequest, _context: Any) -> tenant_pb2.Tenant:
        """See the contract."""
        return tenant_message(await self._directory.get(tenant_of(request.tenant_id)))

    async def GetWidget(self, request: tenant_pb2.GetWidgetRequest, _context: Any) -> tenant_pb2.Widget:
        """See the contract."""
        return look_of((await self._directory.get(tenant_of(request.tenant_id))).settings)

    async def ListTenants(
        self, request: tenant_pb2.ListTenantsRequest, _context: Any
    ) -> tenant_pb2.ListTenantsResponse:
        """See the contract."""
        position = position_of(request.page_token, 1)
        records, following = await self._directory.page(
            position[0] if position else "",
            page_size(request.page_size, _PAGE),
            search=storable(request.search.strip()),
        )
        return tenant_pb2.ListTenantsResponse(
            tenants=[tenant_message(record) for record in records],
            next_page_token="" if following is None else page_token(following),
        )

    async def UpdateTenant(self, request: tenant_pb2.UpdateTenantRequest, _context: Any) -> tenant_pb2.Tenant:
        """See the contract."""
        caller = current_caller()
        change = TenantChange(
            tenant_id=tenant_of(request.tenant_id),
            name=request.name,
            settings=request.settings,
            mask=request.update_mask.paths,
            etag=request.etag,
            request_id=line(request.request_id, "request_id"),
            changed_by=caller.acting_user or caller.subject,
        )
        return tenant_message(await self._administration.update(change))

    async def DeleteTenant(
        self, request: tenant_pb2.DeleteTenantRequest, _context: Any
    ) -> tenant_pb2.DeleteTenantResponse:
        """See the contract."""
        await self._removal.delete(tenant_of(request.tenant_id), confirm_name=request.confirm_name)
        return tenant_pb2.DeleteTenantResponse()

    async def ListAuditEntries(
        self, request: tenant_pb2.ListAuditEntriesRequest, _context: Any
    ) -> tenant_pb2.ListAuditEntriesResponse:
        """See the contract."""
        position = position_of(request.page_token, 1)
        size = page_size(request.page_size, _AUDIT_PAGE)
        rows = await self._administration.audit_entries(
            tenant_of(request.tenant_id), before=position[0] if position else "", limit=size + 1
        )
        return tenant_pb2.ListAuditEntriesResponse(
            entries=[_audit_message(row) for row in rows[:size]],
            next_page_token=page_token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def WatchTenants(
        self, request: tenant_pb2.WatchTenantsRequest, _context: Any
    ) -> AsyncIterator[tenant_pb2.TenantChange]:
        """See the contract. Only internal callers come this far: secrets may go to those who ask."""
        async for update in self._directory.watch():
            yield _change_message(update, with_secrets=request.with_secrets)

    async def PutChannel(self, request: tenant_pb2.PutChannelRequest, _context: Any) -> tenant_pb2.Channel:
        """See the contract."""
        kind = _KINDS[request.kind]
        record = await self._administration.put_channel(
            tenant_of(request.tenant_id),
            kind,
            account_id=request.account_id,
            access_token=Secret(header_token(request.access_token, "access_token")),
            display_name=line(request.display_name, "display_name"),
            enabled=request.enabled if request.HasField("enabled") else None,
        )
        channel = record.channel(kind)
        if channel is None:
            # Somebody deleted it between our commit and the reading.
            raise _no_channel()
        return channel_message(channel)

    async def ListChannels(
        self, request: tenant_pb2.ListChannelsRequest, _context: Any
    ) -> tenant_pb2.ListChannelsResponse:
        """See the contract."""
        record = await self._directory.get(tenant_of(request.tenant_id))
        return tenant_pb2.ListChannelsResponse(channels=_channel_messages(record, with_secrets=False))

    async def DeleteChannel(
        self, request: tenant_pb2.DeleteChannelRequest, _context: Any
    ) -> tenant_pb2.DeleteChannelResponse:
        """See the contract."""
        await self._administration.delete_channel(tenant_of(request.tenant_id), _KINDS[request.kind])
        return tenant_pb2.DeleteChannelResponse()

    async def ResolveChannel(
        self, request: tenant_pb2.ResolveChannelRequest, _context: Any
    ) -> tenant_pb2.Channel:
        """See the contract."""
        account = line(request.account_id, "account_id")
        owner = await self._administration.owner_of_account(_KINDS[request.kind], account)
        channel = owner.channel(_KINDS[request.kind]) if owner else None
        if channel is None or channel.account_id != account:
            raise _no_channel()
        return channel_message(channel, with_secrets=True)

    async def CreateApiKey(
        self, request: tenant_pb2.CreateApiKeyRequest, _context: Any
    ) -> tenant_pb2.CreateApiKeyResponse:
        """See the contract."""
        key, token = await self._api_keys.create(
            tenant_of(request.tenant_id),
            name=line(request.name, "name"),
            scopes=keys.scope_names(request.scopes),
            origins=request.allowed_origins,
        )
        return tenant_pb2.CreateApiKeyResponse(key=_key_message(key), token=token)

    async def ListApiKeys(
        self, request: tenant_pb2.ListApiKeysRequest, _context: Any
    ) -> tenant_pb2.ListApiKeysResponse:
        """See the contract."""
        listed = await self._api_keys.list(tenant_of(request.tenant_id))
        return tenant_pb2.ListApiKeysResponse(keys=[_key_message(key) for key in listed])

    async def RevokeApiKey(
        self, request: tenant_pb2.RevokeApiKeyRequest, _context: Any
    ) -> tenant_pb2.RevokeApiKeyResponse:
        """See the contract."""
        await self._api_keys.revoke(tenant_of(request.tenant_id), line(request.key_id, "key_id"))
        return tenant_pb2.RevokeApiKeyResponse()

    async def VerifyApiKey(
        self, request: tenant_pb2.VerifyApiKeyRequest, _context: Any
    ) -> tenant_pb2.VerifiedCaller:
        """See the contract."""
        caller = await self._tokens.verify(request.token)
        if caller is None:
            raise ServiceError(Kind.UNAUTHENTICATED, "the token is not valid", reason="TOKEN_INVALID")
        return tenant_pb2.VerifiedCaller(
            key_id=caller.key_id,
            tenant_id=caller.tenant_id or "",
            scopes=_scopes(caller.scopes),
            allowed_origins=caller.allowed_origins,
        )


def tenant_message(record: TenantRecord) -> tenant_pb2.Tenant:
    """The tenant for callers: what it has set, and of secrets only that they are there."""
    message = tenant_pb2.Tenant(
        id=record.id,
        name=record.name,
        settings=record.settings,
        etag=record.etag,
        policy_version=record.policy_version,
        created_at=timestamp(record.created_at),
        updated_at=timestamp(record.updated_at),
    )
    if record.llm_api_key or record.settings.HasField("llm"):
        message.settings.llm.api_key_set = bool(record.llm_api_key)
    return message


def channel_message(channel: ChannelRecord, *, with_secrets: bool = False) -> tenant_pb2.Channel:
    """The channel for callers; its token only for services."""
    return tenant_pb2.Channel(
        tenant_id=channel.tenant_id,
        kind=_NUMBERS[channel.kind],
        account_id=channel.account_id,
        access_token=channel.access_token.reveal() if with_secrets else "",
        access_token_set=bool(channel.access_token),
        display_name=channel.display_name,
        enabled=channel.enabled,
        attention=channel.attention,
        attention_detail=channel.attention_detail,
        attention_since=timestamp(channel.attention_since),
    )


def _channel_messages(record: TenantRecord, *, with_secrets: bool) -> list[tenant_pb2.Channel]:
    known = (channel for channel in record.channels if channel.kind in _NUMBERS)
    ordered = sorted(known, key=lambda channel: _NUMBERS[channel.kind])
    return [channel_message(channel, with_secrets=with_secrets) for channel in ordered]


def _change_message(update: TenantUpdate, *, with_secrets: bool) -> tenant_pb2.TenantChange:
    if update.ready:
        return tenant_pb2.TenantChange(ready=True)
    if update.record is None:
        return tenant_pb2.TenantChange(
            tenant=tenant_pb2.Tenant(id=update.tenant_id), deleted=True, keys_changed=update.keys_changed
        )
    return tenant_pb2.TenantChange(
        tenant=tenant_message(update.record),
        channels=_channel_messages(update.record, with_secrets=with_secrets),
        keys_changed=update.keys_changed,
    )


def _key_message(key: ListedKey) -> tenant_pb2.ApiKey:
    return tenant_pb2.ApiKey(
        id=key.id,
        tenant_id=key.tenant_id,
        name=key.name,
        scopes=_scopes(key.scopes),
        allowed_origins=key.allowed_origins,
        created_at=timestamp(key.created_at),
        revoked_at=timestamp(key.revoked_at),
    )


def _audit_message(row: Any) -> tenant_pb2.AuditEntry:
    return tenant_pb2.AuditEntry(
        id=row.id,
        tenant_id=row.tenant_id,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        before_json="" if row.before is None else dump_json(row.before),
        after_json="" if row.after is None else dump_json(row.after),
        created_at=timestamp(row.created_at),
    )


def _scopes(names: Iterable[str]) -> list[Any]:
    return list(keys.scope_numbers(tuple(names)))


def _no_channel() -> ServiceError:
    return ServiceError(Kind.NOT_FOUND, "there is no such channel", reason="CHANNEL_NOT_FOUND")
