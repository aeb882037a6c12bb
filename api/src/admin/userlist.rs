//! `ANY /admin/userlist`: searching the user stores (reference http-api 11.6).

use tessera_core::decide::userlist::{ListedUser, UserList};
use tessera_core::facts::SearchTerm;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{Members, Page, Reply};

/// Parameters that are no search fields.
const NO_FIELDS: [&str; 5] = ["user", "realm", "resConf", "page", "rp"];

pub(crate) async fn userlist(call: Call) -> Result<Reply, Failure> {
    let page = Page::read(&call.params)?;
    let fields = call.params.iter().filter(|(name, _)| !NO_FIELDS.contains(name));
    let terms =
        fields.map(|(name, text)| SearchTerm { field: name.to_owned(), pattern: text.to_owned() }).collect();
    let users = call.run(UserList { user: call.user(), terms }).await?;
    let rows: Vec<Members<String>> = users.iter().map(row).collect();
    Ok(page.render(&rows))
}

fn row(user: &ListedUser) -> Members<String> {
    let attributes = user.entry.attributes.iter().filter(|(name, _)| *name != "cryptpass");
    let mut members: Vec<(String, String)> =
        attributes.map(|(name, text)| (name.clone(), text.clone())).collect();
    for name in ["useridresolver", "resolver"] {
        members.push((name.to_owned(), user.resolver.to_string()));
    }
    Members(members)
}
