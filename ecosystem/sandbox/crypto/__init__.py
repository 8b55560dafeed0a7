"""The ciphers: Curve25519 and XEdDSA, the Noise handshake, Signal sessions, media and app-state encryption."""
