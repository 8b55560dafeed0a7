"""The control API: one route table per resource, over SessionOrchestrator."""
