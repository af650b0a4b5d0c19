"""`metachat tenants configure`, `show`, `apply`: settings by option, as JSON, and from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

import click
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest
from metachat.escalation.v1 import policy_pb2, settings_pb2, tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors

Settings = settings_pb2.TenantSettings
MODES: Final = ("lenient", "standard", "strict")
STAGES: Final = ("shadow", "canary", "on")
STRATEGIES: Final = ("explicit_marker", "chain_of_thought", "post_reflection", "uncertainty_acknowledgment")
SWITCH: Final = click.Choice(["on", "off"])
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Option:
    """One option of `configure`: which setting it sets, how its text becomes the value."""

    flag: str
    path: str
    help: str
    type: Any = str
    convert: Callable[[Any], Any] | None = None
    multiple: bool = False

    @property
    def name(self) -> str:
        """The keyword under which click hands it over."""
        return self.flag.removeprefix("--").replace("-", "_")


def _choice(values: tuple[str, ...]) -> click.Choice[str]:
    return click.Choice(values, case_sensitive=False)


def _is_on(value: str) -> bool:
    return value == "on"


def _api_key(value: str) -> str:
    return str(click.prompt("API key", hide_input=True)) if value == "-" else value


def _switch(flag: str, path: str, help_: str) -> Option:
    return Option(flag, path, help_, SWITCH, _is_on)


_CONFIDENCE: Final = "confidence_escalation"
OPTIONS: Final = (
    Option(
        "--mode",
        f"{_CONFIDENCE}.mode",
        "how strict it is",
        _choice(MODES),
        lambda value: policy_pb2.Policy.Mode.Value(value.upper()),
    ),
    Option(
        "--immediate",
        f"{_CONFIDENCE}.immediate_escalation_threshold",
        "immediate escalation threshold, 0..1, at most --review",
        float,
    ),
    Option("--review", f"{_CONFIDENCE}.suggest_review_threshold", "review threshold, 0..1", float),
    Option(
        "--audit-rate",
        f"{_CONFIDENCE}.audit_rate",
        "share of sent replies drawn for a person to judge, 0..1",
        float,
    ),
    _switch("--escalation", f"{_CONFIDENCE}.enabled", "score and judge replies at all"),
    _switch("--handoff", "enable_human_handoff", "whether a person can take over"),
    _switch("--disclaimers", f"{_CONFIDENCE}.add_disclaimers", "add a disclaimer at medium confidence"),
    Option("--disclaimer-text", f"{_CONFIDENCE}.disclaimer_text", "the disclaimer"),
    Option(
        "--strategy",
        f"{_CONFIDENCE}.self_assessment_strategy",
        "self-assessment strategy",
        _choice(STRATEGIES),
        lambda value: BuildInstructionsRequest.Strategy.Value(value.upper()),
    ),
    Option(
        "--without-score",
        f"{_CONFIDENCE}.without_score",
        "what to do where no score can be had",
        _choice(("review", "escalate")),
        lambda value: policy_pb2.Policy.WithoutScore.Value(value.upper()),
    ),
    _switch("--urgency", f"{_CONFIDENCE}.detect_urgency", "urgent messages are not held up by a review"),
    _switch(
        "--frustration",
        f"{_CONFIDENCE}.detect_frustration",
        "a repeated question or third failed turn asks for a person",
    ),
    Option(
        "--rollout",
        f"{_CONFIDENCE}.rollout.stage",
        "how far decisions are in force",
        _choice(STAGES),
        lambda value: settings_pb2.Rollout.Stage.Value(value.upper()),
    ),
    Option(
        "--canary-percent",
        f"{_CONFIDENCE}.rollout.canary_percent",
        "share of conversations in canary, 0..100",
        float,
    ),
    Option(
        "--keyword",
        "human_handoff_keywords",
        "asks for a person; repeat it; replaces the list",
        multiple=True,
    ),
    Option(
        "--high-stakes",
        f"{_CONFIDENCE}.high_stakes_domains",
        "high-stakes word; repeat it; replaces the list",
        multiple=True,
    ),
    Option("--brand-name", "brand_name", "name the assistant speaks for"),
    Option("--tone", "tone", "how it speaks"),
    Option("--locale", "locale", "language of its texts, such as en or hr"),
    Option("--handoff-message", "messages.handoff", "what the customer is told when a person is needed"),
    Option("--out-of-hours-message", "messages.out_of_hours", "what is said outside business hours"),
    Option(
        "--waiting-timeout",
        "handover.waiting_timeout_minutes",
        "minutes of waiting after which the customer is offered another way; 0: never",
        float,
    ),
    _switch("--ask-for-email", "handover.ask_for_email", "whether that way asks for an e-mail address"),
    _switch("--require-presence", "handover.require_presence", "say at once that nobody is available"),
    _switch("--disclose-bot", "handover.disclose_bot", "the assistant says that it is one"),
    Option(
        "--retention-days", "privacy.retention_days", "delete what is older; 0: never", click.IntRange(min=0)
    ),
    _switch("--redact", "privacy.redact", "hide e-mail, phone, card and IBAN numbers from model and logs"),
    Option(
        "--messages-per-minute",
        "limits.messages_per_minute",
        "chat messages a minute, all conversations together; 0: the installation's limit",
        click.IntRange(min=0),
    ),
    Option(
        "--messages-per-minute-per-conversation",
        "limits.messages_per_minute_per_conversation",
        "chat messages a minute of one conversation; 0: the installation's limit",
        click.IntRange(min=0),
    ),
    Option("--llm-provider", "llm.provider", "who drafts", click.Choice(["knowledge", "openai"])),
    Option("--llm-base-url", "llm.base_url", "address of an OpenAI-compatible server"),
    Option("--llm-model", "llm.model", "name of the model"),
    Option("--llm-samples", "llm.samples", "alternatives to draw for the score, 0..5", int),
    Option("--llm-temperature", "llm.temperature", "0..2", float),
    Option("--llm-max-tokens", "llm.max_tokens", "longest reply, in tokens", int),
    Option("--llm-timeout", "llm.timeout_seconds", "longest time for one draft, in seconds", float),
    Option("--llm-api-key", "llm.api_key", "its key; - asks for it without showing it", convert=_api_key),
    Option("--system-prompt", "llm.system_prompt", "system prompt of the tenant"),
)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command an option for each setting; `changed_settings` reads them."""
    for option in reversed(OPTIONS):
        command = click.option(
            option.flag,
            option.name,
            type=option.type,
            help=option.help,
            multiple=option.multiple,
        )(command)
    return command


