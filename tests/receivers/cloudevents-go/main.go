// Prints, one JSON object a line, what the official Go SDK sends for one CloudEvent: each mode of
// the HTTP binding, and the value of a structured record for Kafka.
//
// Usage: cloudevents-go WORKSPACE_ID
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

const sink = "http://gateway/v1/events"

type message struct {
	Mode    string            `json:"mode"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func main() {
	one := scanned(os.Args[1])
	ctx := context.Background()
	binary, err := cehttp.NewHTTPRequestFromEvent(ctx, sink, one)
	print(requested("http", binary, err))
	structured, err := cehttp.NewHTTPRequestFromEvent(binding.WithForceStructured(ctx), sink, one)
	print(requested("http", structured, err))
	batch, err := cehttp.NewHTTPRequestFromEvents(ctx, sink, []event.Event{one})
	print(requested("http-batch", batch, err))
	value, err := json.Marshal(one)
	must(err)
	headers := map[string]string{"content-type": event.ApplicationCloudEventsJSON}
	print(message{"kafka", headers, string(value)})
}

func scanned(workspace string) event.Event {
	one := event.New()
	one.SetID("evt_sdk")
	one.SetType("qr.scanned")
	one.SetSource("https://example.com/scanner")
	one.SetTime(time.Date(2026, 3, 15, 10, 0, 0, 0, time.UTC))
	one.SetExtension("workspaceid", workspace)
	must(one.SetData(event.ApplicationJSON, map[string]any{"city": "Wien, Köln", "n": 1}))
	return one
}

func requested(mode string, request *http.Request, err error) message {
	must(err)
	body, err := io.ReadAll(request.Body)
	must(err)
	headers := map[string]string{}
	for name := range request.Header {
		headers[name] = request.Header.Get(name)
	}
	return message{mode, headers, string(body)}
}

func print(sent message) {
	must(json.NewEncoder(os.Stdout).Encode(sent))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
