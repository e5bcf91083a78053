"""fanout: matches each event with the endpoints that subscribed to it.

Reads ``events`` and, for its view of endpoints, ``endpoints``. Writes ``deliveries`` and
``events.rejected``. Guarantee: an event's offset is committed only when every delivery that follows
from it, or its rejection, is acknowledged by the broker; and it is matched against a view that
holds every endpoint change which was acknowledged before the event was read.
"""

from shared import topics

READS = (topics.EVENTS, topics.ENDPOINTS)
WRITES = (topics.DELIVERIES, topics.REJECTED)
