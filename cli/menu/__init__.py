"""The interactive menu: every screen of `zapvisor menu`. It speaks the public HTTP API and has no power of its own."""
