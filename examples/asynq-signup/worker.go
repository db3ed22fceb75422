// Copyright (c) 2026, the outbox developers

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An asynq server as there are many: nothing in it knows of outbox.
func work(db *pgxpool.Pool, redis string) error {
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: redis}, asynq.Config{
		Queues:   map[string]int{"critical": 1},
		LogLevel: asynq.ErrorLevel,
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc("task:send_verify_email", func(ctx context.Context, t *asynq.Task) error {
		var payload struct {
			UserName string `json:"user_name"`
		}
		if err := json.Unmarshal(t.Payload(), &payload); err != nil {
			return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
		}
		id, _ := asynq.GetTaskID(ctx)
		return once(ctx, db, id, payload.UserName)
	})
	return server.Run(mux)
}

// once does the task if it hasn't been done.  The task's id is noted in the
// transaction in which the work is done, so that both happen or neither; a
// second worker with the same task waits for the first one's commit.
func once(ctx context.Context, db *pgxpool.Pool, id, user string) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		noted, err := tx.Exec(ctx, `INSERT INTO verify_email (task_id, user_name)
			VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, user)
		if err != nil {
			return err
		}
		if noted.RowsAffected() == 0 {
			log.Printf("task %s: %s has had that mail already", id, user)
			return nil
		}
		// Whatever is sent from here isn't undone by a rollback: give the
		// provider the task's id, so that it can tell a second attempt.
		log.Printf("task %s: mail to %s", id, user)
		return nil
	})
}
