//! The complete route table.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::any;
use http::header::{HeaderValue, LOCATION};
use http::{Request, StatusCode};

use crate::admin::{
    copy, find, init, lifecycle, loadtokens, login, logout, losttoken, resync, set, show, userlist,
};
use crate::call::{Access, Call, Endpoint, Methods, Shared, Takes, serve};
use crate::cluster::{backup, keys, remove, snapshot, status, token, transfer};
use crate::consistency;
use crate::error::Failure;
use crate::health;
use crate::metrics;
use crate::reply::{Ending, Reply, plain_page};
use crate::request_id::{self, RequestId};
use crate::system::{config, policy, realm, resolver};
use crate::validate::{check, check_s, check_status, check_t, check_yubikey, constant, simplecheck};

/// Every endpoint: path, methods, who may call it, handler.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router {
    use Access::{Admin, Open};
    use Methods::{Any, Get, Post};

    let table = cluster(system(Table::new(shared)));
    table
        .add("/validate/check", Any, Open, check::check)
        .add("/validate/check_s", Any, Open, check_s::check_s)
        .add("/validate/check_t", Any, Open, check_t::check_t)
        .add("/validate/check_status", Any, Open, check_status::check_status)
        .add("/validate/check_yubikey", Any, Open, check_yubikey::check_yubikey)
        .add("/validate/simplecheck", Any, Open, simplecheck::simplecheck)
        .add("/validate/ok", Any, Open, constant::ok)
        .add("/validate/fail", Any, Open, constant::fail)
        .add("/admin/login", Post, Open, login::login)
        .add("/admin/logout", Any, Admin, logout::logout)
        .add("/admin/init", Post, Admin, init::init)
        .add_upload("/admin/loadtokens", Post, Admin, loadtokens::loadtokens)
        .add("/admin/show", Any, Admin, show::show)
        .add("/admin/remove", Post, Admin, lifecycle::remove)
        .add("/admin/enable", Post, Admin, lifecycle::enable)
        .add("/admin/disable", Post, Admin, lifecycle::disable)
        .add("/admin/assign", Post, Admin, lifecycle::assign)
        .add("/admin/unassign", Post, Admin, lifecycle::unassign)
        .add("/admin/reset", Post, Admin, lifecycle::reset)
        .add("/admin/losttoken", Post, Admin, losttoken::losttoken)
        .add("/admin/set", Post, Admin, set::set)
        .add("/admin/setPin", Post, Admin, set::set_pin)
        .add("/admin/resync", Post, Admin, resync::resync)
        .add("/admin/copyTokenPin", Post, Admin, copy::copy_token_pin)
        .add("/admin/copyTokenUser", Post, Admin, copy::copy_token_user)
        .add("/admin/check_serial", Any, Admin, find::check_serial)
        .add("/admin/getSerialByOtp", Any, Admin, find::get_serial_by_otp)
        .add("/admin/totp_lookup", Any, Admin, find::totp_lookup)
        .add("/admin/userlist", Any, Admin, userlist::userlist)
        .add("/healthcheck/status", Get, Open, health::status)
        .add("/healthz", Get, Open, health::alive)
        .add("/readyz", Get, Open, health::ready)
        .add("/metrics", Get, Open, metrics::metrics)
        .add("/", Get, Open, root)
        .finish()
}

