//! `ANY /admin/show`: the token list (reference http-api 8.1, 6.3).

use serde::{Serialize, Serializer};
use tessera_core::calendar::DateTime;
use tessera_core::decide::show::{Show, TokenPage, TokenRow};
use tessera_core::time::UnixMillis;

use crate::call::Call;
use crate::error::Failure;
use crate::params::Params;
use crate::reply::{self, Members, Reply, token_table};

/// A value of a token record.
enum Cell {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
    Object(serde_json::Map<String, serde_json::Value>),
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
            Self::Flag(flag) => flag.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Cell {
    /// The value as the original prints it in CSV: `True`, `['realm']`.
    fn printed(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => if flag { "True" } else { "False" }.to_owned(),
            Self::List(list) => {
                let quoted: Vec<String> = list.iter().map(|item| format!("'{item}'")).collect();
                format!("[{}]", quoted.join(", "))
            }
            Self::Object(object) => serde_json::Value::Object(object).to_string(),
        }
    }
}

#[derive(Serialize)]
struct Listing {
    data: Vec<Members<Cell>>,
    resultset: ResultSet,
}

#[derive(Serialize)]
struct ResultSet {
    pages: u64,
    pagesize: u64,
    tokens: u64,
    page: u64,
}

pub(crate) async fn show(call: Call) -> Result<Reply, Failure> {
    let csv = call.params.text("outform") == Some("csv");
    let structured = call.params.text("tokeninfo_format") == Some("json");
    let page = call.run(read(&call)).await?;
    Ok(if csv { table(page) } else { listing(page, structured) })
}

fn read(call: &Call) -> Show {
    let params = &call.params;
    Show {
        serial: params.owned("serial"),
        user: call.user(),
        view_realm: params.owned("viewrealm"),
        filter: params.owned("filter"),
        sort_by: params.owned("sortby"),
        descending: params.text("sortdir").is_some_and(|text| text.eq_ignore_ascii_case("desc")),
        page: params.text("page").map(str::to_owned),
        page_size: params.owned("pagesize"),
        user_fields: user_fields(params),
    }
}

fn user_fields(params: &Params) -> Vec<String> {
    let fields = params.text("user_fields").unwrap_or_default().split(',').map(str::trim);
    fields.filter(|field| !field.is_empty()).map(str::to_owned).collect()
}

fn listing(page: TokenPage, structured: bool) -> Reply {
    let resultset =
        ResultSet { pages: page.pages, pagesize: page.page_size, tokens: page.tokens, page: page.page };
    let data = page.rows.into_iter().map(|row| Members(record(row, structured))).collect();
    reply::value(Listing { data, resultset })
}

