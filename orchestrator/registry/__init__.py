"""The durable part of the state: what the operator wants, which port is whose, and what was last seen. PostgreSQL only."""
