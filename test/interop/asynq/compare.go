// Copyright (c) 2026, the outbox developers

package main

// What outbox writes and what asynq's own client writes for the same task, key
// by key and byte by byte, and what the inspector makes of both.  No server runs
// meanwhile, so nothing moves.
//
// Three things differ because they are read off a clock: pending_since, a
// group's scores, and what is left of a lock's time.  These are compared to
// within some seconds.  asynq:queues, where both put a queue's name once, stays.

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"google.golang.org/protobuf/encoding/protowire"
)

const slack = 5 // seconds

func cases() []task {
	// a fraction is cut off by the client; here a task is never early
	later := time.Now().Add(time.Hour).Truncate(time.Second)
	deadline := time.Now().Add(2 * time.Hour)
	all := []task{
		{name: "immediate", payload: []byte(`{"user_id":42}`)},
		{name: "empty payload", payload: []byte{}},
		{name: "binary payload", payload: everyByte()},
		{name: "large payload", payload: []byte(strings.Repeat("0123456789", 30000))},
		{name: "header", headers: map[string]string{"trace": "abc"}},
		{name: "empty header", headers: map[string]string{"": ""}},
		{name: "headers", headers: map[string]string{"a": "1", "b": strings.Repeat("x", 300),
			"größe": "naïve ✓"}},
		{name: "type beyond ASCII", typ: "bild:größe"},
		{name: "scheduled", at: later},
		{name: "max_retry", options: map[string]any{"max_retry": 10},
			client: []asynq.Option{asynq.MaxRetry(10)}},
		{name: "max_retry 0", options: map[string]any{"max_retry": 0},
			client: []asynq.Option{asynq.MaxRetry(0)}},
		{name: "timeout", options: map[string]any{"timeout": 90},
			client: []asynq.Option{asynq.Timeout(90 * time.Second)}},
		{name: "timeout as an interval", options: map[string]any{"timeout": "2 hours 1 second"},
			client: []asynq.Option{asynq.Timeout(2*time.Hour + time.Second)}},
		{name: "deadline", options: map[string]any{"deadline": deadline.Unix()},
			client: []asynq.Option{asynq.Deadline(deadline)}},
		{name: "deadline as a timestamp",
			options: map[string]any{"deadline": deadline.Format(time.RFC3339Nano)},
			client:  []asynq.Option{asynq.Deadline(deadline)}},
		{name: "timeout and deadline",
			options: map[string]any{"timeout": 5, "deadline": deadline.Unix()},
			client:  []asynq.Option{asynq.Timeout(5 * time.Second), asynq.Deadline(deadline)}},
		{name: "retention", options: map[string]any{"retention": "1 day"},
			client: []asynq.Option{asynq.Retention(24 * time.Hour)}},
		{name: "unique", payload: []byte("x"), options: map[string]any{"unique_ttl": 600},
			client: []asynq.Option{asynq.Unique(600 * time.Second)}},
		{name: "unique, empty payload", payload: []byte{},
			options: map[string]any{"unique_ttl": "10 min"},
			client:  []asynq.Option{asynq.Unique(10 * time.Minute)}},
		{name: "no payload", none: true},
		{name: "unique, no payload", none: true, options: map[string]any{"unique_ttl": 600},
			client: []asynq.Option{asynq.Unique(600 * time.Second)}},
		{name: "unique and scheduled", at: later, options: map[string]any{"unique_ttl": 600},
			client: []asynq.Option{asynq.Unique(600 * time.Second)}},
		{name: "group", options: map[string]any{"group": "g1"},
			client: []asynq.Option{asynq.Group("g1")}},
		{name: "group and unique", options: map[string]any{"group": "g1", "unique_ttl": 60},
			client: []asynq.Option{asynq.Group("g1"), asynq.Unique(time.Minute)}},
		{name: "group and scheduled", at: later, options: map[string]any{"group": "g1"},
			client: []asynq.Option{asynq.Group("g1")}},
		{name: "all of it", at: later, headers: map[string]string{"h": "v"},
			options: map[string]any{"max_retry": 300, "timeout": 100000, "deadline": deadline.Unix(),
				"retention": 3600, "unique_ttl": 7200, "group": "g2"},
			client: []asynq.Option{asynq.MaxRetry(300), asynq.Timeout(100000 * time.Second),
				asynq.Deadline(deadline), asynq.Retention(time.Hour), asynq.Unique(2 * time.Hour),
				asynq.Group("g2")}},
		// what the queue says holds where the message says nothing
		{name: "the queue's options", queue: "compare:2",
			client: []asynq.Option{asynq.MaxRetry(3), asynq.Timeout(7 * time.Second),
				asynq.Retention(time.Minute)}},
		{name: "the message's options over the queue's", queue: "compare:2",
			options: map[string]any{"max_retry": 4},
			client: []asynq.Option{asynq.MaxRetry(4), asynq.Timeout(7 * time.Second),
				asynq.Retention(time.Minute)}},
	}
	for i := range all {
		t := &all[i]
		t.id = uuid.NewString()
		if t.queue == "" {
			t.queue = "compare"
		}
		if t.typ == "" {
			t.typ = "email:welcome"
		}
		if t.payload == nil && !t.none {
			t.payload = []byte(t.name)
		}
	}
	return all
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func compare(ctx context.Context, e *env) {
	e.exec(ctx, `SELECT outbox_create_queue('compare', 'asynq')`)
	e.exec(ctx, `SELECT outbox_create_queue('two', 'asynq', redis_key => 'compare:2',
		options => '{"max_retry": 3, "timeout": 7, "retention": "1 minute"}')`)
	for _, t := range cases() {
		if err := t.byClient(e.client); err != nil {
			e.notOK("%s: asynq's client: %v", t.name, err)
			continue
		}
		theirs, theirInfo := e.look(ctx, t)
		e.forget(ctx)

		outbox := t
		if t.queue == "compare:2" {
			outbox.queue = "two"
		}
		if _, err := outbox.bySQL(ctx, e.pg); err != nil {
			e.notOK("%s: outbox_enqueue: %v", t.name, err)
			continue
		}
		if !e.eventually(func() bool {
			return e.redis.Exists(ctx, "asynq:{"+t.queue+"}:t:"+t.id).Val() == 1
		}) {
			e.notOK("%s: it has not arrived", t.name)
			continue
		}
		ours, ourInfo := e.look(ctx, t)
		e.forget(ctx)

		e.same(t.name+": keys and bytes as asynq's client writes them", ours, theirs)
		e.same(t.name+": the inspector sees the same", ourInfo, theirInfo)
	}
}

// look returns everything of asynq's in Redis, each value as text, and what the
// inspector says of the task.
func (e *env) look(ctx context.Context, t task) (keys, info map[string]string) {
	keys = map[string]string{}
	for _, key := range e.redis.Keys(ctx, "asynq:{*").Val() {
		for name, value := range e.value(ctx, key) {
			keys[strings.TrimSpace(key+" "+name)] = value
		}
	}
	return keys, e.inspect(t)
}

func (e *env) value(ctx context.Context, key string) map[string]string {
	all := map[string]string{}
	kind := e.redis.Type(ctx, key).Val()
	switch kind {
	case "hash":
		for field, value := range e.redis.HGetAll(ctx, key).Val() {
			switch field {
			case "msg":
				value = message(value)
			case "pending_since":
				value = about(value, int64(time.Second))
			}
			all[field] = value
		}
	case "zset":
		for _, member := range e.redis.ZRangeWithScores(ctx, key, 0, -1).Val() {
			score := strconv.FormatFloat(member.Score, 'f', -1, 64)
			if strings.Contains(key, ":g:") {
				score = about(score, 1)
			}
			all[fmt.Sprint(member.Member)] = score
		}
	case "list":
		all[""] = strings.Join(e.redis.LRange(ctx, key, 0, -1).Val(), " ")
	case "set":
		members := e.redis.SMembers(ctx, key).Val()
		sort.Strings(members)
		all[""] = strings.Join(members, " ")
	case "string":
		all[""] = e.redis.Get(ctx, key).Val()
	}
	all["type"] = kind
	ttl := e.redis.TTL(ctx, key).Val()
	if ttl > 0 {
		// asynq's own lock of a scheduled task lasts to the fraction of a second
		ttl = ttl.Round(slack * time.Second)
	}
	all["ttl"] = ttl.String()
	return all
}

// about is "now" for a time that is now.
func about(value string, unit int64) string {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value
	}
	if d := time.Now().Unix() - n/unit; d < -slack || d > slack {
		return value
	}
	if len(value) != len(strconv.FormatInt(time.Now().Unix()*unit, 10)) {
		return value
	}
	return "now"
}

