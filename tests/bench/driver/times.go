package main

import (
	"fmt"
	"sort"
	"time"
)

// times holds every measurement by call.
type times map[string][]time.Duration

func (t times) add(other times) {
	for name, list := range other {
		t[name] = append(t[name], list...)
	}
}

// at gives a quantile in milliseconds.
func (t times) at(name string, quantile float64) float64 {
	list := append([]time.Duration(nil), t[name]...)
	if len(list) == 0 {
		return 0
	}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	return float64(list[int(quantile*float64(len(list)-1)+0.5)]) / float64(time.Millisecond)
}

func letter(i int) string { return string(rune('A' + i)) }

// printTimes prints median and 95th percentile, and with two targets the ratio of the medians.
func printTimes(workers, n int, results []times) {
	fmt.Println()
	printTable(calls, workers, n, results)
}

func printTable(calls []string, workers, n int, results []times) {
	fmt.Printf("%d at a time, n = %d: milliseconds, median / p95\n%-22s", workers, n, "")
	for i := range results {
		fmt.Printf(" %20s", letter(i))
	}
	if len(results) == 2 {
		fmt.Printf(" %8s", "B : A")
	}
	fmt.Println()
	for _, call := range calls {
		fmt.Printf("%-22s", call)
		for _, r := range results {
			fmt.Printf(" %20s", fmt.Sprintf("%.2f / %.2f", r.at(call, 0.5), r.at(call, 0.95)))
		}
		if len(results) == 2 {
			fmt.Printf(" %7.1fx", results[1].at(call, 0.5)/results[0].at(call, 0.5))
		}
		fmt.Println()
	}
}
