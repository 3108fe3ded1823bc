// SPDX-License-Identifier: MIT

// river: river JOBS SINGLES.  No-op jobs a second from a full queue, with the settings that its own `river bench`
// takes for throughput; then one at a time on an idle queue, insert -> start, its client told by LISTEN/NOTIFY.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type none struct{}

func (none) Kind() string { return "none" }

type single struct{}

func (single) Kind() string { return "single" }

// must returns a value or ends the program: a bench without its peer has no figure.
func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	ctx := context.Background()
	jobs, singles := must(strconv.Atoi(os.Args[1])), must(strconv.Atoi(os.Args[2]))
	config := must(pgxpool.ParseConfig("")) // PGHOST and its kin
	config.MaxConns = 12
	pool := must(pgxpool.NewWithConfig(ctx, config))
	driver := riverpgxv5.New(pool)
	migrator := must(rivermigrate.New(driver, nil))
	must(migrator.Migrate(ctx, rivermigrate.DirectionUp, nil))

	started := make(chan time.Time, 1)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[none]) error { return nil }))
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[single]) error {
		started <- time.Now()
		return nil
	}))
	client := must(river.NewClient(driver, &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		Workers:           workers,
	}))
	for made := 0; made < jobs; made += 5000 {
		batch := make([]river.InsertManyParams, min(5000, jobs-made))
		for i := range batch {
			batch[i].Args = none{}
		}
		must(client.InsertManyFast(ctx, batch))
	}
	must(pool.Exec(ctx, "ANALYZE river_job"))

	// An event comes when a job's end is written, which is later than its worker's return.
	events, unsubscribe := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: jobs + singles,
		Kinds:    []river.EventKind{river.EventKindJobCompleted},
	})
	defer unsubscribe()
	begin := time.Now()
	must(0, client.Start(ctx))
	for range jobs {
		<-events
	}
	rate := float64(jobs) / time.Since(begin).Seconds()
	var ended int
	must(0, pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&ended))

	times := make([]float64, singles)
	for i := range times {
		begin := time.Now()
		must(client.Insert(ctx, single{}, nil))
		times[i] = float64((<-started).Sub(begin).Microseconds()) / 1000
		<-events
		time.Sleep(10 * time.Millisecond) // idle again, as for the other peers
	}
	slices.Sort(times)
	must(0, client.Stop(ctx))
	must(0, json.NewEncoder(os.Stdout).Encode(map[string]any{
		"jobs_per_s": rate, "ended": ended, "median_ms": times[singles/2], "p99_ms": times[singles*99/100],
	}))
}
