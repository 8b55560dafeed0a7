"""What runs the workers: one protocol, one module per backend."""
