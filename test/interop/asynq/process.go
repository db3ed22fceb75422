// Copyright (c) 2026, the outbox developers

package main

// What SQL enqueues is worked on by the server in worker.go, which runs already.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
)

func (e *env) seen(ctx context.Context) []sighting {
	var all []sighting
	for _, text := range e.redis.LRange(ctx, "seen", 0, -1).Val() {
		var s sighting
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			e.notOK("a sighting: %v", err)
		}
		all = append(all, s)
	}
	return all
}

// of returns the sightings of one task.
func (e *env) of(ctx context.Context, id string) []sighting {
	var all []sighting
	for _, s := range e.seen(ctx) {
		if s.ID == id {
			all = append(all, s)
		}
	}
	return all
}

// processed waits until a task has been seen so often, and returns the last time.
func (e *env) processed(ctx context.Context, id string, times int, words string) sighting {
	if !e.eventually(func() bool { return len(e.of(ctx, id)) >= times }) {
		e.notOK("%s: seen %d times, not %d", words, len(e.of(ctx, id)), times)
		return sighting{}
	}
	all := e.of(ctx, id)
	e.is(len(all), times, "%s: processed, %d times", words, times)
	last := all[len(all)-1]
	fmt.Printf("# %s %s in %s: %.60q, attempt %d of %d\n", last.Type, last.ID, last.Queue,
		last.Payload, last.Retried+1, last.MaxRetry+1)
	return last
}

func (e *env) enqueue(ctx context.Context, t task) string {
	id, err := t.bySQL(ctx, e.pg)
	if err != nil {
		e.notOK("enqueue %s: %v", t.typ, err)
		os.Exit(1)
	}
	return id
}

// delivered waits until outbox has handed on all that was enqueued to a queue:
// until what comes after it, a task for much later, is there.
func (e *env) delivered(ctx context.Context, queue string) {
	id := e.enqueue(ctx, task{queue: queue, typ: "task:last", at: time.Now().Add(24 * time.Hour)})
	if !e.eventually(func() bool { return e.state(queue, id) == "scheduled" }) {
		e.notOK("outbox has delivered everything to %s", queue)
	}
	if err := e.inspector.DeleteTask(queue, id); err != nil {
		e.notOK("delete a task: %v", err)
	}
}

func (e *env) state(queue, id string) string {
	info, err := e.inspector.GetTaskInfo(queue, id)
	if err != nil {
		return err.Error()
	}
	return info.State.String()
}

func process(ctx context.Context, e *env) {
	for _, queue := range []string{"default", "critical", "one-by-one"} {
		e.exec(ctx, `SELECT outbox_create_queue($1, 'asynq')`, queue)
	}
	e.exec(ctx, `CREATE TABLE users (name text PRIMARY KEY)`)
	transactions(ctx, e)
	// started first, looked at last: what takes its time
	started := time.Now()
	due := started.Add(3 * time.Second)
	scheduled := e.enqueue(ctx, task{queue: "default", typ: "task:later", at: due,
		payload: []byte("later")})
	failing := e.enqueue(ctx, task{queue: "critical", typ: "task:fail",
		payload: []byte("in vain"), options: map[string]any{"max_retry": 2}})
	var group []string
	for _, p := range []string{"a", "b", "c"} {
		group = append(group, e.enqueue(ctx, task{queue: "default", typ: "task:member",
			payload: []byte(p), options: map[string]any{"group": "letters"}}))
	}
	var delayed string
	if err := e.pg.QueryRow(ctx, `SELECT outbox_enqueue('critical', 'later, too',
		type => 'task:delayed', delay => '2 seconds', options => '{"max_retry": 10}')::text`).
		Scan(&delayed); err != nil {
		e.notOK("enqueue with a delay: %v", err)
	}
	options(ctx, e)
	once(ctx, e)
	order(ctx, e)

	s := e.processed(ctx, scheduled, 1, "deliver_at in 3 s, from asynq's scheduled set")
	e.is(s.At.Before(due), false, "not before its time, fractions of a second included")
	s = e.processed(ctx, delayed, 1, "delay 2 s on queue critical")
	e.is(s.MaxRetry, 10, "its handler sees max_retry 10")
	e.is(s.At.Before(started.Add(time.Second)), false, "not at once")
	aggregated(ctx, e, group)
	archived(ctx, e, failing)
}

