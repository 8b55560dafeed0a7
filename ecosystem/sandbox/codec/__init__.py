"""The wire formats: protobuf messages and WhatsApp's binary XML stanzas."""