@click.command()
@click.argument("tenant")
@with_options
@click.option(
    "--clear", "cleared", multiple=True, help="field to set back to its default, as settings.<path>"
)
def configure(tenant: str, cleared: tuple[str, ...], **options: object) -> None:
    """Change settings of TENANT (its id); what is not named stays as it is."""
    settings, paths = changed_settings(options)
    if not paths and not cleared:
        raise click.UsageError("nothing to change: name at least one setting (see --help)")
    _update(tenant, settings, [*paths, *cleared], etag="")


@click.command()
@click.argument("tenant")
def show(tenant: str) -> None:
    """Print the settings of TENANT as JSON, to be edited and given to `apply`; defaults are left out."""
    with plain_errors(escalation_address()):
        found = _stub().GetTenant(tenant_pb2.GetTenantRequest(tenant_id=tenant))
    click.echo(json_format.MessageToJson(found.settings, ensure_ascii=False, sort_keys=True))


@click.command()
@click.argument("tenant")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--etag", default="", help="only if nobody changed the tenant since (from the REST API)")
def apply(tenant: str, file: TextIO, etag: str) -> None:
    """Merge the settings in FILE (JSON, - for standard input) into those of TENANT; null clears a field."""
    settings, paths = read_settings(file.read(_MOST_BYTES))
    _update(tenant, settings, paths, etag=etag)


def read_settings(text: str) -> tuple[Settings, list[str]]:
    """Settings and mask paths of a JSON document under the names of the REST API.

    Raises click.BadParameter naming the field.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"is no JSON: {error}", param_hint="FILE") from None
    if not isinstance(document, dict) or not document:
        raise click.BadParameter("must be a JSON object with at least one setting", param_hint="FILE")
    paths = [f"settings.{path}" for path in _leaves(document, Settings.DESCRIPTOR)]
    try:
        return json_format.ParseDict(_upper_modes(document), Settings()), paths
    except json_format.ParseError as error:
        raise click.BadParameter(str(error), param_hint="FILE") from None


def _leaves(document: Mapping[str, Any], descriptor: Descriptor, parent: str = "") -> Iterator[str]:
    fields = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
    for key, value in document.items():
        field = fields.get(key)
        if field is None:
            raise click.BadParameter(f"{parent}{key} is no setting", param_hint="FILE")
        message = None if field.is_repeated else field.message_type
        if message is not None and isinstance(value, dict) and value:
            yield from _leaves(value, message, f"{parent}{field.name}.")
        else:
            yield f"{parent}{field.name}"


def _upper_modes(document: dict[str, Any]) -> dict[str, Any]:
    """Modes and strategies are accepted in lower case, as the REST API does."""
    section = document.get("confidenceEscalation")
    if not isinstance(section, dict):
        return document
    raised = {
        key: value.upper() if key in ("mode", "selfAssessmentStrategy") and isinstance(value, str) else value
        for key, value in section.items()
    }
    return {**document, "confidenceEscalation": raised}


def changed_settings(options: Mapping[str, object]) -> tuple[Settings, list[str]]:
    """Settings and mask paths for the options that were given."""
    settings = Settings()
    paths: list[str] = []
    for option in OPTIONS:
        value: Any = options.get(option.name)
        if value is None or value == ():
            continue
        *parents, field = option.path.split(".")
        target: Any = settings
        for parent in parents:
            target = getattr(target, parent)
        if option.multiple:
            getattr(target, field).extend(value)
        else:
            setattr(target, field, value if option.convert is None else option.convert(value))
        paths.append(f"settings.{option.path}")
    return settings, paths


def _stub() -> tenant_pb2_grpc.TenantServiceStub:
    return open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())


def _update(tenant: str, settings: Settings, paths: list[str], *, etag: str) -> None:
    request = tenant_pb2.UpdateTenantRequest(
        tenant_id=tenant, settings=settings, update_mask=FieldMask(paths=paths), etag=etag
    )
    with plain_errors(escalation_address()):
        changed = _stub().UpdateTenant(request)
    click.echo(f"{changed.id}: policy version {changed.policy_version}, in force within a second")
