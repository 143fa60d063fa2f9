//! The program as Prometheus sees it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// The program, with two clients, so that there are moments at which nothing happens.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(seconds: u64) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_qorb-metrics"))
            .args(["--port", "0", "--clients", "2", "--duration"])
            .arg(seconds.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut url).unwrap();
        let address = url.trim().strip_prefix("http://").unwrap();
        let address = address.strip_suffix("/metrics").unwrap().to_owned();
        Self { child, address }
    }

    fn scrape(&self) -> Scrape {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Scrape::read(body)
    }

    /// Looks until `found`, which must come about.
    fn until(&self, what: &str, found: impl Fn(&Scrape) -> bool) -> Scrape {
        let began = Instant::now();
        loop {
            let scrape = self.scrape();
            if found(&scrape) {
                return scrape;
            }
            let text = &scrape.text;
            assert!(began.elapsed() < Duration::from_secs(30), "{what}: {text}");
            yield_now();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Scrape {
    text: String,
    /// Name and labels, as they are written, and the value.
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn read(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|it| !it.is_empty() && !it.starts_with('#'));
        let samples = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Self {
            text: text.to_owned(),
            samples: samples.collect(),
        }
    }

    /// All of that name that have all of these labels, written `label="value"`.
    fn all<'a>(&'a self, name: &'a str, labels: &'a [&str]) -> impl Iterator<Item = f64> + 'a {
        let samples = self.samples.iter();
        let named = samples.filter(move |(series, _)| series.split('{').next() == Some(name));
        let meant = named.filter(|(series, _)| labels.iter().all(|it| series.contains(it)));
        meant.map(|(_, value)| *value)
    }

    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.all(name, labels).sum()
    }

    /// What must be the same at each moment at which nothing happens.
    fn books(&self) -> [(f64, f64); 5] {
        let open = self.sum("db_client_connection_count", &[]);
        let of_backends = self.sum("qorb_backend_connections", &[]);
        let opened = self.sum("qorb_backend_opened", &[]);
        let closed = self.sum("qorb_backend_closed", &[]);
        let created = self.sum("db_client_connection_create_time_count", &[]);
        let granted = self.sum("qorb_claims", &[r#"qorb_claim_outcome="granted""#]);
        let waited = self.sum("db_client_connection_wait_time_count", &[]);
        let held = self.sum("db_client_connection_use_time_count", &[]);
        let used = self.sum(
            "db_client_connection_count",
            &[r#"db_client_connection_state="used""#],
        );
        [
            (open, of_backends),
            (open, opened - closed),
            (opened, created),
            (granted, waited),
            (granted - used, held),
        ]
    }

    fn agrees(&self) -> bool {
        self.books()
            .iter()
            .all(|(one, other)| (one - other).abs() < 0.5)
    }
}

#[test]
fn the_metrics_of_a_pool_are_served_and_agree() {
    let program = Program::start(120);
    let scrape = program.until("all works, and is looked at in a quiet moment", |it| {
        it.sum("qorb_claims", &["granted"]) > 50.0
            && it.sum("qorb_backend_online", &[]) > 2.5
            && it.agrees()
    });
    let pool = r#"{db_client_connection_pool_name="echo"}"#;
    for (name, value) in [
        ("db_client_connection_max", 8.0),
        ("db_client_connection_idle_max", 8.0),
        ("db_client_connection_idle_min", 3.0),
        ("db_client_connection_timeouts", 0.0),
        ("qorb_backends", 3.0),
    ] {
        assert_eq!(
            scrape.samples.get(&format!("{name}{pool}")),
            Some(&value),
            "{name}"
        );
    }
    assert!(scrape.sum("db_client_connection_count", &[]) <= 8.0);
    for server in ["alpha", "beta", "gamma"] {
        let name = format!(r#"qorb_backend_name="{server}""#);
        let labels = [
            name.as_str(),
            r#"server_address="127.0.0.1""#,
            "server_port=\"",
            r#"db_client_connection_pool_name="echo""#,
        ];
        for metric in ["online", "opened", "closed", "connect_failures"] {
            let name = format!("qorb_backend_{metric}");
            assert_eq!(scrape.all(&name, &labels).count(), 1, "{name} of {server}");
        }
    }
    let text = &scrape.text;
    for line in [
        "# TYPE db_client_connection_count gauge",
        "# TYPE db_client_connection_timeouts counter",
        "# TYPE db_client_connection_wait_time histogram",
        "# HELP db_client_connection_pending_requests Claims that wait now.",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in {text}");
    }

    // A server goes away, and comes back.
    let gamma = [r#"qorb_backend_name="gamma""#];
    program.until("gamma is down, and tried in vain", |it| {
        it.sum("qorb_backend_online", &gamma) < 0.5
            && it.sum("qorb_backend_connect_failures", &gamma) > 0.5
            && it.agrees()
    });
    program.until("gamma is back", |it| {
        it.sum("qorb_backend_online", &gamma) > 0.5
            && it.sum("qorb_backend_closed", &gamma) > 0.5
            && it.agrees()
    });
}

#[test]
fn it_ends_when_it_is_told_to() {
    let mut program = Program::start(1);
    program.until("it works", |it| it.sum("qorb_backends", &[]) > 2.5);
    assert!(program.child.wait().unwrap().success());
}
