package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var errSize = errors.New("want a number of bytes such as 65536, 500kB, 1.5GB or 20MiB")

// units are what a size may end in, whatever its case; a unit of one letter is binary, as
// cp's relatives have it.
var units = map[string]float64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// parseSize takes a number of bytes, 0 included, with a unit and perhaps "/s" behind it.
func parseSize(s string) (int64, error) {
	s = strings.TrimSuffix(strings.TrimSpace(s), "/s")
	digits := strings.TrimRight(s, "bBiIkKmMgGtT ")
	unit, ok := units[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	if !ok || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, errSize
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n <= math.MaxInt64/int64(unit) {
		return n * int64(unit), nil // exactly
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f*unit >= math.MaxInt64 {
		return 0, errSize
	}
	return int64(f * unit), nil
}

// size prints a number of bytes for people.
func size(n int64) string {
	f, unit := float64(n), 0
	for f >= 999.95 && unit < 4 {
		f /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGT"[unit-1])
}
