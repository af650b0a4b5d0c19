"""The dashboard for admins and agents: drawn by NiceGUI, a gRPC client of escalation and gateway."""
