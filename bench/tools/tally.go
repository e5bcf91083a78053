package main

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// tally holds what has arrived in one run: how often, by path, and how late, by group of paths.
type tally struct {
	run    string
	strays atomic.Int64 // requests that are none of this run's
	mutex  sync.RWMutex // guards the maps
	paths  map[string]*path
	groups map[string]*group
}

// path counts one endpoint's events by their numbers, which have no gaps.
type path struct {
	group    *group
	mutex    sync.Mutex
	attempts []uint8 // by number: the highest attempt that has arrived, 0 for none
	counts   pathCounts
}

// pathCounts says how many different events arrived, how often an attempt came again, and how often
// a later attempt of the same event came.
type pathCounts struct {
	Distinct int `json:"distinct"`
	Repeats  int `json:"repeats"`
	Retries  int `json:"retries"`
}

// group gathers the paths with the same first segment. Its times are Unix microseconds.
type group struct {
	requests  atomic.Int64
	distinct  atomic.Int64
	first     atomic.Int64
	last      atomic.Int64
	latencies histogram
}

// groupCounts is a group as reported; latencies are those of each event's first arrival.
type groupCounts struct {
	Distinct  int64     `json:"distinct"`
	Requests  int64     `json:"requests"`
	FirstUs   int64     `json:"first_us"`
	LastUs    int64     `json:"last_us"`
	LatencyUs latencies `json:"latency_us"`
}

type latencies struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func newTally(run string) *tally {
	return &tally{run: run, paths: map[string]*path{}, groups: map[string]*group{}}
}

// note takes a request of this run: an attempt of an event, by its number, at a path.
func (t *tally) note(name []byte, number int, attempt uint8, body []byte) {
	us := time.Now().UnixMicro()
	at := t.pathOf(name)
	at.group.requests.Add(1)
	if !at.isFirst(number, max(attempt, 1)) {
		return
	}
	at.group.first.CompareAndSwap(0, us)
	at.group.last.Store(us)
	if sent, ok := sentAt(body); ok {
		at.group.latencies.add(us - sent)
	}
	at.group.distinct.Add(1)
}

// pathOf returns the path of this name, with its group: its first segment.
func (t *tally) pathOf(name []byte) *path {
	t.mutex.RLock()
	found := t.paths[string(name)]
	t.mutex.RUnlock()
	if found != nil {
		return found
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if found = t.paths[string(name)]; found != nil {
		return found
	}
	first, _, _ := bytes.Cut(bytes.TrimPrefix(name, []byte("/")), []byte("/"))
	if t.groups[string(first)] == nil {
		t.groups[string(first)] = &group{}
	}
	found = &path{group: t.groups[string(first)]}
	t.paths[string(name)] = found
	return found
}

// isFirst counts an arrival and tells whether it is its event's first.
func (p *path) isFirst(number int, attempt uint8) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for len(p.attempts) <= number {
		p.attempts = append(p.attempts, 0)
	}
	known := p.attempts[number]
	switch {
	case known == 0:
		p.counts.Distinct++
	case attempt <= known:
		p.counts.Repeats++
	default:
		p.counts.Retries++
	}
	p.attempts[number] = max(known, attempt)
	return known == 0
}

// distinct returns how many deliveries of different events a group has seen.
func (t *tally) distinct(name string) int64 {
	t.mutex.RLock()
	defer t.mutex.RUnlock()
	if found := t.groups[name]; found != nil {
		return found.distinct.Load()
	}
	return 0
}

func (t *tally) pathCounts() map[string]pathCounts {
	t.mutex.RLock()
	defer t.mutex.RUnlock()
	counts := make(map[string]pathCounts, len(t.paths))
	for name, path := range t.paths {
		path.mutex.Lock()
		counts[name] = path.counts
		path.mutex.Unlock()
	}
	return counts
}

func (t *tally) groupCounts() map[string]groupCounts {
	t.mutex.RLock()
	defer t.mutex.RUnlock()
	counts := make(map[string]groupCounts, len(t.groups))
	for name, group := range t.groups {
		counts[name] = groupCounts{
			Distinct:  group.distinct.Load(),
			Requests:  group.requests.Load(),
			FirstUs:   group.first.Load(),
			LastUs:    group.last.Load(),
			LatencyUs: group.latencies.summary(),
		}
	}
	return counts
}