/// The configuration: for administrators, whose rights the decisions check.
fn system(table: Table) -> Table {
    use Access::Admin;
    use Methods::{Any, Post};

    table
        .add("/system/setResolver", Post, Admin, resolver::set_resolver)
        .add("/system/getResolvers", Any, Admin, resolver::get_resolvers)
        .add("/system/getResolver", Any, Admin, resolver::get_resolver)
        .add("/system/delResolver", Post, Admin, resolver::del_resolver)
        .add("/system/setRealm", Post, Admin, realm::set_realm)
        .add("/system/getRealms", Any, Admin, realm::get_realms)
        .add("/system/delRealm", Post, Admin, realm::del_realm)
        .add("/system/setDefaultRealm", Post, Admin, realm::set_default_realm)
        .add("/system/getDefaultRealm", Any, Admin, realm::get_default_realm)
        .add("/system/setConfig", Post, Admin, config::set_config)
        .add("/system/setDefault", Post, Admin, config::set_default)
        .add("/system/getConfig", Any, Admin, config::get_config)
        .add("/system/delConfig", Post, Admin, config::del_config)
        .add("/system/setPolicy", Post, Admin, policy::set_policy)
        .add("/system/getPolicy", Any, Admin, policy::get_policy)
        // Old clients ask for the export under a file name.
        .add("/system/getPolicy/{file}", Any, Admin, policy::get_policy)
        .add("/system/delPolicy", Post, Admin, policy::del_policy)
        .add("/system/importPolicy", Post, Admin, policy::import_policy)
        .add("/system/checkPolicy", Any, Admin, policy::check_policy)
        .add("/system/explainPolicy", Any, Admin, policy::explain_policy)
        .add("/system/getPolicyDef", Any, Admin, policy::get_policy_def)
        .add("/system/policies_flexi", Any, Admin, policy::policies_flexi)
}

/// Our own calls about the cluster itself.
fn cluster(table: Table) -> Table {
    use Access::{Admin, AdminLocal};
    use Methods::{Get, Post};

    table
        .add("/cluster/status", Get, AdminLocal, status::status)
        .add("/cluster/token", Post, Admin, token::token)
        .add("/cluster/remove", Post, Admin, remove::remove)
        .add("/cluster/leave", Post, Admin, remove::leave)
        .add("/cluster/transfer", Post, Admin, transfer::transfer)
        .add("/cluster/snapshot", Post, Admin, snapshot::snapshot)
        .add("/cluster/states", Get, AdminLocal, consistency::states)
        .add("/cluster/compare", Post, Admin, consistency::compare)
        .add("/cluster/history", Get, AdminLocal, consistency::history)
        .add("/cluster/backup", Post, Admin, backup::backup)
        .add("/cluster/keys", Get, Admin, keys::status)
        .add("/cluster/keys/rotate", Post, Admin, keys::rotate)
}

/// A route table under construction.
struct Table {
    shared: Arc<Shared>,
    router: Router,
}

impl Table {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), router: Router::new() }
    }

    fn add<H, F>(self, path: &'static str, methods: Methods, access: Access, handler: H) -> Self
    where
        H: FnOnce(Call) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        self.add_taking(Takes::Form, path, (methods, access), handler)
    }

    /// An endpoint that is sent files.
    fn add_upload<H, F>(self, path: &'static str, methods: Methods, access: Access, handler: H) -> Self
    where
        H: FnOnce(Call) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        self.add_taking(Takes::File, path, (methods, access), handler)
    }

    fn add_taking<H, F>(
        mut self,
        takes: Takes,
        path: &'static str,
        (methods, access): (Methods, Access),
        handler: H,
    ) -> Self
    where
        H: FnOnce(Call) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        let metrics = self.shared.metrics.endpoint(path);
        let endpoint = Arc::new(Endpoint { methods, access, takes, metrics });
        let shared = self.shared.clone();
        let service = move |request: Request<Body>| serve(shared.clone(), endpoint.clone(), handler, request);
        self.router = self.router.route(path, any(service));
        self
    }

    fn finish(self) -> Router {
        let unknown = Arc::new(self.shared.metrics.endpoint("unknown"));
        self.router.fallback(move |request: Request<Body>| {
            let (unknown, id) = (unknown.clone(), RequestId::of(request.headers()));
            async move {
                unknown.observe(Ending::Refused, Duration::ZERO);
                let page = plain_page(StatusCode::NOT_FOUND, "There is nothing under this URL.");
                page.header(request_id::HEADER, id.header()).into_response()
            }
        })
    }
}

/// `GET /`: to the configured page, or nowhere (reference http-api 1.1).
async fn root(call: Call) -> Result<Reply, Failure> {
    let target = call.shared.settings.root_redirect.as_str();
    let location = HeaderValue::from_str(target).ok().filter(|location| !location.is_empty());
    Ok(match location {
        Some(location) => Reply::empty(StatusCode::FOUND, Ending::Ok).header(LOCATION, location),
        None => plain_page(StatusCode::NOT_FOUND, "There is nothing under this URL."),
    })
}
