// Copyright (c) 2026, the outbox developers

package main

// What other tools show of tasks that nobody works on yet: asynqmon, over HTTP,
// and asynq's command line tool.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

type watched struct {
	pending, scheduled, member string
}

func enqueueWatched(ctx context.Context, e *env) watched {
	e.exec(ctx, `SELECT outbox_create_queue('watched', 'asynq')`)
	w := watched{
		pending: e.enqueue(ctx, task{queue: "watched", typ: "task:pending",
			payload: []byte(`{"n":1}`), headers: map[string]string{"trace": "abc"},
			options: map[string]any{"max_retry": 7, "unique_ttl": 600}}),
		scheduled: e.enqueue(ctx, task{queue: "watched", typ: "task:scheduled",
			payload: []byte(`{"n":2}`), at: time.Now().Add(time.Hour)}),
		member: e.enqueue(ctx, task{queue: "watched", typ: "task:member",
			payload: []byte(`{"n":3}`), options: map[string]any{"group": "g"}}),
	}
	e.delivered(ctx, "watched")
	return w
}

func monitor(ctx context.Context, e *env) {
	w := enqueueWatched(ctx, e)
	api := "http://127.0.0.1:" + os.Getenv("PORT") + "/api/queues"
	if !e.eventually(func() bool { _, err := get(api); return err == nil }) {
		e.notOK("asynqmon answers")
		return
	}
	about := func(from, id string, fields ...string) string {
		all, err := get(api + "/watched" + from)
		if err != nil {
			return err.Error()
		}
		for _, t := range all {
			if t["id"] != id {
				continue
			}
			var values []string
			for _, field := range fields {
				values = append(values, fmt.Sprint(t[field]))
			}
			return strings.Join(values, " ")
		}
		return "not listed"
	}
	e.is(about("/pending_tasks", w.pending, "type", "payload", "max_retry"),
		`task:pending {"n":1} 7`, "asynqmon lists a pending task")
	e.is(about("/scheduled_tasks", w.scheduled, "type", "payload", "max_retry"),
		`task:scheduled {"n":2} 25`, "asynqmon lists a scheduled task")
	e.is(about("/groups/g/aggregating_tasks", w.member, "type", "payload"),
		`task:member {"n":3}`, "asynqmon lists a member of a group")
}

// get returns the objects of the one array that an answer has.
func get(url string) ([]map[string]any, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", answer.Status, body)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(body, &top); err != nil {
		return nil, err
	}
	for name, value := range top {
		var list []map[string]any
		if (name == "tasks" || name == "queues") && json.Unmarshal(value, &list) == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("no list in %s", body)
}

// commandLine asks the tool $ASYNQ_CLI about what monitor has enqueued.
func commandLine(e *env) {
	listed := func(words string, arguments ...string) {
		arguments = append(arguments, "--queue=watched", "--uri="+e.redisOption.Addr)
		out, err := exec.Command(os.Getenv("ASYNQ_CLI"), arguments...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), words) {
			e.notOK("asynq %s: %v", strings.Join(arguments, " "), err)
			fmt.Printf("# %s\n", out)
			return
		}
		e.ok("asynq %s shows %s", strings.Join(arguments, " "), words)
	}
	listed("task:pending", "task", "ls", "--state=pending")
	listed("task:scheduled", "task", "ls", "--state=scheduled")
	listed("task:member", "task", "ls", "--state=aggregating", "--group=g")
}
