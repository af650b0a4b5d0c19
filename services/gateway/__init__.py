"""The thin door: HTTP and gRPC in, typed messages out; it writes no rule of its own."""
