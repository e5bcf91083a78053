"""retry: waits.

Reads every retry tier. Writes ``deliveries`` and, for what is no delivery, ``deliveries.dead``.
Guarantee: a record moves when it is due and never before, byte for byte and with its key, so that
it comes back to the worker that owns its endpoint's lane; its offset is committed only when the
move is acknowledged. A crash between the two repeats the move: the delivery worker knows a delivery
by its identity and attempt number and drops the second one.
"""

from shared import topics

READS = ()  # every retry tier of the deployment
WRITES = (topics.DELIVERIES, topics.DEAD)
