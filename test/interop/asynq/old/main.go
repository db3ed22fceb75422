// Copyright (c) 2026, the outbox developers
//
// A server built upon an old asynq, the first with groups: it notes in the list
// "seen by old" the type and payload of what it has processed, until SIGTERM.
package main

import (
	"context"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/hibiken/asynq"
)

func main() {
	address := os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT")
	client := redis.NewClient(&redis.Options{Addr: address})
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: address}, asynq.Config{
		Queues:           map[string]int{"old": 1},
		LogLevel:         asynq.WarnLevel,
		GroupGracePeriod: time.Second,
		GroupAggregator: asynq.GroupAggregatorFunc(
			func(group string, tasks []*asynq.Task) *asynq.Task {
				var all []string
				for _, t := range tasks {
					all = append(all, string(t.Payload()))
				}
				sort.Strings(all)
				return asynq.NewTask("group "+group, []byte(strings.Join(all, "+")))
			}),
	})
	handler := asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		return client.RPush(ctx, "seen by old", t.Type()+" "+string(t.Payload())).Err()
	})
	if err := server.Run(handler); err != nil {
		os.Exit(1)
	}
}
