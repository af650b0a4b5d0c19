"""UserService: translates between the contract and `accounts/users.py`."""

from __future__ import annotations

from typing import Any, Final

from metachat.escalation.v1 import user_pb2, user_pb2_grpc

from services.common.settings import Secret
from services.escalation.accounts.users import UserChange, Users
from services.escalation.servicers.requests import line, tenant_of
from services.escalation.servicers.translation import timestamp

_ROLES: Final = {user_pb2.User.AGENT: "agent", user_pb2.User.ADMIN: "admin"}
_NUMBERS: Final = {word: number for number, word in _ROLES.items()}


class UserServicer(user_pb2_grpc.UserServiceServicer):
    """See the contract."""

    def __init__(self, users: Users) -> None:
        """Takes the use case."""
        self._users = users

    async def CreateUser(self, request: user_pb2.CreateUserRequest, _context: Any) -> user_pb2.User:
        """See the contract."""
        return user_message(
            await self._users.create(
                tenant_of(request.tenant_id),
                email=line(request.email, "email"),
                display_name=line(request.display_name, "display_name"),
                role=_ROLES.get(request.role, ""),
                password=Secret(request.password),
            )
        )

    async def ListUsers(
        self, request: user_pb2.ListUsersRequest, _context: Any
    ) -> user_pb2.ListUsersResponse:
        """See the contract."""
        found = await self._users.list(tenant_of(request.tenant_id))
        return user_pb2.ListUsersResponse(users=[user_message(user) for user in found])

    async def ListColleagues(
        self, request: user_pb2.ListColleaguesRequest, _context: Any
    ) -> user_pb2.ListColleaguesResponse:
        """See the contract."""
        found = await self._users.list(tenant_of(request.tenant_id))
        return user_pb2.ListColleaguesResponse(
            colleagues=[
                user_pb2.Colleague(id=user.id, display_name=user.display_name, available=user.available)
                for user in found
                if not user.disabled
            ]
        )

    async def SignIn(self, request: user_pb2.SignInRequest, _context: Any) -> user_pb2.User:
        """See the contract."""
        return user_message(await self._users.sign_in(request.email, Secret(request.password)))

    async def UpdateUser(self, request: user_pb2.UpdateUserRequest, _context: Any) -> user_pb2.User:
        """See the contract."""
        change = UserChange(
            display_name=line(request.display_name, "display_name")
            if request.HasField("display_name")
            else None,
            role=_ROLES.get(request.role) if request.HasField("role") else None,
            password=Secret(request.password) if request.HasField("password") else None,
            disabled=request.disabled if request.HasField("disabled") else None,
        )
        return user_message(
            await self._users.update(tenant_of(request.tenant_id), line(request.user_id, "user_id"), change)
        )

    async def SetPresence(
        self, request: user_pb2.SetPresenceRequest, _context: Any
    ) -> user_pb2.SetPresenceResponse:
        """See the contract."""
        await self._users.set_presence(
            tenant_of(request.tenant_id), line(request.user_id, "user_id"), available=request.available
        )
        return user_pb2.SetPresenceResponse()


def user_message(user: Any) -> user_pb2.User:
    """A row of `users` for callers; never with its hash."""
    return user_pb2.User(
        id=user.id,
        tenant_id=user.tenant_id,
        email=user.email,
        display_name=user.display_name,
        role=_NUMBERS[user.role],
        created_at=timestamp(user.created_at),
        disabled=user.disabled,
        available=user.available,
        password_mark=user.password_mark,
    )