// transactions: the task exists if, and only if, the user does.
func transactions(ctx context.Context, e *env) {
	signup := func(name string, commit bool) (id string) {
		err := pgx.BeginFunc(ctx, e.pg, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO users VALUES ($1)`, name); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, `SELECT outbox_enqueue('default',
				jsonb_build_object('user', $1::text), type => 'task:send_verify_email')::text`,
				name).Scan(&id)
			if err == nil && !commit {
				return fmt.Errorf("changed my mind")
			}
			return err
		})
		if (err == nil) != commit {
			e.notOK("signup %s: %v", name, err)
		}
		return id
	}
	bob := signup("bob", false)
	alice := signup("alice", true)
	s := e.processed(ctx, alice, 1, "an immediate task, enqueued beside an INSERT")
	e.is(s.Payload, `{"user": "alice"}`, "its payload")
	e.is(s.Type+" "+s.Queue, "task:send_verify_email default", "its type and queue")
	e.is(s.MaxRetry, 25, "its max_retry is asynq's default")
	e.is(s.Left.Round(time.Minute), 30*time.Minute, "its timeout is asynq's default")
	e.is(e.state("default", bob), `asynq: task not found`, "ROLLBACK: no task")
	// gone when it is done, as asynq does without retention
	e.is(e.eventually(func() bool {
		return strings.Contains(e.state("default", alice), "not found")
	}), true, "the server forgets a task that is done")
}

func options(ctx context.Context, e *env) {
	headers := map[string]string{"traceparent": "00-0af7-b7ad-01", "größe": "✓", "empty": ""}
	id := e.enqueue(ctx, task{queue: "critical", typ: "task:headers", payload: everyByte(),
		headers: headers, options: map[string]any{"max_retry": 10}})
	s := e.processed(ctx, id, 1, "headers, a binary payload, max_retry 10 on queue critical")
	e.is(asJSON(s.Headers), asJSON(headers), "the headers")
	e.is(s.MaxRetry, 10, "max_retry 10")
	e.is(s.Queue, "critical", "the queue")

	id = e.enqueue(ctx, task{queue: "default", typ: "task:timeout",
		options: map[string]any{"timeout": "5 minutes"}})
	s = e.processed(ctx, id, 1, "timeout 5 minutes")
	e.is(s.Left.Round(10*time.Second), 5*time.Minute, "the handler's context ends in 5 minutes")
	id = e.enqueue(ctx, task{queue: "default", typ: "task:deadline",
		options: map[string]any{"deadline": time.Now().Add(time.Hour).Format(time.RFC3339)}})
	s = e.processed(ctx, id, 1, "deadline in an hour")
	e.is(s.Left.Round(10*time.Second), time.Hour, "the handler's context ends in an hour")
	id = e.enqueue(ctx, task{queue: "default", typ: "task:too_long",
		options: map[string]any{"timeout": 1, "max_retry": 0}})
	e.processed(ctx, id, 1, "timeout 1 s, and a handler that takes longer")
	e.is(e.eventually(func() bool { return e.state("default", id) == "archived" }), true,
		"it was cut off, and with max_retry 0 archived")

	id = e.enqueue(ctx, task{queue: "default", typ: "task:result",
		options: map[string]any{"retention": "1 hour"}})
	e.processed(ctx, id, 1, "retention")
	e.is(e.eventually(func() bool { return e.state("default", id) == "completed" }), true,
		"it is kept as completed")
	if info, err := e.inspector.GetTaskInfo("default", id); err != nil {
		e.notOK("the inspector: %v", err)
	} else {
		e.is(string(info.Result), "the result", "with its result")
		e.is(info.Retention, time.Hour, "for an hour")
	}
	again := e.enqueue(ctx, task{queue: "default", typ: "task:result", id: id,
		options: map[string]any{"retention": "1 hour"}})
	e.delivered(ctx, "default")
	e.is(again, id, "the same id enqueued again")
	e.is(len(e.of(ctx, id)), 1, "while asynq keeps it, it isn't processed again")
	e.is(e.state("default", id), "completed", "and stays completed")
}

// once: unique tasks.
func once(ctx context.Context, e *env) {
	// the queue stands still, so that the first is still there when the second comes
	if err := e.inspector.PauseQueue("critical"); err != nil {
		e.notOK("pause: %v", err)
	}
	unique := func(payload string, more map[string]any) string {
		options := map[string]any{"unique_ttl": 3600}
		for k, v := range more {
			options[k] = v
		}
		return e.enqueue(ctx, task{queue: "critical", typ: "task:unique",
			payload: []byte(payload), options: options})
	}
	first, second, other := unique("p", nil), unique("p", nil), unique("q", nil)
	keyed := unique("r", map[string]any{"unique_key": "user 7"})
	keyedToo := unique("s", map[string]any{"unique_key": "user 7"})
	e.delivered(ctx, "critical")
	e.is(e.state("critical", first), "pending", "unique: the first is there")
	e.is(e.state("critical", second), "asynq: task not found", "the second was dropped")
	e.is(e.state("critical", keyed), "pending", "unique_key: the first is there")
	e.is(e.state("critical", keyedToo), "asynq: task not found",
		"another payload with the same key was dropped")
	e.is(e.redis.Get(ctx, "asynq:{critical}:unique:task:unique:user 7").Val(), keyed,
		"the lock holds its id")
	if _, err := e.client.Enqueue(asynq.NewTask("task:unique", []byte("p")),
		asynq.Queue("critical"), asynq.Unique(time.Hour)); !errors.Is(err, asynq.ErrDuplicateTask) {
		e.notOK("asynq's client meets outbox's lock: %v", err)
	} else {
		e.ok("asynq's client meets outbox's lock: %v", err)
	}
	if err := e.inspector.UnpauseQueue("critical"); err != nil {
		e.notOK("unpause: %v", err)
	}
	e.processed(ctx, first, 1, "the unique one")
	e.processed(ctx, other, 1, "the one with another payload")
	e.processed(ctx, keyed, 1, "the one with a key of its own")
	e.is(e.eventually(func() bool {
		return e.redis.Exists(ctx, "asynq:{critical}:unique:task:unique:user 7").Val() == 0
	}), true, "the server has released the lock")
	third := unique("s", map[string]any{"unique_key": "user 7"})
	e.processed(ctx, third, 1, "so the next with that key passes")
}

func order(ctx context.Context, e *env) {
	const n = 300
	e.exec(ctx, fmt.Sprintf(`SELECT outbox_enqueue('one-by-one', i::text, type => 'task:order')
		FROM generate_series(1, %d) AS i`, n))
	var got []string
	done := func() bool {
		got = nil
		for _, s := range e.seen(ctx) {
			if s.Queue == "one-by-one" {
				got = append(got, s.Payload)
			}
		}
		return len(got) >= n
	}
	e.eventually(done)
	var wanted []string
	for i := 1; i <= n; i++ {
		wanted = append(wanted, fmt.Sprint(i))
	}
	e.is(strings.Join(got, " "), strings.Join(wanted, " "),
		"%d tasks and a server with concurrency 1: once, in order", n)
}

func aggregated(ctx context.Context, e *env, members []string) {
	var all []string
	e.eventually(func() bool {
		all = nil
		for _, s := range e.seen(ctx) {
			if s.Type == "task:group:letters" {
				all = append(all, strings.Split(s.Payload, "+")...)
			}
		}
		return len(all) >= 3
	})
	sort.Strings(all)
	e.is(strings.Join(all, "+"), "a+b+c", "the members of a group came aggregated")
	for _, id := range members {
		if len(e.of(ctx, id)) != 0 {
			e.notOK("member %s came by itself", id)
		}
	}
}

func archived(ctx context.Context, e *env, id string) {
	s := e.processed(ctx, id, 3, "a task that fails, max_retry 2")
	e.is(s.Retried, 2, "the last time as the second retry")
	e.is(e.eventually(func() bool { return e.state("critical", id) == "archived" }), true,
		"then it is archived")
	list, err := e.inspector.ListArchivedTasks("critical")
	if err != nil || len(list) != 1 {
		e.notOK("the inspector lists %d archived tasks: %v", len(list), err)
		return
	}
	e.is(list[0].ID+" "+list[0].LastErr, id+" attempt 3 failed",
		"the inspector lists it with its last error")
	// nobody else enqueues to this one
	queues, err := e.inspector.Queues()
	e.is(slices.Contains(queues, "one-by-one"), true, "asynq knows the queue: %v, %v", queues, err)
}
