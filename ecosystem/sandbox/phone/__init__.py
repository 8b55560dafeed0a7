"""Virtual phones: they own the accounts, link companions, and are chat partners with end-to-end encryption of their own."""
