//! A node of one with its web API, and a client that keeps an administrator's cookies.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tessera_api::{Api, ApiSettings, router};
use tessera_node::keys::ClusterKeys;
use tessera_node::{Node, NodeConfig, tls};
use tower::ServiceExt as _;

pub(crate) const ADMIN: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse";
/// The seed of RFC 4226 appendix D, and its first OTPs.
pub(crate) const SEED: &str = "3132333435363738393031323334353637383930";
pub(crate) const OTPS: [&str; 4] = ["755224", "287082", "359152", "969429"];

const CLUSTER: &str = "6a4f5b0e-2c53-4d2f-9a0d-6f6c1f0d1a01";
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running node; it lives as long as this.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) node: Node,
    pub(crate) folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `result.value` of a success.
    #[track_caller]
    pub(crate) fn value(&self) -> Value {
        let json = self.json();
        assert_eq!((self.status, &json["result"]["status"]), (StatusCode::OK, &Value::Bool(true)), "{json}");
        json["result"]["value"].clone()
    }

    /// Code, message and id of an error envelope with status 200.
    #[track_caller]
    pub(crate) fn error(&self) -> (i64, String, i64) {
        let json = self.json();
        let error = &json["result"]["error"];
        assert_eq!((self.status, &json["result"]["status"]), (StatusCode::OK, &Value::Bool(false)), "{json}");
        assert!(json["result"].get("value").is_none() && json.get("detail").is_none(), "{json}");
        let message = error["message"].as_str().unwrap().to_owned();
        (error["code"].as_i64().unwrap(), message, json["id"].as_i64().unwrap())
    }

    /// The values of the cookies that are set.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.headers.get_all(SET_COOKIE).iter().find_map(|line| {
            let (pair, _) = line.to_str().unwrap().split_once(';')?;
            let (key, value) = pair.split_once('=')?;
            (key == name).then(|| value.to_owned())
        })
    }
}

fn write_files(folder: &Path) {
    ClusterKeys::generate().unwrap().create(&folder.join("cluster.key")).unwrap();
    let ca = tls::new_ca(CLUSTER).unwrap();
    ca.create(&folder.join("ca.crt"), &folder.join("ca.key")).unwrap();
    let node = tls::new_node(&ca, CLUSTER, 1, &["localhost".to_owned()]).unwrap();
    node.create(&folder.join("node.crt"), &folder.join("node.key")).unwrap();
    std::fs::write(folder.join("passwd"), PASSWD).unwrap();
}

/// Fields of a passwd file (passwd(5)); the GECOS field has LinOTP's order.
const PASSWD: &str = "alice:x:1001:1001:Alice Adams,Room 1,+49-1,+49-2,alice@example.com:/home/alice:/bin/sh\n\
    bob:x:1002:1002:Bob Brown,Room 2,+49-3,+49-4,bob@example.com:/home/bob:/bin/sh\n";

fn config(folder: &Path) -> NodeConfig {
    let text = format!(
        r#"
        [node]
        id = 1
        data_dir = "data"
        [cluster]
        id = "{CLUSTER}"
        listen = "127.0.0.1:0"
        advertise = "127.0.0.1:1"
        bootstrap = true
        key_file = "cluster.key"
        ca_file = "ca.crt"
        certificate_file = "node.crt"
        private_key_file = "node.key"
        [http]
        listen = "127.0.0.1:0"
        url = "http://127.0.0.1:1"
        plain = true
        [admin]
        user = "{ADMIN}"
        password = "{PASSWORD}"
        "#
    );
    NodeConfig::parse(&text, folder, []).unwrap_or_else(|problems| panic!("{problems:?}"))
}

impl Server {
    /// Starts a node and waits until it can serve.
    pub(crate) async fn start() -> Self {
        Self::with(ApiSettings::default()).await
    }

    pub(crate) async fn with(settings: ApiSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path());
        let node = Node::start(config(folder.path())).await.unwrap();
        let begin = Instant::now();
        while let Err(problem) = node.readiness() {
            assert!(begin.elapsed() < START_LIMIT, "the node is not ready: {problem}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let router = router(Api { node: node.clone(), settings }).unwrap();
        Self { router, node, folder }
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 4711));
        request.extensions_mut().insert(ConnectInfo(peer));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.send(form_request(path).body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Logs the first administrator in.
    pub(crate) async fn admin(&self) -> Admin<'_> {
        let form = format!("username={ADMIN}&password={}", PASSWORD.replace(' ', "+"));
        let answer = self.post("/admin/login", &form).await;
        assert_eq!(answer.value(), Value::Bool(true));
        let (token, csrf) =
            (answer.cookie("access_token_cookie").unwrap(), answer.cookie("csrf_access_token").unwrap());
        Admin { server: self, token, csrf }
    }

    /// Makes realm `myrealm` with the users of the passwd file, as the default realm.
    pub(crate) async fn realm(&self, admin: &Admin<'_>) {
        let file = self.folder.path().join("passwd");
        let form = format!("name=pwres&type=passwdresolver&fileName={}", file.display());
        assert_eq!(admin.post("/system/setResolver", &form).await.value(), true);
        let form = "realm=MyRealm&resolvers=useridresolver.PasswdIdResolver.IdResolver.pwres";
        assert_eq!(admin.post("/system/setRealm", form).await.value(), true);
        assert_eq!(admin.post("/system/setDefaultRealm", "realm=myrealm").await.value(), true);
    }
}

fn form_request(path: &str) -> http::request::Builder {
    Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded")
}

/// An administrator's session.
pub(crate) struct Admin<'a> {
    server: &'a Server,
    pub(crate) token: String,
    pub(crate) csrf: String,
}

impl Admin<'_> {
    pub(crate) fn cookie(&self) -> String {
        format!("access_token_cookie={}; csrf_access_token={}", self.token, self.csrf)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header(COOKIE, self.cookie());
        self.server.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let request = form_request(path).header(COOKIE, self.cookie()).header("X-CSRF-TOKEN", &self.csrf);
        self.server.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Enrols an HOTP token with the seed of RFC 4226.
    pub(crate) async fn enroll(&self, serial: &str, more: &str) {
        let form = format!("type=hmac&serial={serial}&otpkey={SEED}&{more}");
        assert_eq!(self.post("/admin/init", &form).await.value(), true);
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}
