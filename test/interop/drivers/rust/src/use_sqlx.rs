// Copyright (c) 2026, the outbox developers
//
// SQLx (of Rust): each type says which of PostgreSQL's it is.
use crate::*;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::ConnectOptions;

async fn call(c: &mut PgConnection, persistent: bool, sql: &'static str, queue: &'static str, value: &Value) -> Result {
    let q = sqlx::query_scalar::<_, uuid::Uuid>(sql).persistent(persistent).bind(queue);
    let q = match value.clone() {
        Value::Text(s) => q.bind(s),
        Value::Document(d) => q.bind(d),
        Value::Bytes(b) => q.bind(b),
        Value::Null => q.bind(None::<String>),
        Value::Number(n) => q.bind(n),
        Value::Bool(b) => q.bind(b),
        Value::Numbers(a) => q.bind(a),
        Value::Words(a) => q.bind(a),
    };
    match q.fetch_one(c).await {
        Ok(id) => Ok(id.to_string()),
        Err(e) => {
            let state = e.as_database_error().and_then(|d| d.code()).map(|c| c.to_string());
            Err((state, e.to_string()))
        }
    }
}

#[tokio::main(flavor = "current_thread")]
pub async fn run() {
    client("sqlx");
    for mode in ["cached", "uncached", "uncached@transaction"] {
        let (port, database) = host(mode);
        let options = PgConnectOptions::new().host("127.0.0.1").port(port.parse().unwrap())
            .username("postgres").database(&database)
            .statement_cache_capacity(if mode == "cached" { 100 } else { 0 });
        let mut c = options.connect().await.unwrap();
        for (way, sql, convert) in WAYS {
            for (name, value) in values() {
                for queue in QUEUES {
                    let result = match convert(&value) {
                        Some(v) => Some(call(&mut c, mode == "cached", sql, queue, &v).await),
                        None => None,
                    };
                    say(mode, way, name, queue, result);
                }
            }
        }
    }
}
