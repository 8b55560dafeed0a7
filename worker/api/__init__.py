"""The worker's REST API: GoWA's routes and envelope, one route table a resource."""
