//! `admin/show`: the token list (reference http-api 8.1, 6.3).
//!
//! The state is scanned once, filtered before anything is copied, sorted, and cut to a page; owners are looked up for
//! the rows of the page only, unless the filter is about owners.

mod filter;
mod owners;
mod row;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::resolver::resolver_id;
use super::rights::granted;
use super::selection::matches_pattern;
use super::user::UserParams;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{Key, Record, TokenV1, UsageV1};
use crate::user::{ResolverSpec, Serial};
use crate::view::{Slot, StateRead};

pub use row::{InfoView, RowUser, TokenRow};

use filter::{Owners, Realms, Text};

/// Rows per page where `pagesize` was sent but is not a positive number.
const PAGE_SIZE_FALLBACK: u64 = 20;

/// Lists tokens. Texts are taken as sent; empty ones count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// `serial`, possibly with `*`.
    pub serial: Option<String>,
    /// `user` with `realm` and `resConf`; the user may be a pattern or one of the special values.
    pub user: UserParams,
    /// `viewrealm`; wins over `realm` as the realm filter.
    pub view_realm: Option<String>,
    /// `filter`.
    pub filter: Option<String>,
    /// `sortby`.
    pub sort_by: Option<String>,
    /// `sortdir` is `desc`.
    pub descending: bool,
    /// `page`, counted from 1; what is not a positive number counts as 1.
    pub page: Option<String>,
    /// `pagesize`; ignored without `page`.
    pub page_size: Option<String>,
    /// `user_fields`: owner attributes to add to each row.
    pub user_fields: Vec<String>,
}

/// A page of tokens with the numbers of `resultset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPage {
    /// The rows.
    pub rows: Vec<TokenRow>,
    /// Number of pages.
    pub pages: u64,
    /// Rows per page.
    pub page_size: u64,
    /// Number of tokens on all pages.
    pub tokens: u64,
    /// This page, counted from 1.
    pub page: u64,
}

/// A token that passed the filters.
struct Candidate {
    serial: Serial,
    created: u64,
    token: Arc<TokenV1>,
    /// Filled only where the order needs it.
    usage: Option<Arc<UsageV1>>,
}

impl Candidate {
    fn resolver_spec(&self) -> &str {
        self.token.owner.as_ref().map_or("", |owner| owner.resolver.as_str())
    }

    fn user_id(&self) -> &str {
        self.token.owner.as_ref().map_or("", |owner| owner.user_id.as_str())
    }

    fn resolver_id<'a>(&self, ids: &'a BTreeMap<ResolverSpec, String>) -> &'a str {
        self.token.owner.as_ref().and_then(|owner| ids.get(&owner.resolver)).map_or("", String::as_str)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortBy {
    Description,
    Id,
    Type,
    Serial,
    ResolverId,
    ResolverSpec,
    UserId,
    FailCount,
    Count,
    Active,
    Created,
    LastMatch,
    LastSuccess,
}

impl SortBy {
    fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        Ok(match text.unwrap_or("TokenDesc") {
            "" | "TokenDesc" => Self::Description,
            "TokenId" => Self::Id,
            "TokenType" => Self::Type,
            "TokenSerialnumber" => Self::Serial,
            "IdResolver" => Self::ResolverId,
            "IdResClass" => Self::ResolverSpec,
            "Userid" => Self::UserId,
            "FailCount" => Self::FailCount,
            "Count" => Self::Count,
            "Isactive" => Self::Active,
            "CreationDate" => Self::Created,
            "LastAuthMatch" => Self::LastMatch,
            "LastAuthSuccess" => Self::LastSuccess,
            other => {
                let problem = format!("tokens cannot be sorted by '{other}'");
                return Err(Refusal::InvalidParameter { name: "sortby".to_owned(), problem });
            }
        })
    }

    const fn needs_usage(self) -> bool {
        matches!(self, Self::FailCount | Self::Count | Self::LastMatch | Self::LastSuccess)
    }

    fn compare(self, ids: &BTreeMap<ResolverSpec, String>, a: &Candidate, b: &Candidate) -> Ordering {
        let number = |c: &Candidate, part: fn(&UsageV1) -> u64| c.usage.as_deref().map_or(0, part);
        match self {
            Self::Description => a.token.description.cmp(&b.token.description),
            Self::Id => Ordering::Equal,
            Self::Type => a.token.token_type.stored_name().cmp(b.token.token_type.stored_name()),
            Self::Serial => a.serial.cmp(&b.serial),
            Self::ResolverId => a.resolver_id(ids).cmp(b.resolver_id(ids)),
            Self::ResolverSpec => a.resolver_spec().cmp(b.resolver_spec()),
            Self::UserId => a.user_id().cmp(b.user_id()),
            Self::FailCount => {
                number(a, |u| u64::from(u.fail_count)).cmp(&number(b, |u| u64::from(u.fail_count)))
            }
            Self::Count => number(a, |u| u.next_counter).cmp(&number(b, |u| u.next_counter)),
            Self::Active => a.token.active.cmp(&b.token.active),
            Self::Created => a.token.created_at.cmp(&b.token.created_at),
            Self::LastMatch => {
                let at = |u: &UsageV1| u.last_match_at.map_or(0, |at| at.0);
                number(a, at).cmp(&number(b, at))
            }
            Self::LastSuccess => {
                let at = |u: &UsageV1| u.last_success_at.map_or(0, |at| at.0);
                number(a, at).cmp(&number(b, at))
            }
        }
        .then(a.created.cmp(&b.created))
    }
}

