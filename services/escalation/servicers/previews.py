"""The previews of EscalationService: settings as they are edited, as messages of the contract."""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from metachat.escalation.v1 import conversation_pb2, escalation_pb2, policy_pb2
from metachat.escalation.v1.settings_pb2 import TenantSettings

from services.escalation.previews import Edited, Previews
from services.escalation.servicers.requests import tenant_of
from services.escalation.servicers.translation import outcome_message, storable, thresholds_message
from services.escalation.tenants import widget_look
from services.escalation.turn_desk import DraftOrder


class PreviewRpcs:
    """See the contracts. Only services come this far: a task holds the tenant's API key."""

    _previews: Previews

    async def DescribeSettings(
        self, request: escalation_pb2.DescribeSettingsRequest, _context: Any
    ) -> escalation_pb2.DescribeSettingsResponse:
        """See the contract."""
        found = await self._previews.describe(edited(request))
        look = widget_look.look_of(found.effective)
        return escalation_pb2.DescribeSettingsResponse(
            effective=found.effective,
            modes=[
                escalation_pb2.ModeThresholds(
                    mode=policy_pb2.Policy.Mode.Value(str(one.mode)),
                    normal=thresholds_message(one.normal),
                    high_stakes=thresholds_message(one.high_stakes),
                    normal_in_force=thresholds_message(one.normal_in_force),
                    high_stakes_in_force=thresholds_message(one.high_stakes_in_force),
                )
                for one in found.modes
            ],
            texts=found.texts,
            default_texts=found.default_texts,
            enabled_globally=found.enabled_globally,
            widget=look,
            widget_contrast=widget_look.contrast(look.accent_color, look.accent_text_color),
        )

    async def PreparePreview(
        self, request: escalation_pb2.PreparePreviewRequest, _context: Any
    ) -> escalation_pb2.PreparePreviewResponse:
        """See the contract."""
        prepared = await self._previews.prepare(edited(request), storable(request.message))
        return escalation_pb2.PreparePreviewResponse(
            task=_task(prepared.order),
            decided=None if prepared.decided is None else outcome_message(prepared.decided),
        )

    async def JudgePreview(
        self, request: escalation_pb2.JudgePreviewRequest, _context: Any
    ) -> escalation_pb2.JudgePreviewResponse:
        """See the contract."""
        draft = request.draft
        draft.reply = storable(draft.reply)
        found = await self._previews.judge(
            edited(request), storable(request.message), draft, request.marker_tag
        )
        return escalation_pb2.JudgePreviewResponse(
            outcome=outcome_message(found.outcome), visible_draft=found.visible
        )


def edited(request: Any) -> Edited:
    """The settings of a request."""
    settings: TenantSettings = request.settings
    mask: FieldMask = request.update_mask
    return Edited(tenant_of(request.tenant_id), settings, tuple(mask.paths))


def _task(order: DraftOrder) -> conversation_pb2.DraftTask:
    return conversation_pb2.DraftTask(
        history=order.history,
        llm=order.llm,
        instructions=order.instructions.text,
        marker_tag=order.instructions.marker_tag,
        brand_name=order.brand_name,
        tone=order.tone,
        locale=order.locale,
        redact=order.redact,
    )
