package main

import (
	"bufio"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// referenceOptions says what the reference client posts: Requests bodies of Bytes bytes to Path at
// the receiver on Port, over Connections connections.
type referenceOptions struct {
	Port        int    `json:"port"`
	Path        string `json:"path"`
	Run         string `json:"run"`
	Requests    int    `json:"requests"`
	Connections int    `json:"connections"`
	Bytes       int    `json:"bytes"`
}

type referred struct {
	Requests   int     `json:"requests"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_s"`
}

// bodiesKept is how many bodies take turns: to make them is no part of the reference.
const bodiesKept = 256

// refer posts what a delivery worker would, with the least work: the same bodies with the same
// headers, straight to the receiver.
func refer(lines *bufio.Reader) error {
	var options referenceOptions
	if err := next(lines, &options); err != nil {
		return err
	}
	client := &fasthttp.HostClient{
		Addr:                     fmt.Sprintf("%s:%d", hostOf(0), options.Port),
		MaxConns:                 options.Connections,
		NoDefaultUserAgentHeader: true,
	}
	bodies := make([][]byte, bodiesKept)
	for number := range bodies {
		id := eventID(options.Run, 0, number)
		bodies[number] = webhook(id, "bench.reference", number, time.Now(), options.Bytes)
	}
	var posted atomic.Int64
	var failed atomic.Pointer[error]
	var posting sync.WaitGroup
	start, before := time.Now(), cpuSeconds()
	for range options.Connections {
		posting.Go(func() {
			if err := postAll(client, options, bodies, &posted); err != nil {
				failed.Store(&err)
			}
		})
	}
	posting.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return say(referred{options.Requests, time.Since(start).Seconds(), cpuSeconds() - before})
}

// postAll posts one request after the other until `posted` has reached their number.
func postAll(
	client *fasthttp.HostClient, options referenceOptions, bodies [][]byte, posted *atomic.Int64,
) error {
	var request fasthttp.Request
	var response fasthttp.Response
	request.SetRequestURI("http://" + client.Addr + options.Path)
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType("application/json")
	request.Header.SetUserAgent("QR3-Webhooks/1.0")
	request.Header.Set(attemptHeader, "1")
	request.Header.Set("X-QR3-Signature", "sha256="+strings.Repeat("0", 64))
	for {
		number := int(posted.Add(1)) - 1
		if number >= options.Requests {
			return nil
		}
		request.Header.Set(idHeader, eventID(options.Run, 0, number))
		request.SetBodyRaw(bodies[number%bodiesKept])
		if err := client.Do(&request, &response); err != nil {
			return err
		}
		if response.StatusCode() != fasthttp.StatusOK {
			return fmt.Errorf("the receiver answered %d", response.StatusCode())
		}
	}
}
