"""`metachat documents`: put, list, show, search, delete."""

from __future__ import annotations

import re
from pathlib import Path

import click
from metachat.escalation.v1 import knowledge_pb2, knowledge_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_table, shorten


def _stub() -> knowledge_pb2_grpc.KnowledgeServiceStub:
    return open_stub(knowledge_pb2_grpc.KnowledgeServiceStub, escalation_address())


@click.group(name="documents")
def command() -> None:
    """Manage what the built-in responder answers from."""


def read_document(tenant: str, path: Path) -> knowledge_pb2.PutDocumentRequest:
    """A document from a text file: the first heading is its title, the file's name its id."""
    text = path.read_text(encoding="utf-8")
    heading = re.search(r"^#\s+(.+)$", text, flags=re.MULTILINE)
    title = heading.group(1).strip() if heading else path.stem
    body = text.replace(heading.group(0), "", 1).strip() if heading else text.strip()
    identifier = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or "document"
    return knowledge_pb2.PutDocumentRequest(
        tenant_id=tenant, document_id=identifier, title=title, text=body, source=path.name
    )


@command.command()
@click.argument("tenant")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def put(tenant: str, files: tuple[Path, ...]) -> None:
    """Add text or Markdown FILES to TENANT's knowledge, or replace those of the same name."""
    stub = _stub()
    for path in files:
        try:
            request = read_document(tenant, path)
        except UnicodeDecodeError as error:
            raise click.ClickException(f"{path} is not UTF-8 text") from error
        with plain_errors(escalation_address()):
            document = stub.PutDocument(request)
        click.echo(f"{document.id}: {document.passages} passages")


@command.command(name="list")
@click.argument("tenant")
def list_documents(tenant: str) -> None:
    """List TENANT's documents."""
    with plain_errors(escalation_address()):
        found = _stub().ListDocuments(knowledge_pb2.ListDocumentsRequest(tenant_id=tenant, page_size=1000))
    print_table(
        ["ID", "TITLE", "PASSAGES", "UPDATED"],
        ((d.id, d.title, str(d.passages), local_time(d.updated_at)) for d in found.documents),
        empty=f"no documents: metachat documents put {tenant} FILE…",
    )


@command.command()
@click.argument("tenant")
@click.argument("document")
def show(tenant: str, document: str) -> None:
    """Print DOCUMENT (its id) of TENANT as `put` reads it: its title as a heading, then its text."""
    with plain_errors(escalation_address()):
        found = _stub().GetDocument(knowledge_pb2.GetDocumentRequest(tenant_id=tenant, document_id=document))
    click.echo(f"# {found.title}\n\n{found.text}")


@command.command()
@click.argument("tenant")
@click.argument("question")
@click.option("--limit", default=5, show_default=True, help="at most so many passages")
def search(tenant: str, question: str, limit: int) -> None:
    """Show what TENANT's assistant would find for QUESTION."""
    with plain_errors(escalation_address()):
        found = _stub().Search(knowledge_pb2.SearchRequest(tenant_id=tenant, query=question, limit=limit))
    print_table(
        ["COVERAGE", "DOCUMENT", "PASSAGE"],
        ((f"{p.coverage:.2f}", p.title, shorten(p.text, 100)) for p in found.passages),
        empty="nothing found",
    )


@command.command()
@click.argument("tenant")
@click.argument("document")
def delete(tenant: str, document: str) -> None:
    """Delete DOCUMENT (its id) of TENANT."""
    with plain_errors(escalation_address()):
        _stub().DeleteDocument(knowledge_pb2.DeleteDocumentRequest(tenant_id=tenant, document_id=document))
    click.echo(f"{document} deleted")
