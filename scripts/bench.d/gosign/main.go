// go-ethereum's signer alone, which is what gotron-sdk signs with: gosign SECONDS
// prints {"ops":…,"wall_s":…,"cpu_s":…} of the timed part alone.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
)

func cpu() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	raw := make([]byte, 32)
	for n := range raw {
		raw[n] = byte(n + 1)
	}
	key, err := crypto.ToECDSA(raw)
	if err != nil {
		panic(err)
	}
	number := make([]byte, 8)
	sign := func(n uint64) {
		binary.BigEndian.PutUint64(number, n)
		digest := sha256.Sum256(number)
		if _, err := crypto.Sign(digest[:], key); err != nil {
			panic(err)
		}
	}
	for n := uint64(0); n < 100; n++ {
		sign(n)
	}
	ops, begin, before := uint64(0), time.Now(), cpu()
	for time.Since(begin).Seconds() < seconds {
		for n := 0; n < 16; n++ {
			sign(ops)
			ops++
		}
	}
	fmt.Printf("{\"ops\":%d,\"wall_s\":%f,\"cpu_s\":%f}\n", ops, time.Since(begin).Seconds(), cpu()-before)
}
