//! HTTPS to clients, seen by independent ones: curl and openssl.

use std::process::{Command, Output, Stdio};

use tessera_api::{Serving, Tls, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::server::{OTPS, Server};

/// Runs a program with nothing on its standard input.
async fn run(program: &'static str, arguments: Vec<String>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Whether the programs are there; `./test` makes sure that they are.
fn installed() -> bool {
    let found = |program| Command::new(program).arg("version").output().is_ok();
    let all = ["curl", "openssl"].into_iter().all(found);
    assert!(all || std::env::var_os("TESSERA_REQUIRE_TOOLS").is_none(), "curl or openssl is not installed");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_work_over_tls_and_over_nothing_else_on_that_port() {
    if !installed() {
        eprintln!("skipped: curl or openssl is not installed");
        return;
    }
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    let file = |name: &str| server.folder.path().join(name).to_str().unwrap().to_owned();
    let pem = |name: &str| std::fs::read(file(name)).unwrap();
    let tls = Tls::from_pem(&pem("node.crt"), &pem("node.key")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_phase, phases) = watch::channel(Serving::Normal);
    let _serving = tokio::spawn(serve(listener, Some(tls), server.router.clone(), phases));

    let url = format!("https://localhost:{port}/validate/check");
    let login = format!("user=alice&pass=mypin{}", OTPS[0]);
    let curl = |more: &[&str]| {
        let common = ["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"];
        run("curl", common.iter().chain(more).map(|text| (*text).to_owned()).collect())
    };
    let unknown = curl(&["--data", &login, &url]).await;
    assert_eq!(unknown.status.code(), Some(60), "the certificate's authority is not known: {unknown:?}");
    let ca = file("ca.crt");
    let accepted = curl(&["--cacert", &ca, "--data", &login, &url]).await;
    assert!(String::from_utf8_lossy(&accepted.stdout).contains("\"value\": true"), "{accepted:?}");
    let replayed = curl(&["--cacert", &ca, "--data", &login, &url]).await;
    assert!(String::from_utf8_lossy(&replayed.stdout).contains("\"value\": false"), "{replayed:?}");
    let plain = curl(&["--data", &login, &url.replace("https", "http")]).await;
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");

    let session = |version: &str| {
        let target = format!("localhost:{port}");
        let arguments = ["s_client", "-connect", &target, "-CAfile", &ca, version, "-brief"];
        run("openssl", arguments.iter().map(|text| (*text).to_owned()).collect())
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let output = session(version).await;
        assert!(output.status.success(), "{version}: {output:?}");
    }
    let old = session("-tls1_1").await;
    assert!(!old.status.success(), "{old:?}");
}
