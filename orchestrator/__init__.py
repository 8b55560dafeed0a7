"""The control plane: registry, reconciler, gateway and API of the fleet."""
