"""The dashboard for admins and agents: server-rendered pages that are a gRPC client of escalation and the gateway."""
