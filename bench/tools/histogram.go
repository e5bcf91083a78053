package main

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// Values share a bucket with those that differ from them by less than one in subBuckets.
const (
	subBucketBits = 7
	subBuckets    = 1 << subBucketBits
	exponents     = 32 // up to 2^38 µs
)

// histogram counts microseconds in buckets of a width of at most 0.8 % of their values. Safe for
// use by many goroutines.
type histogram struct {
	buckets [(exponents + 1) * subBuckets]atomic.Uint32
	max     atomic.Int64
}

func (h *histogram) add(us int64) {
	us = max(us, 0)
	h.buckets[bucketOf(us)].Add(1)
	for seen := h.max.Load(); us > seen && !h.max.CompareAndSwap(seen, us); {
		seen = h.max.Load()
	}
}

// bucketOf returns a value's bucket: its exponent, then its leading subBucketBits bits.
func bucketOf(us int64) int {
	exponent := max(bits.Len64(uint64(us))-subBucketBits-1, -1)
	if exponent < 0 {
		return int(us)
	}
	return min((exponent+1)*subBuckets+int(us>>exponent)-subBuckets, (exponents+1)*subBuckets-1)
}

// valueOf returns the middle of a bucket.
func valueOf(bucket int) float64 {
	exponent := bucket/subBuckets - 1
	if exponent < 0 {
		return float64(bucket)
	}
	return (float64(bucket%subBuckets+subBuckets) + 0.5) * math.Ldexp(1, exponent)
}

// summary returns the quantiles that are reported, in microseconds; zeros without values.
func (h *histogram) summary() latencies {
	total := uint32(0)
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	return latencies{
		P50:  h.quantile(0.5, total),
		P99:  h.quantile(0.99, total),
		P999: h.quantile(0.999, total),
		Max:  float64(h.max.Load()),
	}
}

// quantile returns the value of the bucket in which this share of `total` values is reached.
func (h *histogram) quantile(share float64, total uint32) float64 {
	rest := int64(math.Ceil(share * float64(total)))
	for i := range h.buckets {
		if rest -= int64(h.buckets[i].Load()); rest <= 0 && total > 0 {
			return valueOf(i)
		}
	}
	return 0
}
