"""delivery: sends one delivery, decides what is next.

Reads ``deliveries``, its view of ``endpoints``, and its own journal in ``attempts``. Writes
``attempts``, the retry tiers and ``deliveries.dead``. Guarantee: a record's offset is committed
only when the attempt's record, and whatever follows from it, is acknowledged; after ``kill -9``
only requests that were in flight are sent again, with the same id and attempt number.
"""

from shared import topics

READS = (topics.DELIVERIES, topics.ENDPOINTS, topics.ATTEMPTS)
WRITES = (topics.ATTEMPTS, topics.DEAD)  # and every retry tier of the deployment
