"""Everything that speaks SQL: the schema, the two databases behind one port, and the queries of each part."""
