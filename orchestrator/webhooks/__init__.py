"""Events to webhooks: from the stream to rows, from rows to requests, and nothing lost in between."""
