"""The two ways in which a measurement fails on purpose."""


class BenchError(Exception):
    """The measurement cannot be made here; the message says what to do about it."""


class LostError(Exception):
    """Deliveries were lost or came twice: the figures of such a run mean nothing."""
