"""What the sandbox remembers: records, and the file they are kept in."""