impl Request for Show {
    type Reply = TokenPage;
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<TokenPage, Stop> {
        let sort_by = SortBy::parse(self.sort_by.as_deref())?;
        let realm = self.view_realm.as_deref().filter(|text| !text.is_empty()).or_else(|| self.user.realm());
        let text = self.filter.as_deref().filter(|text| !text.is_empty());
        cx.note(&format!("realm: {}, filter: {}", realm.unwrap_or("*"), text.unwrap_or_default()));
        let owners = Owners::parse(cx, &self.user)?;
        let mut found = self.candidates(cx, &Realms::parse(realm), &Text::parse(text), &owners);
        let granted = granted(cx, &[])?;
        if granted.is_nothing() {
            return Err(Refusal::NotAllowed("you do not have any right in scope admin".to_owned()).into());
        }
        found.retain(|candidate| granted.has_token(&candidate.token));
        owners.narrow(cx, &mut found)?;
        sort(cx, &mut found, sort_by, self.descending);
        let page = self.page(cx, found.len())?;
        let shown = page.of(&found);
        cx.audit.success = true;
        Ok(TokenPage {
            rows: row::rows(cx, shown, &self.user_fields)?,
            pages: page.pages,
            page_size: page.size,
            tokens: page.tokens,
            page: page.number,
        })
    }
}

fn sort(cx: &mut Context<'_>, found: &mut [Candidate], by: SortBy, descending: bool) {
    if by.needs_usage() {
        let state = cx.view.unrecorded();
        for candidate in found.iter_mut() {
            candidate.usage = Some(usage_of(state, &candidate.serial));
        }
    }
    let configuration = cx.view.configuration();
    let ids =
        configuration.sources.iter().map(|(spec, source)| (spec.clone(), resolver_id(source))).collect();
    found.sort_by(|a, b| {
        let order = by.compare(&ids, a, b);
        if descending { order.reverse() } else { order }
    });
}

/// A token's usage, unrecorded.
fn usage_of(state: &dyn StateRead, serial: &Serial) -> Arc<UsageV1> {
    match state.record(&Key::Usage(serial.clone())) {
        Some(Slot { record: Record::Usage(usage), .. }) => usage,
        _ => Arc::default(),
    }
}

/// A page by number.
struct Page {
    number: u64,
    size: u64,
    pages: u64,
    tokens: u64,
}

impl Page {
    fn of<'a>(&self, found: &'a [Candidate]) -> &'a [Candidate] {
        let first =
            usize::try_from(self.number.saturating_sub(1).saturating_mul(self.size)).unwrap_or(usize::MAX);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let end = first.saturating_add(size).min(found.len());
        found.get(first.min(end)..end).unwrap_or_default()
    }
}

impl Show {
    fn page(&self, cx: &mut Context<'_>, found: usize) -> Result<Page, Refusal> {
        let tokens = u64::try_from(found).unwrap_or(u64::MAX);
        let Some(number) = self.page.as_deref() else {
            return Ok(Page { number: 1, size: tokens, pages: 1, tokens });
        };
        let positive = |text: &str| text.trim().parse::<u64>().ok().filter(|number| *number > 0);
        let number = positive(number).unwrap_or(1);
        let size = match self.page_size.as_deref().filter(|text| !text.is_empty()) {
            Some(size) => positive(size).unwrap_or(PAGE_SIZE_FALLBACK),
            None => u64::from(cx.view.configuration().settings.page_size().max(1)),
        };
        let pages = tokens.div_ceil(size);
        if number > pages.max(1) {
            let problem = format!("there is no page {number}, the list has {pages} pages");
            return Err(Refusal::InvalidParameter { name: "page".to_owned(), problem });
        }
        Ok(Page { number, size, pages, tokens })
    }

