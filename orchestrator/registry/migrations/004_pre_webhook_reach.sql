-- Whether the target may lie on a private address: so where the admin key set its URL, not where a session's key did.
-- Written by the API.
ALTER TABLE webhook_targets ADD COLUMN allow_private boolean NOT NULL DEFAULT true;
