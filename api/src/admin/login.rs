//! `POST /admin/login` (reference http-api 4.2).

use http::StatusCode;
use tessera_core::decide::session::AdminLogin;
use tessera_core::facts::Administrator;

use super::Message;
use crate::auth::session;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Ending, Reply};

pub(crate) async fn login(mut call: Call) -> Result<Reply, Failure> {
    let login = call.params.text("username").unwrap_or_default().to_owned();
    let password = call.params.take_secret("password").unwrap_or_default();
    match call.run(AdminLogin { login, password }).await {
        Ok(Some(admin)) => Ok(welcome(&call, &admin)),
        // No distinction between unknown, ambiguous and wrong.
        Ok(None) | Err(Failure::Refused { .. }) => Ok(refused()),
        Err(other) => Err(other),
    }
}

fn refused() -> Reply {
    reply::success(false, 1, Some(Message::new("Bad username or password")))
        .status(StatusCode::UNAUTHORIZED)
        .ending(Ending::Rejected)
}

fn welcome(call: &Call, admin: &Administrator) -> Reply {
    let shared = &call.shared;
    let Some(key) = session::key(&*shared.node.store().view(), &shared.node.keyring()) else {
        return Reply::unavailable();
    };
    match session::issue(admin, &key, shared.node.store().now(), shared.settings.lifetime()) {
        Ok(issued) => {
            let detail = Message::new(format!("Login successful for {}", admin.login));
            let reply = reply::success(true, 1, Some(detail));
            shared.settings.cookies().set(reply, &issued.token, &issued.csrf)
        }
        Err(_) => Reply::unavailable(),
    }
}
