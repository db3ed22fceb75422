// Copyright (c) 2026, the outbox developers

package main

// The same for the server in old/, with what its asynq knows.

import (
	"context"
	"slices"
	"strings"
	"time"
)

func older(ctx context.Context, e *env) {
	e.exec(ctx, `SELECT outbox_create_queue('old', 'asynq')`)
	for _, t := range []task{
		{typ: "plain", payload: []byte("1")},
		{typ: "with headers", payload: []byte("2"), headers: map[string]string{"a": "b"}},
		{typ: "unique", payload: []byte("3"), options: map[string]any{"unique_ttl": 60,
			"unique_key": "k", "retention": 60, "timeout": 30, "max_retry": 1}},
		{typ: "scheduled", payload: []byte("4"), at: time.Now().Add(time.Second)},
		{typ: "member", payload: []byte("5"), options: map[string]any{"group": "g"}},
		{typ: "member", payload: []byte("6"), options: map[string]any{"group": "g"}},
	} {
		t.queue = "old"
		e.enqueue(ctx, t)
	}
	wanted := []string{"group g 5+6", "plain 1", "scheduled 4", "unique 3", "with headers 2"}
	var got []string
	e.eventually(func() bool {
		got = e.redis.LRange(ctx, "seen by old", 0, -1).Val()
		return len(got) >= len(wanted)
	})
	slices.Sort(got)
	e.is(strings.Join(got, ", "), strings.Join(wanted, ", "),
		"processed by an old server: %s", strings.Join(got, ", "))
}
