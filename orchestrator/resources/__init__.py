"""What the machine, the fleet and each session take: measured now, sampled for graphs, told to Prometheus."""
