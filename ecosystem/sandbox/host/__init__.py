"""The listeners on loopback: the proxy that workers dial, the TLS host behind it, and the media host on it."""
