from tests.providers.fixtures import escalation, openai_server

__all__ = ["escalation", "openai_server"]
