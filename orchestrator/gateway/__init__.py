"""Carries requests to workers: knows where a session's worker listens, and nothing of WhatsApp."""
