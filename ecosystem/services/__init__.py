"""The embedded services: a PostgreSQL and a Redis of the instance's own, where none is named by the settings."""
