"""What can be asked of the engine besides its life and its sends: one module a topic, one typed function an operation.

An operation gets the library as a Client, blocks its thread while it waits, and raises DomainErrors. It is run by
`Engine.do(operation, …)`; a scripted engine answers for it by name.
"""
