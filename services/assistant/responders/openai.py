"""Asks a language model over the OpenAI chat-completions protocol: OpenAI, Azure, vLLM, Ollama, others."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from metachat.confidence.v1.confidence_pb2 import Passage
from metachat.escalation.v1.conversation_pb2 import Draft, DraftTask
from metachat.escalation.v1.settings_pb2 import LlmSettings

from services.assistant.responders import prompt
from services.assistant.responders.backoff import MAX_ATTEMPTS, attempt_limit, pause
from services.assistant.responders.circuit import Circuit, Circuits
from services.assistant.responders.completion import Completion
from services.assistant.responders.limits import MAX_SAMPLES, MODEL_BYTES, clip, failed
from services.assistant.responders.openai_call import Failure, Server, ask
from services.assistant.responders.openai_clients import DEFAULT_BASE_URL, Clients, load
from services.assistant.responders.retrieval import Retrieval
from services.common.errors import ServiceError
from services.common.logs import get_logger

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_log = get_logger(__name__)

NAME: Final = "openai"
_DEFAULT_SECONDS: Final = 30.0
_SEARCH_SECONDS: Final = 3.0
# A limit for replies to customers may be too short for a summary.
_WRITE_TOKENS: Final = 700
# What the provider is to blame for; an empty answer or a tool call is how a model takes a prompt.
_PROVIDERS_FAULT: Final = frozenset({"timeout", "provider_error", "rate_limited", "bad_response"})
# Samples drawn nearly without temperature say nothing.
_SAMPLE_TEMPERATURE: Final = 0.7
# What a customer waits for samples at most, beyond as long again as the reply took.
_SAMPLE_PATIENCE: Final = 2.0


class OpenAIResponder:
    """Drafts with the tenant's model; the strongest signals of the score (tokens, samples) come from here."""

    def __init__(
        self,
        retrieval: Retrieval,
        *,
        allow_private_addresses: bool,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`allow_private_addresses`: may `llm.baseUrl` lead inside? `chance`: 0..1, spreads retries."""
        self._retrieval = retrieval
        self._chance = chance
        self._clients = Clients(allow_private=allow_private_addresses)
        self._circuits = Circuits()
        self._server = Server()

    async def warm_up(self) -> None:
        """Import the library."""
        await load()

    async def close(self) -> None:
        """Close all connections."""
        await self._clients.close()

    async def draft(self, task: DraftTask, question: str, *, tenant_id: str, seconds: float) -> Draft:
        """The model's reply with passages, tokens, samples, within `seconds` and the tenant's own limit."""
        limit = min(seconds, task.llm.timeout_seconds or _DEFAULT_SECONDS)
        deadline = time.monotonic() + limit
        if not task.llm.model:
            return self._failed(task, "not_configured", "llm.model is not set")
        circuit = self._circuits.of(tenant_id, task.llm.base_url or DEFAULT_BASE_URL)
        if wait := circuit.admit(self._circuits.now()):
            detail = f"the model failed {circuit.faults} times in a row; it is asked again in {wait:.0f} s"
            return self._failed(task, "circuit_open", detail)
        try:
            async with asyncio.timeout(limit):
                passages = await self._search(task, question, tenant_id, limit)
                async with self._clients.lend(task.llm.base_url, task.llm.api_key) as client:
                    draft = await self._answer(client, circuit, task, question, passages, deadline)
        except Failure as failure:
            self._settle(circuit, failure)
            return self._failed(task, failure.code, failure.detail)
        except TimeoutError:
            circuit.failed(self._circuits.now(), chance=self._chance())
            return self._failed(task, "timeout", f"no reply within {limit:g} s")
        except BaseException:
            circuit.left()
            raise
        circuit.succeeded()
        return draft

    def _settle(self, circuit: Circuit, failure: Failure) -> None:
        """What a failed draft says of the provider: nonsense and refusals are answers too."""
        if failure.code in _PROVIDERS_FAULT and failure.passing:
            circuit.failed(self._circuits.now(), chance=self._chance(), retry_after=failure.retry_after)
        else:
            circuit.succeeded()

    async def write(
        self, llm: LlmSettings, messages: Sequence[Mapping[str, str]], *, seconds: float
    ) -> Draft:
        """See LanguageModel."""
        task = DraftTask(llm=llm)
        limit = min(seconds, llm.timeout_seconds or _DEFAULT_SECONDS)
        deadline = time.monotonic() + limit
        if not llm.model:
            return self._failed(task, "not_configured", "llm.model is not set")
        request: dict[str, Any] = {"model": llm.model, "messages": [dict(message) for message in messages]}
        if llm.HasField("max_tokens"):
            request["max_tokens"] = max(llm.max_tokens, _WRITE_TOKENS)
        try:
            async with asyncio.timeout(limit):
                async with self._clients.lend(llm.base_url, llm.api_key) as client:
                    # Nobody waits for it as a customer does: it neither opens a circuit nor minds one.
                    completion = await self._persist(client, Circuit(), task, request, deadline)
        except Failure as failure:
            return self._failed(task, failure.code, failure.detail)
        except TimeoutError:
            return self._failed(task, "timeout", f"nothing within {limit:g} s")
        return Draft(
            reply=completion.replies[0],
            responder=NAME,
            model=clip(completion.model or llm.model, MODEL_BYTES),
        )

    async def _search(
        self, task: DraftTask, question: str, tenant_id: str, limit: float
    ) -> tuple[Passage, ...]:
        try:
            found = await self._retrieval.for_task(
                task, question, tenant_id=tenant_id, seconds=min(_SEARCH_SECONDS, limit / 3)
            )
        except ServiceError as error:
            # The model can answer without; the score sees that there were no passages.
            _log.warning("no passages", reason=error.reason, detail=error.detail or error.message)
            return ()
        return found.passages

    async def _answer(
        self,
        client: AsyncOpenAI,
        circuit: Circuit,
        task: DraftTask,
        question: str,
        passages: Sequence[Passage],
        deadline: float,
    ) -> Draft:
        started = time.monotonic()
        samples: list[str] = []
        drawing = asyncio.create_task(self._draw(client, task, question, passages, deadline, samples))
        try:
            completion = await self._persist(
                client, circuit, task, self._request(task, question, passages, assess=True), deadline
            )
            now = time.monotonic()
            patience = min(now - started + _SAMPLE_PATIENCE, deadline - now - 0.05)
            if patience > 0:
                await asyncio.wait((drawing,), timeout=patience)
        finally:
            drawing.cancel()
            await asyncio.wait((drawing,))
        return Draft(
            reply=completion.replies[0],
            passages=passages,
            samples=samples[:MAX_SAMPLES],
            token_logprobs=completion.tokens,
            responder=NAME,
            model=clip(completion.model or task.llm.model, MODEL_BYTES),
        )

    def _request(
        self, task: DraftTask, question: str, passages: Sequence[Passage], *, assess: bool
    ) -> dict[str, Any]:
        llm = task.llm
        request: dict[str, Any] = {
            "model": llm.model,
            "messages": prompt.messages(task, question, passages, assess=assess),
        }
        if llm.HasField("temperature"):
            request["temperature"] = llm.temperature
        if llm.HasField("max_tokens"):
            request["max_tokens"] = llm.max_tokens
        if assess:
            request["logprobs"] = True
        return request

    async def _persist(
        self,
        client: AsyncOpenAI,
        circuit: Circuit,
        task: DraftTask,
        request: dict[str, Any],
        deadline: float,
    ) -> Completion:
        """Ask until there is an answer, a failure that stays, or no time or try left. Raises Failure."""
        attempt = 0
        while True:
            left = deadline - time.monotonic()
            try:
                return await ask(
                    client,
                    self._server,
                    task.llm,
                    request,
                    seconds=attempt_limit(left, MAX_ATTEMPTS - attempt),
                )
            except Failure as failure:
                attempt += 1
                wait = pause(
                    attempt,
                    chance=self._chance(),
                    retry_after=failure.retry_after,
                    left=deadline - time.monotonic(),
                )
                if not failure.passing or wait is None or not circuit.may_retry():
                    raise
                _log.info("asking the model again", failure=failure.code, tries=attempt, wait=round(wait, 2))
            await asyncio.sleep(wait)

    async def _draw(
        self,
        client: AsyncOpenAI,
        task: DraftTask,
        question: str,
        passages: Sequence[Passage],
        deadline: float,
        drawn: list[str],
    ) -> None:
        """Add alternatives to `drawn` as they come; a failure costs the samples and nothing else."""
        wanted = task.llm.samples
        if not wanted:
            return
        # Without the self-assessment: samples are compared as answers.
        request = self._request(task, question, passages, assess=False)
        request["temperature"] = max(task.llm.temperature, _SAMPLE_TEMPERATURE)
        try:
            if wanted > 1 and self._server.takes_many(task.llm):
                left = deadline - time.monotonic()
                completion = await ask(client, self._server, task.llm, request | {"n": wanted}, seconds=left)
                drawn.extend(completion.replies)
                if len(drawn) < wanted:
                    self._server.takes_one(task.llm)
            missing = max(wanted - len(drawn), 0)
            async with asyncio.TaskGroup() as group:
                for _ in range(missing):
                    group.create_task(self._draw_one(client, task, request, deadline, drawn))
        except Failure as failure:
            _log.info("no samples", failure=failure.code, detail=failure.detail)

    async def _draw_one(
        self,
        client: AsyncOpenAI,
        task: DraftTask,
        request: dict[str, Any],
        deadline: float,
        drawn: list[str],
    ) -> None:
        left = deadline - time.monotonic()
        try:
            completion = await ask(client, self._server, task.llm, request, seconds=left)
        except Failure as failure:
            _log.info("a sample is missing", failure=failure.code, detail=failure.detail)
        else:
            drawn.append(completion.replies[0])

    @staticmethod
    def _failed(task: DraftTask, code: str, detail: str) -> Draft:
        return failed(code, detail, responder=NAME, model=task.llm.model)
