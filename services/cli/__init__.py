"""The `metachat` command: a gRPC client like any other, and the launcher of a local installation."""
