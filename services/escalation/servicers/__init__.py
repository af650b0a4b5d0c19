"""The gRPC faces of the escalation service: they translate, what lies below them decides."""
