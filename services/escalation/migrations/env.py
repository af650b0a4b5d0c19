"""What Alembic runs: on the connection that `upgrade` hands in, inside its transaction."""

from alembic import context

# Each part adds its tables to the same metadata.
from services.escalation.store import (  # noqa: F401 - makes the tables known
    account_schema,
    channel_schema,
    handover_schema,
    housekeeping_schema,
    insight_schema,
    knowledge_schema,
    rollout_schema,
    verdict_schema,
    webhook_schema,
)
from services.escalation.store.schema import METADATA


def _run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise RuntimeError("migrations run through services.escalation.migrations.upgrade")
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        # SQLite can do this as well, once the module's implicit transactions are off.
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
