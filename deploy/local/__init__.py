"""The whole of Hooklane on one machine, with its Kafka and its MongoDB, for development and tests.

The services run as programs (`python -m services.<name>`); only `demo` imports one, the gateway, to
make the demo workspaces as an operator would.
"""
