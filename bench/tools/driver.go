package main

import (
	"bufio"
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// driverOptions says what is published: Events events of Bytes bytes each, dealt out to the mix by
// weight, at RatePerS per second, or as fast as Kafka takes them where that is 0. A producer's batch
// waits LingerMs for more.
type driverOptions struct {
	Bootstrap string  `json:"bootstrap"`
	Topic     string  `json:"topic"`
	Run       string  `json:"run"`
	Events    int     `json:"events"`
	RatePerS  float64 `json:"rate_per_s"`
	LingerMs  int     `json:"linger_ms"`
	Bytes     int     `json:"bytes"`
	Mix       []entry `json:"mix"`
}

// entry is a part of the mix: a type of a workspace.
type entry struct {
	Type      string `json:"type"`
	Workspace string `json:"workspace_id"`
	Weight    int    `json:"weight"`
}

// driven is what the driver reports: the events of each entry, and by how much it was ever late.
type driven struct {
	Events     []int   `json:"events"`
	FirstUs    int64   `json:"first_us"`
	LastUs     int64   `json:"last_us"`
	LateMsMax  float64 `json:"late_ms_max"`
	CPUSeconds float64 `json:"cpu_s"`
}

// drive publishes and returns when Kafka has acknowledged everything. A paced event's stamp is when
// it was due, so that a driver that comes late does not hide what its events waited for.
func drive(lines *bufio.Reader) error {
	var options driverOptions
	if err := next(lines, &options); err != nil {
		return err
	}
	client, err := kgo.NewClient(producerOptions(options)...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(context.Background()); err != nil {
		return err
	}
	var refused atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			refused.Store(&err)
		}
	}
	result := driven{Events: make([]int, len(options.Mix))}
	start := time.Now()
	for number, which := range deal(options.Mix, options.Events) {
		due := time.Now()
		if options.RatePerS > 0 {
			due = start.Add(time.Duration(float64(number) / options.RatePerS * float64(time.Second)))
			sleepUntil(due)
			result.LateMsMax = max(result.LateMsMax, float64(time.Since(due).Microseconds())/1000)
		}
		part := options.Mix[which]
		id := eventID(options.Run, which, result.Events[which])
		value := event(id, part.Type, part.Workspace, number, due, options.Bytes)
		client.Produce(context.Background(), &kgo.Record{Value: value}, done)
		result.Events[which]++
		result.LastUs = due.UnixMicro()
	}
	if err := client.Flush(context.Background()); err != nil {
		return err
	}
	if err := refused.Load(); err != nil {
		return fmt.Errorf("Kafka refused an event: %w", *err)
	}
	result.FirstUs = start.UnixMicro()
	result.CPUSeconds = cpuSeconds()
	return say(result)
}

// producerOptions are those of a careful producer: acknowledged by all, idempotent, without
// compression.
func producerOptions(options driverOptions) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(options.Bootstrap),
		kgo.DefaultProduceTopic(options.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(time.Duration(options.LingerMs) * time.Millisecond),
		kgo.ProducerBatchMaxBytes(512 << 10),
	}
}

// deal yields the mix's entries in turn, each as often as its weight, evenly spread.
func deal(mix []entry, count int) func(func(int, int) bool) {
	total := 0
	for _, part := range mix {
		total += part.Weight
	}
	return func(yield func(int, int) bool) {
		credits := make([]int, len(mix))
		for number := range count {
			best := 0
			for i, part := range mix {
				credits[i] += part.Weight
				if credits[i] > credits[best] {
					best = i
				}
			}
			credits[best] -= total
			if !yield(number, best) {
				return
			}
		}
	}
}

// sleepUntil waits with the kernel's clock: Go's own timers may be a millisecond late.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		pause := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&pause, nil) // EINTR: the loop goes on
	}
}
