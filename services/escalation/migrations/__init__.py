"""The history of the schema (Alembic) and the step that brings a database up to date at every start."""
