package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// stampName opens the event's data: the microsecond at which it was to be sent, as text, because
// JavaScript's numbers would not hold it.
const stampName = `"sent_us":"`

// stampDigits is the length of a stamp: Unix microseconds until the year 2286.
const stampDigits = 16

const fillerBytes = 1 << 16

// filler is text that compresses about as well as customers' JSON does, from which events take
// slices; always the same.
var filler = makeFiller()

func makeFiller() []byte {
	chance := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 400)
	for i := range words {
		words[i] = strconv.FormatUint(chance.Uint64()>>(chance.UintN(5)*8), 36)
	}
	var text bytes.Buffer
	for text.Len() < 2*fillerBytes {
		text.WriteString(words[chance.IntN(len(words))])
		text.WriteByte(' ')
	}
	return text.Bytes()
}

// eventID names an event: the run, the entry of the driver's mix, and the number within that entry,
// from 0 without gaps. So a receiver's path, which gets one entry's events, can count in an array.
func eventID(run string, entry, number int) string {
	return run + "-" + strconv.Itoa(entry) + "-" + strconv.Itoa(number)
}

// parseEventID returns an id's run and number.
func parseEventID(id []byte) (run []byte, number int, ok bool) {
	first, last := bytes.IndexByte(id, '-'), bytes.LastIndexByte(id, '-')
	if first < 1 || last <= first {
		return nil, 0, false
	}
	for _, digit := range id[last+1:] {
		if digit < '0' || digit > '9' || number > 1<<24 {
			return nil, 0, false
		}
		number = number*10 + int(digit-'0')
	}
	return id[:first], number, true
}

// sentAt returns the stamp in a webhook's body, in Unix microseconds.
func sentAt(body []byte) (int64, bool) {
	at := bytes.Index(body, []byte(stampName))
	if at < 0 || len(body) < at+len(stampName)+stampDigits {
		return 0, false
	}
	digits := body[at+len(stampName):][:stampDigits]
	stamp, err := strconv.ParseInt(string(digits), 10, 64)
	return stamp, err == nil
}

// eventData returns an event's data so long that the whole has `size` bytes beside `others`.
func eventData(number int, sent time.Time, size, others int) string {
	var text strings.Builder
	fmt.Fprintf(&text, `{%s%d","short_code":"r%08d","country":"AT","note":"`,
		stampName, sent.UnixMicro(), number)
	if room := size - others - text.Len() - 2; room > 0 {
		start := number * 61 % fillerBytes
		text.Write(filler[start : start+min(room, fillerBytes)])
	}
	text.WriteString(`"}`)
	return text.String()
}

// event returns a native event of `size` bytes.
func event(id, eventType, workspace string, number int, sent time.Time, size int) []byte {
	head := fmt.Sprintf(`{"id":"%s","type":"%s","workspace_id":"%s","data":`, id, eventType, workspace)
	return []byte(head + eventData(number, sent, size, len(head)+1) + "}")
}

// webhook returns the body that QR3's envelope makes of such an event, with `size` bytes.
func webhook(id, eventType string, number int, sent time.Time, size int) []byte {
	head := fmt.Sprintf(`{"id":"%s","type":"%s","created":"%s","data":`,
		id, eventType, sent.UTC().Format("2006-01-02T15:04:05.000Z"))
	return []byte(head + eventData(number, sent, size, len(head)+1) + "}")
}
