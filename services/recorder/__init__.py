"""recorder: writes down what was attempted, and disables endpoints that only fail.

Reads ``attempts``. Writes the delivery log and the health of endpoints to MongoDB and, when it
disables an endpoint, its new state to ``endpoints``; copies ``events.rejected`` for the API, in a
group of its own. What people ought to know of either goes onto ``events`` as an operational event.
Guarantee: an offset is committed only when the row is in the log, the failure is counted and, where
that follows, the endpoint is disabled and people are told; and what is read again after a crash is
neither a second row nor a second failure nor another operational event. MongoDB may be away
for as long as Kafka keeps ``attempts``: nothing is lost, and no delivery waits for it.
"""

from shared import topics

READS = (topics.ATTEMPTS, topics.REJECTED)
WRITES = (topics.ENDPOINTS, topics.EVENTS)
