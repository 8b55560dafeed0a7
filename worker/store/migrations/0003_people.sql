-- Names a person goes by: the one in the phone's address book, the one they chose, the one a business is registered under.
ALTER TABLE contacts RENAME COLUMN name TO push_name;
ALTER TABLE contacts ADD COLUMN saved_name TEXT;
ALTER TABLE contacts ADD COLUMN business_name TEXT;
ALTER TABLE contacts ADD COLUMN name TEXT AS (COALESCE(saved_name, push_name, business_name)) VIRTUAL;

-- Calls that came in. `state`: ringing, accepted, ended. Times are milliseconds since 1970.
CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    caller TEXT,
    caller_lid TEXT,
    state TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX messages_by_age ON messages (timestamp);