    /// The tokens that pass the filters on serial, realm and text, and the cheap part of the one on owners.
    fn candidates(&self, cx: &Context<'_>, realms: &Realms, text: &Text, owners: &Owners) -> Vec<Candidate> {
        let state = cx.view.unrecorded();
        let wanted = self.serial.as_deref().filter(|serial| !serial.is_empty());
        let mut found = Vec::new();
        let mut consider = |key: &Key, slot: &Slot| {
            let (Key::Token(serial), Record::Token(token)) = (key, &slot.record) else { return };
            let passes = wanted.is_none_or(|pattern| matches_pattern(pattern, serial.as_str()))
                && realms.passes(token)
                && owners.may_pass(token)
                && text.passes(serial, token);
            if passes {
                let (serial, token) = (serial.clone(), token.clone());
                found.push(Candidate { serial, created: slot.created, token, usage: None });
            }
        };
        let listed: Option<BTreeSet<Serial>> = match (owners.serials(), wanted) {
            (Some(serials), _) => Some(serials.iter().cloned().collect()),
            (None, Some(serial)) if !serial.contains('*') => Some(BTreeSet::from([Serial::from(serial)])),
            (None, _) => None,
        };
        if let Some(serials) = listed {
            for key in serials.into_iter().map(Key::Token) {
                if let Some(slot) = state.record(&key) {
                    consider(&key, &slot);
                }
            }
            return found;
        }
        let prefix = wanted.and_then(|pattern| pattern.split('*').next()).unwrap_or_default();
        state.scan(&Key::Token(Serial::from(prefix)), &mut |key, slot| {
            let Key::Token(serial) = key else { return ControlFlow::Break(()) };
            if !serial.as_str().starts_with(prefix) {
                return ControlFlow::Break(());
            }
            consider(key, slot);
            ControlFlow::Continue(())
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::add_token;
    use super::*;
    use crate::facts::Question;
    use crate::record::{AutoResync, InfoValue};
    use crate::test_state::TestState;
    use crate::time::UnixMillis;

    /// A1 and A2 belong to alice, B1 to bob, C1 to carol, D1 to a deleted user, N1 and N2 to nobody.
    fn state() -> TestState {
        let mut state = TestState::with_users();
        let mut add = |serial: &str, owner: Option<(&str, &str)>, realms: &[&str], description: &str| {
            add_token(&mut state, serial, owner, realms);
            state.change_token(serial, |token| token.description = description.into());
        };
        add("N1", None, &[], "Spare");
        add("A1", Some(("staff", "u1")), &["corp"], "phone");
        add("A2", Some(("staff", "u1")), &["corp", "lab"], "KEY");
        add("B1", Some(("staff", "u2")), &["corp"], "key ring");
        add("C1", Some(("guests", "u3")), &["lab"], "");
        add("D1", Some(("staff", "gone")), &["corp"], "old");
        add("N2", None, &["lab"], "spare 2");
        state.change_token("B1", |token| token.active = false);
        state
    }

    fn serials(page: &TokenPage) -> Vec<&str> {
        page.rows.iter().map(|row| row.serial.as_str()).collect()
    }

    #[track_caller]
    fn check(request: &Show, expected: &[&str]) {
        let mut state = state();
        let request = Show { sort_by: Some("TokenSerialnumber".into()), ..request.clone() };
        let page = state.run(&request).unwrap();
        assert_eq!(serials(&page), expected, "{request:?}");
        assert_eq!((page.pages, page.page), (1, 1));
        assert_eq!((page.page_size, page.tokens), (expected.len() as u64, expected.len() as u64));
    }

    const ALL: [&str; 7] = ["A1", "A2", "B1", "C1", "D1", "N1", "N2"];

    #[test]
    fn tokens_are_filtered_by_serial() {
        let table: [(&str, &[&str]); 6] = [
            ("", &ALL),
            ("A1", &["A1"]),
            ("a1", &[]),
            ("A*", &["A1", "A2"]),
            ("*1", &["A1", "B1", "C1", "D1", "N1"]),
            ("X", &[]),
        ];
        for (serial, expected) in table {
            check(&Show { serial: Some(serial.into()), ..Show::default() }, expected);
        }
    }

    /// Reference http-api 8.1, owner filter.
    #[test]
    fn tokens_are_filtered_by_owner() {
        let table: [(&str, &str, &[&str]); 17] = [
            ("alice", "", &["A1", "A2"]),
            ("alice", "corp", &["A1", "A2"]),
            ("alice", "lab", &[]),
            ("carol@lab", "", &["C1"]),
            ("carol", "lab", &["C1"]),
            ("carol", "*", &["C1"]),
            ("nobody", "", &[]),
            ("*", "", &["A1", "A2", "B1", "C1", "D1"]),
            ("A*", "", &["A1", "A2"]),
            ("*o*", "", &["B1", "C1", "D1"]),
            ("*o*", "lab", &["C1"]),
            ("/:no user info:/", "", &["D1"]),
            ("/:no user*", "", &["D1"]),
            ("/:no user:/", "", &["N1", "N2"]),
            ("/:none:/", "", &["N1", "N2"]),
            ("''", "", &["N1", "N2"]),
            ("\"\"", "", &["N1", "N2"]),
        ];
        for (user, realm, expected) in table {
            let user = UserParams { user: user.into(), realm: Some(realm.into()), res_conf: None };
            check(&Show { user, ..Show::default() }, expected);
        }
    }

    /// Reference http-api 8.1, realm filter.
    #[test]
    fn tokens_are_filtered_by_realm() {
        let table: [(&str, &str, &[&str]); 11] = [
            ("", "corp", &["A1", "A2", "B1", "D1"]),
            ("LAB", "corp", &["A2", "C1", "N2"]),
            ("lab", "", &["A2", "C1", "N2"]),
            ("l*", "", &["A2", "C1", "N2"]),
            ("?orp", "", &["A1", "A2", "B1", "D1"]),
            ("*", "", &ALL),
            ("corp, lab", "", &["A1", "A2", "B1", "C1", "D1", "N2"]),
            ("/:no realm:/", "", &["N1"]),
            ("''", "", &["N1"]),
            ("lab,/:no realm:/", "", &["A2", "C1", "N1", "N2"]),
            ("nowhere", "", &[]),
        ];
        for (view_realm, realm, expected) in table {
            let user = UserParams { realm: Some(realm.into()), ..UserParams::default() };
            check(&Show { user, view_realm: Some(view_realm.into()), ..Show::default() }, expected);
        }
    }

    /// Reference http-api 8.1, `filter`.
    #[test]
    fn tokens_are_filtered_by_text_and_state() {
        let active = ["A1", "A2", "C1", "D1", "N1", "N2"];
        let table: [(&str, &[&str]); 15] = [
            ("key", &["A2", "B1"]),
            ("SPARE", &["N1", "N2"]),
            ("n2", &["N2"]),
            ("IdResolver.guests", &["C1"]),
            ("u1", &["A1", "A2"]),
            ("hmac", &ALL),
            ("nothing", &[]),
            ("/:active:/", &active),
            ("/:enabled:/", &active),
            ("/:token is active:/", &active),
            ("/:token is enabled:/", &active),
            ("/:inactive:/", &["B1"]),
            ("/:disabled:/", &["B1"]),
            ("/:token is inactive:/", &["B1"]),
            ("/:token is disabled:/", &["B1"]),
        ];
        for (filter, expected) in table {
            check(&Show { filter: Some(filter.into()), ..Show::default() }, expected);
        }
    }

    #[test]
    fn tokens_are_sorted_by_the_columns_of_the_reference() {
        let mut state = state();
        for (serial, count) in [("A1", 5), ("A2", 9), ("B1", 7)] {
            state.change_usage(serial, |usage| {
                usage.next_counter = count;
                usage.fail_count = 10 - u32::try_from(count).unwrap();
                usage.last_match_at = Some(UnixMillis(count));
                usage.last_success_at = Some(UnixMillis(10 - count));
            });
            state.change_token(serial, |token| token.created_at = UnixMillis(count));
        }
        let table: [(&str, &[&str]); 13] = [
            ("TokenDesc", &["C1", "A2", "N1", "B1", "D1", "A1", "N2"]),
            ("TokenId", &["N1", "A1", "A2", "B1", "C1", "D1", "N2"]),
            ("TokenType", &["N1", "A1", "A2", "B1", "C1", "D1", "N2"]),
            ("TokenSerialnumber", &ALL),
            ("IdResolver", &["N1", "A1", "A2", "B1", "C1", "D1", "N2"]),
            ("IdResClass", &["N1", "N2", "C1", "A1", "A2", "B1", "D1"]),
            ("Userid", &["N1", "N2", "D1", "A1", "A2", "B1", "C1"]),
            ("FailCount", &["N1", "C1", "D1", "N2", "A2", "B1", "A1"]),
            ("Count", &["N1", "C1", "D1", "N2", "A1", "B1", "A2"]),
            ("Isactive", &["B1", "N1", "A1", "A2", "C1", "D1", "N2"]),
            ("CreationDate", &["A1", "B1", "A2", "N1", "C1", "D1", "N2"]),
            ("LastAuthMatch", &["N1", "C1", "D1", "N2", "A1", "B1", "A2"]),
            ("LastAuthSuccess", &["N1", "C1", "D1", "N2", "A2", "B1", "A1"]),
        ];
        for (column, expected) in table {
            let request = Show { sort_by: Some(column.into()), ..Show::default() };
            assert_eq!(serials(&state.run(&request).unwrap()), expected, "{column}");
            let reversed: Vec<&str> = expected.iter().rev().copied().collect();
            let request = Show { descending: true, ..request };
            assert_eq!(serials(&state.run(&request).unwrap()), reversed, "{column} desc");
        }
        let by_default = state.run(&Show::default()).unwrap();
        assert_eq!(serials(&by_default), table[0].1);
        let unknown = Show { sort_by: Some("Seed".into()), ..Show::default() };
        assert!(matches!(state.run(&unknown), Err(Refusal::InvalidParameter { .. })));
    }

    /// Reference http-api 8.1: paging.
    #[test]
    fn pages_are_cut_and_counted() {
        let table = [
            ("1", "3", Some((3, 3, 1, 3))),
            ("3", "3", Some((3, 3, 3, 1))),
            ("4", "3", None),
            ("0", "3", Some((3, 3, 1, 3))),
            ("-1", "3", Some((3, 3, 1, 3))),
            ("x", "3", Some((3, 3, 1, 3))),
            ("1", "", Some((1, 50, 1, 7))),
            ("1", "x", Some((1, 20, 1, 7))),
            ("1", "0", Some((1, 20, 1, 7))),
            ("2", "", None),
            ("99999999999999999999", "3", Some((3, 3, 1, 3))),
        ];
        for (page, size, expected) in table {
            let request = Show { page: Some(page.into()), page_size: Some(size.into()), ..Show::default() };
            let reply = state().run(&request);
            let shown = reply.as_ref().map(|page| (page.pages, page.page_size, page.page, page.rows.len()));
            assert_eq!(shown.ok(), expected, "page {page} size {size}");
        }
        let mut state = state();
        state.set("pagesize", "2");
        let request = Show { page: Some("2".into()), ..Show::default() };
        let page = state.run(&request).unwrap();
        assert_eq!((page.pages, page.page_size, page.tokens, page.page), (4, 2, 7, 2));
        let unpaged = Show { page_size: Some("1".into()), ..Show::default() };
        assert_eq!(state.run(&unpaged).unwrap().rows.len(), 7);
        let mut empty = TestState::new();
        let page = empty.run(&Show { page: Some("1".into()), ..Show::default() }).unwrap();
        assert_eq!((page.pages, page.tokens, page.page, page.rows.len()), (0, 0, 1, 0));
        assert!(empty.run(&request).is_err());
        let page = empty.run(&Show::default()).unwrap();
        assert_eq!((page.pages, page.page_size, page.page), (1, 0, 1));
    }

    /// Reference http-api 6.3.
    #[test]
    fn rows_name_the_owner() {
        let mut state = state();
        let fields = vec!["userid".to_owned(), "shoesize".to_owned()];
        let mut one = |serial: &str| {
            let request =
                Show { serial: Some(serial.into()), user_fields: fields.clone(), ..Show::default() };
            state.run(&request).unwrap().rows.remove(0)
        };
        let known = one("A1");
        assert_eq!((known.user.username.as_str(), known.user.user_id.as_str()), ("alice", "u1"));
        assert_eq!(known.user.fields, [("userid".into(), "u1".into()), ("shoesize".into(), String::new())]);
        assert_eq!((known.token_type, known.id), ("HMAC", one("N1").id + 1));
        let gone = one("D1");
        assert_eq!(gone.user.username, "/:no user info:/");
        assert_eq!((gone.user.user_id.as_str(), gone.user.description.as_str()), ("/:no user info:/", ""));
        let unassigned = one("N1");
        assert_eq!((unassigned.owner, unassigned.user.username.as_str()), (None, ""));
    }

    #[test]
    fn owners_are_asked_for_the_rows_of_the_page_only() {
        let mut state = state();
        let request = Show {
            sort_by: Some("TokenSerialnumber".into()),
            page: Some("1".into()),
            page_size: Some("2".into()),
            ..Show::default()
        };
        state.run(&request).unwrap();
        assert_eq!(state.asked.len(), 1);
        let Some(Question::UserById { user_id, .. }) = state.asked.first() else {
            panic!("{:?}", state.asked)
        };
        assert_eq!(user_id.as_str(), "u1");
    }

    #[test]
    fn many_owners_cost_one_question_per_resolver() {
        let mut state = TestState::with_users();
        for number in 0..200 {
            let id = format!("id{number}");
            state.add_user("staff", &format!("user{number}"), &id);
            add_token(&mut state, &format!("S{number:03}"), Some(("staff", &id)), &["corp"]);
        }
        let page = state.run(&Show::default()).unwrap();
        assert_eq!(page.rows.len(), 200);
        assert_eq!(page.rows[150].user.username, "user150");
        assert_eq!(state.asked.len(), 1);
    }

    /// Reference tokens 1.1 and 1.3, http-api 8.1. The text is what Python's `json.dumps(info, indent=0)` prints.
    #[test]
    fn token_information_joins_definition_and_usage() {
        let mut state = state();
        assert_eq!(state.run(&Show::default()).unwrap().rows[0].info.text(), "");
        state.change_token("A1", |token| {
            for (key, value) in [
                ("hashlib", InfoValue::Text("sha256".into())),
                ("note", InfoValue::Text("a\"b\\ä😀\n".into())),
                ("scope", InfoValue::Json("{\"path\": [\"validate\"]}".into())),
                ("validity_period_end", InfoValue::Text("31/12/26 23:59".into())),
            ] {
                token.info.insert(key.into(), value);
            }
        });
        state.change_usage("A1", |usage| {
            usage.count_auth = Some(2);
            usage.time_shift = -30;
            usage.auto_resync = Some(AutoResync { counter: 9, due_at: Some(100) });
        });
        let request = Show { serial: Some("A1".into()), ..Show::default() };
        let row = state.run(&request).unwrap().rows.remove(0);
        let expected = "{\n\"count_auth\": 2,\n\"dueDate\": 100,\n\"hashlib\": \"sha256\",\n\
                        \"note\": \"a\\\"b\\\\\\u00e4\\ud83d\\ude00\\n\",\n\"otp1c\": 9,\n\
                        \"scope\": {\"path\": [\"validate\"]},\n\"timeShift\": -30,\n\
                        \"validity_period_end\": \"31/12/26 23:59\"\n}";
        assert_eq!(row.info.text(), expected);
        let object = row.info.object();
        assert_eq!(object["validity_period_end"], "2026-12-31T23:59:00");
        assert_eq!(object["scope"]["path"][0], "validate");
        assert_eq!(object["count_auth"], 2);
    }

    #[test]
    fn totp_tokens_always_show_their_time_shift() {
        let mut state = state();
        state.change_token("N1", |token| token.token_type = crate::record::TokenType::Totp);
        let request = Show { serial: Some("N1".into()), ..Show::default() };
        let row = state.run(&request).unwrap().rows.remove(0);
        assert_eq!((row.token_type, row.info.text().as_str()), ("TOTP", "{\n\"timeShift\": 0\n}"));
    }

    #[test]
    fn the_audit_row_says_what_was_listed() {
        let mut state = state();
        let request = Show { view_realm: Some("lab".into()), filter: Some("key".into()), ..Show::default() };
        state.run(&request).unwrap();
        assert_eq!(&*state.last_audit().info, "realm: lab, filter: key");
        assert!(state.last_audit().success);
    }
}
