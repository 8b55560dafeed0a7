"""The WhatsApp sandbox: a WhatsApp server on loopback and the virtual phones that live on it.

Import nothing here: `ecosystem.sandbox.trust` is loaded by every worker that runs on the sandbox and must stay light.
"""
