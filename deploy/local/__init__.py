"""The whole of Hooklane on one machine, with its Kafka and its MongoDB, for development and tests.

It may use the services only as programs (`python -m services.<name>`), never by import.
"""
