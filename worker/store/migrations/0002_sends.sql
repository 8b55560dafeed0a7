-- What WhatsApp carried of a message that is more than a text: to download, forward and quote it. An encoded Message.
ALTER TABLE messages ADD COLUMN content BLOB;

CREATE INDEX messages_by_id ON messages (id);

CREATE TABLE reactions (
    chat TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    from_me INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    PRIMARY KEY (chat, message_id, sender)
) WITHOUT ROWID;

-- Sends asked for with an Idempotency-Key. `recipient` and `content` are set before the message goes out, `message_id` and
-- `sent_at` together with the message's own row; `secret` finds it in the engine's database after a kill in between.
CREATE TABLE sends (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    secret BLOB NOT NULL,
    recipient TEXT,
    content BLOB,
    message_id TEXT,
    sent_at INTEGER,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sends_by_time ON sends (created_at);
