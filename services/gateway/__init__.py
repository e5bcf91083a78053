"""gateway: accepts events, manages endpoints, shows what was delivered.

The HTTP API of both guides and the native one, over the same handlers. Reads MongoDB and, for the
bodies of requests that were sent, ``deliveries`` by partition and offset. Writes ``events``,
``endpoints`` and, for pings, ``deliveries``. Guarantee: an event is answered with 202 only after
Kafka has acknowledged it; a change of an endpoint is answered only after its new state is
acknowledged on ``endpoints``, so that every event published after the answer meets that state.

    routes ─▶ handlers ─▶ ports ◀─ wiring ─▶ adapters (MongoDB, Kafka)

``handlers`` are plain functions over ``ports``; ``routes`` translate HTTP and hold no logic;
``wiring`` alone imports adapters.
"""

from shared import topics

READS = (topics.DELIVERIES,)
WRITES = (topics.EVENTS, topics.ENDPOINTS, topics.DELIVERIES)
