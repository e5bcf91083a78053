package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// The headers of QR3's guide that identify a request.
const (
	idHeader      = "X-QR3-Event-Id"
	attemptHeader = "X-QR3-Attempt"
)

const pollEvery = 2 * time.Millisecond

// receiverOptions says where the receiver listens: on one port at Hosts addresses of 127.0.0.0/8,
// as a sender keeps its connections by host and port. CAFile is where it puts the certificate of
// the authority that its https answers to.
type receiverOptions struct {
	Hosts  int    `json:"hosts"`
	CAFile string `json:"ca_file"`
}

// order is one line of the control interface. Times in milliseconds.
type order struct {
	Do       string `json:"do"` // reset, wait or report
	Run      string `json:"run"`
	Group    string `json:"group"`
	Count    int64  `json:"count"`
	WithinMs int64  `json:"within_ms"`
}

type report struct {
	Groups      map[string]groupCounts `json:"groups"`
	Paths       map[string]pathCounts  `json:"paths"`
	Strays      int64                  `json:"strays"`
	Connections int64                  `json:"connections"`
	CPUSeconds  float64                `json:"cpu_s"`
}

// receiver answers webhooks. The path says what an endpoint is like:
//
//	/GROUP/ok/N       answers 200
//	/GROUP/cold-P/N   answers 200, and closes P of 100 connections behind the answer
//	/GROUP/slow-MS/N  answers 200 after MS milliseconds
//	/GROUP/dead/N     answers 503
//	/GROUP/hole/N     takes the request and never answers
type receiver struct {
	tally       atomic.Pointer[tally]
	answered    atomic.Int64
	connections atomic.Int64
}

// receive serves until standard input ends. It prints its ports, then one line for each order.
func receive(lines *bufio.Reader) error {
	var options receiverOptions
	if err := next(lines, &options); err != nil {
		return err
	}
	r := &receiver{}
	r.tally.Store(newTally(""))
	certificates, err := newAuthority(options.CAFile)
	if err != nil {
		return err
	}
	server := &fasthttp.Server{
		Handler:               r.answer,
		NoDefaultServerHeader: true,
		ReadBufferSize:        16 << 10,
		ConnState:             r.countConnections,
		TLSConfig:             certificates.config(),
	}
	plain, err := r.listen(options.Hosts, server.Serve)
	if err != nil {
		return err
	}
	secure, err := r.listen(options.Hosts, func(listener net.Listener) error {
		return server.ServeTLS(listener, "", "")
	})
	if err != nil {
		return err
	}
	if err := say(map[string]int{"http_port": plain, "https_port": secure}); err != nil {
		return err
	}
	return r.obey(lines)
}

// listen serves the same free port at each host and returns it.
func (r *receiver) listen(hosts int, serve func(net.Listener) error) (int, error) {
	port := 0
	for number := range hosts {
		listener, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", hostOf(number), port))
		if err != nil {
			return 0, err
		}
		port = listener.Addr().(*net.TCPAddr).Port
		go func() { fail(serve(listener)) }()
	}
	return port, nil
}

// hostOf returns the address of a host by its number: 127.0.0.1, 127.0.0.2, and so on.
func hostOf(number int) string {
	return fmt.Sprintf("127.0.%d.%d", number/250, number%250+1)
}

func (r *receiver) countConnections(_ net.Conn, state fasthttp.ConnState) {
	if state == fasthttp.StateNew {
		r.connections.Add(1)
	}
}

func (r *receiver) answer(ctx *fasthttp.RequestCtx) {
	name := ctx.Path()
	r.note(name, ctx)
	_, after, _ := bytes.Cut(name[1:], []byte("/"))
	behaviour, _, _ := bytes.Cut(after, []byte("/"))
	kind, amount, _ := bytes.Cut(behaviour, []byte("-"))
	switch string(kind) {
	case "cold":
		if percent := int64(number(amount)); r.answered.Add(1)*percent%100 < percent {
			ctx.SetConnectionClose()
		}
	case "slow":
		time.Sleep(time.Duration(number(amount)) * time.Millisecond)
	case "dead":
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		return
	case "hole":
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(connection net.Conn) { _, _ = io.Copy(io.Discard, connection) })
		return
	}
	ctx.SetBodyString("ok")
}

func (r *receiver) note(name []byte, ctx *fasthttp.RequestCtx) {
	run, which, ok := parseEventID(ctx.Request.Header.Peek(idHeader))
	current := r.tally.Load()
	if !ok || string(run) != current.run {
		current.strays.Add(1)
		return
	}
	attempt := number(ctx.Request.Header.Peek(attemptHeader))
	current.note(name, which, uint8(min(attempt, 255)), ctx.Request.Body())
}

// number returns the decimal number in `text`, 0 for anything else.
func number(text []byte) int {
	value, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	return value
}

// obey answers each line of the control interface with a line.
func (r *receiver) obey(lines *bufio.Reader) error {
	for {
		var given order
		if err := next(lines, &given); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := say(r.perform(given)); err != nil {
			return err
		}
	}
}

func (r *receiver) perform(given order) any {
	current := r.tally.Load()
	switch given.Do {
	case "reset":
		r.tally.Store(newTally(given.Run))
		return map[string]string{"run": given.Run}
	case "wait":
		until := time.Now().Add(time.Duration(given.WithinMs) * time.Millisecond)
		for current.distinct(given.Group) < given.Count && time.Now().Before(until) {
			time.Sleep(pollEvery)
		}
		return map[string]int64{"count": current.distinct(given.Group)}
	case "report":
		return report{
			Groups:      current.groupCounts(),
			Paths:       current.pathCounts(),
			Strays:      current.strays.Load(),
			Connections: r.connections.Load(),
			CPUSeconds:  cpuSeconds(),
		}
	}
	return map[string]string{"error": "unknown order " + given.Do}
}
