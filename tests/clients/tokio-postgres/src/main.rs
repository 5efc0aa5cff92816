//! tokio-postgres: statements in binary, portals, COPY, cancellation, transactions.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, NoTls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let target = format!("host=127.0.0.1 port={port} dbname=satisflow user=u");
    let (mut client, connection) = tokio_postgres::connect(&target, NoTls).await?;
    tokio::spawn(connection);
    let row = client.query_one("select count(*), max(event_time) from events where kind = $1", &[&"rating"]).await?;
    let (count, latest): (i64, SystemTime) = (row.get(0), row.get(1));
    println!("{} {}", count > 0, latest > SystemTime::UNIX_EPOCH);
    let statement = client.prepare("select kpi, n, se from kpi_latest where kpi = $1").await?;
    let types: Vec<&str> = statement.columns().iter().map(|column| column.type_().name()).collect();
    println!("{types:?} {}", statement.params()[0].name());
    let transaction = client.transaction().await?;
    let portal = transaction.bind("select event_id from events", &[]).await?;
    let (first, rest) = (transaction.query_portal(&portal, 150).await?, transaction.query_portal(&portal, 0).await?);
    println!("{} {}", first.len(), rest.len());
    transaction.commit().await?;
    let copied: Vec<_> = client.copy_out("copy (select 1 as a, 'x' as b) to stdout csv header").await?.try_collect().await?;
    println!("{:?}", String::from_utf8_lossy(&copied.concat()));
    let refused = client.execute("delete from kpis", &[]).await.unwrap_err();
    println!("{:?}", refused.code().map(SqlState::code));
    let endless = "select count(*) from events a, events b, events c, events d where a.score + b.score + c.score + d.score < 0";
    let cancel = client.cancel_token();
    let mut running = pin!(client.query_one(endless, &[]));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let _ = cancel.cancel_query(NoTls).await;
            std::future::pending::<()>().await
        } => unreachable!("it waits for ever"),
    };
    println!("{:?}", ended.unwrap_err().code() == Some(&SqlState::QUERY_CANCELED));
    println!("{}", client.query_one("select 'alive'", &[]).await?.get::<_, String>(0));
    Ok(())
}
