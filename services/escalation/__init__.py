"""The system of record: tenants, turns, decisions and handoffs, and alone in front of the database."""
