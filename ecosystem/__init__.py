"""What runs, with which settings, speaking which contract: the one package all others may import."""
