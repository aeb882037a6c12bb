//! Logins forwarded to a RADIUS server: a real FreeRADIUS, started for the test (reference policies 11.6).

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tessera_connectors::Connectors;
use tessera_core::facts::{Answer, ForwardedLogin, Question, RemoteReply, RemoteServer};

const SECRET: &str = "geheim$1#x";
const PASSWORD: &str = "correct horse battery staple!";
const START_LIMIT: Duration = Duration::from_secs(20);

/// Hans has a password; eva is challenged whatever she sends, and her answer is 4711.
fn configuration(folder: &Path, port: u16) -> String {
    format!(
        r#"
prefix = /usr
logdir = {folder}
run_dir = {folder}
db_dir = {folder}
libdir = /usr/lib/freeradius
pidfile = {folder}/radiusd.pid
security {{
    reject_delay = 0
}}
client loopback {{
    ipaddr = 127.0.0.1
    secret = "{SECRET}"
    require_message_authenticator = yes
}}
modules {{
    pap {{
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        if (&User-Name == "hans" && &NAS-Identifier == "otp") {{
            update control {{
                &Cleartext-Password := "{PASSWORD}"
            }}
        }}
        elsif (&User-Name == "eva" && &State == 0x616263) {{
            update control {{
                &Cleartext-Password := "4711"
            }}
        }}
        elsif (&User-Name == "eva") {{
            update reply {{
                &State := 0x616263
                &Reply-Message := "Enter code"
            }}
            update control {{
                &Response-Packet-Type := Access-Challenge
                &Auth-Type := Accept
            }}
        }}
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
    }}
}}
"#,
        folder = folder.display()
    )
}

/// A FreeRADIUS that ends with this.
struct FreeRadius {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for FreeRadius {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<&'static str> {
    let found = ["freeradius", "radiusd"].into_iter().find(|name| {
        Command::new(name).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    let required = std::env::var_os("TESSERA_REQUIRE_TOOLS").is_some();
    assert!(found.is_some() || !required, "FreeRADIUS is not installed");
    found
}

impl FreeRadius {
    /// Starts one on a free port and waits until it listens. Somebody else may take the port before it does.
    fn start(program: &str) -> Self {
        let started = (0..5).find_map(|_| Self::try_start(program));
        assert!(started.is_some(), "FreeRADIUS does not run");
        started.unwrap()
    }

    fn try_start(program: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        std::fs::write(folder.path().join("radiusd.conf"), configuration(folder.path(), port)).unwrap();
        let process = Command::new(program)
            .args(["-f", "-n", "radiusd", "-l", "stdout", "-d"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { process, port, _folder: folder };
        let begin = Instant::now();
        while !is_taken(port) {
            if server.process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(begin.elapsed() < START_LIMIT, "FreeRADIUS does not listen");
            std::thread::yield_now();
        }
        Some(server)
    }
}

/// Whether somebody has bound the UDP port. Found without binding it, which would take it from the server that is to.
fn is_taken(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
    let end = format!(":{port:04X}");
    sockets.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&end)))
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn server(port: u16, secret: &str) -> RemoteServer {
    let (host, nas_identifier) = ("127.0.0.1".to_owned(), "otp".to_owned());
    RemoteServer::Radius { host, port, secret: secret.into(), nas_identifier }
}

async fn ask(servers: Vec<RemoteServer>, user: &str, pass: &str, state: Option<&str>) -> Answer {
    let login = ForwardedLogin {
        user: user.to_owned(),
        pass: pass.into(),
        transaction: state.map(str::to_owned),
        parameters: vec![("realm".to_owned(), "r1".to_owned())],
    };
    Connectors::new(PathBuf::new()).answer(&Question::AskServer { servers, login }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn freeradius_decides_and_challenges() {
    let Some(program) = program() else {
        eprintln!("skipped: FreeRADIUS is not installed");
        return;
    };
    let radius = tokio::task::spawn_blocking(|| FreeRadius::start(program)).await.unwrap();
    let right = || vec![server(radius.port, SECRET)];
    assert_eq!(ask(right(), "hans", PASSWORD, None).await, Answer::Remote(RemoteReply::Accepted));
    assert_eq!(ask(right(), "hans", "wrong", None).await, Answer::Remote(RemoteReply::Rejected));
    assert_eq!(ask(right(), "hans", "", None).await, Answer::Remote(RemoteReply::Rejected));
    let challenged = RemoteReply::Challenged { state: "abc".to_owned(), message: "Enter code".to_owned() };
    assert_eq!(ask(right(), "eva", "x", None).await, Answer::Remote(challenged));
    assert_eq!(ask(right(), "eva", "4711", Some("abc")).await, Answer::Remote(RemoteReply::Accepted));
    assert_eq!(ask(right(), "eva", "4712", Some("abc")).await, Answer::Remote(RemoteReply::Rejected));

    // One that is not there is passed over; one that does not know the secret is silent.
    let silent = vec![server(free_port(), SECRET), server(radius.port, SECRET)];
    assert_eq!(ask(silent, "hans", PASSWORD, None).await, Answer::Remote(RemoteReply::Accepted));
    let begin = Instant::now();
    let answer = ask(vec![server(radius.port, "another")], "hans", PASSWORD, None).await;
    assert_eq!(answer, Answer::Unavailable("no server can be reached".to_owned()));
    assert!(begin.elapsed() > Duration::from_secs(3), "three attempts");

    let Answer::Unavailable(text) = ask(right(), "hans", &"x".repeat(129), None).await else {
        panic!("long")
    };
    assert_eq!(text, "RADIUS server: the password is longer than RADIUS allows");
}
