CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Native events as the engine delivered them, until they are translated and recorded: what a killed worker finds again.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    code INTEGER NOT NULL,
    body BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    error TEXT
);

CREATE TABLE chats (
    jid TEXT PRIMARY KEY,
    lid TEXT,
    name TEXT,
    last_message_at INTEGER NOT NULL DEFAULT 0,
    ephemeral_s INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX chats_by_time ON chats (last_message_at DESC, jid);
CREATE UNIQUE INDEX chats_by_lid ON chats (lid) WHERE lid IS NOT NULL;

CREATE TABLE messages (
    chat TEXT NOT NULL,
    id TEXT NOT NULL,
    sender TEXT,
    sender_lid TEXT,
    from_me INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT,
    timestamp INTEGER NOT NULL,
    quoted_id TEXT,
    media BLOB,
    status TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (chat, id)
);
CREATE INDEX messages_by_time ON messages (chat, timestamp DESC, id);

CREATE TABLE contacts (
    lid TEXT,
    jid TEXT,
    name TEXT,
    updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX contacts_by_jid ON contacts (jid) WHERE jid IS NOT NULL;
CREATE UNIQUE INDEX contacts_by_lid ON contacts (lid) WHERE lid IS NOT NULL;

-- `seq` is the event's number in its session; it only grows, also after rows were deleted.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    sent_at INTEGER
);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE sent_at IS NULL;
