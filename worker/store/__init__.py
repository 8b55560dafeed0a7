"""What one session keeps in its folder: chats, messages, contacts, and the events on their way out (`chatstorage.db`)."""
