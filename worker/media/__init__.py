"""Files on their way out: where they wait, where they come from, what they are, and what becomes of them.

Nothing here knows WhatsApp. Pictures are read and ffmpeg runs in processes of their own: a worker stays small, and a file from
anywhere is never decoded next to a session's keys.
"""
