//! The connectors, against real sockets.

use std::error::Error as _;
use std::time::Duration;

use qorb_tokio::backend::{Backend, Connector, Error};
use qorb_tokio::connectors::tcp::{Keepalive, TcpConnector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn connected(connector: &TcpConnector) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = Backend::new(listener.local_addr().unwrap());
    let (client, server) = tokio::join!(connector.connect(&backend), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Waits until the kernel has told the client of what its peer did.
async fn noticed(client: &TcpStream) {
    client.readable().await.unwrap();
}

#[tokio::test]
async fn options_reach_the_socket() {
    let keepalive = Keepalive {
        idle: Duration::from_secs(7),
        interval: Duration::from_secs(2),
        retries: 5,
    };
    let connector = TcpConnector::new()
        .keepalive(Some(keepalive))
        .user_timeout(Some(Duration::from_secs(9)));
    let (client, _server) = connected(&connector).await;
    let socket = socket2::SockRef::from(&client);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive.interval);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive.retries);
    #[cfg(target_os = "linux")]
    assert_eq!(
        socket.tcp_user_timeout().unwrap(),
        Some(Duration::from_secs(9))
    );

    // The kernel knows no less than a second.
    let impatient = Keepalive {
        idle: Duration::from_millis(500),
        interval: Duration::ZERO,
        retries: 0,
    };
    connected(&TcpConnector::new().keepalive(Some(impatient))).await;

    let connector = TcpConnector::new().nodelay(false).keepalive(None);
    let (client, _server) = connected(&connector).await;
    let socket = socket2::SockRef::from(&client);
    assert!(!socket.tcp_nodelay().unwrap());
    assert!(!socket.keepalive().unwrap());
}

#[tokio::test]
async fn a_quiet_connection_is_valid_and_stays_untouched() {
    let connector = TcpConnector::new();
    let (mut client, mut server) = connected(&connector).await;
    for word in ["one", "two"] {
        connector.is_valid(&mut client).await.unwrap();
        server.write_all(word.as_bytes()).await.unwrap();
        let mut heard = [0; 3];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, word.as_bytes());
    }
}

#[tokio::test]
async fn a_connection_that_its_peer_closed_is_not_valid() {
    let connector = TcpConnector::new();
    let (mut client, server) = connected(&connector).await;
    drop(server);
    noticed(&client).await;
    let error = connector.is_valid(&mut client).await.unwrap_err();
    assert!(
        error.to_string().contains("closed by its peer")
            || error
                .source()
                .is_some_and(|it| it.to_string().contains("closed by its peer")),
        "{error}"
    );
}

#[tokio::test]
async fn unread_data_is_an_answer_to_nobody_unless_the_server_may_speak_unasked() {
    let connector = TcpConnector::new();
    let (mut client, mut server) = connected(&connector).await;
    server.write_all(b"late").await.unwrap();
    noticed(&client).await;
    let error = connector.is_valid(&mut client).await.unwrap_err();
    assert!(error.to_string().contains("unread data"), "{error}");
    connector
        .talkative(true)
        .is_valid(&mut client)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_backend_of_the_other_kind_is_refused_by_name() {
    let backend = Backend::unix("/nowhere/at/all").named("local");
    let error = TcpConnector::new().connect(&backend).await.unwrap_err();
    assert!(
        words(&error).contains("backend local at /nowhere/at/all is not on the network"),
        "{error}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_connected_to_and_checked() {
    use qorb_tokio::connectors::unix::UnixConnector;
    use tokio::net::UnixListener;

    let folder = std::env::temp_dir().join(format!("qorb-tokio-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let backend = Backend::unix(path.to_str().unwrap());
    let connector = UnixConnector::new();
    let (client, server) = tokio::join!(connector.connect(&backend), listener.accept());
    let (mut client, server) = (client.unwrap(), server.unwrap().0);
    connector.is_valid(&mut client).await.unwrap();
    drop(server);
    client.readable().await.unwrap();
    assert!(connector.is_valid(&mut client).await.is_err());

    let backend = Backend::new("127.0.0.1:9".parse().unwrap());
    let error = connector.connect(&backend).await.unwrap_err();
    assert!(words(&error).contains("is not on a Unix socket"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The error and what is behind it.
fn words(error: &Error) -> String {
    let source = error.source().map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}
