"""The demo tenant: created once, with a small knowledge base and a token of its own."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import (
    knowledge_pb2_grpc,
    policy_pb2,
    settings_pb2,
    tenant_pb2,
    tenant_pb2_grpc,
)

from services.cli.connection import open_stub
from services.cli.documents import read_document

TENANT_ID = "metrica"
DOCUMENTS = Path(__file__).parent / "demo_documents"
TOKEN_FILE = "demo-token"  # noqa: S105 - a file's name


def ensure_demo(address: str, operator_token: str, folder: Path) -> str:
    """Create the demo tenant, its documents and its token where they are missing; return the token.

    What is there already stays as it is: starting again never undoes a change.
    Raises grpc.RpcError and OSError.
    """
    tenants = open_stub(tenant_pb2_grpc.TenantServiceStub, address, operator_token)
    settings = settings_pb2.TenantSettings(
        brand_name="Metrica",
        enable_human_handoff=True,
        confidence_escalation=settings_pb2.ConfidenceEscalationSettings(
            enabled=True, mode=policy_pb2.Policy.STANDARD
        ),
    )
    try:
        tenants.CreateTenant(
            tenant_pb2.CreateTenantRequest(id=TENANT_ID, name="Metrica", settings=settings), timeout=10
        )
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
    else:
        knowledge = open_stub(knowledge_pb2_grpc.KnowledgeServiceStub, address, operator_token)
        for path in sorted(DOCUMENTS.glob("*.md")):
            knowledge.PutDocument(read_document(TENANT_ID, path), timeout=10)
    return _kept_token(tenants, folder / TOKEN_FILE)


def _kept_token(tenants: tenant_pb2_grpc.TenantServiceStub, path: Path) -> str:
    """The token in `path` while it is good, else a new one."""
    if path.exists():
        token = path.read_text().strip()
        request = tenant_pb2.ListApiKeysRequest(tenant_id=TENANT_ID)
        good = {
            key.id for key in tenants.ListApiKeys(request, timeout=10).keys if not key.HasField("revoked_at")
        }
        if any(token.startswith(f"mcm_{key_id}_") for key_id in good):
            return token
    created = tenants.CreateApiKey(
        tenant_pb2.CreateApiKeyRequest(
            tenant_id=TENANT_ID,
            name="demo",
            scopes=[Access.CHAT, Access.AGENT, Access.ADMIN],
        ),
        timeout=10,
    )
    # Written beside and renamed, so that a start that is cut off leaves no half token.
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(created.token + "\n")
    draft.rename(path)
    return created.token
