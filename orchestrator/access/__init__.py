"""Who may do what, how often, and the record of it: keys, sign-ins, limits, the audit log."""
