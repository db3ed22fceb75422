// Copyright (c) 2026, the outbox developers

package main

// An asynq server as an application would have it.  What its handlers see goes
// to the list "seen", as JSON.  The forwarder looks each second instead of each
// five, and a failed task waits a second: only so that the test is short.

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

type sighting struct {
	ID, Type, Queue, Payload string
	Headers                  map[string]string
	Retried, MaxRetry        int
	At                       time.Time
	Left                     time.Duration // until the context's deadline
}

func work(e *env) {
	note := func(ctx context.Context, t *asynq.Task) sighting {
		s := sighting{Type: t.Type(), Payload: string(t.Payload()), Headers: t.Headers(),
			At: time.Now()}
		s.ID, _ = asynq.GetTaskID(ctx)
		s.Queue, _ = asynq.GetQueueName(ctx)
		s.Retried, _ = asynq.GetRetryCount(ctx)
		s.MaxRetry, _ = asynq.GetMaxRetry(ctx)
		if deadline, ok := ctx.Deadline(); ok {
			s.Left = time.Until(deadline)
		}
		text, err := json.Marshal(s)
		if err == nil {
			err = e.redis.RPush(ctx, "seen", text).Err()
		}
		if err != nil {
			os.Exit(1)
		}
		return s
	}

	mux := asynq.NewServeMux()
	mux.HandleFunc("task:fail", func(ctx context.Context, t *asynq.Task) error {
		s := note(ctx, t)
		return errors.New("attempt " + strconv.Itoa(s.Retried+1) + " failed")
	})
	mux.HandleFunc("task:result", func(ctx context.Context, t *asynq.Task) error {
		note(ctx, t)
		_, err := t.ResultWriter().Write([]byte("the result"))
		return err
	})
	mux.HandleFunc("task:too_long", func(ctx context.Context, t *asynq.Task) error {
		note(ctx, t)
		<-ctx.Done()
		return ctx.Err()
	})
	mux.HandleFunc("task:", func(ctx context.Context, t *asynq.Task) error {
		note(ctx, t)
		return nil
	})

	common := asynq.Config{
		LogLevel:                 asynq.WarnLevel,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration {
			return time.Second
		},
		GroupGracePeriod: time.Second,
		GroupAggregator: asynq.GroupAggregatorFunc(
			func(group string, tasks []*asynq.Task) *asynq.Task {
				var all []string
				for _, t := range tasks {
					all = append(all, string(t.Payload()))
				}
				return asynq.NewTask("task:group:"+group, []byte(strings.Join(all, "+")))
			}),
	}
	several, single := common, common
	several.Concurrency, several.Queues = 4, map[string]int{"critical": 6, "default": 3}
	// one at a time, so that the order in which tasks come can be seen
	single.Concurrency, single.Queues = 1, map[string]int{"one-by-one": 1}
	ordered := asynq.NewServer(e.redisOption, single)
	if err := ordered.Start(mux); err != nil {
		os.Exit(1)
	}
	// until SIGTERM
	if err := asynq.NewServer(e.redisOption, several).Run(mux); err != nil {
		os.Exit(1)
	}
	ordered.Shutdown()
}
