"""The control API: JSON over a unix socket, with which phones are added and used, and faults ordered."""
