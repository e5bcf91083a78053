// CloudEvents in Go, with the official SDK: what arrives.
//
// Reads cases from stdin, one JSON object a line: headers and body (base64) of a request. Prints a
// JSON object for each: the event's attributes and its data, or error.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

type request struct {
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	printed := json.NewEncoder(os.Stdout)
	printed.SetEscapeHTML(false)
	for lines.Scan() {
		var given request
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			panic(err)
		}
		shown, err := parsed(given)
		if err != nil {
			shown = map[string]any{"error": err.Error()}
		}
		if err := printed.Encode(shown); err != nil {
			panic(err)
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}

func parsed(given request) (map[string]any, error) {
	arrived, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(given.Body))
	if err != nil {
		return nil, err
	}
	for name, value := range given.Headers {
		arrived.Header.Set(name, value)
	}
	event, err := cloudevents.NewEventFromHTTPRequest(arrived)
	if err != nil {
		return nil, err
	}
	if err := event.Validate(); err != nil {
		return nil, err
	}
	return map[string]any{
		"specversion":     event.SpecVersion(),
		"id":              event.ID(),
		"source":          event.Source(),
		"type":            event.Type(),
		"time":            event.Time(),
		"datacontenttype": event.DataContentType(),
		"data":            json.RawMessage(event.Data()),
	}, nil
}
