package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAnEventIDIsReadBack(t *testing.T) {
	run, number, ok := parseEventID([]byte(eventID("r12", 3, 4711)))

	if string(run) != "r12" || number != 4711 || !ok {
		t.Errorf("got %s, %d, %t", run, number, ok)
	}
}

func TestForeignIDsAreNotTakenForOurs(t *testing.T) {
	for _, id := range []string{"", "-", "r1", "r1-2", "-1-2", "r1-1-x", "r1-1-99999999999999999999"} {
		if _, _, ok := parseEventID([]byte(id)); ok {
			t.Errorf("%q was taken", id)
		}
	}
}

func TestEventsHaveTheirSizeAreJSONAndCarryTheirStamp(t *testing.T) {
	sent := time.UnixMicro(1_700_000_000_123_456)
	for _, size := range []int{300, 10 << 10} {
		for name, text := range map[string][]byte{
			"event":   event("r1-0-7", "bench.a", "ws_1", 7, sent, size),
			"webhook": webhook("r1-0-7", "bench.a", 7, sent, size),
		} {
			stamp, ok := sentAt(text)
			if len(text) != size || !json.Valid(text) || !ok || stamp != sent.UnixMicro() {
				t.Errorf("%s of %d bytes: %s", name, size, text[:200])
			}
		}
	}
}

func TestQuantilesAreExactWithinABucket(t *testing.T) {
	var counted histogram
	for us := range int64(100_000) {
		counted.add(us + 1)
	}
	seen := counted.summary()

	for _, pair := range [][2]float64{{seen.P50, 50_000}, {seen.P99, 99_000}, {seen.P999, 99_900}} {
		if ratio := pair[0] / pair[1]; ratio < 0.99 || ratio > 1.01 {
			t.Errorf("%v is not %v", pair[0], pair[1])
		}
	}
	if seen.Max != 100_000 {
		t.Errorf("the largest is %v", seen.Max)
	}
}

func TestArrivalsAreFirstOnesRepeatsOrRetries(t *testing.T) {
	counted := newTally("r1")
	path := []byte("/healthy/ok/1")
	for _, attempt := range []uint8{1, 1, 2, 2} {
		counted.note(path, 5, attempt, nil)
	}
	counted.note(path, 2, 1, nil)

	if got := counted.pathCounts()[string(path)]; got != (pathCounts{2, 2, 1}) {
		t.Errorf("got %+v", got)
	}
	if group := counted.groupCounts()["healthy"]; group.Distinct != 2 || group.Requests != 5 {
		t.Errorf("got %+v", group)
	}
}

func TestTheMixIsDealtOutByWeightAndEvenly(t *testing.T) {
	var dealt strings.Builder
	for _, which := range deal([]entry{{Weight: 1}, {Weight: 3}}, 8) {
		dealt.WriteByte("ab"[which])
	}

	if dealt.String() != "babbbabb" && dealt.String() != "bbabbbab" {
		t.Errorf("dealt %s", dealt.String())
	}
}
