"""Filters of the log, and the marks by which records are passed without being decoded."""

from hypothesis import given
from hypothesis import strategies as st

from shared.models.attempts import encode_attempt
from shared.models.searches import AttemptFilter
from tests.unit.services.recorder.kit import attempt

TEXTS = st.text(max_size=5) | st.sampled_from(["qr.scanned", "failed", '"', "\\", "ü\x00"])
CODES = st.none() | st.integers(0, 999)


@given(
    status=st.sampled_from(["success", "failed", "discarded"]),
    event_type=TEXTS,
    event_id=TEXTS,
    status_code=CODES,
    wanted=st.fixed_dictionaries(
        {},
        optional={"status": st.just("failed"), "event_type": TEXTS, "event_id": TEXTS}
        | {"status_code": CODES},
    ),
)
def test_what_is_taken_has_all_marks(
    status: str, event_type: str, event_id: str, status_code: int | None, wanted: dict[str, str]
) -> None:
    one = attempt(
        status,  # type: ignore[arg-type]
        event_type=event_type,
        event_id=event_id,
        status_code=status_code,
    )
    record = encode_attempt(one)
    exact = AttemptFilter(
        status=one.status, event_type=event_type, event_id=event_id, status_code=status_code
    )
    for chosen in (exact, AttemptFilter(**wanted)):  # type: ignore[arg-type]
        if chosen.takes(one):
            assert all(mark in record for mark in chosen.marks())
    assert exact.takes(one)


def test_what_is_looked_for_is_a_mark() -> None:
    assert AttemptFilter(status="failed", status_code=404).marks() == (b'"failed"', b"404")
    assert AttemptFilter(only="lost").marks() == ()
