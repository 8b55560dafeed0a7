"""What people and programs get to see: tables, pictures, lines of logs, JSON. Knows the terminal, not the server."""
