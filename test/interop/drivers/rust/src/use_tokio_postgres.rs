// Copyright (c) 2026, the outbox developers
//
// tokio-postgres: query() prepares; query_typed() says the types itself, which is
// what PgBouncer needs.
use crate::*;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

fn own(value: &Value) -> (Box<dyn ToSql + Sync>, Type) {
    match value {
        Value::Text(s) => (Box::new(*s), Type::TEXT),
        Value::Document(d) => (Box::new(d.clone()), Type::JSONB),
        Value::Bytes(b) => (Box::new(*b), Type::BYTEA),
        Value::Null => (Box::new(None::<String>), Type::TEXT),
        Value::Number(n) => (Box::new(*n), Type::INT4),
        Value::Bool(b) => (Box::new(*b), Type::BOOL),
        Value::Numbers(a) => (Box::new(a.clone()), Type::INT4_ARRAY),
        Value::Words(a) => (Box::new(a.clone()), Type::TEXT_ARRAY),
    }
}

async fn call(client: &Client, typed: bool, sql: &str, queue: &str, value: &Value) -> Result {
    let (payload, r#type) = own(value);
    let row = if typed {
        client.query_typed(sql, &[(&queue, Type::TEXT), (&*payload, r#type)]).await.map(|rows| rows.into_iter().next().unwrap())
    } else {
        client.query_one(sql, &[&queue, &*payload]).await
    };
    match row {
        Ok(row) => Ok(row.get::<_, uuid::Uuid>(0).to_string()),
        Err(e) => Err((e.code().map(|c| c.code().to_string()), format!("{e:?}"))),
    }
}

#[tokio::main(flavor = "current_thread")]
pub async fn run() {
    client("tokio-postgres");
    for mode in ["query", "query_typed", "query_typed@transaction", "query_typed@statement"] {
        let (port, database) = host(mode);
        let url = format!("host=127.0.0.1 port={port} user=postgres dbname={database}");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        for (way, sql, convert) in WAYS {
            for (name, value) in values() {
                for queue in QUEUES {
                    let result = match convert(&value) {
                        Some(v) => Some(call(&client, mode.starts_with("query_typed"), sql, queue, &v).await),
                        None => None,
                    };
                    say(mode, way, name, queue, result);
                }
            }
        }
    }
}
