"""One WhatsApp session in one process."""
