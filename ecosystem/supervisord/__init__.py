"""supervisord as the parent of every process: its configuration, our plugin for sessions, the zygote, and a client."""
