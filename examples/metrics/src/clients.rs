//! Clients: each claims a connection, uses it for a while, gives it back, and thinks.

use std::io;
use std::time::Duration;

use qorb_tokio::pool::Pool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// One client, who works until the pool ends.
pub(crate) async fn work(pool: Pool<TcpStream>) {
    for turn in 1_u64.. {
        match pool.claim().await {
            Ok(mut stream) => {
                if ask(&mut stream, turn).await.is_err() {
                    stream.discard();
                }
            }
            Err(error) if error.is_terminated() => break,
            // It has waited for long enough; so it thinks of something else.
            Err(_) => {}
        }
        sleep(THINKING).await;
    }
}

/// Asks three questions. Now and then the client ponders an answer for so long that others wait in vain.
async fn ask(stream: &mut TcpStream, turn: u64) -> io::Result<()> {
    for question in 0..3 {
        let asked = [turn.to_be_bytes(), u64::to_be_bytes(question)].concat();
        stream.write_all(&asked).await?;
        let mut answer = [0; 16];
        stream.read_exact(&mut answer).await?;
        if answer != asked[..] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        sleep(if turn.is_multiple_of(100) {
            PONDERING
        } else {
            READING
        })
        .await;
    }
    Ok(())
}

const READING: Duration = Duration::from_millis(2);
const PONDERING: Duration = Duration::from_millis(60);
const THINKING: Duration = Duration::from_millis(5);
