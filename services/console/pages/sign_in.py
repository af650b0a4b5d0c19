"""Signing in and out: plain forms, so that they work before anything else does."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.console.guesses import Guesses
from services.console.plain import plain_page
from services.console.session import Session
from services.console.sign_ins import SignIns
from services.console.texts import LANGUAGES, NAMES, Texts, choose_language, texts_of

LANGUAGE_COOKIE: Final = "metachat_language"
_YEAR: Final = 365 * 86_400
_LONGEST_FORM: Final = 16_384
_log = get_logger(__name__)


class SignInPages:
    """The addresses /sign-in, /sign-out and /session."""

    def __init__(
        self, sign_ins: SignIns, guesses: Guesses, clock: Clock, *, cookie: str, secure: bool
    ) -> None:
        """`cookie`: its name; `secure`: whether browsers come by https."""
        self._sign_ins = sign_ins
        self._guesses = guesses
        self._clock = clock
        self._cookie = cookie
        self._secure = secure

    async def show(self, request: Request, *, first: bool = False) -> Response:
        """GET /sign-in. `first`: there is no tenant yet, so that nobody but the operator can come in."""
        language = request.query_params.get("language", "")
        texts = texts_of(language) if language in LANGUAGES else texts_for(request)
        to = target(request.query_params.get("to", ""))
        note = texts("sign_in.expired") if "over" in request.query_params else ""
        if first:
            note = texts("sign_in.first")
        answer = self._form(request, texts, to=to, note=note, key_way=first)
        if language in LANGUAGES:
            answer.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR, samesite="lax", secure=self._secure)
        return answer

    async def submit(self, request: Request) -> Response:
        """POST /sign-in."""
        texts = texts_for(request)
        given = await fields_of(request)
        to = target(given.get("to", ""))
        by_key = given.get("way") == "key"
        email = given.get("email", "")[:256]
        address = request.client.host if request.client else ""
        try:
            self._guesses.take(address, self._clock.monotonic())
            if by_key:
                session = await self._sign_ins.with_key(given.get("key", "").strip()[:512])
            else:
                session = await self._sign_ins.with_password(email, given.get("password", "")[:1024])
        except ServiceError as error:
            if error.kind not in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.RATE_LIMITED):
                self._guesses.give_back(address, self._clock.monotonic())
            way = "key" if by_key else "password"
            _log.info("sign-in refused", way=way, reason=error.reason, address=address)
            status = (
                429 if error.kind is Kind.RATE_LIMITED else 503 if error.kind is Kind.UNAVAILABLE else 401
            )
            fault = fault_of(texts, error, by_key=by_key)
            return self._form(request, texts, status, to=to, fault=fault, email=email, key_way=by_key)
        _log.info(
            "signed in", actor=session.actor.id, tenant=session.actor.tenant_id, role=session.actor.role.value
        )
        self._guesses.give_back(address, self._clock.monotonic())
        before = self._sign_ins.current(request.cookies.get(self._cookie, ""))
        if before is not None:
            self._sign_ins.end(before)
        answer = RedirectResponse(to, 303, headers={"cache-control": "no-store"})
        self.keep(answer, session)
        return answer

    async def leave(self, request: Request) -> Response:
        """POST /sign-out."""
        session = self._sign_ins.current(request.cookies.get(self._cookie, ""))
        if session is not None:
            self._sign_ins.end(session)
            _log.info("signed out", actor=session.actor.id, tenant=session.actor.tenant_id)
        answer = RedirectResponse("/sign-in", 303, headers={"cache-control": "no-store"})
        answer.delete_cookie(self._cookie, httponly=True, samesite="lax", secure=self._secure)
        return answer

    async def touch(self, request: Request) -> Response:
        """POST /session: the person is still there; the browser says so once a minute while they work."""
        session = self._sign_ins.current(request.cookies.get(self._cookie, ""))
        if session is None:
            return Response(status_code=401)
        answer = Response(status_code=204, headers={"cache-control": "no-store"})
        self.keep(answer, self._sign_ins.touched(session))
        return answer

    def keep(self, answer: Response, session: Session) -> None:
        """Give the browser the session's cookie."""
        answer.set_cookie(
            self._cookie, self._sign_ins.cookie(session), httponly=True, samesite="lax", secure=self._secure
        )

    def _form(
        self,
        request: Request,
        texts: Texts,
        status: int = 200,
        *,
        to: str,
        fault: str = "",
        note: str = "",
        email: str = "",
        key_way: bool = False,
    ) -> Response:
        return plain_page(
            request,
            texts,
            "sign_in.html",
            status,
            to=to,
            fault=fault,
            note=note,
            email=email,
            key_way=key_way,
            languages=[(code, NAMES[code]) for code in LANGUAGES],
        )


async def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent as browsers send it. Too long a body is no form: an empty one."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            return {}
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        return {}


def target(given: str) -> str:
    """Where to go after signing in: an address of our own, else the start."""
    local = given.startswith("/") and not given.startswith("//") and "\\" not in given and given.isprintable()
    return given if local and len(given) <= 2000 and not given.startswith(("/sign-", "/session")) else "/"


def texts_for(request: Request) -> Texts:
    """The texts of the browser's language."""
    return texts_of(
        choose_language(request.cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", ""))
    )


def fault_of(texts: Texts, error: ServiceError, *, by_key: bool) -> str:
    """Why nobody was let in, in words that tell a guesser nothing."""
    if error.kind is Kind.RATE_LIMITED:
        return texts("sign_in.locked", count=max(1, round(error.retry_after or 1)))
    if error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE):
        return texts("sign_in.away")
    if error.reason == "KEY_NO_ROLE":
        return texts("sign_in.key_no_role")
    return texts("sign_in.wrong_key" if by_key else "sign_in.wrong")
