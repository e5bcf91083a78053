// Command bench holds the programs that the measurements need and that must cost little themselves:
// a receiver of webhooks, a driver that publishes events to Kafka, and the reference client.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

var commands = map[string]func(*bufio.Reader) error{
	"driver":    drive,
	"receiver":  receive,
	"reference": refer,
}

// main runs one subcommand. What to do is a JSON object on the first line of standard input.
func main() {
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: bench driver|receiver|reference"))
	}
	if err := commands[os.Args[1]](bufio.NewReader(os.Stdin)); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// next reads a line that holds one JSON object. It is strict: a misspelt member is an error, not a
// default. At the end of the input the error is io.EOF.
func next(lines *bufio.Reader, into any) error {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
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
