"""The dashboard for admins and agents: drawn by NiceGUI, a gRPC client of escalation and gateway."""

from importlib import import_module

from services.common.lean_imports import without

# NiceGUI's sockets can also be a client, and share a broker: they load what that takes because it is there.
# Without it, before anything imports NiceGUI, the console starts with a quarter less work and 15 MB less.
with without("aio_pika"), without("aiohttp"), without("requests"):
    import_module("socketio")
