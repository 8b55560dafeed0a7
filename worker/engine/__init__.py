"""The WhatsApp engine behind a protocol of our own words."""
