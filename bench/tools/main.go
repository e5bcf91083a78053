// Command bench holds the programs that the measurements need and that must cost little themselves:
// a receiver of webhooks, a driver that publishes events to Kafka, and the reference client.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
)

var commands = map[string]func([]byte) error{
	"driver":    drive,
	"receiver":  receive,
	"reference": refer,
}

// main runs one subcommand; its second argument is a JSON object that says what to do.
func main() {
	if len(os.Args) != 3 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: bench driver|receiver|reference JSON"))
	}
	if err := commands[os.Args[1]]([]byte(os.Args[2])); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// decode reads one JSON object strictly: a misspelt member is an error, not a default.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// say prints one JSON object on a line of its own.
func say(what any) error {
	return json.NewEncoder(os.Stdout).Encode(what)
}

// cpuSeconds returns the CPU time that this process has used so far.
func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		fail(err)
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