// message is the protobuf as it is; only the headers, last in it, are in the
// random order of a Go map, and are sorted.
func message(msg string) string {
	var fields, headers []string
	for rest := []byte(msg); len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return "broken: " + strconv.Quote(msg)
		}
		m := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if m < 0 {
			return "broken: " + strconv.Quote(msg)
		}
		field := strconv.Quote(string(rest[:n+m]))
		if number == 15 {
			headers = append(headers, field)
		} else {
			fields = append(fields, field)
			if len(headers) > 0 {
				fields = append(fields, "(after a header)")
			}
		}
		rest = rest[n+m:]
	}
	sort.Strings(headers)
	return strings.Join(append(fields, headers...), " ")
}

func (e *env) inspect(t task) map[string]string {
	got, err := e.inspector.GetTaskInfo(t.queue, t.id)
	if err != nil {
		return map[string]string{"error": err.Error()}
	}
	all := map[string]string{}
	v := reflect.ValueOf(*got)
	for i := 0; i < v.NumField(); i++ {
		text := fmt.Sprintf("%+v", v.Field(i).Interface())
		name := v.Type().Field(i).Name
		if name == "NextProcessAt" && got.State == asynq.TaskStatePending {
			text = about(strconv.FormatInt(got.NextProcessAt.Unix(), 10), 1)
		}
		all[name] = text
	}
	return all
}

// forget takes away what is asynq's and leaves outbox's cursors.
func (e *env) forget(ctx context.Context) {
	for _, key := range e.redis.Keys(ctx, "asynq:{*").Val() {
		e.redis.Del(ctx, key)
	}
}
