"""The WhatsApp server's side of the chat connection: linking, login, queries, routing."""