fn table(page: TokenPage) -> Reply {
    let rows: Vec<Vec<(String, Cell)>> = page.rows.into_iter().map(|row| record(row, false)).collect();
    let names: Vec<String> =
        rows.first().map(|row| row.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default();
    let header: Vec<&str> = names.iter().map(String::as_str).collect();
    token_table(&header, rows.into_iter().map(|row| row.into_iter().map(|(_, cell)| cell.printed())))
}

/// A token record in the classic format.
fn record(row: TokenRow, structured: bool) -> Vec<(String, Cell)> {
    let text = Cell::Text;
    let info = if structured { Cell::Object(row.info.object()) } else { text(row.info.text()) };
    let (class, user_id) = match row.owner {
        Some(owner) => (owner.resolver.to_string(), owner.user_id.to_string()),
        None => Default::default(),
    };
    let number = |number: u32| Cell::Number(number.into());
    let named = [
        ("LinOtp.TokenId", Cell::Number(row.id)),
        ("LinOtp.TokenSerialnumber", text(row.serial.to_string())),
        ("LinOtp.TokenType", text(row.token_type.to_owned())),
        ("LinOtp.TokenDesc", text(row.description)),
        ("LinOtp.TokenInfo", info),
        ("LinOtp.IdResolver", text(row.resolver_id)),
        ("LinOtp.IdResClass", text(class)),
        ("LinOtp.Userid", text(user_id)),
        ("LinOtp.OtpLen", number(row.digits)),
        ("LinOtp.MaxFail", number(row.fail_count_max)),
        ("LinOtp.FailCount", number(row.fail_count)),
        ("LinOtp.Count", Cell::Number(row.next_counter)),
        ("LinOtp.CountWindow", number(row.count_window)),
        ("LinOtp.SyncWindow", number(row.sync_window)),
        ("LinOtp.Isactive", Cell::Flag(row.active)),
        ("LinOtp.CreationDate", text(http_date(row.created_at))),
        ("LinOtp.LastAuthSuccess", text(row.last_success_at.map(http_date).unwrap_or_default())),
        ("LinOtp.LastAuthMatch", text(row.last_match_at.map(http_date).unwrap_or_default())),
        ("LinOtp.RealmNames", Cell::List(row.realms.iter().map(ToString::to_string).collect())),
        ("User.username", text(row.user.username)),
        ("User.userid", text(row.user.user_id)),
        ("User.description", text(row.user.description)),
    ];
    let mut members: Vec<(String, Cell)> =
        named.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect();
    for (field, value) in row.user.fields {
        let name = format!("User.{field}");
        if members.iter().all(|(known, _)| *known != name) {
            members.push((name, text(value)));
        }
    }
    members
}

/// The date form of RFC 1123, as in HTTP: `Sat, 21 Nov 2026 20:30:16 GMT`.
fn http_date(at: UnixMillis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
    };
    let DateTime { year, month, day, hour, minute, second } = DateTime::of(at);
    // 1 January 1970 was a Thursday.
    let weekday = name(&DAYS, at.seconds() / 86_400 % 7);
    let month = name(&MONTHS, month.saturating_sub(1));
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tessera_core::decide::show::{InfoView, RowUser};
    use tessera_core::user::{Owner, RealmName, ResolverSpec, Serial, UserId};

    use super::*;

    fn row() -> TokenRow {
        TokenRow {
            id: 7,
            serial: Serial::from("A1"),
            token_type: "HMAC",
            description: "two\nlines".to_owned(),
            info: InfoView::default(),
            resolver_id: "/etc/passwd".to_owned(),
            owner: Some(Owner {
                resolver: ResolverSpec::from("useridresolver.PasswdIdResolver.IdResolver.pwres"),
                user_id: UserId::from("1001"),
            }),
            digits: 6,
            fail_count_max: 10,
            fail_count: 1,
            next_counter: 5,
            count_window: 10,
            sync_window: 1000,
            active: true,
            // date -u -d @1795293016 +'%a, %d %b %Y %H:%M:%S GMT'
            created_at: UnixMillis::from_seconds(1_795_293_016),
            last_success_at: None,
            last_match_at: None,
            realms: vec![RealmName::from("myrealm")],
            user: RowUser {
                username: "alice".to_owned(),
                user_id: "1001".to_owned(),
                description: String::new(),
                fields: vec![
                    ("email".to_owned(), "alice@example.com".to_owned()),
                    ("username".to_owned(), "alice".to_owned()),
                ],
            },
        }
    }

    fn page(rows: Vec<TokenRow>) -> TokenPage {
        TokenPage { rows, pages: 4, page_size: 5, tokens: 20, page: 2 }
    }

    #[test]
    fn token_record_has_the_references_members() {
        let reply = listing(page(vec![row()]), false);
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        let value = &value["result"]["value"];
        assert_eq!(value["resultset"], json!({"pages": 4, "pagesize": 5, "tokens": 20, "page": 2}));
        assert_eq!(
            value["data"][0],
            json!({
                "LinOtp.TokenId": 7, "LinOtp.TokenSerialnumber": "A1", "LinOtp.TokenType": "HMAC",
                "LinOtp.TokenDesc": "two\nlines", "LinOtp.TokenInfo": "", "LinOtp.IdResolver": "/etc/passwd",
                "LinOtp.IdResClass": "useridresolver.PasswdIdResolver.IdResolver.pwres", "LinOtp.Userid": "1001",
                "LinOtp.OtpLen": 6, "LinOtp.MaxFail": 10, "LinOtp.FailCount": 1, "LinOtp.Count": 5,
                "LinOtp.CountWindow": 10, "LinOtp.SyncWindow": 1000, "LinOtp.Isactive": true,
                "LinOtp.CreationDate": "Sat, 21 Nov 2026 20:30:16 GMT", "LinOtp.LastAuthSuccess": "",
                "LinOtp.LastAuthMatch": "", "LinOtp.RealmNames": ["myrealm"], "User.username": "alice",
                "User.userid": "1001", "User.description": "", "User.email": "alice@example.com"
            })
        );
        let reply = listing(page(vec![row()]), true);
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(value["result"]["value"]["data"][0]["LinOtp.TokenInfo"], json!({}));
    }

    #[test]
    fn csv_prints_values_as_the_original() {
        let reply = table(page(vec![row()]));
        let text = std::str::from_utf8(&reply.body).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("'LinOtp.TokenId'; 'LinOtp.TokenSerialnumber'; "));
        assert!(lines[0].ends_with("'User.email'; "));
        assert!(lines[1].starts_with("'7'; 'A1'; 'HMAC'; 'two lines'; ''; "));
        assert!(
            lines[1].contains("'True'; 'Sat, 21 Nov 2026 20:30:16 GMT'; ''; ''; '['myrealm']'; 'alice'; ")
        );
        assert!(table(page(Vec::new())).body.is_empty());
    }
}
