"""The `zapvisor` command: a client of the public HTTP API, and the way to bring an instance up and down."""
