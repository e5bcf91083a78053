"""MongoDB: workspaces, API keys, endpoints, the delivery log and the health of endpoints.

The only package with query documents and the only one that knows the driver (motor, whose
successor is PyMongo's own asynchronous API). Nothing outside may import motor, pymongo or bson:
records go in and out as structs of ``shared.models``, an unreachable server is ``Outage``.

    client        connection, concerns, time limits, errors
    publishing    changing a document so that the last record on ``endpoints`` is the newest state
    workspaces    workspaces and API keys
    endpoints     endpoints
    attempts      the delivery log
    health        consecutive failures of endpoints
    indexes       every index, with the query that it serves
"""
